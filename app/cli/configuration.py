"""Commands for the service's configuration."""

from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import AsLines, AsObject
from app.cli.service import PANEL
from app.loading import loading

app = group()
config = group("Check and show the configuration.")
keys = group("Create API keys.")


@command(config, "config check")
def check(as_json: AsObject = False) -> None:
    """Check config/ and the environment without starting anything.

    Errors go to stderr, and the exit code is 2.
    """
    with loading():
        from app.cli.config import check as work
    work(as_json=as_json)


@command(config, "config show", "config show --json")
def show(as_json: AsLines = False) -> None:
    """Show the value of every setting, where it comes from, and what it means.

    Includes the settings of installed packages. Secrets are not shown. Prints a table on a
    terminal, otherwise tab-separated lines.
    """
    with loading():
        from app.cli.config_show import show as work
    work(as_json=as_json)


@command(keys, "keys new shop", "keys new operator --admin --json")
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the caller; becomes `caller` of results.")
    ],
    admin: Annotated[
        bool, typer.Option(help="May see everybody's results and change domains.")
    ] = False,
    as_json: AsObject = False,
) -> None:
    """Create an API key.

    It is shown once; the service only knows its SHA-256.
    """
    with loading():
        from app.cli.keys import new as work
    work(name, admin=admin, as_json=as_json)


app.add_typer(config, name="config", rich_help_panel=PANEL)
app.add_typer(keys, name="keys", rich_help_panel=PANEL)
