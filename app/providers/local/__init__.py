"""The embedded model. `provider.create` builds it; import it only when it is wanted."""
