"""Writes a file atomically: it is there as a whole or not at all."""

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from types import TracebackType

from app.identifiers import new_id


class WholeFile(AbstractContextManager[Path], AbstractAsyncContextManager[Path]):
    """Gives a temporary path to write to, which becomes `path` in the end. If writing fails,
    nothing is left of it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f"{path.name}.{new_id('tmp')}")

    def __enter__(self) -> Path:
        return self._unfinished

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._unfinished.replace(self._path)
        finally:
            self._unfinished.unlink(missing_ok=True)

    async def __aenter__(self) -> Path:
        return self._unfinished

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)
