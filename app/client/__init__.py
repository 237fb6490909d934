"""The service from Python: in this process, or over HTTP."""
