"""Commands for the service's configuration."""

from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import AsLines, AsObject
from app.cli.service import PANEL
from app.loading import loading

app = group()
config = group("Look at the configuration.")
keys = group("API keys.")


@command(config, "config check")
def check(as_json: AsObject = False) -> None:
    """Check config/ and the environment without starting anything.

    What is wrong is told on stderr, and the exit code is 2.
    """
    with loading():
        from app.cli.config import check as work
    work(as_json=as_json)


@command(config, "config show", "config show --json")
def show(as_json: AsLines = False) -> None:
    """What every setting is, where that comes from, and what it means.

    Also those of installed packages. What is secret is not shown. On a terminal as a table, else
    as lines with tabs.
    """
    with loading():
        from app.cli.config_show import show as work
    work(as_json=as_json)


@command(keys, "keys new shop", "keys new operator --admin --json")
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whose key it is; becomes `caller` of results.")
    ],
    admin: Annotated[bool, typer.Option(help="Sees everybody's results, changes domains.")] = False,
    as_json: AsObject = False,
) -> None:
    """Make a key.

    It is shown once; the service only ever knows its SHA-256.
    """
    with loading():
        from app.cli.keys import new as work
    work(name, admin=admin, as_json=as_json)


app.add_typer(config, name="config", rich_help_panel=PANEL)
app.add_typer(keys, name="keys", rich_help_panel=PANEL)
