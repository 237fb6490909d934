"""Classifies folders of pictures."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.client import progress
from app.client.backend import DOMAIN, TIMEOUT_S, Answers, Order, Progress, open_backend
from app.client.exporting import write
from app.client.folder import Folder
from app.client.loop import Closing
from app.client.results import BatchResults, Classification, collected
from app.errors import InvalidRequest

SIZES = range(10, 101)


class BatchProcessor(Closing):
    """Classifies folders of pictures, in this process or, with `base_url`, on a server."""

    def __init__(
        self,
        batch_size: int | None = None,
        *,
        domain: str = DOMAIN,
        provider: str | None = None,
        progress: bool = True,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = TIMEOUT_S,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            batch_size: how many answers are stored together, 10 to 100; None: as set in the
                service.
            domain: the domain to classify in where a call names no other.
            provider: the provider to ask; None: as the domain says.
            progress: whether to show progress, on a terminal or in a notebook.
            timeout: seconds to wait for one answer of a server.
            settings: of this process; they override the environment: `{"database_url": ...}`.

        Raises ConfigurationError, InvalidRequest.
        """
        if batch_size is not None and batch_size not in SIZES:
            raise InvalidRequest(f"batch_size: must be from {SIZES[0]} to {SIZES[-1]}.")
        self._batch_size = batch_size
        self._domain = domain
        self._provider = provider
        self._progress = progress
        self._backend = open_backend(
            base_url=base_url, api_key=api_key, timeout=timeout, settings=settings
        )
        super().__init__(self._backend.aclose)

    def process_directory(
        self,
        directory: str | os.PathLike[str],
        *,
        domain: str | None = None,
        name: str | None = None,
    ) -> BatchResults:
        """Classify the pictures of a folder and its subfolders. Hidden files are ignored. If a
        subfolder has the name of a class, that is the true class of its pictures.

        A picture that fails gets a row with its `error`. After an interruption (Ctrl-C, a crash)
        the same call continues the work, which is found by `name`; by default that is the folder's
        path. A call after complete work starts again. Raises NotADirectoryError, and
        ClassifierError where nothing can be classified at all.
        """
        folder = Folder.read(Path(directory), self._backend.copies)
        order = Order(domain or self._domain, self._provider, name, self._batch_size)
        answers = self._answers(folder, order) if folder.pictures else Answers()
        return collected(folder, answers, order.domain)

    def _answers(self, folder: Folder, order: Order) -> Answers:
        latest = Progress("sending", 0, len(folder.pictures))

        def tell(progress: Progress) -> None:
            nonlocal latest
            latest = progress

        with progress.shown(folder.path.name, wanted=self._progress) as show:
            answers = self._thread.call(
                self._backend.process(folder, order, tell), meanwhile=lambda: show(latest)
            )
            show(latest)
        return answers

    @staticmethod
    def export_results(
        results: Iterable[Classification],
        format: str = "json",
        output: str | os.PathLike[str] | None = None,
        *,
        columns: Sequence[str] = (),
        safe: bool = True,
    ) -> Path:
        """Write results to a file, `results.FORMAT` where `output` is not given, and return its
        path.

        Formats: `json`, `jsonl`, `csv`, `xml`, `parquet`, `xlsx`. `columns`: which columns, named
        as for the exports of a server; `safe`: prevent spreadsheets from running text in a CSV as a
        formula. Raises InvalidRequest for an unknown format or column, ConfigurationError, OSError.
        """
        path = Path(f"results.{format}" if output is None else output)
        write(results, format, path, columns=columns, safe=safe)
        return path
