"""`POST /classify`: which class does this picture show?"""

import re
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from starlette.datastructures import FormData

from app.api.dependencies import Caller, IdempotencyKey, Joined
from app.api.forms import (
    MAX_FIELDS,
    PictureJson,
    body_kind,
    described,
    files_of,
    json_with_picture,
    parse_json,
    read_form,
    texts,
    validated,
)
from app.api.prediction_sets import Coverage, ResultWithSet, with_set
from app.api.problems import PROBLEMS
from app.api.raising import Raises
from app.classification import Question
from app.errors import (
    BudgetSpent,
    DomainNotFound,
    IdempotencyKeyInUse,
    ImageHarmful,
    ImageRejected,
    ImageTooLarge,
    ImageUnreadable,
    Interrupted,
    InvalidRequest,
    LabelNotInDomain,
    MetadataTooLarge,
    Overloaded,
    PriceUnknown,
    ProviderError,
    ProviderUnknown,
    UnsupportedContentType,
    UrlRefused,
    UrlTooLarge,
    UrlUnreachable,
)
from app.images import ImageSource, Upload
from app.result import MAX_METADATA, Result, check_metadata
from app.telemetry.trace import current, named, told

router = APIRouter(tags=["classify"])


class ClassifyOptions(BaseModel):
    """Options that are sent with a picture."""

    model_config = ConfigDict(extra="forbid")
    domain: str = Field(description="Name of the domain.", examples=["flowers"])
    expected: str | None = Field(
        None, description="The true class, if known; counts towards accuracy.", examples=["rose"]
    )
    metadata: dict[str, JsonValue] | None = Field(
        None,
        description=f"Stored with the result, at most {MAX_METADATA:,} bytes; JSON text in a form.",
        examples=[{"order": "A-17"}],
    )
    provider: str | None = Field(
        None, description="Provider to ask instead of the domain's providers.", examples=["local"]
    )
    callback_url: str | None = Field(
        None,
        description="URL that is sent `result.created` when the answer is there, signed with the "
        "service's WEBHOOK_SECRET: docs/webhooks.md. The response is then 202.",
        examples=[None],
    )


class ClassifyJson(ClassifyOptions, PictureJson):
    """Options, and a picture: exactly one of `image_url` and `image_base64`."""


class ClassifyForm(ClassifyJson):
    """A form's text fields, where metadata is JSON text."""

    @model_validator(mode="before")
    @classmethod
    def _parse_metadata(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if text := fields.get("metadata"):
            fields["metadata"] = parse_json(text.encode(), "metadata")
        # Swagger UI sends a field that was left empty as an empty text.
        return {name: value for name, value in fields.items() if value != ""}


def _request_body() -> dict[str, Any]:
    form = described(ClassifyOptions)
    for name in form["properties"].keys() - set(form["required"]):
        # Swagger UI fills in examples, and sends them if nobody looks: `expected` would be wrong.
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
@Raises(
    *(DomainNotFound, IdempotencyKeyInUse, LabelNotInDomain, MetadataTooLarge, ProviderUnknown),
    *(UnsupportedContentType, UrlRefused, UrlTooLarge, UrlUnreachable),
    *(ImageHarmful, ImageRejected, ImageTooLarge, ImageUnreadable),
    *(BudgetSpent, Interrupted, Overloaded, PriceUnknown),
    *(each for each in PROBLEMS if issubclass(each, ProviderError)),
)
async def classify(
    request: Request,
    response: Response,
    parts: Joined,
    caller: Caller,
    prefer: Annotated[
        str | None,
        Header(
            description="`respond-async`: respond with 202 at once.", examples=["respond-async"]
        ),
    ] = None,
    cache_control: Annotated[
        str | None,
        Header(
            description="`no-cache`: use no earlier answer.",
            examples=["no-cache"],
        ),
    ] = None,
    idempotency_key: IdempotencyKey = None,
    coverage: Coverage = None,
) -> ResultWithSet:
    """Classify one picture: an upload, a URL, or base64.

    The response is the stored result. With `Prefer: respond-async`, or a `callback_url`, it is 202
    and the result, still pending, is found at `Location`: pass `coverage` there.
    """
    question = await _read_question(request, caller.name, max_picture=parts.settings.max_upload)
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
    if later or result.is_pending:  # from an earlier request with this key
        response.status_code = 202
        response.headers["Location"] = f"/results/{result.id}"
    if preferred:
        response.headers["Preference-Applied"] = "respond-async"
    return await with_set(result, coverage, parts.calibrations)


def _wants_async(prefer: str | None) -> bool:
    return (
        prefer is not None and re.search(r"(^|[,;\s])respond-async($|[,;\s])", prefer) is not None
    )


async def _read_question(request: Request, caller: str, *, max_picture: int) -> Question:
    """Raises InvalidRequest and other errors about the form of the request."""
    body: ClassifyJson
    if body_kind(request) == "form":
        upload, body = await _read_form(request)
    else:
        data = await json_with_picture(request, max_picture=max_picture)
        if isinstance(data, dict) and len(data) > MAX_FIELDS:
            raise InvalidRequest(f"body: has more than {MAX_FIELDS} keys.")
        upload, body = None, validated(ClassifyJson, data)
    if body.metadata is not None:
        check_metadata(body.metadata)
    return Question(
        source=_only_source(upload, body),
        domain=body.domain,
        caller=caller,
        provider=body.provider,
        expected=body.expected,
        metadata=body.metadata,
        callback_url=body.callback_url,
    )


async def _read_form(request: Request) -> tuple[bytes | None, ClassifyForm]:
    async with read_form(request, max_files=1) as form:
        return await _upload(form), validated(ClassifyForm, texts(form))


async def _upload(form: FormData) -> bytes | None:
    files = files_of(form)
    if len(files) > 1:
        raise InvalidRequest("file: is there twice.")
    return await files[0].read() if files else None


def _only_source(upload: bytes | None, body: ClassifyJson) -> ImageSource:
    sources = body.sources
    if upload is not None:
        sources.append(Upload(upload))
    if len(sources) != 1:
        raise InvalidRequest(
            "Send exactly one picture: `file` in a form, or `image_url` or `image_base64`."
        )
    return sources[0]
