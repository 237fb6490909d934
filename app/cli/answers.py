"""Commands that show results, costs and domains."""

from datetime import datetime
from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import (
    AsLines,
    AsObject,
    CostGrouping,
    MaxConfidence,
    MinConfidence,
    OfCaller,
    OfClass,
    OfDomain,
    OfProvider,
    OfStatus,
    Output,
    SimilarTo,
    Since,
    Until,
    domain_names,
    format_names,
    moment,
)
from app.loading import loading

app = group()

PANEL = "Answers"

CALLS = "Which calls"

BOTH = "Give an ID, or say which results: not both."


@command(
    app,
    "results --domain flowers --status needs_review",
    "results cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9",
    "results --since 2026-01-31 --limit 1000 --json",
    panel=PANEL,
)
def results(
    result_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Only this one, in full.")
    ] = None,
    domain: OfDomain = None,
    predicted_class: OfClass = None,
    status: OfStatus = None,
    provider: OfProvider = None,
    caller: OfCaller = None,
    since: Since = None,
    until: Until = None,
    min_confidence: MinConfidence = None,
    max_confidence: MaxConfidence = None,
    similar_to: SimilarTo = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsLines = False,
) -> None:
    """Show what was answered, the newest first.

    On a terminal as a table, else as lines with tabs: id, time, domain, class, confidence, status,
    provider, reasons for a review, final class, who decided it.
    """
    with loading():
        from app.cli.results import list_results, show_result
        from app.storage import ResultFilter
    wanted = ResultFilter(
        domain=domain,
        predicted_class=predicted_class,
        status=status,
        provider=provider,
        caller=caller,
        since=since,
        until=until,
        min_confidence=min_confidence,
        max_confidence=max_confidence,
        similar_to=similar_to,
    )
    if result_id is None:
        list_results(wanted, limit=limit, as_json=as_json)
    elif wanted == ResultFilter():
        show_result(result_id, as_json=as_json)
    else:
        raise typer.BadParameter(BOTH)


@command(
    app,
    "export --domain flowers --output flowers.xlsx",
    "export bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9 -o march.csv.gz",
    "export --columns id,predicted_class,confidence | less",
    panel=PANEL,
)
def export(
    batch_id: Annotated[
        str | None,
        typer.Argument(metavar="BATCH", help="A batch's id; else all results, or those below."),
    ] = None,
    output: Output = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="json, jsonl, csv, xml, parquet, xlsx or a plug-in's; unset: as the file's name "
            "ends, csv on stdout.",
            autocompletion=format_names,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B...",
            help="Which ones, in which order: image for all below it, metadata.order for a key, "
            "metadata.* for each; unset: all.",
        ),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="In a CSV, no apostrophe before what a spreadsheet would run.",
        ),
    ] = False,
    domain: OfDomain = None,
    predicted_class: OfClass = None,
    status: OfStatus = None,
    provider: OfProvider = None,
    caller: OfCaller = None,
    since: Since = None,
    until: Until = None,
    min_confidence: MinConfidence = None,
    max_confidence: MaxConfidence = None,
    similar_to: SimilarTo = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Tell what was written as a JSON object.")
    ] = False,
) -> None:
    """Write results into a file: those of a batch in its order, else the newest first.

    A file is there whole or not at all, and packed when its name ends with .gz. Without --output,
    or with -, it goes to stdout.
    """
    with loading():
        from app.cli.export import export as work
        from app.cli.export import order
        from app.storage import ResultFilter
    wanted = ResultFilter(
        domain=domain,
        predicted_class=predicted_class,
        status=status,
        provider=provider,
        caller=caller,
        since=since,
        until=until,
        min_confidence=min_confidence,
        max_confidence=max_confidence,
        similar_to=similar_to,
    )
    if batch_id is not None and wanted != ResultFilter():
        raise typer.BadParameter(BOTH)
    file = order(output, form=form, columns=columns, safe=not raw)
    work(file, batch_id or wanted, as_json=as_json)


@command(
    app,
    "cost",
    "cost --by domain --since 2026-11-01 --until 2026-12-01",
    "cost --by batch --csv",
    panel=PANEL,
)
def cost(
    by: Annotated[CostGrouping, typer.Option(help="What each line has in common.")] = "day",
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="From this hour on; unset: since the month began.",
            rich_help_panel=CALLS,
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            parser=moment, metavar="TIME", help="Before this hour.", rich_help_panel=CALLS
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(help="About it.", autocompletion=domain_names, rich_help_panel=CALLS),
    ] = None,
    caller: Annotated[
        str | None, typer.Option(help="On its account.", rich_help_panel=CALLS)
    ] = None,
    as_json: AsObject = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
) -> None:
    """Show what calls cost, down to the last one, and what was saved by making none.

    On a terminal as a table, else as lines with tabs: what the line has in common, US dollars,
    share, calls, answers, tokens of prompts, tokens of completions.
    """
    if as_json and csv:
        raise typer.BadParameter("Either --json or --csv.")
    with loading():
        from app.cli.cost import cost as work
    wanted = {"since": since, "until": until, "domain": domain, "caller": caller}
    work(by, wanted, as_json=as_json, csv=csv)


@command(app, "domains", "domains flowers --json", panel=PANEL)
def domains(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only this one, in full.", autocompletion=domain_names),
    ] = None,
    as_json: AsLines = False,
) -> None:
    """Show what pictures may be classified as.

    On a terminal as a table, else as lines with tabs: name, threshold, providers, classes.
    """
    with loading():
        from app.cli.domains import list_domains, show_domain
    if name is None:
        list_domains(as_json=as_json)
    else:
        show_domain(name, as_json=as_json)
