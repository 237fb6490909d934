"""Webhook secrets from the settings, checked at startup rather than when they are needed."""

from app.errors import ConfigurationError, InvalidRequest
from app.settings import Settings
from app.webhooks.signing import check_secret
from app.webhooks.vault import Vault


async def configured_vault(settings: Settings) -> Vault:
    """Raises ConfigurationError."""
    keys = [each.get_secret_value() for each in settings.webhooks.encryption_keys]
    vault = Vault(keys, settings.own_folder, shared=settings.shared)
    if keys:
        await vault.open()
    return vault


def configured_callback_secret(settings: Settings) -> str | None:
    """Raises ConfigurationError."""
    if settings.webhook_secret is None:
        return None
    try:
        return check_secret(settings.webhook_secret.get_secret_value())
    except InvalidRequest as error:
        raise ConfigurationError(f"WEBHOOK_SECRET: {error}") from None
