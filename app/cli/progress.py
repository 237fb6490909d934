"""The bar that shows how far a command is, on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Show(Protocol):
    def __call__(self, done: int, total: int, *, name: str = "", told: str = "") -> None:
        """`name` stands before the bar, `told` behind it."""


@contextmanager
def bar(*, stays: bool = False) -> Iterator[Show]:
    """Yields what shows the bar, from its first call on. On a terminal only, and removed at the
    end; with `stays` it is printed elsewhere, too, and left there."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    console = Console(stderr=True)
    hidden = not (stays or console.is_terminal)
    with Progress(*columns, console=console, transient=not stays, disable=hidden) as progress:
        task = progress.add_task("", total=None, told="", visible=False)

        def show(done: int, total: int, *, name: str = "", told: str = "") -> None:
            progress.update(
                task, description=name, completed=done, total=total, told=told, visible=True
            )

        yield show
