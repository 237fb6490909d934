"""Whether the program runs in a notebook."""

import sys
from typing import Any


def is_there() -> bool:
    """Imports nothing: where IPython is not loaded, there is no notebook."""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
