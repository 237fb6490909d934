"""The first step of every command."""

from typing import Any

from app.settings import Settings, load_settings
from app.settings_sources import secrets
from app.telemetry.logging import configure_logging, read_logging_config
from app.yaml_file import config_dir


def start(*, log_level: str | None = None, **overrides: Any) -> Settings:
    """Read the settings, configure logging. Raises ConfigurationError.

    `log_level` is the command's own default, for commands whose output people read.
    """
    settings = load_settings(
        **{name: value for name, value in overrides.items() if value is not None}
    )
    config = read_logging_config(config_dir() / "logging.yaml")
    wanted = {
        "level": settings.log_level or log_level or config.level,
        "renderer": settings.log_renderer or config.renderer,
    }
    configure_logging(config.model_copy(update=wanted), hidden=secrets(settings))
    return settings
