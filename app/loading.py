"""Loads modules that take a while to load."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit status after Ctrl-C, by the convention of shells."""


@contextmanager
def loading() -> Iterator[None]:
    """Ctrl-C ends the process at once: nothing has begun that would need cleaning up, and an
    exception would be raised in the middle of some import, or be swallowed there."""
    # A process that ignores Ctrl-C, as a shell's background jobs do, continues to ignore it.
    stops = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if stops:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    # Objects made while modules load stay for good: garbage collection would find nothing.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if stops:
            signal.signal(signal.SIGINT, signal.default_int_handler)
