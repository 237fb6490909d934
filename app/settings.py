"""Every knob of the service: name, unit, default, and where its value comes from.

A value is looked for in the environment, then in `.env` and `azure.env`, then in
`config/settings.yaml`; else the default holds. The variable of a key is its path in capitals,
joined by underscores: `api.timeout` is `API_TIMEOUT`, `azure_openai.endpoint` is
`AZURE_OPENAI_ENDPOINT`. An empty variable counts as not set.
"""

import ipaddress
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.errors import ConfigurationError
from app.settings_sources import Group, VariableSource, YamlSource, complaint, variables
from app.yaml_file import YamlFile, config_dir


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


CommaSeparated = BeforeValidator(_split)


def _parse_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be JSON: {error}") from None


JsonText = BeforeValidator(_parse_json)


class ApiKey(BaseModel):
    """Who may call: a name, and the SHA-256 of the key, never the key itself."""

    model_config = ConfigDict(frozen=True)
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
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


class AzureOpenAISettings(Group):
    """The deployment that answers. Set all of endpoint, key and deployment, or none."""

    endpoint: str | None = Field(
        None,
        description="URL of the resource; `http://127.0.0.1:...` is valid too.",
        examples=["https://my-resource.openai.azure.com"],
    )
    api_key: SecretStr | None = Field(None, description="Key of the resource (`auth: key`).")
    deployment: str | None = Field(None, description="Name of the deployment.", examples=["gpt-4o"])
    model: str | None = Field(
        None,
        description="Model family behind the deployment, as in config/models.yaml; found out from "
        "the first answer when unset.",
        examples=["gpt-4o"],
    )
    api_version: str | None = Field(
        None,
        description="Use the dated API of this version instead of the v1 API.",
        examples=["2024-10-21"],
    )
    auth: Literal["key", "entra"] = Field(
        "key", description="`entra` takes tokens from Microsoft Entra ID (extra `azure`)."
    )
    client_id: str | None = Field(
        None, description="Client id of a user-assigned managed identity (`auth: entra`)."
    )
    token_scope: str = Field(
        "https://ai.azure.com/.default", description="Scope of the tokens (`auth: entra`)."
    )

    @property
    def touched(self) -> bool:
        """Whether anything is said of Azure."""
        return bool(self.endpoint or self.api_key or self.deployment or self.auth == "entra")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        return _checked_url(value)


class DeploymentLimits(BaseModel):
    """What a deployment is granted, and how it is chosen among several."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    rpm: int = Field(ge=1, description="Calls per minute.")
    tpm: int | None = Field(
        None, ge=1, description="Tokens per minute, as Azure estimates them; unset: not limited."
    )
    window: Literal[1, 10] = Field(
        10, description="Seconds over which Azure enforces the calls per minute."
    )
    max_in_flight: int = Field(64, ge=1, description="Calls at the same time.")
    priority: int = Field(
        0, description="The lowest that is free is asked: provisioned throughput before the rest."
    )
    weight: float = Field(1.0, gt=0, description="Among those of one priority.")


class DeploymentSettings(DeploymentLimits):
    """One of several deployments on Azure OpenAI. What is unset is as in `azure_openai`."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Its name here, in results and metrics."
    )
    deployment: str | None = Field(None, description="Its name at Azure; unset: the same.")
    endpoint: str | None = None
    api_key: SecretStr | None = None
    model: str | None = None
    api_version: str | None = None
    auth: Literal["key", "entra"] | None = None
    rpm: int | None = Field(None, ge=1)  # type: ignore[assignment]

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        return _checked_url(value)


class TrafficSettings(Group):
    """The way to the provider, when more is wanted than its quota holds."""

    max_waiting: int = Field(
        1_000, ge=1, description="Calls that may wait for quota; more are told to come back."
    )
    batch_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the quota that batches get while requests want all of it.",
    )
    retry_share: float = Field(
        0.1, ge=0, le=1, description="Retries, as a share of all calls, beyond the first ten."
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share the quota through Redis: for the time that it can't be "
        "reached from the start on. Later they are counted.",
    )


