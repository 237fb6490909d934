"""What packages installed beside the service bring, by their entry points."""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points


def plug_ins(group: str, own: Iterable[EntryPoint] = ()) -> dict[str, EntryPoint]:
    """By name: `own` first, then those of other packages, which may take the place of ours."""
    return {each.name: each for each in (*own, *entry_points(group=group))}
