"""Many pictures."""

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
            batch_size: answers that are stored together, 10 to 100; None: as the service is set.
            domain: what pictures are classified as where a call names no other.
            provider: who answers; None: as the domain says.
            progress: whether to show how far it is, on a terminal or in a notebook.
            timeout: seconds for one answer of a server.
            settings: of this process, over those of the environment: `{"database_url": ...}`.

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
        """Classify the pictures of a folder and of its folders. Hidden files are passed over; a
        folder that is called like a class tells the true one.

        A picture that fails is a row with its `error`. After an interruption (Ctrl-C, a crash) the
        same call goes on; `name` is by what it is known, unset: the folder's path. What came to
        its end begins anew. Raises NotADirectoryError, and ClassifierError where nothing can be
        classified at all.
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
        """Write them to a file, `results.FORMAT` where `output` names none, and return its path.

        Formats: `json`, `jsonl`, `csv`, `xml`, `parquet`, `xlsx`. `columns`: which ones, as for
        the exports of a server; `safe`: no text of a CSV is run as a formula by a spreadsheet.
        Raises InvalidRequest for what is not known, ConfigurationError, OSError.
        """
        path = Path(f"results.{format}" if output is None else output)
        write(results, format, path, columns=columns, safe=safe)
        return path
