"""How a server is asked, and what comes of its problems."""

import httpx2
import pytest

from app import errors
from app.api.problems import PROBLEMS, problem_response
from app.client.http import BUSY_PATIENCE_S, Http, next_wait
from app.client.problems import ServiceUnreachable, UnexpectedAnswer, error_of
from app.client.remote_batches import Report, Reports, to_go_on_with

REQUEST = httpx2.Request("POST", "http://service/classify")


def told(error: errors.ClassifierError) -> httpx2.Response:
    """As the service answers it."""
    answer = problem_response(error, "/classify")
    return httpx2.Response(
        answer.status_code, headers=dict(answer.headers), content=answer.body, request=REQUEST
    )


def http(*answers, waits: list[float] | None = None) -> Http:
    """A server that gives these, the last one for ever."""
    left = list(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        each = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(each, Exception):
            raise each
        return each

    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    return Http(
        "http://service",
        None,
        timeout_s=1,
        transport=httpx2.MockTransport(answer),
        sleep=sleep,
    )


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.__name__)
def test_a_problem_becomes_what_it_was_made_of(kind):
    """With its message."""
    found = error_of(told(kind("What is the matter.")))

    assert type(found) is kind
    assert str(found) == "What is the matter."


def test_what_is_beside_the_message_comes_along():
    fields = [{"field": "domain", "detail": "is missing"}]
    filtered = errors.ContentFiltered("no", categories=("hate",))
    filtered.result_id = "cls_1"

    found = error_of(told(filtered))

    assert (found.categories, found.result_id) == (("hate",), "cls_1")
    assert error_of(told(errors.InvalidRequest("no", fields=fields))).fields == fields
    assert error_of(told(errors.ProviderRateLimited("no", retry_after_s=7))).retry_after_s == 7


@pytest.mark.parametrize(
    "content", [b"<html>", b"[]", b"{}", b'{"type": "about:blank", "detail": "Not Found"}', b"\xff"]
)
def test_what_is_no_problem_is_unexpected(content):
    response = httpx2.Response(404, content=content, request=REQUEST)

    assert type(error_of(response)) is UnexpectedAnswer


async def test_an_answer_of_another_service_is_unexpected():
    with pytest.raises(UnexpectedAnswer):
        await http(httpx2.Response(200, text="<html>", request=REQUEST)).get("/batches", Reports)


async def test_a_busy_server_is_asked_again_when_it_says():
    waits = []
    busy = told(errors.Overloaded("later", retry_after_s=3))

    answer = await http(busy, busy, httpx2.Response(200), waits=waits).send("GET", "/batches")

    assert answer.status_code == 200
    assert waits == [3, 3]


async def test_no_server_is_asked_for_ever():
    """Time stands still here: it is the waits alone that come to an end."""
    waits = []
    service = http(httpx2.ConnectError("refused"), waits=waits)

    with pytest.raises(ServiceUnreachable, match="http://service can't be reached: refused"):
        await service.send("GET", "/batches", patience_s=0)

    assert waits == []


async def test_a_password_is_not_told():
    service = Http("http://user:secret@127.0.0.1:9", None, timeout_s=1)

    with pytest.raises(ServiceUnreachable) as raised:
        await service.send("GET", "/batches", patience_s=0)
    await service.aclose()

    assert "http://127.0.0.1:9 can't be reached" in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_what_is_wrong_is_not_asked_again():
    waits = []
    service = http(told(errors.DomainNotFound("no")), waits=waits)

    with pytest.raises(errors.DomainNotFound):
        await service.send("GET", "/batches")

    assert waits == []


def test_waits_grow_and_end():
    waits, waited = [], 0.0
    while (wait := next_wait(len(waits) + 1, waited, None, patience_s=BUSY_PATIENCE_S)) is not None:
        waits.append(wait)
        waited += wait

    assert waits[:5] == [0.5, 1, 2, 4, 8]
    assert max(waits) == 10
    assert BUSY_PATIENCE_S - 10 < waited <= BUSY_PATIENCE_S
    assert next_wait(1, 0, 61, patience_s=60) is None
    assert next_wait(1, 0, 20, patience_s=60) == 20


def report(number: int, status: str) -> Report:
    counted = {"total": 1, "done": 0, "bad_rows": 0, "counts": {}}
    return Report(id=f"bat_{number}", name="", domain="", status=status, **counted)


@pytest.mark.parametrize(
    ("newest", "left"),
    [
        ({}, ""),
        ({"a": (1, "completed"), "b": (2, "completed"), "c": (3, "failed")}, ""),
        ({"a": (1, "completed"), "b": (2, "running"), "c": (3, "queued")}, "abc"),
        ({"a": (1, "paused")}, "a"),
        ({"a": (1, "completed"), "b": (2, "completed")}, "ab"),
        ({"a": (4, "completed"), "b": (2, "completed"), "c": (3, "completed")}, "a"),
        ({"b": (2, "paused")}, ""),
    ],
    ids=["new", "ended", "running", "cut off", "cut off late", "cut off again", "no first"],
)
def test_only_what_an_interrupted_call_left_is_gone_on_with(newest, left):
    """Names stand for batches of one folder, numbers for when they were made."""
    found = to_go_on_with("abc", {name: report(*each) for name, each in newest.items()})

    assert "".join(found) == left
