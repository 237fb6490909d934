"""Whether a notebook shows what is displayed."""

import sys
from typing import Any


def is_there() -> bool:
    """Nothing is imported: where IPython is not, no notebook is."""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
