"""`POST /classify`: which class does this picture show?"""

import json
import re
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from starlette.datastructures import FormData

from app.api.context import SMALL_BODY
from app.api.dependencies import Caller, IdempotencyKey, Joined
from app.api.forms import (
    MAX_FIELDS,
    described,
    parse_json,
    parsed_json,
    read_form,
    texts,
    validated,
)
from app.api.prediction_sets import Coverage, ResultWithSet, with_set
from app.api.problems import BODY_TOO_LARGE
from app.classification import Question
from app.errors import (
    InvalidRequest,
    MetadataTooLarge,
    UnsupportedContentType,
    UploadTooLarge,
)
from app.images import Base64Text, ImageSource, Upload, Url
from app.result import MAX_METADATA, Result
from app.telemetry.trace import current, named, told

router = APIRouter(tags=["classify"])


class ClassifyOptions(BaseModel):
    """What goes with a picture."""

    model_config = ConfigDict(extra="forbid")
    domain: str = Field(description="Name of the domain.", examples=["flowers"])
    expected: str | None = Field(
        None, description="The true class where it is known; feeds accuracy.", examples=["rose"]
    )
    metadata: dict[str, JsonValue] | None = Field(
        None,
        description=f"Kept with the result, at most {MAX_METADATA:,} bytes; JSON text in a form.",
        examples=[{"order": "A-17"}],
    )
    provider: str | None = Field(
        None, description="Who shall answer instead of the domain's providers.", examples=["local"]
    )
    callback_url: str | None = Field(
        None,
        description="Told `result.created` when there is an answer, signed with the service's "
        "WEBHOOK_SECRET: docs/webhooks.md. The answer to the request is 202 then.",
        examples=[None],
    )


class ClassifyJson(ClassifyOptions):
    """Exactly one of `image_url` and `image_base64`."""

    image_url: str | None = Field(
        None, description="Fetched by the service.", examples=["https://example.org/rose.jpg"]
    )
    image_base64: str | None = Field(
        None, description="Base64, or a `data:image/...;base64,` URL.", examples=[None]
    )


class ClassifyForm(ClassifyJson):
    """A form's text fields, where metadata is JSON text."""

    @model_validator(mode="before")
    @classmethod
    def _parse_metadata(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if text := fields.get("metadata"):
            fields["metadata"] = parse_json(text.encode(), "metadata")
        # Swagger UI sends what was left empty as an empty text.
        return {name: value for name, value in fields.items() if value != ""}


def _request_body() -> dict[str, Any]:
    form = described(ClassifyOptions)
    for name in form["properties"].keys() - set(form["required"]):
        # Swagger UI fills examples in, and sends them when nobody looks: a wrong `expected`.
        form["properties"][name]["examples"] = [""]
    form["properties"] = {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "The picture: JPEG, PNG, WebP, GIF, BMP or TIFF.",
        },
        **form["properties"],
    }
    form["required"] = ["file", "domain"]
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": described(ClassifyJson)},
        },
    }


@router.post(
    "/classify",
    response_model=ResultWithSet,
    responses={202: {"model": ResultWithSet, "description": "Accepted; see `Location`."}},
    openapi_extra={"requestBody": _request_body()},
)
async def classify(
    request: Request,
    response: Response,
    parts: Joined,
    caller: Caller,
    prefer: Annotated[
        str | None,
        Header(description="`respond-async`: answer 202 at once.", examples=["respond-async"]),
    ] = None,
    cache_control: Annotated[
        str | None,
        Header(
            description="`no-cache`: no answer that was given before will do.",
            examples=["no-cache"],
        ),
    ] = None,
    idempotency_key: IdempotencyKey = None,
    coverage: Coverage = None,
) -> ResultWithSet:
    """Classify one picture: an upload, a URL, or base64.

    Answers with the stored result. With `Prefer: respond-async`, or a `callback_url`, the answer is
    202 and the result, still pending, is found at `Location`: `coverage` is asked for there.
    """
    question = await _read_question(request, caller.name)
    if question.callback_url is not None:
        place = await parts.webhooks.use_callback(caller.name, question.callback_url)
        question = replace(question, callback_url=place)
    if cache_control and re.search(r"\bno-(cache|store)\b", cache_control, re.IGNORECASE):
        question = replace(question, fresh=True)
    preferred = _wants_async(prefer)
    later = preferred or question.callback_url is not None

    is_replayed = True

    async def answer(result_id: str | None = None) -> Result:
        nonlocal is_replayed
        is_replayed = False
        if later:
            return await parts.accepting.accept(question, result_id=result_id)
        return await parts.classification.classify(question, result_id=result_id)

    if idempotency_key is None:
        result = await answer()
    else:
        result = await parts.once.answer(idempotency_key, question, answer)
    if is_replayed:
        current().tell(**named(result), replayed=True)
    elif later:
        current().tell(**told(result))
    if later:
        response.status_code = 202
        response.headers["Location"] = f"/results/{result.id}"
    if preferred:
        response.headers["Preference-Applied"] = "respond-async"
    return await with_set(result, coverage, parts.calibrations)


