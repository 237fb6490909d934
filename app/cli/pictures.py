"""Commands that classify pictures, or learn from them."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import FILTERS, AsLines, AsObject, Domain, Output, Provider, Since, Until
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
    "teach examples/ --domain birds",
    "teach examples/ --domain birds --dry-run",
    "teach examples/ --domain birds --accuracy 0.99 --json",
    panel=PANEL,
)
def teach(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="FOLDER/CLASS/*; 'none': none of them.")
    ],
    domain: Domain,
    accuracy: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=0.999,
            metavar="SHARE",
            help="Share of accepted answers that are to be right.",
        ),
    ] = 0.97,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how good it would be, and end.")
    ] = False,
    as_json: AsObject = False,
) -> None:
    """Teach the local model classes by a few examples of each, and report how good it will be.

    A domain that does not exist is made, its classes being the folders. What is taught answers at
    once, and in a service beside it within seconds. Pictures that are known already are not taken
    twice, so that more can be added to the folder.
    """
    with loading():
        from app.cli.teach import teach as work
    work(folder, domain, accuracy=accuracy, dry_run=dry_run, as_json=as_json)


@command(
    app,
    "evaluate labelled/ --domain flowers",
    "evaluate labelled/ --domain flowers --html report.html",
    "evaluate labelled/ --domain flowers --json report.json",
    "evaluate labelled/ --domain flowers --compare report.json",
    "evaluate --domain flowers --since 2026-01-01",
    panel=PANEL,
)
def evaluate(
    domain: Domain,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="FOLDER/CLASS/*; 'none': none of them."),
    ] = None,
    provider: Provider = None,
    none: Annotated[
        list[Path] | None, typer.Option(help="More folders of pictures of none of the classes.")
    ] = None,
    json_out: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE|-", help="Write the report there too; - is stdout."),
    ] = None,
    html_out: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="And there as a page for people.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An earlier report, as --json wrote it."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Of this batch, without a FOLDER.", rich_help_panel=FILTERS
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Classify labelled pictures, and report accuracy, confusion, and how far to trust it.

    Answers are stored with their labels, like those of the service. Without a FOLDER nobody is
    asked: labelled results that are stored already are judged, of a batch or of a time.
    """
    with loading():
        from app.cli.evaluate import Order
        from app.cli.evaluate import evaluate as work
        from app.evaluation import Wanted
    stored = (batch, since, until)
    if folder is None and not any(stored):
        raise typer.BadParameter(
            "Of what? Name a folder, or results by --batch, --since or --until.",
            param_hint="FOLDER",
        )
    if folder is not None and any(stored):
        raise typer.BadParameter(
            "With a folder, --batch, --since and --until choose nothing.", param_hint="FOLDER"
        )
    if folder is None and none:
        raise typer.BadParameter("It needs a FOLDER.", param_hint="--none")
    if batch is not None and (since or until or provider):
        raise typer.BadParameter("It is a batch's results or a time's.", param_hint="--batch")
    work(
        Order(
            folder=folder,
            wanted=Wanted(
                domain=domain, batch_id=batch, since=since, until=until, provider=provider
            ),
            none=tuple(none or ()),
            json_out=json_out,
            html_out=html_out,
            compare=compare,
        )
    )
