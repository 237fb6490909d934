"""Makes the files in `app/providers/local/data`. Never imported by the service."""
