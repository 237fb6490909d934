"""What the locks say is installed: names and versions."""

from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def locked(texts: Iterable[str]) -> set[tuple[str, str]]:
    """What this platform and Python need, of the contents of these files."""
    lines = [each for text in texts for each in text.splitlines() if each[:1].isalnum()]
    wanted = [Requirement(each.removesuffix("\\")) for each in lines]
    return {
        (canonicalize_name(each.name), next(iter(each.specifier)).version)
        for each in wanted
        if each.marker is None or each.marker.evaluate()
    }
