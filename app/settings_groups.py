"""The settings of the service, group by group: name, unit, default."""

import json
import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from app.ledger import ERASED
from app.prices import AgreedPrice, DeploymentType, Tariff
from app.settings_sources import Group


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


CommaSeparated = BeforeValidator(_split)


def _split_urls(value: object) -> object:
    """Splits at commas that are followed by a URL, because URLs may contain other commas."""
    if not isinstance(value, str):
        return value
    return [each for each in re.split(r"[,\s]+(?=[A-Za-z][A-Za-z0-9+]*://)", value.strip()) if each]


def _parse_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be JSON: {error}") from None


JsonText = BeforeValidator(_parse_json)


def checked_url(value: str | None) -> str | None:
    """Raises ValueError."""
    if value is not None and not re.match(r"^https?://[^/\s]+", value):
        raise ValueError("must be a URL that starts with https:// or http://")
    return value.rstrip("/") if value else value


CALLER_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"


class ApiKey(BaseModel):
    """Who may call: a name, and the SHA-256 of the key, never the key itself."""

    model_config = ConfigDict(frozen=True)
    name: str = Field(pattern=CALLER_PATTERN)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    admin: bool = False

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        name, _, rest = value.partition(":")
        digest, _, role = rest.partition(":")
        if role not in ("", "admin"):
            raise ValueError("must be name:sha256-hex or name:sha256-hex:admin")
        return {"name": name, "sha256": digest.lower(), "admin": role == "admin"}

    @field_validator("name")
    @classmethod
    def _is_somebodys(cls, name: str) -> str:
        if name == ERASED:
            raise ValueError(f"{ERASED}: costs of erased callers are kept under this name")
        return name


class AzureOpenAISettings(Group):
    """The deployment that answers. Set all of endpoint, key and deployment, or none."""

    endpoint: str | None = Field(
        None,
        description="URL of the resource; `http://127.0.0.1:...` is valid, too.",
        examples=["https://my-resource.openai.azure.com"],
    )
    api_key: SecretStr | None = Field(None, description="Key of the resource (`auth: key`).")
    deployment: str | None = Field(None, description="Name of the deployment.", examples=["gpt-4o"])
    model: str | None = Field(
        None,
        description="Model family behind the deployment, as in config/models.yaml; unset: taken "
        "from the first answer.",
        examples=["gpt-4o"],
    )
    api_version: str | None = Field(
        None,
        description="Use the dated API of this version instead of the v1 API.",
        examples=["2024-10-21"],
    )
    auth: Literal["key", "entra"] = Field(
        "key", description="`entra` uses tokens from Microsoft Entra ID (extra `azure`)."
    )
    client_id: str | None = Field(
        None, description="Client id of a user-assigned managed identity (`auth: entra`)."
    )
    token_scope: str = Field(
        "https://ai.azure.com/.default", description="Scope of the tokens (`auth: entra`)."
    )
    type: DeploymentType = Field(
        "global_standard",
        description="Type of the deployment, on which its price depends: docs/costs.md.",
    )
    price: Annotated[AgreedPrice | None, JsonText] = Field(
        None,
        description="Price of the deployment, if config/models.yaml has a different one or none "
        "(JSON in an environment variable): docs/costs.md.",
        examples=['{"input": 2.2, "output": 8.8}'],
    )

    @property
    def touched(self) -> bool:
        """Whether anything about Azure is set."""
        return bool(self.endpoint or self.api_key or self.deployment or self.auth == "entra")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        return checked_url(value)


class DeploymentLimits(BaseModel):
    """What a deployment is granted, and how it is chosen among several."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    rpm: int = Field(ge=1, description="Calls per minute.")
    tpm: int | None = Field(
        None, ge=1, description="Tokens per minute, as Azure estimates them; unset: unlimited."
    )
    window: Literal[1, 10] = Field(
        10, description="Seconds over which Azure enforces the calls per minute."
    )
    max_in_flight: int = Field(64, ge=1, description="Most calls under way at the same time.")
    priority: int = Field(
        0,
        description="The lowest with room is called first: provisioned throughput, then the rest.",
    )
    weight: float = Field(1.0, gt=0, description="Preference among those of one priority.")


class DeploymentSettings(DeploymentLimits):
    """One of several deployments on Azure OpenAI. What is unset is as in `azure_openai`."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of the deployment in results and metrics.",
    )
    deployment: str | None = Field(None, description="Name at Azure; unset: the same.")
    endpoint: str | None = None
    api_key: SecretStr | None = None
    model: str | None = None
    api_version: str | None = None
    auth: Literal["key", "entra"] | None = None
    type: DeploymentType | None = None
    price: AgreedPrice | None = None
    rpm: int | None = Field(None, ge=1)  # type: ignore[assignment]

    @property
    def tariff(self) -> Tariff:
        return Tariff(self.type or "global_standard", self.price)

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        return checked_url(value)


