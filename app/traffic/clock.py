"""The clock of everything on the way to a provider."""

import asyncio


def now() -> float:
    """Seconds of the event loop's clock, which also wakes tasks that wait."""
    return asyncio.get_running_loop().time()
