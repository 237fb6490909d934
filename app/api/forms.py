"""Reads request bodies by hand, strictly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import Any, Literal, TypeVar

import pydantic_core
from fastapi import Request
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from app.api.one_file_form import OneFileParser
from app.api.problems import BODY_TOO_LARGE
from app.errors import InvalidRequest, UnsupportedContentType, UploadTooLarge
from app.images import Base64Text, ImageSource, Url

MAX_FIELDS = 20
IN_MEMORY = 1 << 20
"""Bytes of a form of many files that are held in memory; a larger form goes to the disk."""
SMALL_BODY = 256_000
"""Bytes of a body without a picture: a domain of 500 described classes takes half of them."""

T = TypeVar("T", bound=BaseModel)


class PictureJson(BaseModel):
    """A picture in a JSON body."""

    image_url: str | None = Field(
        None,
        description="URL of the picture, which the service fetches.",
        examples=["https://example.org/rose.jpg"],
    )
    image_base64: str | None = Field(
        None,
        description="The picture in base64, or as a `data:image/...;base64,` URL.",
        examples=[None],
    )

    @property
    def sources(self) -> list[ImageSource]:
        """What was given; callers want exactly one."""
        url = [] if self.image_url is None else [Url(self.image_url)]
        text = [] if self.image_base64 is None else [Base64Text(self.image_base64)]
        return [*url, *text]


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a body that is read by hand, for OpenAPI; `openapi.document` moves the contents
    of its `$defs` to where its references point."""
    return model.model_json_schema(ref_template="#/components/schemas/{model}")


@asynccontextmanager
async def read_form(request: Request, *, max_files: int) -> AsyncIterator[FormData]:
    """The form, whose files are open within this context. Raises InvalidRequest for what is no
    form."""
    async with AsyncExitStack() as open_files:
        try:
            if max_files > 1:
                whole = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - in a thread
                open_files.push_async_callback(asyncio.to_thread, whole.close)
                form = await OneFileParser(request, whole, max_files, MAX_FIELDS).parse()
            else:
                form = await request.form(max_files=max_files, max_fields=MAX_FIELDS)
                open_files.push_async_callback(form.close)
        except MultiPartException as error:
            raise InvalidRequest(f"The form can't be read: {error.message}") from error
        except HTTPException as error:
            if error.status_code != 400:
                raise
            raise InvalidRequest(f"The form can't be read: {error.detail}") from error
        except (UnicodeError, LookupError):
            raise InvalidRequest(
                "The form's text is in a character set that can't be read."
            ) from None
        yield form


def texts(form: FormData) -> dict[str, Any]:
    """All fields except `file`. Raises InvalidRequest for files in other fields, and for a field
    that is there twice."""
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name == "file":
            continue
        if isinstance(value, UploadFile):
            raise InvalidRequest(f"{name[:64]}: files go into the field `file`.")
        if name in found:
            raise InvalidRequest(f"{name[:64]}: is there twice.")
        found[name] = value
    return found


def body_kind(request: Request) -> Literal["form", "json"]:
    """Raises UnsupportedContentType."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return "form"
    if kind == "application/json" or kind.endswith("+json"):
        return "json"
    raise UnsupportedContentType("Send multipart/form-data or application/json.")


async def read_json(request: Request, *, most: int) -> bytes:
    """The body, which request.body() would hold until the answer. Raises UploadTooLarge."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise UploadTooLarge(BODY_TOO_LARGE)
    return bytes(content)


async def json_with_picture(request: Request, *, max_picture: int) -> Any:
    """A JSON body whose `image_base64` holds at most `max_picture` bytes, and whose rest is small.
    Raises UploadTooLarge, InvalidRequest."""
    content = await read_json(request, most=base64_length(max_picture) + SMALL_BODY)
    if _beside_base64(content) > SMALL_BODY:
        raise UploadTooLarge(BODY_TOO_LARGE)
    return await parsed_json(content, "body")


def base64_length(size: int) -> int:
    return 4 * -(-size // 3)


def _beside_base64(body: bytes) -> int:
    """Bytes of a JSON body without its picture: the part that takes long to parse for its length.
    Base64 contains no quotation mark, so the text ends at the next one."""
    key = body.find(b'"image_base64"')
    start = body.find(b'"', key + len(b'"image_base64"')) if key >= 0 else -1
    end = body.find(b'"', start + 1) if start >= 0 else -1
    return len(body) - max(0, end - start)


def files_of(form: FormData) -> list[UploadFile]:
    """Raises InvalidRequest for a `file` that is text. An empty one is ignored: Swagger UI sends it
    where none was chosen."""
    files = [each for each in form.getlist("file") if each != ""]
    if not all(isinstance(each, UploadFile) for each in files):
        raise InvalidRequest("file: must be a file, not text.")
    return [each for each in files if isinstance(each, UploadFile)]


def filled(form: FormData) -> dict[str, Any]:
    """`texts` without empty ones: Swagger UI sends fields that were left empty as such."""
    return {name: value for name, value in texts(form).items() if value != ""}


async def parsed_json(data: bytes, what: str) -> Any:
    """Parsed strictly: no NaN, no infinity; in a thread, because it may be long. Raises
    InvalidRequest."""
    return await asyncio.to_thread(parse_json, data, what)


def parse_json(data: bytes, what: str) -> Any:
    try:
        return pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"{what}: not valid JSON: {error}") from None


def validated(model: type[T], data: Any, *place: str) -> T:
    """Raises InvalidRequest, which names each wrong field; `place` is where `data` is in the
    body."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = [{**each, "loc": (*place, *each["loc"])} for each in error.errors()]
        raise InvalidRequest.of(wrong) from None
