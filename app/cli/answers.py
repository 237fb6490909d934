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

BOTH = "Give either an ID or filters, not both."


@command(
    app,
    "results --domain flowers --status needs_review",
    "results cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9",
    "results --since 2026-01-31 --limit 1000 --json",
    panel=PANEL,
)
def results(
    result_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Show only this result, in full.")
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
    limit: Annotated[int, typer.Option(min=1, help="Most results to show.")] = 20,
    as_json: AsLines = False,
) -> None:
    """Show results, newest first.

    Prints a table on a terminal, otherwise tab-separated lines: id, time, domain, class,
    confidence, status, provider, reasons for a review, final class, who decided it.
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
        typer.Argument(
            metavar="BATCH", help="ID of a batch; unset: all results, or those selected below."
        ),
    ] = None,
    output: Output = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="json, jsonl, csv, xml, parquet, xlsx or a plug-in's; unset: by the file's "
            "suffix, csv on stdout.",
            autocompletion=format_names,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B...",
            help="Columns to write, in this order: image for all below it, metadata.order for one "
            "key, metadata.* for every key; unset: all.",
        ),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="In CSV, add no apostrophe before formulas that a spreadsheet would run.",
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
        bool, typer.Option("--json", help="Print what was written as a JSON object.")
    ] = False,
) -> None:
    """Write results to a file: those of a batch in its order, otherwise newest first.

    The file appears whole or not at all, and is compressed if its name ends with .gz. Without
    --output, or with -, results go to stdout.
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
    by: Annotated[CostGrouping, typer.Option(help="What to group costs by.")] = "day",
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="From this hour on; unset: from the start of the month.",
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
        typer.Option(
            help="Only calls for this domain.", autocompletion=domain_names, rich_help_panel=CALLS
        ),
    ] = None,
    caller: Annotated[
        str | None, typer.Option(help="Only calls of this caller.", rich_help_panel=CALLS)
    ] = None,
    as_json: AsObject = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Show what calls cost, up to the latest one, and what was saved by avoiding calls.

    Prints a table on a terminal, otherwise tab-separated lines: group, US dollars, share, calls,
    answers, prompt tokens, completion tokens.
    """
    if as_json and csv:
        raise typer.BadParameter("Give either --json or --csv, not both.")
    with loading():
        from app.cli.cost import cost as work
    wanted = {"since": since, "until": until, "domain": domain, "caller": caller}
    work(by, wanted, as_json=as_json, csv=csv)


@command(app, "domains", "domains flowers --json", panel=PANEL)
def domains(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Show only this domain, in full.", autocompletion=domain_names
        ),
    ] = None,
    as_json: AsLines = False,
) -> None:
    """Show the domains that pictures can be classified in.

    Prints a table on a terminal, otherwise tab-separated lines: name, threshold, providers,
    classes.
    """
    with loading():
        from app.cli.domains import list_domains, show_domain
    if name is None:
        list_domains(as_json=as_json)
    else:
        show_domain(name, as_json=as_json)
