"""Reads a request for a new batch: a list, files, or where the files are."""

import functools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any, Self

from fastapi import Request
from pydantic import Field, model_validator
from starlette.datastructures import UploadFile

from app.api.forms import (
    body_kind,
    described,
    files_of,
    filled,
    parsed_json,
    read_form,
    read_json,
    validated,
)
from app.batches import BatchOptions, Files, ManifestRow, Row, Unusable, read_row, rows_at
from app.errors import BatchTooLarge, InvalidRequest, UploadTooLarge
from app.parts import Parts

MAX_JSON = 32_000_000
"""Bytes of a list of items as JSON; longer ones come as files."""
MAX_FILES = 10_000

MEBIBYTE = 1 << 20


class BatchForm(BatchOptions):
    """Options, and the source of the pictures if they are not in the form."""

    source: str | None = Field(
        None,
        description="Instead of pictures, a storage URI below `BATCH_SOURCES`: a folder, a list, a "
        "ZIP or a picture.",
        examples=["s3://bucket/folder/"],
    )

    @property
    def options(self) -> BatchOptions:
        return BatchOptions(**self.model_dump(include=set(BatchOptions.model_fields)))


class BatchJson(BatchForm):
    """A list of pictures by URL, or the storage URI of the pictures."""

    items: list[Any] | None = Field(
        None, min_length=1, description="The pictures, one object each, as in the rows of a list."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.items is None) == (self.source is None):
            raise ValueError("either items or source is needed")
        return self


@dataclass(frozen=True, slots=True)
class Sent:
    """
    Attributes:
        fingerprint: SHA-256 over everything that must match in a repeated request; it reads all
            of that, so it is called in a thread.
        threads: the threads in which to read the rows; None: the event loop's own.
    """

    options: BatchOptions
    rows: Iterable[Row | Unusable]
    fingerprint: Callable[[], str]
    threads: Executor | None = None


def request_body() -> dict[str, Any]:
    form = described(BatchForm)
    form["properties"] = {
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Pictures, ZIPs of pictures, JSON Lines (`.jsonl`) and CSV (`.csv`).",
        },
        **form["properties"],
    }
    listed = described(BatchJson)
    listed["properties"]["items"]["anyOf"][0]["items"] = described(ManifestRow)
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": listed},
        },
    }


@asynccontextmanager
async def read_batch(request: Request, parts: Parts) -> AsyncIterator[Sent]:
    """The rows can be read within this context. Raises InvalidRequest, BatchTooLarge,
    UnsupportedContentType, DomainNotFound."""
    if body_kind(request) == "form":
        async with read_form(request, max_files=MAX_FILES) as form:
            body = validated(BatchForm, filled(form))
            yield await _of_form(body, files_of(form), parts)
    else:
        yield await _of_json(await _content(request), parts)


async def _content(request: Request) -> bytes:
    try:
        return await read_json(request, most=MAX_JSON)
    except UploadTooLarge:
        raise BatchTooLarge("The list is too long for JSON: send it as a file.") from None


async def _of_json(content: bytes, parts: Parts) -> Sent:
    body = validated(BatchJson, await parsed_json(content, "body"))
    options = body.options

    def fingerprint() -> str:
        digest = sha256(body.model_dump_json(exclude={"dry_run", "items"}).encode())
        for each in body.items or ():  # one by one, or other requests would wait for a long list
            digest.update(json.dumps(each, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    if body.source is not None:
        return await _of_source(body.source, options, fingerprint, parts)
    rows = (
        read_row(f"item {number}", each, domain=options.domain)
        for number, each in enumerate(body.items or ())
    )
    return Sent(options, rows, fingerprint)


async def _of_form(body: BatchForm, files: Sequence[UploadFile], parts: Parts) -> Sent:
    fingerprint = functools.partial(_fingerprint, body, files)
    if bool(files) == (body.source is not None):
        raise InvalidRequest("Either file or source is needed.")
    if body.source is not None:
        return await _of_source(body.source, body.options, fingerprint, parts)
    reader = await _reader(body.options, parts)
    rows = chain.from_iterable(reader.rows(each.filename or "file", each.file) for each in files)
    return Sent(body.options, rows, fingerprint)


async def _of_source(
    uri: str, options: BatchOptions, fingerprint: Callable[[], str], parts: Parts
) -> Sent:
    rows = rows_at(uri, parts.objects, await _reader(options, parts))
    return Sent(options, rows, fingerprint, parts.objects.threads)


async def _reader(options: BatchOptions, parts: Parts) -> Files:
    domain = await parts.domains.find(options.domain)
    return Files.of(parts.settings, domain, expected_column=options.expected_column)


def _fingerprint(body: BatchForm, files: Sequence[UploadFile]) -> str:
    digest = sha256(body.model_dump_json(exclude={"dry_run"}).encode())
    for each in files:
        digest.update(f"\n{each.filename}\n".encode())
        while chunk := each.file.read(MEBIBYTE):
            digest.update(chunk)
        each.file.seek(0)
    return digest.hexdigest()
