"""Which class of a domain an image shows, how sure that is, and whether a person should look."""

__version__ = "0.1.0"
