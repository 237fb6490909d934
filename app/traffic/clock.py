"""What time it is on the way to a provider."""

import asyncio


def now() -> float:
    """Seconds of the event loop's clock, by which whoever waits is woken."""
    return asyncio.get_running_loop().time()
