"""Identifiers: a prefix that says what it names, and a ULID, so that they sort by time."""

from datetime import datetime

from ulid import ULID

RESULT = "cls"
REQUEST = "req"
BATCH = "bat"
WEBHOOK = "whk"
EVENT = "evt"
DELIVERY = "dlv"
CALL = "cal"
PROCESS = "prc"
ALERT = "alr"
CALIBRATION = "fit"
EVALUATION = "evl"
REVIEW_STEP = "rev"
EXAMPLE = "exm"
LESSON = "les"
AUDIT = "aud"
RESULT_PATTERN = r"^cls_[0-9A-HJKMNP-TV-Z]{26}$"
BATCH_PATTERN = r"^bat_[0-9A-HJKMNP-TV-Z]{26}$"
WEBHOOK_PATTERN = r"^whk_[0-9A-HJKMNP-TV-Z]{26}$"
DELIVERY_PATTERN = r"^dlv_[0-9A-HJKMNP-TV-Z]{26}$"
CALIBRATION_PATTERN = r"^fit_[0-9A-HJKMNP-TV-Z]{26}$"
EVALUATION_PATTERN = r"^evl_[0-9A-HJKMNP-TV-Z]{26}$"
EXAMPLE_PATTERN = r"^exm_[0-9A-HJKMNP-TV-Z]{26}$"
LESSON_PATTERN = r"^les_[0-9A-HJKMNP-TV-Z]{26}$"
AUDIT_PATTERN = r"^aud_[0-9A-HJKMNP-TV-Z]{26}$"
ALERT_PATTERN = r"^alr_[0-9A-HJKMNP-TV-Z]{26}$"


def new_id(prefix: str, moment: datetime | None = None) -> str:
    """`cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9`, of `moment` or of now."""
    return f"{prefix}_{ULID.from_datetime(moment) if moment else ULID()}"


def id_of(prefix: str, digest: bytes) -> str:
    """Always the same for the same digest, of which 16 bytes count."""
    return f"{prefix}_{ULID(digest[:16])}"


def lowest_id(prefix: str, moment: datetime) -> str:
    """The least identifier that can have been made at `moment`, to the millisecond."""
    milliseconds = min(max(int(moment.timestamp() * 1000), 0), 2**48 - 1)
    return f"{prefix}_{ULID.from_bytes(milliseconds.to_bytes(6) + bytes(10))}"
