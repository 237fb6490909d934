"""What the service tells of requests and pictures: lines, ids, counts."""

import json
import logging
import re
import shutil
import subprocess

import httpx2
import pytest
from structlog.testing import capture_logs

from app.errors import ProviderRejected, ProviderUnavailable, StorageUnavailable
from app.telemetry.logging import with_ids
from app.usage import TokenUsage
from tests.conftest import PHOTOGRAPHS
from tests.fakes import answer
from tests.integration.calls import UNKNOWN, until, upload
from tests.integration.test_batches import archive, create, ended, picture

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


class Written(logging.Handler):
    """Lines that go past structlog."""

    def __init__(self, lines: list[dict]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        told = dict(record.msg)
        told["log_level"] = told.pop("level")
        del told["timestamp"], told["logger"]
        self.lines.append(told)


@pytest.fixture
def lines(monkeypatch):
    with capture_logs(processors=[with_ids]) as lines:
        for name in ("app.access", "app.items"):
            logger = logging.getLogger(name)
            monkeypatch.setattr(logger, "handlers", [Written(lines)])
            monkeypatch.setattr(logger, "level", logging.INFO)
            logger.manager._clear_cache()
        yield lines


def of(lines, event: str) -> list[dict]:
    return [each for each in lines if each["event"] == event]


async def scraped(client, pattern: str) -> list[str]:
    text = (await client.get("/metrics")).text
    return sorted(each for each in text.splitlines() if re.match(f"classifier_{pattern}", each))


async def counted(client, pattern: str) -> list[str]:
    """Without what stands at 0."""
    return [each for each in await scraped(client, pattern) if not each.endswith(" 0.0")]


async def test_a_classification_leaves_one_line_that_tells_it_all(client, fake, lines):
    fake.script.append(answer("rose", 0.9, TokenUsage(90, 10)))
    answered = await client.post("/classify", files=upload(), headers=PARENT)
    result = answered.json()

    (line,) = lines
    spent = {name: line.pop(name) for name in ("duration_ms", "prepare_ms", "total_ms")}
    assert line.pop("provider_ms", 0) >= 0
    assert line.pop("wait_ms", 0) >= 0
    assert line.pop("fetch_ms", 0) >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "request_id": answered.headers["x-request-id"],
        "trace_id": TRACE,
        "method": "POST",
        "route": "/classify",
        "status": 200,
        "caller": "anonymous",
        "domain": "flowers",
        "result_id": result["id"],
        "result_status": "accepted",
        "predicted_class": "rose",
        "confidence": 0.9,
        "provider": "fake",
        "model": "fake-1",
        "prompt_tokens": 90,
        "completion_tokens": 10,
        "cost_usd": 0.0,
        **({"deployment": result["deployment"]} if result["deployment"] else {}),
    }
    assert 0 < spent["prepare_ms"] <= spent["total_ms"] <= spent["duration_ms"]


async def test_a_failure_says_what_kind_it_is(client, fake, lines):
    fake.script.extend([ProviderRejected("Words of the provider.")])
    failed = await client.post("/classify", files=upload())
    missing = await client.get(f"/results/{UNKNOWN}")
    await client.get("/no/such/path")
    await client.post("/classify", files=upload(domain="nonsense"))

    rejected, absent, nowhere, unknown = of(lines, "request")
    assert rejected["error"] == "provider-rejected"
    assert rejected["result_status"] == "failed"
    assert rejected["result_id"] == failed.json()["result_id"]
    assert (absent["error"], absent["status"]) == ("result-not-found", missing.status_code)
    assert (absent["route"], absent["result_id"]) == ("/results/{result_id}", UNKNOWN)
    assert nowhere["route"] == "none"
    assert "such" not in json.dumps(nowhere)
    assert unknown["error"] == "domain-not-found"
    assert "nonsense" not in json.dumps(unknown)


