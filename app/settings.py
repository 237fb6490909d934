"""Every setting of the service: name, unit, default, and where its value comes from.

A value is looked for in the environment, then in `.env` and `azure.env`, then in
`config/settings.yaml`; otherwise the default applies. The variable of a key is its path in
capitals, joined by underscores: `api.timeout` is `API_TIMEOUT`, `azure_openai.endpoint` is
`AZURE_OPENAI_ENDPOINT`. An empty variable counts as not set. Packages may add their own groups.
"""

import hashlib
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.budget import Budget
from app.errors import ConfigurationError
from app.settings_groups import (
    ApiKey,
    ApiSettings,
    AzureOpenAISettings,
    BatchSettings,
    CacheSettings,
    CalibrationSettings,
    CommaSeparated,
    DeploymentLimits,
    DeploymentSettings,
    ExportSettings,
    JsonText,
    MonitoringSettings,
    OpenAISettings,
    QualitySettings,
    RetentionSettings,
    ReviewSettings,
    TeachingSettings,
    TracingSettings,
    TrafficSettings,
    WebhookSettings,
    checked_url,
)
from app.settings_sources import (
    GROUP,
    Group,
    VariableSource,
    YamlSource,
    complaint,
    extended,
    leaves,
    variable_place,
    variables,
)
from app.yaml_file import YamlFile, config_dir

Own = TypeVar("Own", bound=Group)


