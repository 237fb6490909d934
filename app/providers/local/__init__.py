"""The embedded model. `provider.create` builds it; import that only where it is used."""
