"""The answer about one picture, and the answers about the pictures of a folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self, overload

from pydantic import Field, PrivateAttr

from app.client import html
from app.client.backend import Answers, Kept
from app.client.folder import Folder, failure
from app.errors import Interrupted, UploadTooLarge
from app.exports import COLUMNS, reading, values_of
from app.picture_files import TOO_LARGE
from app.result import MODEL, Failure, Result

NONE = "none of the classes"
FAILED = "failed"

_row = reading(COLUMNS)


class Classification(Result):
    """The answer about one picture: all fields of a Result, and where it comes from.

    `id` is empty where the picture could not be submitted; `error` says why.
    """

    item_id: str | None = Field(None, description="Of a folder's picture: its path in the folder.")
    _shown: Path | str | bytes | None = PrivateAttr(None)

    @classmethod
    def of(cls, result: Result, shown: Path | str | bytes | None = None) -> Self:
        """`shown`: the picture's file, its URL, or a small JPEG, for notebooks."""
        return cls.model_validate(result.model_dump()).showing(shown)

    def showing(self, picture: Path | str | bytes | None) -> Self:
        self._shown = picture
        return self

    @property
    def needs_review(self) -> bool:
        """Whether a person should review it, and none has."""
        return self.status == "needs_review" and self.decided_by is None

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping: nested values are keyed by their path (`image.width`), lists and mappings
        stay as they are. The keys are always the same."""
        values = _row(values_of(self.item_id, self))
        return {column.name: value for column, value in zip(COLUMNS, values, strict=True)}

    def __repr__(self) -> str:
        name = "" if self.item_id is None else f"{self.item_id!r} "
        return f"<Classification {name}{self.told}>"

    __str__ = __repr__

    @property
    def told(self) -> str:
        """The answer in one line."""
        if self.error is not None:
            return f"failed: {self.error.detail}"
        told = f"{self.predicted_class or NONE} {self.confidence or 0:.1%}"
        if self.needs_review:
            told += f", needs review: {', '.join(self.review_reasons)}"
        elif self.decided_by not in (None, MODEL):
            told += f", decided by {self.decided_by}: {self.final_class or 'useless'}"
        return told

    def _repr_html_(self) -> str:
        return html.card(self, self._shown)


class Row(NamedTuple):
    item_id: str
    kept: Kept


class BatchResults(Sequence[Classification]):
    """The answers about a folder's pictures, in its order. A picture that failed has a row with its
    `error`.

    Attributes:
        directory: the folder.
        batch_ids: the service's ids of the batches.
        skipped: other files of the folder, by their paths in it, and why they have no row.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        directory: Path,
        *,
        batch_ids: Sequence[str] = (),
        skipped: Mapping[str, str] | None = None,
    ) -> None:
        self._rows = rows
        self.directory = directory
        self.batch_ids = tuple(batch_ids)
        self.skipped = dict(skipped or {})

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Classification: ...
    @overload
    def __getitem__(self, index: slice) -> "BatchResults": ...
    def __getitem__(self, index: int | slice) -> "Classification | BatchResults":
        if isinstance(index, slice):
            return self._some(self._rows[index])
        row = self._rows[index]
        found = Classification.model_validate_json(row.kept.text)
        return found.model_copy(update={"item_id": row.item_id}).showing(
            self.directory / row.item_id
        )

    @property
    def failed(self) -> "BatchResults":
        """Pictures without an answer."""
        return self._of_status(FAILED)

    @property
    def needs_review(self) -> "BatchResults":
        """Pictures that a person should review."""
        return self._of_status("needs_review")

    def counts(self) -> dict[str, int]:
        """The number of pictures of each class, most frequent first, of none of them, and
        failed."""
        kinds = (
            FAILED if each.kept.status == FAILED else each.kept.predicted_class or NONE
            for each in self._rows
        )
        return dict(Counter(kinds).most_common())

    def to_dicts(self) -> list[dict[str, Any]]:
        """A flat mapping for each picture, for `pandas.DataFrame(...)`. With polars, use
        `polars.DataFrame(..., infer_schema_length=None)`, which looks at all rows: the first failed
        one may come late."""
        return [each.to_dict() for each in self]

    def summary(self) -> str:
        """A summary in one line."""
        told = f"{len(self):,} picture{'' if len(self) == 1 else 's'}"
        if self._rows:
            told += ": " + ", ".join(f"{n:,} {kind}" for kind, n in self.counts().items())
        if review := len(self.needs_review):
            told += f"; {review:,} to review"
        if self.skipped:
            told += f"; {len(self.skipped):,} skipped"
        return told

    def __repr__(self) -> str:
        return f"<BatchResults {self.summary()}>"

    def _repr_html_(self) -> str:
        return html.table(self)

    def _of_status(self, status: str) -> "BatchResults":
        return self._some([each for each in self._rows if each.kept.status == status])

    def _some(self, rows: Sequence[Row]) -> "BatchResults":
        return BatchResults(rows, self.directory, batch_ids=self.batch_ids)


def collected(folder: Folder, answers: Answers, domain: str) -> BatchResults:
    """All answers and earlier failures, in the folder's order; pictures that are no longer in the
    folder come last."""
    names = {each.sent_as: each.name for each in folder.pictures}
    failures = folder.failures | {
        names.get(sent, sent): _refused(reason) for sent, reason in answers.refused.items()
    }
    found: dict[str, Kept] = {}
    for sent, kept in answers.results.items():
        if kept is None:
            failures[names.get(sent, sent)] = failure(answers.left_because, Interrupted)
        else:
            found[names.get(sent, sent)] = kept
    found |= {name: _kept(each, domain) for name, each in failures.items() if name not in found}
    unknown = {
        each.name: "came after the batch began"
        for each in folder.pictures
        if each.name not in found
    }
    order = dict.fromkeys([*folder.names, *found])
    return BatchResults(
        [Row(name, found[name]) for name in order if name in found],
        folder.path,
        batch_ids=answers.batch_ids,
        skipped=folder.skipped | unknown,
    )


def _refused(reason: str) -> Failure:
    """The failure for a picture that a batch did not accept for this reason."""
    if reason.startswith(TOO_LARGE):
        return failure(f"The picture {reason}.", UploadTooLarge)
    return failure(f"The picture was not taken: it {reason}.")


def _kept(error: Failure, domain: str) -> Kept:
    """A row for a picture without a result."""
    return Kept.of(
        Result(
            id="",
            domain=domain,
            status="failed",
            error=error,
            caller="",
            domain_version="",
            created_at=datetime.now(UTC),
        )
    )
