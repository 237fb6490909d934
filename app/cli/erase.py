"""`erase`: erases a result, or everything that belongs to a caller."""

import asyncio

import typer

from app.cli.output import print_json
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings
from app.storage.audit import COMMAND_LINE
from app.storage.erasures import Erasure


def erase_result(result_id: str, *, as_json: bool) -> None:
    """Raises ResultNotFound, StorageUnavailable."""
    asyncio.run(_result(start(log_level="warning"), result_id))
    _tell({"results": 1}, as_json=as_json)


def erase_caller(name: str, *, as_json: bool) -> None:
    """Raises StorageUnavailable."""
    erasure = asyncio.run(_caller(start(log_level="warning"), name))
    _tell(dict(erasure.counts), as_json=as_json)


def _tell(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({"erased": counts})
    else:
        told = (f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
        typer.echo(f"erased: {', '.join(told) or 'nothing'}")


async def _result(settings: Settings, result_id: str) -> None:
    async with build_parts(settings) as parts:
        await parts.erasing.result(result_id, caller=None, by=COMMAND_LINE)


async def _caller(settings: Settings, name: str) -> Erasure:
    async with build_parts(settings) as parts:
        return await parts.erasing.caller(name, COMMAND_LINE)
