"""POST /classify with everything that can be wrong: told clearly, and nothing is stored."""

import asyncio
import base64
import hashlib
import json
from contextlib import suppress

import httpx2
import pytest

from app.errors import ConfigurationError
from tests.integration.calls import is_problem
from tests.loopback import loopback, redirect, reply
from tests.pictures import encoded, jpeg, photograph, png_that_claims

MAX_UPLOAD = 100_000
PICTURE = jpeg()
TEXT = base64.b64encode(PICTURE).decode()
PNG = encoded(photograph())
PAGES = {
    "/page.html": reply(b"<!doctype html><title>no picture</title>", "text/html"),
    "/private": redirect("http://10.0.0.1/rose.jpg"),
    "/other-port": redirect("http://127.0.0.1:1/rose.jpg"),
    "/gone.jpg": reply(b"", "text/plain", "404 Not Found"),
    "/large.jpg": reply(bytes(MAX_UPLOAD + 1)),
    "/rose.jpg": reply(PICTURE),
}


@pytest.fixture
async def web():
    async with loopback(PAGES) as served:
        yield served


@pytest.fixture
def settings(settings, web):
    return settings.model_copy(
        update={"egress_allow": (web.place, "gone.invalid"), "max_upload": MAX_UPLOAD}
    )


def form(picture: bytes | None = PICTURE, **fields) -> dict:
    """The arguments of a request with a form; a domain is in it unless it is None."""
    fields = {"domain": "flowers", **fields}
    files = [(name, (None, text)) for name, text in fields.items() if text is not None]
    if picture is not None:
        files.append(("file", ("rose.jpg", picture)))
    return {"files": files}


def body(**fields) -> dict:
    fields = {"domain": "flowers", "image_base64": TEXT, **fields}
    return {"json": {name: value for name, value in fields.items() if value is not None}}


def raw(content: str | bytes, kind: str = "application/json") -> dict:
    return {"content": content, "headers": {"content-type": kind}}


async def post(client, request: dict):
    return await client.post("/classify", **request)


async def nothing_is_stored(client) -> bool:
    listed = await client.get("/results")
    return listed.json() == {"results": [], "next_cursor": None}


