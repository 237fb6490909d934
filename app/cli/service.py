"""Commands that run and maintain the service."""

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from app.cli.declaring import command, group
from app.cli.options import AlertState, AsLines, AsObject, moment
from app.loading import loading

app = group()
alerts = group("What is wrong, and when it is said to be.")
db = group("Look after the database.")
ledger = group("What calls cost.")
webhooks = group("Events told to other services.")

PANEL = "Run the service"


@command(app, "serve", "serve --host 0.0.0.0 --port 8080", panel=PANEL)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C.

    SIGHUP reads config/domains.yaml and config/alerts.yaml again.
    """
    _end_at_sigterm()
    with loading():
        from app.cli.serve import serve as work
    work(host=host, port=port)


@command(app, "worker --port 8001", panel=PANEL)
def worker(
    host: Annotated[str | None, typer.Option(help="Address of health and metrics.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of health and metrics.")] = None,
) -> None:
    """Work in the background, beside processes that answer, until SIGTERM.

    Over HTTP it only answers /health and /metrics.
    """
    _end_at_sigterm()
    with loading():
        from app.cli.worker import worker as work
    work(host=host, port=port)


@command(app, "simulate", "simulate --deployment eyes:gpt-4.1:60 --latency 1:3", panel=PANEL)
def simulate(
    deployment: Annotated[
        list[str] | None,
        typer.Option(help="Any number of them.", metavar="NAME[:MODEL[:RPM[:TPM]]]"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")] = 8001,
    key: Annotated[str | None, typer.Option(help="The only key that is taken; else any.")] = None,
    window: Annotated[
        int, typer.Option(help="Seconds, 1 or 10, over which requests are limited.")
    ] = 10,
    latency: Annotated[
        str | None, typer.Option(help="Seconds; 0: answer at once.", metavar="MEAN:P95")
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(help="Share of right answers to the truth; else the local model looks."),
    ] = None,
    calibration: Annotated[
        float, typer.Option(help="1: as sure as right; below 1 surer, above less sure.")
    ] = 1,
    truth: Annotated[
        Path | None, typer.Option(help='JSON, {"SHA-256 of a picture as received": "class"}.')
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same answers.")] = 0,
) -> None:
    """Simulate Azure OpenAI, for tests, benchmarks, and users without a key.

    Prints `listening on URL`. Ends with SIGTERM or Ctrl-C.
    """
    _end_at_sigterm()
    with loading():
        from app.cli.simulate import simulate as work
    work(
        deployment or ["gpt-4o"],
        host=host,
        port=port,
        key=key,
        window=window,
        latency=latency,
        accuracy=accuracy,
        calibration=calibration,
        truth=truth,
        seed=seed,
    )


@command(app, "retention --dry-run", panel=PANEL)
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count it.")] = False,
    as_json: AsObject = False,
) -> None:
    """Delete what is kept no longer, by the settings `retention`.

    A service may run meanwhile.
    """
    with loading():
        from app.cli.retention import retention as work
    work(dry_run=dry_run, as_json=as_json)


@command(app, "audit", "audit --action domain.updated --since 2026-11-01", panel=PANEL)
def audit(
    action: Annotated[str | None, typer.Option(help="Only these, such as domain.updated.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Of this domain, budget, webhook or caller.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="By this one.")] = None,
    since: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="Then or later.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsLines = False,
) -> None:
    """Who changed what: domains, budgets, webhooks, keys, and what was erased.

    The newest first.
    """
    with loading():
        from app.cli.audit import audit as work
        from app.storage.audit import AuditFilter
    work(AuditFilter(action, subject, actor, since), limit=limit, as_json=as_json)


@command(app, "erase --caller shop", "erase --result cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9", panel=PANEL)
def erase(
    caller: Annotated[str | None, typer.Option(help="All that is this one's.")] = None,
    result: Annotated[str | None, typer.Option(metavar="ID", help="One result.")] = None,
    as_json: AsObject = False,
) -> None:
    """Erase what is somebody's, with all that it left.

    Nothing brings it back. A service may run meanwhile; batches under way end.
    """
    if (caller is None) == (result is None):
        raise typer.BadParameter("one of --caller and --result")
    with loading():
        from app.cli import erase as work
    if result is not None:
        work.erase_result(result, as_json=as_json)
    elif caller is not None:
        work.erase_caller(caller, as_json=as_json)


@alerts.callback(invoke_without_command=True, no_args_is_help=False)
def list_alerts(
    context: typer.Context,
    state: Annotated[
        AlertState | None, typer.Option(help="Only these.", show_default="all")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsLines = False,
) -> None:
    """What is wrong now, and what was: firing, pending, resolved.

    Without a command it lists alerts, as the database has them.
    """
    if context.invoked_subcommand is not None:
        return
    with loading():
        from app.cli.alerts import list_alerts as work
    work(state, limit, as_json=as_json)


@command(alerts, "alerts rules", "alerts rules --prometheus")
def rules(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="As a file of rules for Prometheus.")
    ] = False,
    as_json: AsLines = False,
) -> None:
    """The rules of config/alerts.yaml, with the thresholds of the settings."""
    with loading():
        from app.cli.alerts import rules as work
    work(as_json=as_json, prometheus=prometheus)


@command(app, "status", "status --url https://classifier.example.com --json", panel=PANEL)
def status(
    url: Annotated[str, typer.Option(help="Of the service.")] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str | None,
        typer.Option(envvar="CLASSIFIER_API_KEY", help="Where it wants one; best an operator's."),
    ] = None,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 2,
    once: Annotated[bool, typer.Option("--once", help="Look only once.")] = False,
    as_json: AsObject = False,
) -> None:
    """Show how a running service is doing, on one screen, until Ctrl-C.

    Elsewhere than on a terminal it looks once.
    """
    with loading():
        from app.cli.status import status as work
    work(url, api_key=api_key, every_s=every, once=once, as_json=as_json)


@command(db, "db upgrade")
def upgrade(as_json: AsObject = False) -> None:
    """Bring the schema to what this version needs, as every start does.

    For before several processes of a new version start, or with rights that these do not have.
    """
    with loading():
        from app.cli.db import upgrade as work
    work(as_json=as_json)


@command(
    ledger,
    "ledger reprice --since 2026-11-01 --dry-run",
    "ledger reprice --since 2026-11-01",
)
def reprice(
    since: Annotated[
        datetime, typer.Option(parser=moment, metavar="TIME", help="Calls then or later.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it changes.")] = False,
    as_json: AsObject = False,
) -> None:
    """Reckon anew what calls cost, by config/models.yaml and the settings as they are now.

    Sums, results and batches follow. A call whose price is not known now keeps what it has. A
    service may run meanwhile.
    """
    with loading():
        from app.cli.ledger import reprice as work
    work(since, dry_run=dry_run, as_json=as_json)


@command(webhooks, "webhooks secret", name="secret")
def webhook_secret(as_json: AsObject = False) -> None:
    """Tell what signs deliveries to a `callback_url`: whoever receives them has to know it."""
    with loading():
        from app.cli.webhooks import secret as work
    work(as_json=as_json)


@command(webhooks, "webhooks new-key")
def new_key(as_json: AsObject = False) -> None:
    """Make a key that encrypts the secrets of webhooks, for WEBHOOKS_ENCRYPTION_KEYS."""
    with loading():
        from app.cli.webhooks import new_key as work
    work(as_json=as_json)


@command(webhooks, "webhooks reencrypt")
def reencrypt(as_json: AsObject = False) -> None:
    """Encrypt the secrets of webhooks with the first of WEBHOOKS_ENCRYPTION_KEYS.

    Then the others may be taken away. A service may run meanwhile.
    """
    with loading():
        from app.cli.webhooks import reencrypt as work
    work(as_json=as_json)


@command(webhooks, "webhooks listen --port 8900 --secret whsec_...")
def listen(
    secret: Annotated[
        list[str] | None,
        typer.Option(
            help="Any number: what the sender signs with, or its public key, whpk_.",
            envvar="WEBHOOK_SECRET",
            metavar="SECRET",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")] = 8900,
    answer: Annotated[int, typer.Option(help="Status of every answer.", min=200, max=599)] = 204,
    count: Annotated[
        int | None, typer.Option(help="End after as many.", min=1, metavar="N")
    ] = None,
) -> None:
    """Receive webhooks and show them: what they say, and whether their signature is right.

    Prints `listening on URL`. An id that came before is marked `again`. Without a secret nothing
    is verified.
    """
    _end_at_sigterm()
    with loading():
        from app.cli.listen import listen as work
    work(host=host, port=port, secrets=secret or [], answer=answer, count=count)


app.add_typer(alerts, name="alerts", rich_help_panel=PANEL)
app.add_typer(db, name="db", rich_help_panel=PANEL)
app.add_typer(ledger, name="ledger", rich_help_panel=PANEL)
app.add_typer(webhooks, name="webhooks", rich_help_panel=PANEL)


def _end_at_sigterm() -> None:
    """For the time before a server installs its own handler: otherwise the first process of a
    container ignores the signal."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