class OpenAISettings(Group):
    """Any server that speaks the OpenAI chat API: OpenAI, vLLM, Ollama, llama.cpp."""

    base_url: str = Field(
        "https://api.openai.com/v1",
        description="Base URL, with its version part.",
        examples=["http://127.0.0.1:11434/v1"],
    )
    api_key: SecretStr | None = Field(None, description="Key, where the server wants one.")
    model: str | None = Field(
        None, description="Model to ask; needed for this provider.", examples=["gpt-4.1-mini"]
    )

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str | None:
        return _checked_url(value)


class ApiSettings(Group):
    """Calls to the provider."""

    rate_limit: int = Field(60, ge=1, description="Calls per minute.")
    timeout: float = Field(
        30, gt=0, le=600, description="Seconds for one answer, all its retries included."
    )
    max_retries: int = Field(3, ge=0, le=10, description="Calls after the first one.")


class BatchSettings(Group):
    """Bulk work."""

    default_size: int = Field(
        10, ge=10, le=100, description="Items taken and committed together, 10 to 100."
    )
    checkpoint_interval: int = Field(
        100, ge=1, le=10_000, description="Items in one shard of a batch."
    )
    shards_at_once: int = Field(
        16, ge=1, description="Shards that this process works on at the same time."
    )
    in_flight: int = Field(
        64, ge=1, description="Pictures of batches that this process has under way at once."
    )
    max_items: int = Field(1_000_000, ge=1, description="Items in one batch.")
    max_upload: int = Field(
        2_000_000_000,
        ge=1_000,
        description="Largest request that brings a batch, or list or archive that it names by a "
        "storage URI, in bytes.",
    )
    sources: Annotated[tuple[str, ...], CommaSeparated] = Field(
        (),
        description="Storage URIs below which batches may name pictures, comma-separated. None: "
        "no storage URI is taken.",
        examples=["s3://bucket/folder/,file:///data/pictures/"],
    )


class ExportSettings(Group):
    """Results as files."""

    targets: Annotated[tuple[str, ...], CommaSeparated] = Field(
        (),
        description="Storage URIs below which callers may have exports put, comma-separated. None: "
        "exports are only downloaded.",
        examples=["s3://bucket/exports/,file:///data/exports/"],
    )


class RetentionSettings(Group):
    """How long it is kept what nobody deletes. Days may be fractions."""

    results: float | None = Field(
        None,
        ge=0,
        le=36_500,
        description="Days that a result is kept after it was asked; unset: for good.",
    )
    batches: float | None = Field(
        None,
        ge=0,
        le=36_500,
        description="Days that a batch is kept after its end, with its items and their results; "
        "unset: for good.",
    )
    pictures: float | None = Field(
        7.0,
        ge=0,
        le=36_500,
        description="Days that uploads of a batch are kept after its end, for `retry`; `null` in "
        "settings.yaml: as long as the batch.",
    )
    deliveries: float | None = Field(
        30.0,
        ge=0,
        le=36_500,
        description="Days that it is kept what was sent to webhooks, for looking and replaying; "
        "what is to be sent still is kept.",
    )