class Settings(BaseSettings):
    """All settings. Keyword arguments win over every other source."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    database_url: str = Field(
        "sqlite:///data/app.db",
        description="URL of the database: an SQLite file, `sqlite://` for memory only, or "
        "`postgresql://USER:PASSWORD@HOST/NAME`, which several processes can share.",
    )
    blobs_url: str | None = Field(
        None,
        description="Where pictures are stored: batch uploads, accepted pictures, pictures for "
        "reviewers, and examples. A folder, or any URL that fsspec supports. Unset: `blobs` beside "
        "the database, or in memory if the database is.",
        examples=["file:///data/blobs"],
    )
    redis_url: SecretStr | None = Field(
        None,
        description="URL of a Redis through which several processes share a provider's quota and, "
        "with PostgreSQL, all work; unset: this is the only process.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    work: bool = Field(
        True,
        description="Whether this process does background work; off: other processes do it, "
        "`python -m app worker`.",
    )
    provider: str | None = Field(
        None,
        description="Default provider: `azure_openai`, `openai_compatible`, `local`, or a "
        "plug-in's name. Unset: azure_openai if it is configured, else local.",
        examples=["local"],
    )
    api_keys: Annotated[tuple[ApiKey, ...], CommaSeparated] = Field(
        (),
        description="API keys that are accepted: `name:sha256-hex` or `name:sha256-hex:admin`, "
        "comma-separated; `python -m app keys new NAME` makes one. Empty: no key is needed, and "
        "every caller is `anonymous`.",
    )
    allow_anonymous: bool = Field(
        False, description="Allow listening on a public address without API keys."
    )
    max_upload: int = Field(
        20_000_000, ge=1_000, description="Largest picture, in bytes, after decoding the request."
    )
    egress_allow: Annotated[tuple[str, ...], CommaSeparated] = Field(
        (),
        description="Non-public hosts that image and webhook URLs may name, and to which webhooks "
        "may be sent without https: `host:port`, `host` or CIDR, comma-separated.",
        examples=["images.internal:8080,10.20.0.0/16"],
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Secret that signs deliveries to a `callback_url`: `whsec_...`. Unset: one is "
        "generated and kept in the database (`python -m app webhooks secret` prints it).",
    )
    egress_proxy: SecretStr | None = Field(
        None,
        description="URL of a proxy for fetching image URLs, for networks without another way out. "
        "The proxy resolves host names, so it must refuse those with non-public addresses.",
        examples=["http://proxy.example:3128"],
    )
    rate_limit_rpm: int | None = Field(
        None,
        ge=1,
        description="Calls per minute to each deployment that has no `rpm` of its own; overrides "
        "`api.rate_limit`.",
    )
    rate_limit_tpm: int | None = Field(
        None,
        ge=1,
        description="Tokens per minute, for deployments without a `tpm` of their own; unset: "
        "unlimited.",
    )
    deployments: Annotated[tuple[DeploymentSettings, ...], JsonText] = Field(
        (),
        description="Several deployments on Azure OpenAI, as a list of mappings (JSON in an "
        "environment variable): docs/traffic.md.",
        examples=['[{"name": "west", "rpm": 600, "tpm": 100000}]'],
    )
    budgets: Annotated[tuple[Budget, ...], JsonText] = Field(
        (),
        description="Limits on what calls may cost, as a list of mappings (JSON in an environment "
        "variable): docs/costs.md.",
        examples=['[{"name": "all", "period": "month", "amount_usd": 500, "action": "block"}]'],
    )
    image_workers: int = Field(
        default_factory=lambda: (os.cpu_count() or 1) + 1,
        ge=1,
        le=256,
        description="Threads that decode pictures and run the local model. Default: one more than "
        "there are cores, so that no core idles while a thread hands over its result.",
    )
    image_queue: int = Field(
        128,
        ge=1,
        description="Pictures that may wait for one of these threads; further requests are refused "
        "with 503 and `Retry-After`.",
    )
    drain_delay: float = Field(
        1.0,
        ge=0,
        le=60,
        description="Seconds after SIGTERM during which /health/ready answers 503 and requests are "
        "still accepted, so that a load balancer can stop sending them.",
    )
    drain_timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds that running requests then have to finish."
    )
    log_level: Literal["debug", "info", "warning", "error"] | None = Field(
        None, description="Overrides `level` in config/logging.yaml."
    )
    log_renderer: Literal["auto", "json", "console"] | None = Field(
        None, description="Overrides `renderer` in config/logging.yaml."
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
    calibration: CalibrationSettings = CalibrationSettings()
    review: ReviewSettings = ReviewSettings()
    teaching: TeachingSettings = TeachingSettings()
    traffic: TrafficSettings = TrafficSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    tracing: TracingSettings = TracingSettings()

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

    @field_validator("budgets")
    @classmethod
    def _have_names(cls, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
        if len({each.name for each in budgets}) < len(budgets):
            raise ValueError("a name is there twice")
        return budgets

    @field_validator("egress_proxy")
    @classmethod
    def _is_proxy_url(cls, value: SecretStr | None) -> SecretStr | None:
        url = checked_url(value.get_secret_value() if value else None)
        if url is not None and not _names_a_host(url):
            raise ValueError("names no host, or no port from 1 to 65535")
        return value

    def group(self, kind: type[Own]) -> Own:
        """The settings that a package adds. Raises ConfigurationError if no package adds them."""
        for name in type(self).model_fields:
            if isinstance(found := getattr(self, name), kind):
                return found
        raise ConfigurationError(f"No entry point of {GROUP} names {kind.__name__}.")

    @property
    def requests_per_minute(self) -> tuple[int, str]:
        """The limit of calls per minute, and the setting that it comes from."""
        if self.rate_limit_rpm is not None:
            return self.rate_limit_rpm, "RATE_LIMIT_RPM"
        return self.api.rate_limit, "api.rate_limit"

    @property
    def azure_deployments(self) -> tuple[DeploymentSettings, ...]:
        """Those of `deployments`, or the one of `azure_openai`; values that are unset are filled in
        where they are known."""
        return _whole(self.deployments, self.azure_openai)

    def limits(self, deployment: str | None) -> DeploymentLimits:
        """The limits of the deployment of this name; of an unknown one, those that hold for all."""
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
        """Where uploads of batches wait, in the form that fsspec takes."""
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
    def key_fingerprints(self) -> dict[str, str]:
        """By a public description of each key, which shows that it exists without revealing it."""
        callers = {
            f"API_KEYS {each.name} {_fingerprint(each.sha256)}": "admin" if each.admin else "caller"
            for each in self.api_keys
        }
        secrets = (each.get_secret_value() for each in self.webhooks.encryption_keys)
        return callers | {
            f"WEBHOOKS_ENCRYPTION_KEYS {_fingerprint(each)}": f"{place}"
            for place, each in enumerate(secrets, 1)
        }

    @property
    def journal_folder(self) -> Path | None:
        """Where the pictures being decoded are noted; None: nothing is to outlive the process."""
        return None if self.own_folder is None else self.own_folder / "decoding"

    @property
    def calls_folder(self) -> Path | None:
        """Where calls to providers are noted that the database does not have yet; None: nothing is
        to outlive the process."""
        return None if self.own_folder is None else self.own_folder / "calls"

    @property
    def own_folder(self) -> Path | None:
        """The folder of the database file, or `data` for a PostgreSQL; None: nothing is to outlive
        the process."""
        if self.database_url.startswith("postgres"):
            return Path("data")
        _, _, place = self.database_url.partition("://")
        path = place.removeprefix("/").partition("?")[0]
        return None if path in ("", ":memory:") else Path(path).parent

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
    """`deployments`, or the one of `azure`, each with its unset values taken from `azure`."""
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
                "type": each.type or azure.type,
                "price": each.price or azure.price,
            }
        )
        for each in deployments or (only,)
    )


def load_settings(**overrides: Any) -> Settings:
    """Raises ConfigurationError, one line for each complaint, with the place it comes from."""
    model = extended(Settings)
    try:
        return model(**overrides)
    except ValidationError as error:
        yaml_file = _settings_yaml()
        lines = [complaint(model, item["loc"], item["msg"], yaml_file) for item in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None


def sources(settings: Settings) -> Iterator[tuple[tuple[str, ...], FieldInfo, str]]:
    """For every setting its path, its field, and where its value comes from: a source of variables,
    a line of settings.yaml, or `default`."""
    yaml_file, places = _settings_yaml(), variables()
    for path, field in leaves(type(settings)):
        in_yaml = yaml_file.place(path) if yaml_file and yaml_file.holds(path) else "default"
        yield path, field, variable_place(path, places) or in_yaml


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
    """Raises nothing, because urllib's message would repeat a piece of the password."""
    try:
        parts = urlsplit(url)
        return parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return False


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:12]
