"""Options shared by several commands, and how a shell completes them."""

from datetime import datetime
from typing import Annotated, Any, Literal

import typer

Status = Literal["pending", "accepted", "needs_review", "failed"]
CostGrouping = Literal[
    "day", "hour", "domain", "model", "deployment", "provider", "caller", "batch"
]
AlertState = Literal["firing", "pending", "resolved"]
"""Repeated from results, costs and alerts: importing those would take longer than the rest of a
help."""


def domains() -> dict[str, Any]:
    """The domains as written in config/domains.yaml; empty when the file can't be read, since a
    shell can't show errors during completion."""
    from app.errors import ConfigurationError
    from app.yaml_file import YamlFile, config_dir

    try:
        found = YamlFile.read(config_dir() / "domains.yaml").data
    except ConfigurationError:
        return {}
    return found if isinstance(found, dict) else {}


def domain_names() -> list[str]:
    return sorted(map(str, domains()))


def class_names(context: typer.Context) -> list[str]:
    """Classes of the domain given before, else of all domains."""
    named = context.params.get("domain")
    found = [each for name, each in domains().items() if named in (None, name)]
    classes = [each for domain in found for each in (domain or {}).get("classes", ())]
    return sorted({str(each["label"] if isinstance(each, dict) else each) for each in classes})


def format_names() -> list[str]:
    from app.exports import format_names

    return format_names()


def moment(text: str) -> datetime:
    """ISO 8601; without a time zone it is local time."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


Domain = Annotated[str, typer.Option(help="Name of the domain.", autocompletion=domain_names)]
Provider = Annotated[str | None, typer.Option(help="Provider that answers.")]

Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|URI|-",
        help="Where to write: a file, a URI below EXPORT_TARGETS, or - for stdout.",
    ),
]

AsObject = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]
AsLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]

FILTERS = "Which results"

OfDomain = Annotated[
    str | None,
    typer.Option(
        "--domain", help="Only this domain.", autocompletion=domain_names, rich_help_panel=FILTERS
    ),
]
OfClass = Annotated[
    str | None,
    typer.Option(
        "--class",
        help="Only this predicted class.",
        autocompletion=class_names,
        rich_help_panel=FILTERS,
    ),
]
OfStatus = Annotated[
    Status | None, typer.Option("--status", help="Only this status.", rich_help_panel=FILTERS)
]
OfProvider = Annotated[
    str | None, typer.Option("--provider", help="Only this provider.", rich_help_panel=FILTERS)
]
OfCaller = Annotated[
    str | None, typer.Option("--caller", help="Only this caller.", rich_help_panel=FILTERS)
]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=moment,
        metavar="TIME",
        help="Only results requested then or later.",
        rich_help_panel=FILTERS,
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        parser=moment,
        metavar="TIME",
        help="Only results requested before.",
        rich_help_panel=FILTERS,
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Lowest confidence.", rich_help_panel=FILTERS),
]
MaxConfidence = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Highest confidence.", rich_help_panel=FILTERS),
]
SimilarTo = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Only pictures that look nearly like this result's.",
        rich_help_panel=FILTERS,
    ),
]