async def test_an_accepted_picture_has_a_line_of_its_own_in_the_same_trace(client, fake, lines):
    fake.hold.clear()
    accepted = await client.post("/classify", files=upload(), headers={"prefer": "respond-async"})
    fake.hold.set()
    place = accepted.headers["location"]
    await client.get(place, params={"wait": 10})

    request, *_ = of(lines, "request")
    (item,) = of(lines, "item")
    assert (request["status"], request["result_status"]) == (202, "pending")
    assert item["result_id"] == request["result_id"] == accepted.json()["id"]
    assert item["result_status"] == "accepted"
    assert item["trace_id"] == request["trace_id"]
    assert item["request_id"] == request["request_id"]


async def test_each_item_of_a_batch_has_a_line_and_a_trace(client, fake, lines):
    """Those that are about a picture which another item brought, too; one that is tried again has
    one line."""
    fake.script.append(ProviderUnavailable("Down."))
    same = {f"{number}.jpg": picture(number % 2) for number in range(3)}
    batch = await create(client, ("pictures.zip", archive(**same)))
    await ended(client, batch["id"], seconds=30)

    items = of(lines, "item")
    assert sorted(each["item"] for each in items) == [0, 1, 2]
    assert {each["batch_id"] for each in items} == {batch["id"]}
    traces = {each["item"]: each["trace_id"] for each in items}
    assert traces[0] == traces[2] != traces[1]
    assert [each for each in items if each.get("cached")] == [
        each for each in items if each["item"] == 2
    ]
    assert await scraped(client, "batch_items_total") == [
        'classifier_batch_items_total{state="accepted"} 3.0',
    ]


async def test_the_happy_path_says_nothing_else(client, fake, lines):
    batch = await create(client, ("pictures.zip", archive(**{"a.jpg": picture(1)})))
    await ended(client, batch["id"])
    await client.post("/classify", files=upload())

    assert {each["event"] for each in lines} == {"request", "item"}


async def test_a_repeated_request_tells_of_the_result_that_it_got(client, fake, lines):
    key = {"idempotency-key": "key-1"}
    for _ in range(2):
        answered = await client.post("/classify", files=upload(), headers=key)

    first, second = of(lines, "request")
    assert first["result_id"] == second["result_id"] == answered.json()["id"]
    assert ("replayed" in first, second["replayed"]) == (False, True)
    assert "total_ms" in first
    assert "total_ms" not in second  # or sums over lines would count it twice
    assert "key-1" not in json.dumps(lines)


async def test_what_could_not_be_stored_is_no_result(client, parts, fake, monkeypatch):
    async def gone(*_):
        raise StorageUnavailable("The database can't be written.")

    async def at_once(_):
        return

    monkeypatch.setattr(parts.results, "insert", gone)
    monkeypatch.setattr(parts.classification._storing, "_sleep", at_once)
    refused = await client.post("/classify", files=upload(expected="rose"))

    assert refused.status_code == 503
    assert await counted(client, "(results|labels|classification_seconds)_(total|count)") == []
    assert await scraped(client, "unanswered_total") == [
        'classifier_unanswered_total{domain="flowers",kind="storage-unavailable"} 1.0',
    ]


async def test_what_was_deleted_meanwhile_is_no_result(client, fake, lines):
    fake.hold.clear()
    asked = await client.post(
        "/classify", files=upload(expected="rose"), headers={"prefer": "respond-async"}
    )
    await fake.asked.wait()
    await client.delete(f"/results/{asked.json()['id']}")
    fake.hold.set()

    async def is_over() -> bool:
        return await scraped(client, "classifications_in_flight") == [
            "classifier_classifications_in_flight 0.0"
        ]

    await until(is_over)
    assert of(lines, "item") == []
    assert await counted(client, "(results|labels)_total") == []


