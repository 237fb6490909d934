"""Pictures: where they come from, and how they become something a provider can look at."""

from app.images.decode import HeavyPicture, prepare
from app.images.journal import Journal
from app.images.prepared import PreparedImage
from app.images.sources import (
    Base64Text,
    ImageReader,
    ImageSource,
    InStorage,
    Load,
    Stored,
    Upload,
    Url,
)
from app.images.workers import ImageWorkers

__all__ = [
    "Base64Text",
    "HeavyPicture",
    "ImageReader",
    "ImageSource",
    "ImageWorkers",
    "InStorage",
    "Journal",
    "Load",
    "PreparedImage",
    "Stored",
    "Upload",
    "Url",
    "prepare",
]
