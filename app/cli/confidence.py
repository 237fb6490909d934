"""Commands for the meaning of confidence."""

from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import AsLines, AsObject, class_names, domain_names
from app.loading import loading

app = group()

PANEL = "Confidence"

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", autocompletion=domain_names)]
OfProvider = Annotated[str | None, typer.Option("--provider", help="Of this one's answers.")]


@command(app, "calibrate flowers", "calibrate flowers --provider azure_openai --json", panel=PANEL)
def calibrate(
    domain: Domain,
    provider: OfProvider = None,
    model: Annotated[str | None, typer.Option(help="Of this model's answers.")] = None,
    as_json: AsLines = False,
) -> None:
    """Fit what makes confidence mean what it says, to the labels that there are now.

    A service beside it takes it within seconds. On a terminal as a table, else as lines with tabs:
    provider, model, how it is sure, method, labels, calibration error before and after, id.
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
            help="Share of accepted answers that are to be right.",
            metavar="SHARE",
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(help="Only answers that say this class.", autocompletion=class_names),
    ] = None,
    per_label: Annotated[bool, typer.Option("--per-label", help="Each class apart, too.")] = False,
    provider: OfProvider = None,
    as_json: AsObject = False,
) -> None:
    """Find the confidence from which on answers are right as often as you want.

    From the labels that there are. On a terminal as a table, else as lines with tabs: class, or all
    of them, threshold, share accepted, accuracy reached and where it lies, labels, and why there is
    no threshold.
    """
    with loading():
        from app.cli.threshold import threshold as work
    work(domain, accuracy, label=label, per_label=per_label, provider=provider, as_json=as_json)
