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
    """Print which class each picture shows.

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
            help="A folder of pictures, a list (.csv, .jsonl), a .zip, or a storage URI of these.",
        ),
    ],
    domain: Domain,
    provider: Provider = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the batch; unset: the source's path.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="USD",
            min=0.000001,
            max=1_000_000,
            help="What the batch may cost; it then pauses, and resumes with a larger budget.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what it would cost.")
    ] = False,
    output: Output = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            help="Resume the unfinished batch of this name, which must exist; or always begin a "
            "new one. Unset: resume if there is one."
        ),
    ] = None,
    as_json: AsObject = False,
) -> None:
    """Classify many pictures.

    Ctrl-C stops cleanly, and the same command resumes. With --output, all results are written when
    the batch is over, and nothing before; the file's suffix selects the format, as for export.
    """
    with loading():
        from app.cli.batch import batch as work
        from app.cli.export import STDOUT, order
    if output is not None and dry_run:
        raise typer.BadParameter("A dry run has nothing to write.", param_hint="--dry-run")
    if output == STDOUT and as_json:
        raise typer.BadParameter("--output - uses stdout, too: name a file.", param_hint="--json")
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
    """Show the progress of a batch, until it is over."""
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
        Path,
        typer.Argument(
            metavar="FOLDER", help="Pictures as FOLDER/CLASS/*; in 'none': none of the classes."
        ),
    ],
    domain: Domain,
    accuracy: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=0.999,
            metavar="SHARE",
            help="Share of accepted answers that should be right.",
        ),
    ] = 0.97,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report how good it would be.")
    ] = False,
    as_json: AsObject = False,
) -> None:
    """Teach the local model classes with a few examples of each, and report how good it will be.

    A domain that does not exist is created, with the folders as its classes. The lesson takes
    effect at once, and in a running service within seconds. Pictures that are already known are not
    added twice, so you can add more to the folder.
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
        typer.Argument(
            metavar="[FOLDER]", help="Pictures as FOLDER/CLASS/*; in 'none': none of the classes."
        ),
    ] = None,
    provider: Provider = None,
    none: Annotated[
        list[Path] | None, typer.Option(help="More folders with pictures of none of the classes.")
    ] = None,
    json_out: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE|-", help="Also write the report there; - is stdout."),
    ] = None,
    html_out: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write it there as HTML.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An earlier report written by --json, to compare with."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Only this batch; without a FOLDER.", rich_help_panel=FILTERS
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Classify labelled pictures, and report accuracy, confusion, and how far to trust them.

    Answers are stored with their labels, like those of the service. Without a FOLDER no provider is
    called: labelled results that are already stored are judged, those of a batch or of a period.
    """
    with loading():
        from app.cli.evaluate import Order
        from app.cli.evaluate import evaluate as work
        from app.evaluation import Wanted
    stored = (batch, since, until)
    if folder is None and not any(stored):
        raise typer.BadParameter(
            "Name a folder, or select results by --batch, --since or --until.",
            param_hint="FOLDER",
        )
    if folder is not None and any(stored):
        raise typer.BadParameter(
            "It can't be combined with --batch, --since or --until.", param_hint="FOLDER"
        )
    if folder is None and none:
        raise typer.BadParameter("It needs a FOLDER.", param_hint="--none")
    if batch is not None and (since or until or provider):
        raise typer.BadParameter(
            "It can't be combined with --since, --until or --provider.", param_hint="--batch"
        )
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
