"""`batch` and `watch`: bulk classification from the shell, with a progress bar."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from app.batches import BatchEstimate, BatchOptions, Files, Row, Unusable, rows_at
from app.cli.estimate import show as show_estimate
from app.cli.export import Order, write_file
from app.cli.output import plain, print_json
from app.cli.progress import bar
from app.cli.start import start
from app.client.at_work import AtWork, followed, work_through
from app.errors import BatchNotFound
from app.parts import Parts, build_parts
from app.settings import Settings
from app.storage import BatchReport, BatchRow

CALLER = "command-line"
SHOWN = 20
"""How many rows that are not items to list."""


def batch(
    source: str,
    domain: str,
    *,
    provider: str | None,
    name: str | None,
    budget: Decimal | None,
    dry_run: bool,
    file: Order | None,
    resume: bool | None,
    as_json: bool,
) -> None:
    """Continue the batch of this name that has not ended, else create one.

    `file`: where to write the results when it has ended. `resume`: True: such a batch must exist;
    False: always create one. Raises ClassifierError, BadParameter; Exit, when something failed.
    """
    if not (_is_uri(source) or Path(source).exists()):
        raise typer.BadParameter(f"{source} does not exist.", param_hint="SOURCE")
    place = source if _is_uri(source) else str(Path(source).resolve())
    options = BatchOptions(
        domain=domain,
        provider=provider,
        name=(name or place)[-200:],
        budget_usd=budget,
        dry_run=dry_run,
    )
    settings = start(log_level="warning")
    if dry_run:
        estimate = asyncio.run(_estimate(settings, source, options))
        if as_json:
            print_json(estimate.model_dump(mode="json", by_alias=True))
        else:
            show_estimate(estimate)
        return
    if file is not None:
        file.check(settings)
    _run(_batch(settings, source, options, file=file, resume=resume), as_json=as_json)


def watch(batch_id: str, *, as_json: bool) -> None:
    """Show progress until the batch has ended. Raises ClassifierError; Exit, when something
    failed."""
    _run(_watch(start(log_level="warning"), batch_id), as_json=as_json)


def _run(work: Coroutine[Any, Any, BatchRow], *, as_json: bool) -> None:
    console = Console(stderr=True)
    try:
        found = asyncio.run(work)
    except KeyboardInterrupt:
        console.print("stopped; run the same command to resume")
        raise typer.Exit(130) from None
    line = f"{found.id}: {found.status}, {found.done:,} of {found.total:,} done"
    console.print(f"{line}, {found.failed:,} failed", highlight=False)
    if found.reason:
        console.print(found.reason, highlight=False, markup=False)
    if as_json:
        print_json(BatchReport.of(found, datetime.now(UTC)).model_dump(mode="json"))
    if found.status != "completed" or found.failed:
        raise typer.Exit(1)


async def _batch(
    settings: Settings,
    source: str,
    options: BatchOptions,
    *,
    file: Order | None,
    resume: bool | None,
) -> BatchRow:
    async def begin(work: AtWork) -> BatchRow:
        found = None if resume is False else await work.unfinished(options)
        if resume and found is None:
            raise BatchNotFound(f"There is no unfinished batch {options.name!r}.")
        if found is not None and options.budget_usd not in (None, found.budget_usd):
            await work.parts.runner.change_budget(found.id, options.budget_usd)
            await work.parts.runner.change_status(found.id, "running", of=("paused",))
        return found or await _taken(work, source, options)

    async def end(parts: Parts, batch: BatchRow) -> BatchRow:
        if file is not None:
            written = await write_file(parts, file, batch.id)
            written.tell()
        return batch

    with _bar() as go_on:
        return await work_through(settings, CALLER, begin, go_on=go_on, end=end)


async def _estimate(settings: Settings, source: str, options: BatchOptions) -> BatchEstimate:
    async with build_parts(settings) as parts:
        rows = await _rows(parts, source, options)
        return await parts.estimator.estimate(options, rows, caller=CALLER, operator=True)


async def _taken(work: AtWork, source: str, options: BatchOptions) -> BatchRow:
    """Create a batch; print the rows that are not items."""
    batch = await work.take(options, await _rows(work.parts, source, options))
    console = Console(stderr=True, soft_wrap=True)
    for bad in await work.parts.batches.bad_rows(batch.id, after=-1, limit=SHOWN):
        line = plain(f"{bad.place}: {bad.reason}")
        console.print(line, style="red", markup=False, highlight=False)
    if batch.bad_rows > SHOWN:
        console.print(f"and {batch.bad_rows - SHOWN:,} more", style="red")
    return batch


def _is_uri(source: str) -> bool:
    return "://" in source


async def _rows(parts: Parts, source: str, options: BatchOptions) -> Iterable[Row | Unusable]:
    files = Files.of(parts.settings, await parts.domains.find(options.domain))
    if _is_uri(source):
        return rows_at(source, parts.objects, files)
    return _local(files, Path(source))


def _local(files: Files, place: Path) -> Iterable[Row | Unusable]:
    if place.is_dir():
        yield from files.folder(place)
        return
    with place.open("rb") as file:
        yield from files.rows(place.name, file)


async def _watch(settings: Settings, batch_id: str) -> BatchRow:
    async with build_parts(settings) as parts:
        with _bar() as go_on:
            async for batch in followed(parts, batch_id):
                if not go_on(batch):
                    break
    return batch


@contextmanager
def _bar() -> Iterator[Callable[[BatchRow], bool]]:
    """Yields a function that shows a batch's progress and returns False once it is paused."""
    with bar(stays=True) as show:

        def show_batch(batch: BatchRow) -> bool:
            told = f"{batch.needs_review:,} to review, {batch.failed:,} failed"
            show(batch.done, batch.total, name=batch.id, told=told)
            return batch.status != "paused"

        yield show_batch
