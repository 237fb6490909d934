"""Calibration: makes confidence match accuracy."""

from app.calibration.calibration import Calibration
from app.calibration.calibrations import (
    LOOKED_EVERY_S,
    Calibrations,
    NotFitted,
    Version,
    key_of,
)
from app.calibration.reliability import BINS, Bin, calibration_error, reliability
from app.calibration.sureness import SURE_AFTER_S, Basis, Sureness, Surenesses
from app.calibration.threshold import Threshold, ThresholdFinder, Thresholds

__all__ = [
    "BINS",
    "LOOKED_EVERY_S",
    "SURE_AFTER_S",
    "Basis",
    "Bin",
    "Calibration",
    "Calibrations",
    "NotFitted",
    "Sureness",
    "Surenesses",
    "Threshold",
    "ThresholdFinder",
    "Thresholds",
    "Version",
    "calibration_error",
    "key_of",
    "reliability",
]
