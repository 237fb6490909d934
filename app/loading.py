"""How modules are loaded that take a while."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@contextmanager
def loading() -> Iterator[None]:
    """Ctrl-C ends the process at once: nothing is begun that had to be tidied up, and an exception
    would come from the middle of some import, or be swallowed there."""
    # Whoever ignores it, as a shell's background jobs do, goes on to.
    stops = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if stops:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    # What is made while modules load stays for good: collecting meanwhile finds nothing.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if stops:
            signal.signal(signal.SIGINT, signal.default_int_handler)
