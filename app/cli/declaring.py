"""How a command is declared: its help, with examples, and its place in the list of commands.

A command's options are declared apart from its implementation, which is loaded only when it is
called, so that help and completion appear at once.
"""

import sys
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Any, TypeVar

import typer

Function = TypeVar("Function", bound=Callable[..., Any])

SCRIPT = "enhanced-classifier"
"""The command's name in the installed package."""

IS_SCRIPT = Path(sys.argv[0]).stem == SCRIPT
PROGRAM = SCRIPT if IS_SCRIPT else "python -m app"


def group(about: str | None = None) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        no_args_is_help=True,
        help=about,
        # A shell completes the names of programs, not of what `python -m` runs.
        add_completion=IS_SCRIPT,
        pretty_exceptions_enable=False,
    )


def command(
    group: typer.Typer, *examples: str, panel: str | None = None, name: str | None = None
) -> Callable[[Function], Function]:
    """A decorator that makes a function, whose docstring is the help text, a command of the group.
    `examples` are command lines without the program's name."""

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
    """Remove line breaks within paragraphs: a terminal has its own width."""
    return "\n\n".join(" ".join(each.split()) for each in cleandoc(text).split("\n\n"))


def listing(title: str, *lines: str) -> str:
    """A text whose line breaks are kept."""
    # The indentation is kept only behind an empty first line: typer cleans it like a docstring.
    return "\n".join(["", f"{title}:", *(f"  {line}" for line in lines)])
