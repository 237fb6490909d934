"""A progress bar, in a terminal or a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from app.client import html, notebook
from app.client.backend import Progress, Tell


def told(progress: Progress) -> str:
    if progress.phase == "classifying":
        return f"{progress.needs_review:,} to review, {progress.failed:,} failed"
    return progress.phase


@contextmanager
def shown(title: str, *, wanted: bool) -> Iterator[Tell]:
    """Yields a function that shows progress, if there is anywhere to show it. Call it in one
    thread."""
    if wanted and notebook.is_there():
        yield _in_notebook()
    elif wanted and sys.stderr.isatty():
        with _in_terminal(title) as tell:
            yield tell
    else:
        yield lambda _: None


def _in_notebook() -> Tell:
    """Plain HTML: without ipywidgets, rich shows nothing in a notebook."""
    shell: Any = import_module("IPython.display")
    handle = shell.display(shell.HTML(html.bar(0, 0, "beginning")), display_id=True)
    last: Progress | None = None

    def tell(progress: Progress) -> None:
        nonlocal last
        if progress != last:
            last = progress
            bar = html.bar(progress.done, progress.total, told(progress))
            handle.update(shell.HTML(bar))

    return tell


@contextmanager
def _in_terminal(title: str) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, told="")

        def tell(progress: Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total, told=told(progress))

        yield tell