class WebhookSettings(Group):
    """Events told to other services."""

    schedule: Annotated[tuple[Annotated[float, Field(ge=0, le=604_800)], ...], CommaSeparated] = (
        Field(
            (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
            min_length=1,
            description="Seconds before each attempt at a delivery, comma-separated; after the "
            "last one that fails it is given up. Default: that of Standard Webhooks, 10 attempts "
            "in 75.6 hours.",
        )
    )
    jitter: float = Field(
        0.2, ge=0, lt=1, description="By what share each of these is shorter or longer, at random."
    )
    max_retry_after: float = Field(
        86_400, ge=0, description="Longest `Retry-After` of a receiver that is kept to, in seconds."
    )
    timeout: float = Field(15, gt=0, le=60, description="Seconds that a receiver has to answer.")
    at_once: int = Field(
        8, ge=1, le=256, description="Deliveries under way to one webhook at the same time."
    )
    disable_after: float = Field(
        5, gt=0, description="Days of nothing but failures after which a webhook is disabled."
    )
    encryption_keys: Annotated[tuple[SecretStr, ...], CommaSeparated] = Field(
        (),
        description="Keys that encrypt the secrets of webhooks in the database, comma-separated: "
        "the first encrypts, all read (`python -m app webhooks new-key` makes one). Unset: one is "
        "made and kept beside the database; several processes need to be given it.",
    )


class AlertThresholds(Group):
    """When the operator is told."""

    accuracy: float = Field(0.8, ge=0, le=1, description="Least share of right answers.")
    response_time: float = Field(5.0, gt=0, description="Longest answer, in seconds.")


class QualitySettings(Group):
    """When a picture is called bad. Measured on a copy of at most 256 px; docs/images.md has the
    figures behind the defaults."""

    min_sharpness: float = Field(0.5, ge=0, description="Below it a picture is blurred.")
    min_brightest: float = Field(
        0.22, ge=0, le=1, description="Luma of the brightest 1 %; below it a picture is too dark."
    )
    max_clipped: float = Field(
        0.24, ge=0, le=1, description="Share of burnt-out pixels; above it it is too bright."
    )
    min_contrast: float = Field(
        0.16,
        ge=0,
        le=1,
        description="Luma of the brightest 1 % less that of the darkest; below it there is too "
        "little contrast, below a quarter of it a picture is nearly uniform.",
    )
    min_side: int = Field(56, ge=1, description="Pixels of the long side.")
    max_aspect: float = Field(5.0, ge=1, description="Long side over short side.")
    min_jpeg_quality: int = Field(
        20, ge=1, le=100, description="On libjpeg's scale, from the file's quantisation tables."
    )


class CacheSettings(Group):
    """Answers of providers, kept for the same picture."""

    ttl: float = Field(
        604_800,
        ge=0,
        le=315_360_000,
        description="Seconds that an answer is given again; 0 turns the cache off.",
    )
    max_entries: int = Field(100_000, ge=1, description="Answers kept; the oldest go first.")


class MonitoringSettings(Group):
    """What the service tells about itself."""

    enable_metrics: bool = Field(True, description="Whether /metrics answers.")
    alert_thresholds: AlertThresholds = AlertThresholds()


class Settings(BaseSettings):
    """All settings. Keyword arguments win over every other source."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    database_url: str = Field(
        "sqlite:///data/app.db",
        description="Where results are kept: an SQLite file, `sqlite://` for memory only, or "
        "`postgresql://USER:PASSWORD@HOST/NAME`, which several processes may share.",
    )
    blobs_url: str | None = Field(
        None,
        description="Where uploads of batches wait: a folder, or what fsspec reaches. Unset: "
        "`blobs` beside the database, in memory when that is.",
        examples=["file:///data/blobs"],
    )
    redis_url: SecretStr | None = Field(
        None,
        description="A Redis through which several processes share the quota of a provider and, "
        "with a PostgreSQL, all work; unset: this is the only process.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    work: bool = Field(
        True,
        description="Off: background work is left to other processes, `python -m app worker`.",
    )
    provider: str | None = Field(
        None,
        description="Who answers: `azure_openai`, `openai_compatible`, `local`, or a plug-in's "
        "name. Unset: azure_openai when it is configured, else local.",
        examples=["local"],
    )
    api_keys: Annotated[tuple[ApiKey, ...], CommaSeparated] = Field(
        (),
        description="Who may call: `name:sha256-hex` or `name:sha256-hex:admin`, comma-separated; "
        "`python -m app keys new NAME` makes one. None: everybody, as `anonymous`.",
    )
    allow_anonymous: bool = Field(
        False, description="Listen on a public address although there are no API keys."
    )
    max_upload: int = Field(
        20_000_000, ge=1_000, description="Largest picture, in bytes as decoded from the request."
    )
    egress_allow: Annotated[tuple[str, ...], CommaSeparated] = Field(
        (),
        description="Non-public places that URLs of images and webhooks may name, and where "
        "webhooks may go without https: `host:port`, `host` or CIDR, "
        "comma-separated.",
        examples=["images.internal:8080,10.20.0.0/16"],
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="What signs deliveries to a `callback_url`: `whsec_...`. Unset: one is made "
        "and kept in the database (`python -m app webhooks secret` tells it).",
    )
    egress_proxy: SecretStr | None = Field(
        None,
        description="URL of a proxy for image URLs, for networks without another way out. It looks "
        "the names up, so it has to refuse those that lead to addresses which are not public.",
        examples=["http://proxy.example:3128"],
    )
    rate_limit_rpm: int | None = Field(
        None, ge=1, description="Calls to the provider per minute; wins over `api.rate_limit`."
    )
    rate_limit_tpm: int | None = Field(
        None,
        ge=1,
        description="Tokens per minute, for deployments that have no `tpm` of their own; unset: "
        "not limited.",
    )
    deployments: Annotated[tuple[DeploymentSettings, ...], JsonText] = Field(
        (),
        description="Several deployments on Azure OpenAI, a list of mappings (a JSON text in a "
        "variable): docs/traffic.md.",
        examples=['[{"name": "west", "rpm": 600, "tpm": 100000}]'],
    )
    image_workers: int = Field(
        default_factory=lambda: (os.cpu_count() or 1) + 1,
        ge=1,
        le=256,
        description="Threads for decoding pictures and for the local model. Default: one more than "
        "cores, so that none idles while a thread hands over.",
    )
    image_queue: int = Field(
        128,
        ge=1,
        description="Pictures that may wait for one of these threads; more are told to come back.",
    )
    drain_delay: float = Field(
        1.0,
        ge=0,
        le=60,
        description="Seconds after SIGTERM in which /health/ready says 503 and requests are still "
        "taken, so that a load balancer can turn away.",
    )
    drain_timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds that running requests get to end after that."
    )
    log_level: Literal["debug", "info", "warning", "error"] | None = Field(
        None, description="Wins over `level` in config/logging.yaml."
    )
    log_renderer: Literal["auto", "json", "console"] | None = Field(
        None, description="Wins over `renderer` in config/logging.yaml."
    )

    azure_openai: AzureOpenAISettings = Field(AzureOpenAISettings(), validate_default=True)
    openai: OpenAISettings = OpenAISettings()
    api: ApiSettings = ApiSettings()
    batch: BatchSettings = BatchSettings()
    export: ExportSettings = ExportSettings()
    retention: RetentionSettings = RetentionSettings()
    webhooks: WebhookSettings = WebhookSettings()
    quality: QualitySettings = QualitySettings()
    cache: CacheSettings = CacheSettings()
    traffic: TrafficSettings = TrafficSettings()
    monitoring: MonitoringSettings = MonitoringSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            *(VariableSource(settings_cls, values) for _, values in variables()),
            YamlSource(settings_cls, _settings_yaml()),
        )

    @model_validator(mode="after")
    def _anonymous_only_where_meant(self) -> Self:
        if not (self.api_keys or self.allow_anonymous or is_loopback(self.host)):
            raise ValueError(
                f"HOST {self.host} is reachable from outside and API_KEYS is empty: set API_KEYS "
                "(`python -m app keys new NAME` makes one), or ALLOW_ANONYMOUS=true"
            )
        return self

    @field_validator("azure_openai")
    @classmethod
    def _azure_is_whole_or_not_there(
        cls, azure: AzureOpenAISettings, info: ValidationInfo
    ) -> AzureOpenAISettings:
        deployments = info.data.get("deployments", ())
        if not (deployments or azure.touched):
            return azure
        if len({each.name for each in deployments}) < len(deployments):
            raise ValueError("deployments: a name is there twice")
        for each in _whole(deployments, azure):
            needed = {
                "AZURE_OPENAI_ENDPOINT": each.endpoint,
                "AZURE_OPENAI_API_KEY": each.api_key if each.auth == "key" else "not needed",
                "AZURE_OPENAI_DEPLOYMENT": each.deployment,
            }
            missing = [name for name, value in needed.items() if not value]
            if missing:
                raise ValueError(
                    f"Azure OpenAI is only half configured: set {', '.join(missing)} too"
                )
        return azure

    @field_validator("egress_proxy")
    @classmethod
    def _is_proxy_url(cls, value: SecretStr | None) -> SecretStr | None:
        url = _checked_url(value.get_secret_value() if value else None)
        if url is not None and not _names_a_host(url):
            raise ValueError("names no host, or no port from 1 to 65535")
        return value

    @property
    def requests_per_minute(self) -> tuple[int, str]:
        """The limit of calls per minute, and the setting that it comes from."""
        if self.rate_limit_rpm is not None:
            return self.rate_limit_rpm, "RATE_LIMIT_RPM"
        return self.api.rate_limit, "api.rate_limit"

    @property
    def azure_deployments(self) -> tuple[DeploymentSettings, ...]:
        """Those of `deployments`, or the one of `azure_openai`, with nothing left unset that is
        known."""
        return _whole(self.deployments, self.azure_openai)

    def limits(self, deployment: str | None) -> DeploymentLimits:
        """Of the deployment of this name; of one that is not known, what holds for all."""
        known = {each.name: each for each in self.deployments}.get(deployment or "")
        given = known.model_dump(include=set(DeploymentLimits.model_fields)) if known else {}
        rpm, _ = self.requests_per_minute
        for name, value in (("rpm", rpm), ("tpm", self.rate_limit_tpm)):
            if given.get(name) is None:
                given[name] = value
        return DeploymentLimits(**given)

    @property
    def azure_configured(self) -> bool:
        return bool(self.deployments) or self.azure_openai.touched

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "unix://")
        if value is not None and not value.get_secret_value().startswith(schemes):
            raise ValueError(f"must begin with {', '.join(schemes[:-1])} or {schemes[-1]}")
        return value

    @model_validator(mode="after")
    def _others_work(self) -> Self:
        if not (self.work or self.shared):
            raise ValueError(
                "WORK is off, and other processes can only work with a PostgreSQL as DATABASE_URL "
                "and with REDIS_URL"
            )
        if self.shared and self.blobs_url is None:
            raise ValueError("BLOBS_URL has to name a place that all processes reach")
        return self

    @property
    def shared(self) -> bool:
        """Whether several processes share all work."""
        return self.redis_url is not None and self.database_url.startswith("postgres")

    @property
    def blobs_place(self) -> str:
        """Where uploads of batches wait, for fsspec."""
        if self.blobs_url is not None:
            return self.blobs_url
        return "memory://blobs" if self.own_folder is None else str(self.own_folder / "blobs")

    @property
    def operators(self) -> tuple[str, ...] | None:
        """Callers who may see everything; None: all may."""
        if not self.api_keys:
            return None
        return tuple(each.name for each in self.api_keys if each.admin)

    @property
    def journal_folder(self) -> Path | None:
        """Where it is noted what is being decoded; None: nothing is to outlive the process."""
        return None if self.own_folder is None else self.own_folder / "decoding"

    @property
    def own_folder(self) -> Path | None:
        """Beside the database, or `data` where that is elsewhere; None: nothing lasts."""
        if self.database_url.startswith("postgres"):
            return Path("data")
        path = self.database_url.removeprefix("sqlite:///")
        return None if path in (self.database_url, "", ":memory:") else Path(path).parent

    @property
    def blobs_folder(self) -> Path | None:
        """`blobs_place`, where that is a folder of this machine."""
        place = self.blobs_place.removeprefix("file://")
        return None if "://" in place else Path(place)

    @property
    def provider_name(self) -> str:
        """The provider that answers where neither request nor domain names one."""
        return self.provider or ("azure_openai" if self.azure_configured else "local")


def _whole(
    deployments: tuple[DeploymentSettings, ...], azure: AzureOpenAISettings
) -> tuple[DeploymentSettings, ...]:
    """`deployments`, or the one of `azure`, each with what it leaves to `azure`."""
    only = DeploymentSettings.model_construct(
        name=azure.deployment or "", deployment=azure.deployment or ""
    )
    return tuple(
        each.model_copy(
            update={
                "deployment": each.name if each.deployment is None else each.deployment,
                "endpoint": each.endpoint or azure.endpoint,
                "api_key": each.api_key or azure.api_key,
                "model": each.model or azure.model,
                "api_version": each.api_version or azure.api_version,
                "auth": each.auth or azure.auth,
            }
        )
        for each in deployments or (only,)
    )


def load_settings(**overrides: Any) -> Settings:
    """Raises ConfigurationError, one line for each complaint, with the place it comes from."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        yaml_file = _settings_yaml()
        lines = [
            complaint(Settings, item["loc"], item["msg"], yaml_file) for item in error.errors()
        ]
        raise ConfigurationError("\n".join(lines)) from None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _settings_yaml() -> YamlFile | None:
    path = config_dir() / "settings.yaml"
    return YamlFile.read(path) if path.exists() else None


def _names_a_host(url: str) -> bool:
    """Nothing is raised: what urllib says would repeat a piece of the password."""
    try:
        parts = urlsplit(url)
        return parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return False


def _checked_url(value: str | None) -> str | None:
    if value is not None and not re.match(r"^https?://[^/\s]+", value):
        raise ValueError("must be a URL that starts with https:// or http://")
    return value.rstrip("/") if value else value
