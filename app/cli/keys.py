"""`keys new`: creates an API key."""

import hashlib
import secrets

import typer
from pydantic import ValidationError

from app.cli.output import print_json
from app.settings_groups import ApiKey

KEY_BYTES = 32


def new(name: str, *, admin: bool, as_json: bool) -> None:
    """Raises BadParameter."""
    key = f"eic_{secrets.token_urlsafe(KEY_BYTES)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    try:
        ApiKey(name=name, sha256=digest, admin=admin)
    except ValidationError:
        raise typer.BadParameter(
            "A name is up to 64 letters, digits, dots, hyphens and underscores.",
            param_hint="NAME",
        ) from None
    entry = f"{name}:{digest}{':admin' if admin else ''}"
    if as_json:
        print_json({"key": key, "entry": entry})
    else:
        typer.echo(f"key, for the caller:      {key}")
        typer.echo(f"entry, for API_KEYS:      {entry}")
