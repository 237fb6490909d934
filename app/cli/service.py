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
alerts = group("List alerts, or the rules behind them.")
db = group("Maintain the database.")
ledger = group("Correct the recorded costs of calls.")
webhooks = group("Receive webhooks, and manage their secrets.")

PANEL = "Run the service"


@command(app, "serve", "serve --host 0.0.0.0 --port 8080", panel=PANEL)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve over HTTP until SIGTERM or Ctrl-C.

    SIGHUP reloads config/domains.yaml and config/alerts.yaml.
    """
    _end_at_sigterm()
    with loading():
        from app.cli.serve import serve as work
    work(host=host, port=port)


@command(app, "worker --port 8001", panel=PANEL)
def worker(
    host: Annotated[str | None, typer.Option(help="Address for health and metrics.")] = None,
    port: Annotated[int | None, typer.Option(help="Port for health and metrics.")] = None,
) -> None:
    """Do the background work of processes that serve, until SIGTERM.

    Over HTTP it only serves /health and /metrics.
    """
    _end_at_sigterm()
    with loading():
        from app.cli.worker import worker as work
    work(host=host, port=port)


@command(app, "simulate", "simulate --deployment eyes:gpt-4.1:60 --latency 1:3", panel=PANEL)
def simulate(
    deployment: Annotated[
        list[str] | None,
        typer.Option(help="A deployment; repeat for more.", metavar="NAME[:MODEL[:RPM[:TPM]]]"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")] = 8001,
    key: Annotated[
        str | None, typer.Option(help="The only key that is accepted; unset: any.")
    ] = None,
    window: Annotated[
        int, typer.Option(help="Seconds over which requests are limited: 1 or 10.")
    ] = 10,
    latency: Annotated[
        str | None, typer.Option(help="Seconds; 0: answer at once.", metavar="MEAN:P95")
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(
            help="Share of right answers; unset: 1 with --truth, else the local model answers."
        ),
    ] = None,
    calibration: Annotated[
        float,
        typer.Option(help="1: confidence matches accuracy; below 1: overconfident; above: under."),
    ] = 1,
    truth: Annotated[
        Path | None, typer.Option(help='JSON, {"SHA-256 of a picture as received": "class"}.')
    ] = None,
    calls: Annotated[
        Path | None,
        typer.Option(help="File that gets a JSON line for each call and its end."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
) -> None:
    """Simulate Azure OpenAI, for tests, benchmarks, and users without a key.

    Prints `listening on URL`. Ends on SIGTERM or Ctrl-C.
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
        calls=calls,
        seed=seed,
    )


@command(app, "retention --dry-run", panel=PANEL)
def retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be deleted.")
    ] = False,
    as_json: AsObject = False,
) -> None:
    """Delete data that has passed its retention period, as set by `retention`.

    A service may run meanwhile.
    """
    with loading():
        from app.cli.retention import retention as work
    work(dry_run=dry_run, as_json=as_json)


@command(app, "audit", "audit --action domain.updated --since 2026-11-01", panel=PANEL)
def audit(
    action: Annotated[
        str | None, typer.Option(help="Only this action, such as domain.updated.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Only changes to this domain, budget, webhook or caller.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only changes by this actor.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Only changes then or later."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most changes to show.")] = 100,
    as_json: AsLines = False,
) -> None:
    """Show who changed what: domains, budgets, webhooks, keys, and what was erased.

    The newest changes come first.
    """
    with loading():
        from app.cli.audit import audit as work
        from app.storage.audit import AuditFilter
    work(AuditFilter(action, subject, actor, since), limit=limit, as_json=as_json)


@command(app, "erase --caller shop", "erase --result cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9", panel=PANEL)
def erase(
    caller: Annotated[str | None, typer.Option(help="Erase everything of this caller.")] = None,
    result: Annotated[str | None, typer.Option(metavar="ID", help="Erase this result.")] = None,
    as_json: AsObject = False,
) -> None:
    """Erase everything that belongs to a caller, or one result.

    This can't be undone. A service may run meanwhile; the caller's running batches end.
    """
    if (caller is None) == (result is None):
        raise typer.BadParameter("Give either --caller or --result.")
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
        AlertState | None, typer.Option(help="Only alerts in this state.", show_default="all")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most alerts to show.")] = 100,
    as_json: AsLines = False,
) -> None:
    """List alerts, as the database has them: firing, pending, resolved."""
    if context.invoked_subcommand is not None:
        return
    with loading():
        from app.cli.alerts import list_alerts as work
    work(state, limit, as_json=as_json)


@command(alerts, "alerts rules", "alerts rules --prometheus")
def rules(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print a rule file for Prometheus.")
    ] = False,
    as_json: AsLines = False,
) -> None:
    """Show the rules of config/alerts.yaml, with the thresholds from the settings."""
    with loading():
        from app.cli.alerts import rules as work
    work(as_json=as_json, prometheus=prometheus)


