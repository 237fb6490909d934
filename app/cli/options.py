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
            f"{text} is no time such as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


Domain = Annotated[str, typer.Option(help="Name of the domain.", autocompletion=domain_names)]
Provider = Annotated[str | None, typer.Option(help="Who shall answer.")]

Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|URI|-",
        help="Where to; - is stdout, and a URI must lie below EXPORT_TARGETS.",
    ),
]

AsObject = Annotated[bool, typer.Option("--json", help="As a JSON object.")]
AsLines = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

FILTERS = "Which results"

OfDomain = Annotated[
    str | None,
    typer.Option(
        "--domain", help="Of this domain.", autocompletion=domain_names, rich_help_panel=FILTERS
    ),
]
OfClass = Annotated[
    str | None,
    typer.Option(
        "--class",
        help="Of this predicted class.",
        autocompletion=class_names,
        rich_help_panel=FILTERS,
    ),
]
OfStatus = Annotated[
    Status | None, typer.Option("--status", help="Of this status.", rich_help_panel=FILTERS)
]
OfProvider = Annotated[
    str | None, typer.Option("--provider", help="Of this provider.", rich_help_panel=FILTERS)
]
OfCaller = Annotated[
    str | None, typer.Option("--caller", help="Asked by this one.", rich_help_panel=FILTERS)
]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=moment, metavar="TIME", help="Asked then or later.", rich_help_panel=FILTERS
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="Asked before.", rich_help_panel=FILTERS),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="At least so sure.", rich_help_panel=FILTERS),
]
MaxConfidence = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="At most so sure.", rich_help_panel=FILTERS),
]
SimilarTo = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="Whose picture looks nearly like this one's.", rich_help_panel=FILTERS
    ),
]