BAD = {
    "no picture in a form": (form(None), 422, "invalid-request"),
    "no picture in JSON": (body(image_base64=None), 422, "invalid-request"),
    "file and URL": (form(image_url="https://example.com/"), 422, "invalid-request"),
    "file and base64": (form(image_base64=TEXT), 422, "invalid-request"),
    "URL and base64": (body(image_url="https://example.com/"), 422, "invalid-request"),
    "file field twice": (
        {"files": [*form()["files"], ("file", ("two.jpg", PICTURE))]},
        422,
        "invalid-request",
    ),
    "file as file and as text": (
        {"files": [("file", (None, "rose.jpg")), *form()["files"]]},
        422,
        "invalid-request",
    ),
    "file as text": (form(None, file="rose.jpg"), 422, "invalid-request"),
    "file in another field": (
        {"files": [*form(None)["files"], ("image", ("rose.jpg", PICTURE))]},
        422,
        "invalid-request",
    ),
    "field twice": (
        {"files": [*form()["files"], ("domain", (None, "animals"))]},
        422,
        "invalid-request",
    ),
    "too many fields": (form(**{f"x{n}": "1" for n in range(25)}), 422, "invalid-request"),
    "empty file": (form(b""), 422, "image-unreadable"),
    "text that is named jpg": (form(b"hello, I am a rose"), 422, "image-unreadable"),
    "SVG": (form(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), 422, "image-unreadable"),
    "half a JPEG": (form(PICTURE[: len(PICTURE) // 2]), 422, "image-unreadable"),
    "half a PNG": (form(PNG[: len(PNG) // 2]), 422, "image-unreadable"),
    "too many pixels": (form(png_that_claims(6_000, 6_000)), 422, "image-too-large"),
    "empty URL": (body(image_base64=None, image_url=""), 422, "url-refused"),
    "URL with credentials": (
        body(image_base64=None, image_url="https://me:secret@example.com/"),
        422,
        "url-refused",
    ),
    "URL to the loopback": (
        body(image_base64=None, image_url="http://127.0.0.1/"),
        422,
        "url-refused",
    ),
    "URL that is none": (body(image_base64=None, image_url="rose.jpg"), 422, "url-refused"),
    "URL of a file": (body(image_base64=None, image_url="file:///etc/passwd"), 422, "url-refused"),
    "broken base64": (body(image_base64="not base64!"), 422, "invalid-request"),
    "base64 with a wrong end": (body(image_base64=TEXT[:-3]), 422, "invalid-request"),
    "base64 of nothing": (body(image_base64=""), 422, "image-unreadable"),
    "data URL of text": (
        body(image_base64=f"data:text/plain;base64,{TEXT}"),
        422,
        "invalid-request",
    ),
    "data URL without base64": (
        body(image_base64=f"data:image/png,{TEXT}"),
        422,
        "invalid-request",
    ),
    "file over the limit": (form(bytes(MAX_UPLOAD + 1)), 413, "upload-too-large"),
    "base64 over the limit": (
        body(image_base64=base64.b64encode(bytes(MAX_UPLOAD + 1)).decode()),
        413,
        "upload-too-large",
    ),
    "body over the limit": (form(bytes(5 * MAX_UPLOAD)), 413, "upload-too-large"),
    "no domain in a form": (form(domain=None), 422, "invalid-request"),
    "no domain in JSON": (body(domain=None), 422, "invalid-request"),
    "empty domain in a form": (form(domain=""), 422, "invalid-request"),
    "unknown option in a form": (form(confidence="1"), 422, "invalid-request"),
    "unknown option in JSON": (body(confidence=1), 422, "invalid-request"),
    "option of a wrong type": (body(expected=["rose"]), 422, "invalid-request"),
    "unknown label": (form(expected="cat"), 422, "label-not-in-domain"),
    "unknown provider": (body(provider="crystal-ball"), 422, "provider-unknown"),
    "provider that is not configured": (
        body(provider="azure_openai"),
        422,
        "provider-unknown",
    ),
    "metadata too large": (body(metadata={"x": "y" * 20_000}), 422, "metadata-too-large"),
    "metadata too large in a form": (
        form(metadata=json.dumps({"x": "y" * 20_000})),
        422,
        "metadata-too-large",
    ),
    "metadata that is no object": (body(metadata=["a"]), 422, "invalid-request"),
    "metadata that is no JSON": (form(metadata="order A-17"), 422, "invalid-request"),
    "metadata that is no object in a form": (form(metadata="[1]"), 422, "invalid-request"),
    "NaN in the metadata of a form": (form(metadata='{"x": NaN}'), 422, "invalid-request"),
    "callback": (
        body(callback_url="http://example.com/hook"),
        422,
        "url-refused",
    ),
    "wrong content type": (raw(PICTURE, "image/jpeg"), 415, "unsupported-content-type"),
    "urlencoded form": ({"data": {"domain": "flowers"}}, 415, "unsupported-content-type"),
    "no content type": ({"content": PICTURE}, 415, "unsupported-content-type"),
    "no body": ({}, 415, "unsupported-content-type"),
    "broken JSON": (raw('{"domain": "flowers"'), 422, "invalid-request"),
    "empty JSON": (raw(""), 422, "invalid-request"),
    "JSON that is no object": (raw("[]"), 422, "invalid-request"),
    "JSON that is not UTF-8": (raw(b'{"domain": "\xff"}'), 422, "invalid-request"),
    "NaN in JSON": (
        raw(f'{{"domain": "flowers", "image_base64": "{TEXT}", "metadata": {{"x": NaN}}}}'),
        422,
        "invalid-request",
    ),
    "a number that is infinite": (
        raw(f'{{"domain": "flowers", "image_base64": "{TEXT}", "metadata": {{"x": 1e999}}}}'),
        422,
        "invalid-request",
    ),
    "form without a boundary": (raw(b"--x", "multipart/form-data"), 422, "invalid-request"),
    "form that is none": (raw(b"x", "multipart/form-data; boundary=x"), 422, "invalid-request"),
    "form cut off": (
        raw(
            b'--x\r\nContent-Disposition: form-data; name="domain"\r\n\r\nflow',
            "multipart/form-data; boundary=x",
        ),
        422,
        "invalid-request",
    ),
    "form in a character set that can't be": (
        raw(
            b'--x\r\nContent-Disposition: form-data; name="domain"\r\n\r\nflowers\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=undefined",
        ),
        422,
        "invalid-request",
    ),
    "field name that is no text": (
        raw(
            b'--x\r\nContent-Disposition: form-data; name="+2AA-"\r\n\r\n1\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=utf-7",
        ),
        422,
        "invalid-request",
    ),
}


@pytest.mark.parametrize(("request_", "status", "slug"), BAD.values(), ids=BAD)
async def test_a_wrong_request_is_refused_and_leaves_nothing(client, request_, status, slug):
    """A problem that says what is wrong, with a request id, and no row."""
    answer = await post(client, request_)

    assert is_problem(answer, status, slug)
    assert await nothing_is_stored(client)


@pytest.mark.parametrize(
    "case", ["empty file", "half a JPEG", "unknown label", "no domain in JSON"]
)
async def test_a_wrong_request_is_refused_at_once_also_when_the_answer_may_come_later(client, case):
    """What can be said at once is: no 202 for it."""
    request, status, slug = BAD[case]

    answer = await post(client, {**request, "headers": {"prefer": "respond-async"}})

    assert is_problem(answer, status, slug)
    assert await nothing_is_stored(client)


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("/page.html", "image-unreadable"),
        ("/private", "url-refused"),
        ("/other-port", "url-refused"),
        ("/gone.jpg", "url-unreachable"),
        ("/large.jpg", "url-too-large"),
    ],
)
async def test_a_url_that_leads_to_no_picture_is_refused(client, web, path, slug):
    """What is there is no picture, too large, or somewhere that may not be asked."""
    answer = await post(client, body(image_base64=None, image_url=web.url(path)))

    assert is_problem(answer, 422, slug)
    assert await nothing_is_stored(client)
    assert web.asked == [path]


async def test_a_name_that_does_not_resolve_is_told(client):
    """The resolver says there is no such name, or, without a network, that it can't tell."""
    answer = await post(client, body(image_base64=None, image_url="http://gone.invalid/a.jpg"))

    refused = answer.json()["type"] == "/problems/url-refused"
    assert is_problem(answer, 422, "url-refused" if refused else "url-unreachable")
    assert "gone.invalid" in answer.json()["detail"]
    assert await nothing_is_stored(client)


async def chunks(data: bytes):
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_a_chunked_body_over_the_limit_is_cut_off(client, kind):
    """Without a content-length the bytes are counted as they come."""
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    sent = []

    async def endless():
        async for chunk in chunks(start + bytes(10 * MAX_UPLOAD)):
            sent.append(len(chunk))
            yield chunk

    answer = await client.post("/classify", content=endless(), headers={"content-type": kind})

    assert is_problem(answer, 413, "upload-too-large")
    assert sum(sent) < 3 * MAX_UPLOAD
    assert await nothing_is_stored(client)


async def test_a_client_that_asks_first_is_refused_unread(client):
    """`Expect: 100-continue`, as curl sends it with large bodies."""
    read = []

    async def content():
        read.append(1)
        yield b"{}"

    answer = await client.post(
        "/classify",
        content=content(),
        headers={
            "content-type": "application/json",
            "content-length": "999999999",
            "expect": "100-continue",
        },
    )

    assert is_problem(answer, 413, "upload-too-large")
    assert answer.headers["connection"] == "close"
    assert read == []


@pytest.mark.parametrize("megabytes", [30, 60])
async def test_a_client_that_just_sends_too_much_sees_why_it_is_refused(start_service, megabytes):
    """Over a real connection: not a reset in the middle of its sending."""
    service = start_service()
    async with httpx2.AsyncClient(base_url=service.url, timeout=30) as http:
        answer = await http.post(
            "/classify",
            data={"domain": "flowers"},
            files={"file": ("a.jpg", bytes(megabytes * 1_000_000))},
        )

    assert is_problem(answer, 413, "upload-too-large")


async def test_an_unknown_domain_is_told_with_the_known_ones(client):
    answer = await post(client, form(domain="flours"))

    assert is_problem(answer, 404, "domain-not-found")
    assert "animals, flowers, objects" in answer.json()["detail"]
    assert await nothing_is_stored(client)


async def test_an_unknown_label_is_told_with_the_classes(client):
    answer = await post(client, form(expected="cat"))

    assert "dandelion, rose, sunflower, daisy" in answer.json()["detail"]


async def test_a_wrong_field_is_named(client):
    """By its path, so that a program can show it beside the field."""
    answer = await post(client, body(expected=7, colour="red"))

    assert {each["field"] for each in answer.json()["errors"]} == {"expected", "colour"}


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "schlüssel".encode()])
async def test_a_malformed_idempotency_key_is_refused(client, key):
    answer = await client.post("/classify", **body(), headers={"idempotency-key": key})

    assert is_problem(answer, 422, "invalid-request")
    assert await nothing_is_stored(client)


async def test_a_mistake_of_the_service_is_a_problem_too(client, parts, monkeypatch):
    """500 with a request id to ask the operator about, and without the error's own text."""

    async def mistake(*_, **__):
        raise RuntimeError("the secret is 4711")

    monkeypatch.setattr(type(parts.classification), "classify", mistake)
    answer = await post(client, form())

    assert is_problem(answer, 500, "internal-error")
    assert "4711" not in answer.text


@pytest.mark.parametrize("path", ["/nothing", "/results/x/y", "/classify/x", "/domains/a/b"])
async def test_an_unknown_path_is_a_problem(client, path):
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]


async def test_an_unknown_method_is_a_problem(client):
    answer = await client.get("/classify")

    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == "POST"


async def test_all_methods_of_a_path_are_told(client):
    answer = await client.put("/domains/flowers/examples")

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}


