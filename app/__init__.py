"""Which class of a domain an image shows, how sure that is, and whether a person should look."""

__version__ = "1.0.0"
