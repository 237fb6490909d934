"""`webhooks secret`, `new-key`, `reencrypt`: manage the secrets of webhooks, for the operator."""

import asyncio

import typer

from app.cli.output import print_json
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings
from app.storage.audit import COMMAND_LINE


def secret(*, as_json: bool) -> None:
    """Raises ConfigurationError."""
    found = asyncio.run(_secret(start(log_level="warning")))
    if as_json:
        print_json({"secret": found})
    else:
        typer.echo(found)


def new_key(*, as_json: bool) -> None:
    """Create a Fernet key."""
    from cryptography.fernet import Fernet

    made = Fernet.generate_key().decode()
    if as_json:
        print_json({"key": made})
    else:
        typer.echo(made)


def reencrypt(*, as_json: bool) -> None:
    """Raises ConfigurationError."""
    count = asyncio.run(_reencrypt(start(log_level="warning")))
    if as_json:
        print_json({"webhooks": count})
    else:
        typer.echo(f"re-encrypted: the secrets of {count:,} webhooks")


async def _secret(settings: Settings) -> str:
    async with build_parts(settings) as parts:
        return await parts.webhooks.callback_secret()


async def _reencrypt(settings: Settings) -> int:
    async with build_parts(settings) as parts:
        return await parts.webhooks.reseal(by=COMMAND_LINE)
