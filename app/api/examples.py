"""`/domains/{name}/examples`: pictures whose class is known, for the local model to learn from."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import chain
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from app.api.dependencies import Caller, Joined, Operator
from app.api.domains import DomainName
from app.api.forms import (
    PictureJson,
    body_kind,
    described,
    files_of,
    filled,
    json_with_picture,
    read_form,
    validated,
)
from app.api.paging import Limit, NextCursor, cut
from app.api.raising import Raises
from app.batches import Files, Row, Unusable
from app.classification import check_label
from app.domains import Domain
from app.errors import (
    ArchiveRefused,
    ClassifierError,
    ExampleNotFound,
    ImageHarmful,
    ImageTooLarge,
    ImageUnreadable,
    InvalidRequest,
    LabelNotInDomain,
    Overloaded,
    UnsupportedContentType,
    UrlRefused,
    UrlTooLarge,
    UrlUnreachable,
)
from app.identifiers import EXAMPLE_PATTERN
from app.images import ImageSource
from app.parts import Parts
from app.storage import ExampleRow
from app.teaching import Kept, see_all

router = APIRouter(prefix="/domains/{name}/examples", tags=["teaching"])

MAX_FILES = 1_000

ExampleId = Annotated[
    str,
    Path(pattern=EXAMPLE_PATTERN, examples=["exm_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(ExampleNotFound),
]


class ExampleForm(BaseModel):
    """Options that are sent with files."""

    model_config = ConfigDict(extra="forbid")
    label: str | None = Field(
        None,
        description="What the pictures show: a class of the domain, or `none`. In a ZIP, the names "
        "of its folders say it.",
        examples=["rose"],
    )


class ExampleJson(PictureJson):
    """One picture: exactly one of `image_url` and `image_base64`."""

    model_config = ConfigDict(extra="forbid")
    label: str = Field(description="A class of the domain, or `none`.", examples=["rose"])


class TakenExample(BaseModel):
    id: str = Field(examples=["exm_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    label: str = Field(examples=["rose"])
    sha256: str = Field(description="SHA-256 of the picture as it was sent.")
    outcome: Literal["added", "changed", "known"] = Field(
        description="`changed`: it was known under another label; `known`: it was known under this "
        "one."
    )

    @classmethod
    def of(cls, kept: Kept) -> Self:
        return cls(id=kept.id, label=kept.label, sha256=kept.sha256, outcome=kept.outcome)


class RefusedExample(BaseModel):
    place: str = Field(
        description="Name of the file, or its path in the ZIP.", examples=["a/1.txt"]
    )
    type: str = Field(description="Type of the problem.", examples=["/problems/image-unreadable"])
    detail: str = Field(description="Explanation for people.", examples=["It is no picture."])


class ExamplesTaken(BaseModel):
    """What became of each picture."""

    examples: list[TakenExample]
    refused: list[RefusedExample]
    counts: dict[str, int] = Field(
        description="Number of examples to learn from now, by label.",
        examples=[{"rose": 10, "none": 4}],
    )


class ExampleView(BaseModel):
    """A stored example."""

    id: str = Field(examples=["exm_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    label: str = Field(examples=["rose"])
    sha256: str = Field(description="SHA-256 of the picture as it was sent.")
    source: Literal["given", "review"] = Field(
        description="`review`: it comes from a person's review of an answer."
    )
    result_id: str | None = Field(
        description="Id of the reviewed result; also null unless an operator asks, as it may be "
        "another caller's.",
        examples=[None],
    )
    by: str | None = Field(
        description="Who gave the example, or reviewed the answer; null unless an operator asks.",
        examples=["anna"],
    )
    set_aside: str | None = Field(
        description="Why nothing is learned from it; null: it is learned from.", examples=[None]
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])

    @classmethod
    def of(cls, row: ExampleRow, *, operator: bool) -> Self:
        same = ("id", "label", "sha256", "source", "set_aside", "created_at")
        whose = {"result_id": row.result_id, "by": row.caller}
        return cls(
            **{name: getattr(row, name) for name in same},
            **(whose if operator else dict.fromkeys(whose)),
        )


class ExampleList(BaseModel):
    counts: dict[str, int] = Field(
        description="Number of examples to learn from, by label.",
        examples=[{"rose": 10, "none": 4}],
    )
    set_aside: int = Field(
        description="Number of examples that are not learned from.", examples=[0]
    )
    examples: list[ExampleView] = Field(description="Examples, the newest first.")
    next_cursor: NextCursor


def _request_body() -> dict[str, Any]:
    form = described(ExampleForm)
    form["properties"] = {
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Pictures of `label`, and ZIPs with a folder for each label.",
        },
        **form["properties"],
    }
    form["required"] = ["file"]
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": described(ExampleJson)},
        },
    }


@router.post("", openapi_extra={"requestBody": _request_body()})
@Raises(
    *(ArchiveRefused, LabelNotInDomain, Overloaded, UnsupportedContentType),
    *(ImageHarmful, ImageTooLarge, ImageUnreadable, UrlRefused, UrlTooLarge, UrlUnreachable),
)
async def add_examples(
    name: DomainName, request: Request, parts: Joined, operator: Operator
) -> ExamplesTaken:
    """Add pictures whose class is known. If a picture is already known, its newest label counts.
    Pictures that can't be read are reported, and do not hold up the others. The next lesson learns
    from them."""
    domain = await parts.domains.find(name)
    if body_kind(request) == "form":
        async with _read_form(request, domain, parts) as rows:
            taken, refused = await _take(parts, domain, rows, operator.name)
    else:
        data = await json_with_picture(request, max_picture=parts.settings.max_upload)
        label, source = _source_of(validated(ExampleJson, data), domain)
        seen = await parts.collecting.see(source, domain)
        kept = await parts.collecting.keep(domain, label, seen, caller=operator.name)
        taken, refused = [TakenExample.of(kept)], []
    counts = await parts.examples.counts(name)
    return ExamplesTaken(examples=taken, refused=refused, counts=counts)


async def _take(
    parts: Parts, domain: Domain, rows: Iterable[Row | Unusable], caller: str
) -> tuple[list[TakenExample], list[RefusedExample]]:
    taken, refused = [], []
    async for row, seen in see_all(parts.collecting, domain, rows):
        if isinstance(seen, ClassifierError):
            refused.append(RefusedExample(place=row.place, type=seen.type(), detail=str(seen)))
        elif isinstance(row, Row) and row.expected is not None:
            kept = await parts.collecting.keep(domain, row.expected, seen, caller=caller)
            taken.append(TakenExample.of(kept))
    return taken, refused


@asynccontextmanager
async def _read_form(
    request: Request, domain: Domain, parts: Parts
) -> AsyncIterator[Iterator[Row | Unusable]]:
    async with read_form(request, max_files=MAX_FILES) as form:
        label = validated(ExampleForm, filled(form)).label
        check_label(label, domain)
        files = files_of(form)
        if not files:
            raise InvalidRequest("file: at least one file is needed.")
        yield _rows(files, label, domain, parts)


def _rows(
    files: Sequence[UploadFile], label: str | None, domain: Domain, parts: Parts
) -> Iterator[Row | Unusable]:
    reader = Files.of(parts.settings, domain)
    found = chain.from_iterable(reader.rows(each.filename or "file", each.file) for each in files)
    for row in found:
        yield row if isinstance(row, Unusable) else _labelled(row, label)


def _labelled(row: Row, label: str | None) -> Row:
    """The row with its label; in a ZIP, the name of the folder takes precedence."""
    return Row(row.place, row.picture, expected=row.expected or label)


def _source_of(body: ExampleJson, domain: Domain) -> tuple[str, ImageSource]:
    check_label(body.label, domain)
    if len(body.sources) != 1:
        raise InvalidRequest("Send exactly one of image_url and image_base64.")
    return body.label, body.sources[0]


@router.get("")
@Raises(LabelNotInDomain)
async def list_examples(
    name: DomainName,
    parts: Joined,
    caller: Caller,
    label: Annotated[
        str | None, Query(description="Only examples of this label.", examples=["rose"])
    ] = None,
    set_aside: Annotated[
        bool | None,
        Query(description="True: only examples that are not learned from; false: only the others."),
    ] = None,
    cursor: Annotated[
        str | None,
        Query(pattern=EXAMPLE_PATTERN, description="`next_cursor` of the previous page."),
    ] = None,
    limit: Limit = 100,
) -> ExampleList:
    """List the examples, and how many there are of each label."""
    domain = await parts.domains.find(name)
    check_label(label, domain)
    rows = await parts.examples.page(
        name, label=label, set_aside=set_aside, before=cursor, limit=limit + 1
    )
    page, last = cut(rows, limit)
    return ExampleList(
        counts=await parts.examples.counts(name),
        set_aside=(await parts.examples.aside()).get(name, 0),
        examples=[ExampleView.of(row, operator=caller.admin) for row in page],
        next_cursor=last.id if last else None,
    )


@router.delete("/{example_id}", status_code=204)
async def delete_example(
    name: DomainName, example_id: ExampleId, parts: Joined, operator: Operator
) -> None:
    """Delete an example. What was learned from it stays until the next lesson."""
    await parts.domains.find(name)
    await parts.examples.delete(name, example_id, by=operator.by)