class TrafficSettings(Group):
    """How calls get to the provider when more are wanted than its quota allows."""

    max_waiting: int = Field(
        1_000,
        ge=1,
        description="Calls that may wait for quota; beyond that, they are refused with 503.",
    )
    batch_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the quota that batches get while requests need all of it.",
    )
    retry_share: float = Field(
        0.1, ge=0, le=1, description="Most retries beyond the first ten, as a share of all calls."
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share the quota through Redis. Used only while Redis has been "
        "unreachable since the start; after that, processes are counted.",
    )


class OpenAISettings(Group):
    """Any server that speaks the OpenAI chat API: OpenAI, vLLM, Ollama, llama.cpp."""

    base_url: str = Field(
        "https://api.openai.com/v1",
        description="Base URL, with its version part.",
        examples=["http://127.0.0.1:11434/v1"],
    )
    api_key: SecretStr | None = Field(None, description="Key, if the server needs one.")
    model: str | None = Field(
        None, description="Model to call; required for this provider.", examples=["gpt-4.1-mini"]
    )
    price: Annotated[AgreedPrice | None, JsonText] = Field(
        None,
        description="Price of its tokens (JSON in an environment variable); unset: as in "
        'config/models.yaml. For your own server: `{"input": 0, "output": 0}`.',
    )

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str | None:
        return checked_url(value)


class ApiSettings(Group):
    """Calls to the provider."""

    rate_limit: int = Field(
        60,
        ge=1,
        description="Calls per minute to each deployment that has no `rpm` of its own.",
    )
    timeout: float = Field(
        30,
        gt=0,
        le=600,
        description="Seconds for one answer, including waits and retries. For an item of a batch "
        "this limits each call; its answer may take ten minutes.",
    )
    max_retries: int = Field(3, ge=0, le=10, description="Retries after the first call.")


class BatchSettings(Group):
    """Bulk work."""

    default_size: int = Field(
        10, ge=10, le=100, description="Items processed and committed together."
    )
    checkpoint_interval: int = Field(
        100, ge=1, le=10_000, description="Items in one shard of a batch."
    )
    shards_at_once: int = Field(
        16, ge=1, description="Shards that this process works on at the same time."
    )
    in_flight: int = Field(
        64, ge=1, description="Pictures of batches that this process works on at the same time."
    )
    max_items: int = Field(1_000_000, ge=1, description="Items in one batch.")
    max_upload: int = Field(
        2_000_000_000,
        ge=1_000,
        description="Largest request that creates a batch, and largest list or archive that a "
        "request names by a storage URI, in bytes.",
    )
    sources: Annotated[tuple[str, ...], CommaSeparated] = Field(
        (),
        description="Storage URIs below which batches may name pictures, comma-separated. Empty: "
        "no storage URI is accepted.",
        examples=["s3://bucket/folder/,file:///data/pictures/"],
    )


class ExportSettings(Group):
    """Results as files."""

    targets: Annotated[tuple[str, ...], CommaSeparated] = Field(
        (),
        description="Storage URIs below which callers may have exports stored, comma-separated. "
        "Empty: exports can only be downloaded.",
        examples=["s3://bucket/exports/,file:///data/exports/"],
    )


class RetentionSettings(Group):
    """How long data that nobody deletes is kept. Days may be fractions."""

    results: float | None = Field(
        None,
        ge=0,
        le=36_500,
        description="Days that a result is kept after its request; unset: forever.",
    )
    batches: float | None = Field(
        None,
        ge=0,
        le=36_500,
        description="Days that a batch is kept after its end, with its items and their results; "
        "unset: forever.",
    )
    pictures: float | None = Field(
        7.0,
        ge=0,
        le=36_500,
        description="Days that a batch's uploads are kept after its end, for `retry`; `null` in "
        "settings.yaml: as long as the batch.",
    )
    reviews: float | None = Field(
        30.0,
        ge=0,
        le=36_500,
        description="Days that pictures for reviewers are kept; `null` in settings.yaml: as long "
        "as their results.",
    )
    deliveries: float | None = Field(
        30.0,
        ge=0,
        le=36_500,
        description="Days that finished webhook deliveries are kept, for inspection and replay; "
        "pending ones are always kept.",
    )
    ledger: float | None = Field(
        None,
        # No process still has to find out whether something as old as this was stored.
        ge=1,
        le=36_500,
        description="Days that the ledger keeps single calls; unset: forever. Sums by hour and "
        "day are kept forever.",
    )
    alerts: float | None = Field(
        30.0,
        ge=1,  # or people could be notified of an alert that can't be looked up any more
        le=36_500,
        description="Days that an alert is kept after it is resolved.",
    )
    audit: float | None = Field(
        365.0,
        ge=1,
        le=36_500,
        description="Days that entries of the audit log are kept; `null` in settings.yaml: "
        "forever.",
    )


