"""The command line: `python -m app ...`."""

import gc
import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app import __version__
from app.cli import answers, confidence, configuration, pictures, service
from app.cli.declaring import SCRIPT, flowing, group, listing
from app.errors import ClassifierError, ConfigurationError

FAILED, WRONG, UNREAD = 1, 2, 141
"""Exit codes; the last is that of a program killed because its output pipe was closed."""

app = group()
for part in (pictures, answers, confidence, service, configuration):
    app.add_typer(part.app)

ABOUT = """
    Find out which class of a domain an image shows, with what confidence, and whether a person
    should look.

    Data goes to stdout, everything else to stderr. Colours are for terminals only, and NO_COLOR
    turns them off.
"""
EXIT_CODES = listing(
    "Exit codes",
    "0    done",
    "1    failed, or only partly done",
    "2    wrong usage or configuration",
    "130  stopped by Ctrl-C",
    "141  the reader of the output closed it, as `head` does",
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{SCRIPT} {__version__}\n")
        raise typer.Exit


@app.callback(help=flowing(ABOUT), epilog=EXIT_CODES)
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """The options of the program itself."""


def main() -> None:
    """Run the command that was given, and exit."""
    _settle_streams()
    try:
        _run()
    except ClassifierError as error:
        _fail(str(error), WRONG if isinstance(error, ConfigurationError) else FAILED)
    except BrokenPipeError:
        sys.exit(UNREAD)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", FAILED)
    finally:
        _let_interpreter_end()


def _settle_streams() -> None:
    """Make the streams accept every text, and exist even when the parent process closed them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text


def _run() -> None:
    try:
        app()
    except SystemExit as end:
        # typer and rich exit this way when they can't write.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        sys.stdout.flush()
        raise


def _fail(why: str, code: int) -> NoReturn:
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"error: {why}", style="red", markup=False)
    sys.exit(code)


def _let_interpreter_end() -> None:
    """Without messages about a second Ctrl-C, or about output that can't be written any more."""
    # Otherwise the interpreter scans all objects of the modules once more: a fifth of a second.
    gc.freeze()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
