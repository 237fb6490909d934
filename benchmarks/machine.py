"""Describes the machine that figures were measured on."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

LIBRARIES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "pydantic",
    "sqlalchemy",
    "numpy",
    "pillow",
    "onnxruntime",
    "openai",
    "httpx2",
    "structlog",
    "pydocket",
)
GIBIBYTE = 1 << 30


def machine() -> dict[str, str]:
    release = platform.release().partition("-")[0]  # the rest names the distributor's build
    cores = len(os.sched_getaffinity(0))
    held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
    return {
        "processor": f"{_processor()}, {cores} cores",
        "memory": f"{held:.0f} GiB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {release}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(_versions(LIBRARIES)),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions(names: Iterable[str]) -> list[str]:
    return [f"{name} {version(name)}" for name in names]
