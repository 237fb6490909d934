"""However many odd values come, there are no more series than before."""

import itertools
import json

from structlog.testing import capture_logs

from app.main import create_app
from tests.integration.calls import PICTURE, upload
from tests.integration.test_signals import TRACE

COUNT = 10_000


def series(metrics) -> set[tuple]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for metric in metrics.registry.collect()
        for sample in metric.samples
    }


def body(boundary: bytes = b"b", **fields: str) -> bytes:
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (boundary, name.encode(), text.encode())
        for name, text in fields.items()
    ]
    picture = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n'
    return b"".join([*parts, picture % (boundary, PICTURE), b"--%b--\r\n" % boundary])


FORM = {"content-type": "multipart/form-data; boundary=b"}


def form(**fields: str) -> dict:
    asked = {"domain": "flowers", "provider": "fake", **fields}
    return {"method": "POST", "path": "/classify", "headers": FORM, "content": body(**asked)}


KINDS = (
    lambda odd: form(domain=odd),
    lambda odd: form(provider=odd),
    lambda odd: form(expected=odd),
    lambda odd: form(metadata=json.dumps({odd: odd}), domain=odd),
    lambda odd: form(**{odd: odd}),
    lambda odd: {"path": f"/{odd}"},
    lambda odd: {"path": f"/domains/{odd}"},
    lambda odd: {"path": f"/results/{odd}"},
    lambda odd: {"path": f"/budgets/{odd}"},
    lambda odd: {"path": f"/docs/assets/{odd}"},
    lambda odd: {"path": "/results", "query": f"provider={odd}&domain={odd}&caller={odd}"},
    lambda odd: {"path": "/classify", "method": odd.upper()},
    lambda odd: {"path": f"/{odd}", "method": odd.upper()},
    lambda odd: {"path": "/health/live", "headers": {"x-request-id": odd}},
    lambda odd: {"path": "/health/live", "headers": {"traceparent": f"00-{TRACE}-{odd[:16]}-01"}},
    lambda odd: {"path": "/health/live", "headers": {"x-api-key": odd, "user-agent": odd}},
    lambda odd: {"path": "/classify", "method": "POST", "headers": {"content-type": odd}},
)


async def send(app, *, path, method="GET", query="", headers=None, content=b"") -> int:
    """Without a client: that would take most of the time."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
    }
    said = []

    async def receive():
        return {"type": "http.request", "body": content, "more_body": False}

    async def answer(message):
        said.append(message)

    await app(scope, receive, answer)
    return said[0]["status"]


async def test_ten_thousand_odd_values_make_no_series(parts, fake, client):
    app = create_app(parts)
    (await client.post("/classify", files=upload())).raise_for_status()
    with capture_logs():
        statuses = {await send(app, **kind("first")) for kind in KINDS}
        await parts.alerting.look()  # which comes by itself where this takes long
        before = series(parts.metrics)
        for number, kind in zip(range(COUNT), itertools.cycle(KINDS), strict=False):
            await send(app, **kind(f"odd{number:x}{'é' * (number % 2)}x{number * 7919:016x}"))
    after = series(parts.metrics)

    assert statuses >= {200, 404, 405, 415, 422}
    assert after - before == set()
    assert len(before) < 500
    assert fake.calls == 1