@pytest.mark.parametrize("content", [b"{", b"\xff{}", b'{"label": "\xff"}'])
async def test_a_body_that_is_no_json_is_a_problem(client, content):
    """Also where the framework reads it."""
    path = "/results/cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9/expected"
    answer = await client.put(path, **raw(content))

    assert is_problem(answer, 422, "invalid-request")


RIGHT = {
    "data URL": body(image_base64=f"data:image/jpeg;base64,{TEXT}"),
    "data URL in capitals with a parameter": body(
        image_base64=f"DATA:Image/JPEG;charset=utf-8;BASE64,{TEXT}"
    ),
    "base64 in lines": body(image_base64=base64.encodebytes(PICTURE).decode()),
    "base64 in lines of a mail": body(
        image_base64=base64.encodebytes(PICTURE).decode().replace("\n", "\r\n")
    ),
    "content type in capitals": raw(json.dumps(body()["json"]), "Application/JSON; charset=utf-8"),
    "vendor's JSON": raw(json.dumps(body()["json"]), "application/vnd.acme+json"),
    "empty fields of a form": form(
        expected="", metadata="", provider="", callback_url="", image_url="", image_base64=""
    ),
    "a URL in a form": form(None, image_base64=TEXT),
    "nulls in JSON": {"json": {**body()["json"], "expected": None, "image_url": None}},
    "the largest picture": form(PICTURE + bytes(MAX_UPLOAD - len(PICTURE))),
    "metadata of many kinds": body(metadata={"ö": [1, 2.5, None, True, {"deep": "x"}], "": 10**30}),
    "empty metadata": body(metadata={}),
}


