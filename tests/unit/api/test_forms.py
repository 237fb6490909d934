"""Forms of many files: one file holds them all, and each is read as if it were its own."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psutil
import pytest
from starlette.requests import Request

from app.api import forms
from app.errors import InvalidRequest

MANY = 300
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as archive:
    archive.writestr("a.txt", b"in it")
FILES = [
    *(("file", (f"{n}.jpg", bytes([n % 256]) * (20_000 + n))) for n in range(MANY)),
    ("file", ("empty.jpg", b"")),
    ("file", ("lines.csv", b"image_url\nhttps://a.example\n")),
    ("file", ("some.zip", ZIP.getvalue())),
]


def request(files, *, kind: str = "") -> Request:
    sent = httpx2.Request("POST", "http://x/", files=files, data={"domain": "flowers"})
    body, kind = sent.read(), kind or sent.headers["content-type"]
    chunks = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]

    async def receive():
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers, "path": "/"}, receive)


def handles() -> int:
    return psutil.Process().num_fds()


async def test_many_files_take_one_handle_and_little_memory():
    before = handles()
    async with forms.read_form(request(FILES), max_files=1_000) as form:
        taken = handles() - before
        found = form.getlist("file")
        with ThreadPoolExecutor(4) as threads:
            contents = list(threads.map(lambda each: each.file.read(), found))
        ends = [each.file.seek(-1, io.SEEK_END) for each in found[:3]]
        *_, lines, archive = found
        lines.file.seek(0)
        shown = [each.decode().strip() for each in lines.file]
        with zipfile.ZipFile(archive.file) as packed:
            inside = packed.read("a.txt")

    assert taken == 1
    assert form["domain"] == "flowers"
    assert [each.filename for each in found] == [name for _, (name, _) in FILES]
    assert contents == [content for _, (_, content) in FILES]
    assert [each.size for each in found] == [len(content) for content in contents]
    assert ends == [19_999, 20_000, 20_001]
    assert shown == ["image_url", "https://a.example"]
    assert inside == b"in it"
    assert handles() == before


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "multipart/form-data; boundary=other"},
        {"kind": "multipart/form-data"},
        {"max_files": 10},
    ],
    ids=["another boundary", "no boundary", "too many"],
)
async def test_what_is_no_form_leaves_nothing_open(broken):
    before = handles()
    most = broken.pop("max_files", 1_000)
    with pytest.raises(InvalidRequest):
        async with forms.read_form(request(FILES, **broken), max_files=most):
            pass

    assert handles() == before