class WebhookSettings(Group):
    """Events sent to other services."""

    schedule: Annotated[tuple[Annotated[float, Field(ge=0, le=604_800)], ...], CommaSeparated] = (
        Field(
            (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
            min_length=1,
            description="Seconds to wait before each attempt at a delivery, comma-separated; when "
            "the last attempt fails, the delivery is given up. Default: the schedule of Standard "
            "Webhooks, 10 attempts in 75.6 hours.",
        )
    )
    jitter: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share by which each wait is made shorter or longer, at random.",
    )
    max_retry_after: float = Field(
        86_400, ge=0, description="Longest `Retry-After` of a receiver to honour, in seconds."
    )
    timeout: float = Field(15, gt=0, le=60, description="Seconds that a receiver has to answer.")
    at_once: int = Field(
        8, ge=1, le=256, description="Most deliveries under way to one webhook at the same time."
    )
    disable_after: float = Field(
        5, gt=0, description="Days of only failed attempts after which a webhook is disabled."
    )
    encryption_keys: Annotated[tuple[SecretStr, ...], CommaSeparated] = Field(
        (),
        description="Keys that encrypt webhook secrets in the database, comma-separated: the first "
        "encrypts, all decrypt (`python -m app webhooks new-key` makes one). Unset: one is "
        "generated and kept beside the database; with several processes it must be set.",
    )


class AlertThresholds(Group):
    """When the operator is notified."""

    accuracy: float = Field(
        0.8, ge=0, le=1, description="Lowest acceptable share of right answers."
    )
    response_time: float = Field(
        5.0, gt=0, description="Longest acceptable 95th percentile of response times, in seconds."
    )


class QualitySettings(Group):
    """When a picture is called bad. Measured on a copy of at most 256 px; docs/images.md has the
    figures behind the defaults."""

    min_sharpness: float = Field(0.5, ge=0, description="A picture below it is blurred.")
    min_brightest: float = Field(
        0.22, ge=0, le=1, description="Luma of the brightest 1 %; a picture below it is too dark."
    )
    max_clipped: float = Field(
        0.24, ge=0, le=1, description="Share of burnt-out pixels; a picture above it is too bright."
    )
    min_contrast: float = Field(
        0.16,
        ge=0,
        le=1,
        description="Luma of the brightest 1 % minus that of the darkest; a picture below it has "
        "too little contrast, and below a quarter of it is nearly uniform.",
    )
    min_side: int = Field(
        56, ge=1, description="Pixels of the long side; a picture below it is too small."
    )
    max_aspect: float = Field(
        5.0, ge=1, description="Long side divided by short side; a picture above it is too narrow."
    )
    min_jpeg_quality: int = Field(
        20,
        ge=1,
        le=100,
        description="JPEG quality on libjpeg's scale, read from the file's quantisation tables; a "
        "picture below it is heavily compressed.",
    )


class CacheSettings(Group):
    """Answers of providers, kept for the same picture."""

    ttl: float = Field(
        604_800,
        ge=0,
        le=315_360_000,
        description="Seconds that an answer is reused; 0 turns the cache off.",
    )
    max_entries: int = Field(
        100_000, ge=1, description="Most answers kept; the oldest are dropped first."
    )


class ReviewSettings(Group):
    """People who look at answers."""

    random_share: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of accepted answers that are drawn at random for review, to measure how "
        "often accepted answers are right.",
    )
    claim: float = Field(
        300,
        ge=1,
        le=86_400,
        description="Seconds during which an answer given to one reviewer is given to no other.",
    )


class TeachingSettings(Group):
    """What the local model learns from examples while the service runs."""

    automatic: bool = Field(
        True,
        description="Retrain a domain's head as reviews add examples; off: only on request: "
        "docs/custom_domains.md.",
    )
    after: int = Field(
        20, ge=1, le=100_000, description="New examples from reviews after which it is retrained."
    )


class CalibrationSettings(Group):
    """Calibration, which makes confidence mean what it says."""

    automatic: bool = Field(
        True,
        description="Refit whenever there are 20 % more labels than before, 100 at least; off: "
        "only on request: docs/confidence.md.",
    )


class TracingSettings(Group):
    """Spans for OpenTelemetry."""

    enabled: bool = Field(
        False,
        description="Send traces to a collector, by OTLP over HTTP; needs the extra `tracing`. "
        "OpenTelemetry's own variables configure the destination and the sampling: "
        "`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`; "
        "docs/monitoring.md.",
    )


class MonitoringSettings(Group):
    """What the service reports about itself."""

    enable_metrics: bool = Field(True, description="Whether /metrics is served.")
    alert_thresholds: AlertThresholds = AlertThresholds()
    alerts_every: float = Field(
        15.0,
        ge=0.1,
        le=300,
        description="Seconds between two evaluations of the rules in config/alerts.yaml.",
    )
    notify: Annotated[tuple[SecretStr, ...], BeforeValidator(_split_urls)] = Field(
        (),
        description="Where alerts are sent, besides webhooks: Apprise URLs, comma-separated (extra "
        "`alerts`): docs/monitoring.md.",
        examples=["slack://TOKEN_A/TOKEN_B/TOKEN_C,mailto://USER:PASSWORD@example.com"],
    )