@pytest.mark.parametrize("request_", RIGHT.values(), ids=RIGHT)
async def test_odd_but_right_input_is_answered(client, request_):
    """And what was answered is what is stored."""
    answer = await post(client, request_)

    assert answer.status_code == 200, answer.text
    stored = await client.get(f"/results/{answer.json()['id']}")
    assert stored.json() == answer.json()


async def test_a_url_is_fetched(client, web):
    answer = await post(client, body(image_base64=None, image_url=web.url("/rose.jpg?size=1")))

    assert answer.status_code == 200, answer.text
    assert answer.json()["image"]["sha256"] == hashlib.sha256(PICTURE).hexdigest()
    assert web.asked == ["/rose.jpg?size=1"]


async def test_a_request_id_is_taken_over_or_made(client):
    """A malformed one is replaced: it could forge a log line."""
    own = await client.get("/health", headers={"x-request-id": "trace-17.a_B"})
    forged = await client.get("/health", headers={"x-request-id": 'x" y'})
    none = await client.get("/health")

    assert own.headers["x-request-id"] == "trace-17.a_B"
    assert forged.headers["x-request-id"].startswith("req_")
    assert none.headers["x-request-id"] != forged.headers["x-request-id"]


async def test_a_large_body_is_taken_where_pictures_go_only(client):
    """Elsewhere parsing it would hold up everybody, before it is known who asks."""
    told = await client.put("/domains/x", content=b"[" + b"[]," * 200_000 + b"[]]")

    assert told.status_code == 413
    assert told.json()["type"] == "/problems/upload-too-large"


