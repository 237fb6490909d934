"""Commands that have pictures classified."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import AsLines, Domain, Provider
from app.loading import loading

app = group()

PANEL = "Classify pictures"


@command(
    app,
    "classify rose.jpg daisy.jpg --domain flowers",
    "classify *.jpg --domain flowers --json",
    panel=PANEL,
)
def classify(
    pictures: Annotated[list[str], typer.Argument(help="Files or URLs.", metavar="FILE|URL...")],
    domain: Domain,
    provider: Provider = None,
    as_json: AsLines = False,
) -> None:
    """Say which class each picture shows.

    Answers are stored like those of the service.
    """
    with loading():
        from app.cli.classify import classify as work
    work(pictures, domain, provider, as_json)


@command(
    app,
    "batch pictures/ --domain flowers --output flowers.csv",
    "batch pictures.zip --domain flowers --dry-run",
    panel=PANEL,
)
def batch(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of pictures, a list (.csv, .jsonl) or a .zip; or a storage URI of these."
        ),
    ],
    domain: Domain,
    provider: Provider = None,
    name: Annotated[
        str | None, typer.Option(help="What it is called; unset: the source's path.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would cost, and end.")
    ] = False,
) -> None:
    """Classify many pictures.

    Ctrl-C stops cleanly, and the same command goes on.
    """
    with loading():
        from app.cli.batch import batch as work
    work(source, domain, provider, name, dry_run)


@command(app, "watch bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9", panel=PANEL)
def watch(
    batch_id: Annotated[str, typer.Argument(help="The batch's id.", metavar="ID")],
) -> None:
    """Show how far a batch is, until it is over."""
    with loading():
        from app.cli.batch import watch as work
    work(batch_id)


@command(
    app,
    "evaluate labelled/ --domain flowers",
    "evaluate labelled/ --domain flowers --json report.json",
    panel=PANEL,
)
def evaluate(
    folder: Annotated[Path, typer.Argument(help="FOLDER/CLASS/*; 'none': none of them.")],
    domain: Domain,
    provider: Provider = None,
    none: Annotated[
        list[Path] | None, typer.Option(help="More folders of pictures of none of the classes.")
    ] = None,
    json_out: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE|-", help="Write the report there too; - is stdout."),
    ] = None,
) -> None:
    """Classify labelled pictures, and report accuracy, confusion, and how far to trust it."""
    with loading():
        from app.cli.evaluate import evaluate as work
    work(folder, domain, provider, none or [], json_out)
