"""Finds the plug-ins of packages installed beside the service, by their entry points."""

import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points


def plug_ins(group: str, own: Iterable[EntryPoint] = ()) -> dict[str, EntryPoint]:
    """By name: `own` first, then those of other packages, which replace ours of the same name."""
    installed = _installed(tuple(sys.path))
    return {each.name: each for each in (*own, *installed(group=group))}


@cache
def _installed(path: tuple[str, ...]) -> Callable[..., EntryPoints]:
    """The entry points of all groups, read once, as modules are: that takes 20 ms, and a start
    needs five groups."""
    return entry_points().select
