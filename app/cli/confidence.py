"""Commands for the meaning of confidence."""

from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import AsLines, AsObject, class_names, domain_names
from app.loading import loading

app = group()

PANEL = "Confidence"

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", autocompletion=domain_names)]
OfProvider = Annotated[
    str | None, typer.Option("--provider", help="Only answers of this provider.")
]


@command(app, "calibrate flowers", "calibrate flowers --provider azure_openai --json", panel=PANEL)
def calibrate(
    domain: Domain,
    provider: OfProvider = None,
    model: Annotated[str | None, typer.Option(help="Only answers of this model.")] = None,
    as_json: AsLines = False,
) -> None:
    """Calibrate confidence with the labels that there are now, so that it matches accuracy.

    A running service applies the calibration within seconds. Prints a table on a terminal,
    otherwise tab-separated lines: provider, model, source of confidence, method, labels,
    calibration error before and after, id.
    """
    with loading():
        from app.cli.calibrate import calibrate as work
    work(domain, provider=provider, model=model, as_json=as_json)


@command(
    app,
    "threshold flowers --accuracy 0.97",
    "threshold flowers --accuracy 0.97 --per-label --json",
    panel=PANEL,
)
def threshold(
    domain: Domain,
    accuracy: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.999,
            help="Share of accepted answers that should be right.",
            metavar="SHARE",
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(help="Only answers with this class.", autocompletion=class_names),
    ] = None,
    per_label: Annotated[bool, typer.Option("--per-label", help="Also per class.")] = False,
    provider: OfProvider = None,
    as_json: AsObject = False,
) -> None:
    """Find the confidence at or above which answers are right as often as you want.

    Uses the labels that there are. Prints a table on a terminal, otherwise tab-separated lines:
    class or "all", threshold, share accepted, accuracy reached, lower and upper end of its
    interval, labels, and why there is no threshold.
    """
    with loading():
        from app.cli.threshold import threshold as work
    work(domain, accuracy, label=label, per_label=per_label, provider=provider, as_json=as_json)
