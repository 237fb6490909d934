"""An image classification service: classes by domain, confidence, and human review."""

__version__ = "1.0.0"