async def test_thousands_of_wrong_keys_are_not_told_one_by_one(client):
    """The answer stays small, whatever is sent."""
    told = await client.post("/classify", json={f"key{n}": n for n in range(5_000)})

    assert told.status_code == 422
    assert len(told.content) < 5_000


def parts_of_a_form(*parts: tuple[str, bytes]) -> dict:
    lines = [f"--x\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts]
    return raw(b"".join(lines) + b"--x--\r\n", "multipart/form-data; boundary=x")


FIELD = 'content-disposition: form-data; name="domain"'


@pytest.mark.parametrize(
    "request_",
    [
        parts_of_a_form(*[(FIELD, b"flowers")] * 10_000),
        parts_of_a_form((f"{FIELD}\r\nx-a: {'a' * 1_000_000}", b"flowers")),
        parts_of_a_form((FIELD + "\r\nx-a: a" * 10_000, b"flowers")),
        parts_of_a_form((FIELD, b"a" * 5_000_000)),
        parts_of_a_form((FIELD.replace("domain", "a" * 1_000_000), b"a")),
        raw(b"a", f"multipart/form-data; boundary={'b' * 10_000}"),
    ],
    ids=["many parts", "long header", "many headers", "long field", "long name", "long boundary"],
)
async def test_a_form_is_bounded_in_all_its_parts(client, request_):
    refused = await post(client, request_)

    assert refused.status_code in (413, 422)
    assert len(refused.content) < 5_000


async def test_a_head_without_end_is_cut_off(start_service):
    """The server must not keep what never becomes a request."""
    service = start_service()
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ")
    with suppress(ConnectionError):
        for _ in range(100):
            writer.write(b"a" * 100_000)
            await writer.drain()
            await asyncio.sleep(0)
    with suppress(ConnectionError):
        assert (await reader.read(1000)).startswith((b"HTTP/1.1 400", b""))
    writer.close()
    async with httpx2.AsyncClient(base_url=service.url, timeout=30) as http:
        long = await http.get("/health", headers={"x-a": "a" * 60_000})
        longer = await http.get("/health", headers={"x-a": "a" * 1_000_000})

    assert (long.status_code, longer.status_code) == (200, 400)


@pytest.mark.parametrize(
    "body",
    [
        b'{"domain":"flowers","image_url":"x","metadata":{"a":[' + b"{}," * 400_000 + b"{}]}}",
        b'{"domain":"flowers","image_base64":[' + b"[]," * 400_000 + b"[]]}",
        b'{"image_base64":"","metadata":[' + b"1," * 400_000 + b'1],"domain":"flowers"}',
    ],
    ids=["metadata", "base64", "behind base64"],
)
async def test_json_that_takes_long_to_parse_is_not_parsed(client, monkeypatch, body):
    """Only a picture may be long: a million small values would hold up everybody for seconds."""
    monkeypatch.setattr("app.api.forms.parsed_json", None)

    assert is_problem(await post(client, raw(body)), 413, "upload-too-large")


async def test_who_calls_is_not_blamed_for_how_the_service_is_set_up(client, parts, monkeypatch):
    async def wrong(*_, **__):
        raise ConfigurationError("no key for secrets")

    monkeypatch.setattr(type(parts.classification), "classify", wrong)

    assert is_problem(await post(client, form()), 500, "configuration-error")
