"""Commands that have pictures classified."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import AsLines, AsObject, Domain, Output, Provider
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
    work(pictures, domain, provider=provider, as_json=as_json)


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
            metavar="SOURCE",
            help="A folder of pictures, a list (.csv, .jsonl), a .zip; or a storage URI of these.",
        ),
    ],
    domain: Domain,
    provider: Provider = None,
    name: Annotated[
        str | None, typer.Option(help="What it is called; unset: the source's path.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="USD",
            min=0.000001,
            max=1_000_000,
            help="What it may cost; then it is paused, and goes on with a larger one.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would cost, and end.")
    ] = False,
    output: Output = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            help="There must be an unfinished batch of this name to go on with; or begin a new one "
            "all the same. Unset: go on where there is one."
        ),
    ] = None,
    as_json: AsObject = False,
) -> None:
    """Classify many pictures.

    Ctrl-C stops cleanly, and the same command goes on. With --output all results are written when
    the batch is over, and nothing before; the name of the file says the format, as for export.
    """
    with loading():
        from app.cli.batch import batch as work
        from app.cli.export import STDOUT, order
    if output is not None and dry_run:
        raise typer.BadParameter("There is nothing to write.", param_hint="--dry-run")
    if output == STDOUT and as_json:
        raise typer.BadParameter("Both on stdout: name a file.", param_hint="--json")
    file = None if output is None else order(output)
    work(
        source,
        domain,
        provider=provider,
        name=name,
        budget=None if budget is None else round(Decimal(str(budget)), 6),
        dry_run=dry_run,
        file=file,
        resume=resume,
        as_json=as_json,
    )


@command(app, "watch bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9", panel=PANEL)
def watch(
    batch_id: Annotated[str, typer.Argument(help="The batch's id.", metavar="ID")],
    as_json: AsObject = False,
) -> None:
    """Show how far a batch is, until it is over."""
    with loading():
        from app.cli.batch import watch as work
    work(batch_id, as_json=as_json)


@command(
    app,
    "evaluate labelled/ --domain flowers",
    "evaluate labelled/ --domain flowers --json report.json",
    panel=PANEL,
)
def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="FOLDER/CLASS/*; 'none': none of them.")
    ],
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