async def test_a_domain_that_is_gone_leaves_no_series(client, fake):
    garden = {"name": "garden", "classes": ["rose", "daisy"], "providers": ["fake"]}
    await client.post("/domains", json=garden)
    await client.post("/classify", files=upload(domain="garden", provider=None))
    there = await scraped(client, '.*domain="garden"')
    await client.delete("/domains/garden")

    assert there
    assert await scraped(client, '.*domain="garden"') == []


async def test_series_that_rules_count_are_there_before_they_grow(client):
    """Of a domain that is new, too: Prometheus misses what a series begins with."""
    await client.post("/domains", json={"name": "garden", "classes": ["rose", "daisy"]})

    for domain in ("flowers", "garden"):
        of = f'domain="{domain}"'
        assert await scraped(client, f"(results|labels)_total{{{of}") == [
            *(
                f'classifier_labels_total{{{of},right="{right}",source="{source}"}} 0.0'
                for right in ("false", "true")
                for source in ("later", "random_review", "request", "review")
            ),
            f'classifier_results_total{{{of},status="accepted"}} 0.0',
            f'classifier_results_total{{{of},status="failed"}} 0.0',
            f'classifier_results_total{{{of},status="needs_review"}} 0.0',
        ]


async def test_labels_are_counted_where_they_are_told(client, fake):
    """Told with the picture, later, and by a person; told again the same it says nothing new."""
    fake.script.extend([answer("rose"), answer("rose"), answer("rose")])
    await client.post("/classify", files=upload(expected="daisy"))
    later = (await client.post("/classify", files=upload())).json()
    for label in ("rose", "rose"):
        put = await client.put(f"/results/{later['id']}/expected", json={"label": label})
        assert put.status_code == 204
    looked_at = (await client.post("/classify", files=upload())).json()
    for _ in range(2):
        said = {"action": "confirm", "reviewer": "ada"}
        await client.post(f"/reviews/{looked_at['id']}", json=said)

    assert await counted(client, "labels_total") == [
        'classifier_labels_total{domain="flowers",right="false",source="request"} 1.0',
        'classifier_labels_total{domain="flowers",right="true",source="later"} 1.0',
        'classifier_labels_total{domain="flowers",right="true",source="review"} 1.0',
    ]


async def test_failed_results_are_counted_by_kind(client, fake):
    fake.script.append(ProviderRejected("No."))
    await client.post("/classify", files=upload())

    assert await scraped(client, "failed_results_total") == [
        'classifier_failed_results_total{domain="flowers",kind="provider-rejected"} 1.0',
    ]
    assert await scraped(client, "classification_seconds_count") == [
        'classifier_classification_seconds_count{domain="flowers"} 1.0',
    ]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus' promtool")
def test_prometheus_has_nothing_to_say_about_the_names(start_service):
    """Of a real service that has worked."""
    service = start_service()
    with httpx2.Client(base_url=service.url, timeout=30) as client:
        rose = (PHOTOGRAPHS / "rose.jpg").read_bytes()
        form = {"domain": "flowers", "expected": "rose"}
        result = client.post("/classify", data=form, files={"file": rose}).json()
        assert result["predicted_class"] == "rose"
        client.post("/classify", data={"domain": "flowers"}, files={"file": b"none"})
        client.get("/health")
        scrape = client.get("/metrics").content
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    assert b'classifier_check_up{check="storage"} 1.0' in scrape
    assert b"_created" not in scrape


async def test_a_line_is_json_with_its_ids_where_a_machine_reads_it(start_service):
    service = start_service()
    with httpx2.Client(base_url=service.url, timeout=30) as client:
        answered = client.get("/results", headers=PARENT)

    def written() -> list[dict]:
        found = [json.loads(each) for each in service.log.read_text().splitlines()]
        return of(found, "request")

    await until(written)
    (line,) = written()
    assert list(line)[:6] == ["timestamp", "level", "event", "logger", "request_id", "trace_id"]
    assert line["trace_id"] == TRACE
    assert line["request_id"] == answered.headers["x-request-id"]