@command(app, "status", "status --url https://classifier.example.com --json", panel=PANEL)
def status(
    url: Annotated[str, typer.Option(help="URL of the service.")] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str | None,
        typer.Option(envvar="CLASSIFIER_API_KEY", help="API key, if needed; best an operator's."),
    ] = None,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two updates.")] = 2,
    once: Annotated[bool, typer.Option("--once", help="Show the state once, and end.")] = False,
    as_json: AsObject = False,
) -> None:
    """Show the state of a running service on one screen, until Ctrl-C.

    If the output is not a terminal, it is shown once.
    """
    with loading():
        from app.cli.status import status as work
    work(url, api_key=api_key, every_s=every, once=once, as_json=as_json)


@command(db, "db upgrade")
def upgrade(as_json: AsObject = False) -> None:
    """Upgrade the schema to what this version needs, as every start does.

    Run it before several processes of a new version start, or if these lack the database rights.
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
        datetime, typer.Option(parser=moment, metavar="TIME", help="Only calls then or later.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would change.")
    ] = False,
    as_json: AsObject = False,
) -> None:
    """Recalculate what calls cost, from config/models.yaml and the settings as they are now.

    Sums, results and batches are updated. A call whose price is unknown now keeps its cost. A
    service may run meanwhile.
    """
    with loading():
        from app.cli.ledger import reprice as work
    work(since, dry_run=dry_run, as_json=as_json)


@command(webhooks, "webhooks secret", name="secret")
def webhook_secret(as_json: AsObject = False) -> None:
    """Print the secret that signs deliveries to a `callback_url`: their receivers need it."""
    with loading():
        from app.cli.webhooks import secret as work
    work(as_json=as_json)


@command(webhooks, "webhooks new-key")
def new_key(as_json: AsObject = False) -> None:
    """Create a key that encrypts the secrets of webhooks, for WEBHOOKS_ENCRYPTION_KEYS."""
    with loading():
        from app.cli.webhooks import new_key as work
    work(as_json=as_json)


@command(webhooks, "webhooks reencrypt")
def reencrypt(as_json: AsObject = False) -> None:
    """Encrypt the secrets of webhooks with the first of WEBHOOKS_ENCRYPTION_KEYS.

    Afterwards the other keys can be removed. A service may run meanwhile.
    """
    with loading():
        from app.cli.webhooks import reencrypt as work
    work(as_json=as_json)


@command(webhooks, "webhooks listen --port 8900 --secret whsec_...")
def listen(
    secret: Annotated[
        list[str] | None,
        typer.Option(
            help="Secret that the sender signs with, or its public key, whpk_; repeat for more.",
            envvar="WEBHOOK_SECRET",
            metavar="SECRET",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")] = 8900,
    answer: Annotated[int, typer.Option(help="Status of every response.", min=200, max=599)] = 204,
    count: Annotated[
        int | None, typer.Option(help="End after N deliveries.", min=1, metavar="N")
    ] = None,
) -> None:
    """Receive webhooks and print them: their content, and whether their signature is valid.

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