def _wants_async(prefer: str | None) -> bool:
    return (
        prefer is not None and re.search(r"(^|[,;\s])respond-async($|[,;\s])", prefer) is not None
    )


async def _read_question(request: Request, caller: str) -> Question:
    """Raises InvalidRequest and the like: whatever is wrong with the form of the request."""
    body: ClassifyJson
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        upload, body = await _read_form(request)
    elif kind == "application/json" or kind.endswith("+json"):
        # Not request.body(), which would be kept until the answer.
        content = b"".join([each async for each in request.stream()])
        if _beside_base64(content) > SMALL_BODY:
            raise UploadTooLarge(BODY_TOO_LARGE)
        # A picture as base64 takes longer to parse than the event loop may be held up.
        data = await parsed_json(content, "body")
        if isinstance(data, dict) and len(data) > MAX_FIELDS:
            raise InvalidRequest(f"body: has more than {MAX_FIELDS} keys.")
        upload, body = None, validated(ClassifyJson, data)
    else:
        raise UnsupportedContentType("Send multipart/form-data or application/json.")
    if body.metadata is not None:
        _check_metadata(body.metadata)
    return Question(
        source=_only_source(upload, body),
        domain=body.domain,
        caller=caller,
        provider=body.provider,
        expected=body.expected,
        metadata=body.metadata,
        callback_url=body.callback_url,
    )


def _beside_base64(body: bytes) -> int:
    """Bytes of a JSON body without its picture: what takes time to parse for its length. Base64
    holds no quotation mark, so a text ends at the next one."""
    key = body.find(b'"image_base64"')
    start = body.find(b'"', key + len(b'"image_base64"')) if key >= 0 else -1
    end = body.find(b'"', start + 1) if start >= 0 else -1
    return len(body) - max(0, end - start)


def _check_metadata(metadata: dict[str, JsonValue]) -> None:
    try:
        text = json.dumps(metadata, allow_nan=False)
    except ValueError:
        # 1e999 is well-formed and still no number.
        raise InvalidRequest("metadata: holds a number that is not finite.") from None
    if len(text) > MAX_METADATA:
        raise MetadataTooLarge(f"The metadata is larger than {MAX_METADATA:,} bytes.")


async def _read_form(request: Request) -> tuple[bytes | None, ClassifyForm]:
    async with read_form(request, max_files=1) as form:
        return await _upload(form), validated(ClassifyForm, texts(form))


async def _upload(form: FormData) -> bytes | None:
    files = form.getlist("file")
    if len(files) > 1:
        raise InvalidRequest("file: is there twice.")
    for file in files:
        if isinstance(file, str):
            raise InvalidRequest("file: must be a file, not text.")
        return await file.read()
    return None


def _only_source(upload: bytes | None, body: ClassifyJson) -> ImageSource:
    sources: list[ImageSource] = []
    if upload is not None:
        sources.append(Upload(upload))
    if body.image_url is not None:
        sources.append(Url(body.image_url))
    if body.image_base64 is not None:
        sources.append(Base64Text(body.image_base64))
    if len(sources) != 1:
        raise InvalidRequest(
            "Send exactly one picture: `file` in a form, or `image_url` or `image_base64`."
        )
    return sources[0]
