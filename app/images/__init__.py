"""Pictures: where they come from, and how they become something a provider can look at."""

from app.images.decode import PREPARATION_VERSION, HeavyPicture, prepare
from app.images.fingerprint import sha256
from app.images.journal import Journal
from app.images.prepared import PreparedImage
from app.images.quality import Finding, findings
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
    "PREPARATION_VERSION",
    "Base64Text",
    "Finding",
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
    "findings",
    "prepare",
    "sha256",
]
