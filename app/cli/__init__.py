"""`python -m app ...`"""

import sys

import typer

from app.cli import config, db, keys
from app.cli.batch import batch, watch
from app.cli.classify import classify
from app.cli.evaluate import evaluate
from app.cli.retention import retention
from app.cli.serve import serve
from app.cli.simulate import simulate
from app.cli.worker import worker
from app.errors import ClassifierError, ConfigurationError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for command in (serve, worker, classify, batch, watch, evaluate, simulate, retention):
    app.command()(command)
app.add_typer(config.app, name="config")
app.add_typer(db.app, name="db")
app.add_typer(keys.app, name="keys")


@app.callback()
def root() -> None:
    """Which class of a domain an image shows, how sure that is, and whether a person should look.

    Exit status: 0 done, 1 it could not be done, 2 wrong use or configuration.
    """


def main() -> None:
    try:
        app()
    except ClassifierError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
