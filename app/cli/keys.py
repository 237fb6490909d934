"""`keys new`: make an API key."""

import hashlib
import secrets
from typing import Annotated

import typer
from pydantic import ValidationError

from app.errors import InvalidRequest
from app.settings import ApiKey

app = typer.Typer(no_args_is_help=True, help="API keys.")

KEY_BYTES = 32


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; becomes `caller` of results.")],
    admin: Annotated[bool, typer.Option(help="Sees everybody's results, changes domains.")] = False,
) -> None:
    """Make a key. It is shown once; the service only ever knows its SHA-256."""
    key = f"eic_{secrets.token_urlsafe(KEY_BYTES)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    try:
        ApiKey(name=name, sha256=digest, admin=admin)
    except ValidationError:
        raise InvalidRequest(
            "A name is up to 64 letters, digits, dots, hyphens and underscores."
        ) from None
    typer.echo(f"key, for the caller:      {key}")
    typer.echo(f"entry, for API_KEYS:      {name}:{digest}{':admin' if admin else ''}")
