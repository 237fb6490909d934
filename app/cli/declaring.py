"""How a command is declared: its help, with examples, and where it stands in the list of all.

What a command takes is declared apart from what it does, which is loaded when it is called: so help
and completion are there at once.
"""

import sys
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Any, TypeVar

import typer

Function = TypeVar("Function", bound=Callable[..., Any])

SCRIPT = "enhanced-classifier"
"""What the installed package calls itself."""

IS_SCRIPT = Path(sys.argv[0]).stem == SCRIPT
PROGRAM = SCRIPT if IS_SCRIPT else "python -m app"


def group(about: str | None = None) -> typer.Typer:
    """Of commands."""
    return typer.Typer(
        no_args_is_help=True,
        help=about,
        # A shell completes names of programs, not what `python -m` runs.
        add_completion=IS_SCRIPT,
        pretty_exceptions_enable=False,
    )


def command(
    group: typer.Typer, *examples: str, panel: str | None = None, name: str | None = None
) -> Callable[[Function], Function]:
    """A decorator: the function, whose docstring is the help, becomes a command of the group.
    `examples` are its lines at a shell, without the program."""

    def declare(function: Function) -> Function:
        declared = group.command(
            name,
            help=flowing(function.__doc__ or ""),
            epilog=listing("Examples", *(f"{PROGRAM} {each}" for each in examples)),
            rich_help_panel=panel,
        )
        return declared(function)

    return declare


def flowing(text: str) -> str:
    """Without the line breaks in its paragraphs: a terminal has its own width."""
    return "\n\n".join(" ".join(each.split()) for each in cleandoc(text).split("\n\n"))


def listing(title: str, *lines: str) -> str:
    """A text whose lines stay as they are."""
    # Indented they stay behind an empty first line only: typer cleans it like a docstring.
    return "\n".join(["", f"{title}:", *(f"  {line}" for line in lines)])
