"""Spans, as a collector gets them."""

import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from app.errors import ConfigurationError
from app.main import create_app
from app.parts import build_parts, ground
from app.providers import registry
from app.settings import Settings
from app.telemetry import spans
from app.telemetry.spans import OpenTelemetry
from app.telemetry.trace import configured_tracing
from tests.chat_server import chat_server
from tests.conftest import PHOTOGRAPHS
from tests.fakes import ENTRY_POINTS
from tests.integration.calls import until, upload
from tests.integration.providers import azure
from tests.integration.providers.test_openai_compatible import ollama
from tests.integration.test_batches import archive, create, ended, picture
from tests.integration.test_signals import PARENT, TRACE
from tests.integration.webhook_calls import settled, subscribe
from tests.loopback import loopback, reply
from tests.otlp import collector
from tests.service import ROOT

STAGES = ["fetch", "lookup", "prepare", "wait", "provider", "store"]


@pytest.fixture
def serving(monkeypatch):
    """A service whose spans are found in memory when it has ended."""
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(ground, "configured_tracing", lambda **_: OpenTelemetry(exporter))

    @asynccontextmanager
    async def serving(**values):
        settings = Settings(database_url="sqlite://", drain_delay=0, image_workers=2, **values)
        async with build_parts(settings, serving=True) as parts:
            parts.health.state = "ready"
            transport = httpx2.ASGITransport(create_app(parts), raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
                yield client

    serving.spans = exporter.get_finished_spans
    return serving


def named(spans, name):
    (found,) = [each for each in spans if each.name == name]
    return found


def below(spans, parent):
    """Its children, in the order of their beginning."""
    found = [
        each for each in spans if each.parent and each.parent.span_id == parent.context.span_id
    ]
    return sorted(found, key=lambda each: each.start_time)


def trace_of(span) -> str:
    return format_trace_id(span.context.trace_id)


async def test_a_request_is_one_tree_with_a_span_for_each_stage(serving):
    rose = azure.picture()
    async with (
        chat_server(ollama) as model,
        loopback({"/rose.jpg": reply(rose)}) as web,
        serving(
            provider="openai_compatible",
            openai={"base_url": model.url, "model": "acme-vision", "api_key": "sk-secret"},
            egress_allow=(web.place,),
        ) as client,
    ):
        asked = {"domain": "flowers", "image_url": web.url("/rose.jpg?token=secret")}
        answered = await client.post("/classify", json=asked, headers=PARENT)
        assert answered.status_code == 200, answered.text
    spans = serving.spans()

    root = named(spans, "POST /classify")
    assert root.kind is SpanKind.SERVER
    assert trace_of(root) == TRACE
    assert f"{root.parent.span_id:016x}" == PARENT["traceparent"].split("-")[2]
    assert dict(root.attributes) == {
        "http.request.method": "POST",
        "http.route": "/classify",
        "http.response.status_code": 200,
        "classifier.request_id": answered.headers["x-request-id"],
        "classifier.result_id": answered.json()["id"],
        "classifier.domain": "flowers",
        "classifier.status": "accepted",
        "classifier.predicted_class": "rose",
        "classifier.confidence": answered.json()["confidence"],
        "classifier.provider": "openai_compatible",
        "classifier.model": "acme-vision",
        "classifier.deployment": "acme-vision",
        "classifier.caller": "anonymous",
    }
    assert [each.name for each in below(spans, root)] == STAGES

    download = named(spans, "GET")
    assert below(spans, named(spans, "fetch")) == [download]
    assert download.kind is SpanKind.CLIENT
    assert dict(download.attributes) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": int(web.place.partition(":")[2]),
        "http.response.status_code": 200,
    }

    call = named(spans, "chat acme-vision")
    assert below(spans, named(spans, "provider")) == [call]
    assert call.kind is SpanKind.CLIENT
    assert dict(call.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "acme-vision",
        "gen_ai.response.model": "acme-vision",
        "gen_ai.usage.input_tokens": 214,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "127.0.0.1",
        "server.port": int(model.url.split(":")[2].partition("/")[0]),
    }
    head, _ = model.asked[-1]
    assert f"traceparent: 00-{TRACE}-{call.context.span_id:016x}-01" in head
    assert {trace_of(each) for each in spans} == {TRACE}
    assert "secret" not in " ".join(each.to_json() for each in spans)


async def test_a_call_that_fails_says_what_kind_it_was_and_no_word_of_it(serving):
    def refusing(_):
        return "401 Unauthorized", {"error": {"message": "wrong key sk-secret", "code": "401"}}

    async with (
        chat_server(refusing) as model,
        serving(
            provider="openai_compatible",
            openai={"base_url": model.url, "model": "acme-vision", "api_key": "sk-secret"},
        ) as client,
    ):
        form = upload(provider=None)
        failed = await client.post("/classify", files=form)
    spans = serving.spans()

    assert failed.status_code == 502
    call = named(spans, "chat acme-vision")
    assert call.attributes["error.type"] == "provider-denied"
    assert call.status.status_code is StatusCode.ERROR
    assert call.status.description is None
    root = named(spans, "POST /classify")
    assert root.attributes["error.type"] == "provider-denied"
    assert root.status.status_code is StatusCode.ERROR
    assert "secret" not in " ".join(each.to_json() for each in spans)


async def test_azure_is_called_by_the_name_that_the_conventions_give_it():
    from app.providers.azure_openai import AzureOpenAI

    assert AzureOpenAI.gen_ai_provider == "azure.ai.openai"


async def test_what_the_caller_did_wrong_is_no_failure_of_the_service(serving):
    async with serving() as client:
        await client.get("/no/such/secret?token=secret")

    (root,) = serving.spans()
    assert root.name == "GET none"
    assert root.attributes["http.response.status_code"] == 404
    assert root.status.status_code is StatusCode.UNSET
    assert "secret" not in root.to_json()


async def test_each_item_of_a_batch_is_a_trace_that_links_to_its_shard(serving):
    async with serving() as client:
        two = archive(**{f"{number}.jpg": picture(number) for number in range(2)})
        batch = await create(client, ("pictures.zip", two))
        await ended(client, batch["id"])
    spans = serving.spans()

    items = [each for each in spans if each.name == "item"]
    assert len({trace_of(each) for each in items}) == 2
    for item in items:
        assert item.parent is None
        assert item.attributes["classifier.batch_id"] == batch["id"]
        assert item.attributes["classifier.status"] == "accepted"
        # Not store: answers are committed in groups.
        stages = ["lookup", "fetch", "prepare", "wait", "provider"]
        assert [each.name for each in below(spans, item)] == stages


async def test_an_accepted_picture_goes_on_with_the_trace_of_its_request(serving):
    async with serving() as client:
        accepted = await client.post(
            "/classify", files=upload(), headers={"prefer": "respond-async", **PARENT}
        )
        await client.get(accepted.headers["location"], params={"wait": 10})
    spans = serving.spans()

    request, work = named(spans, "POST /classify"), named(spans, "accepted")
    assert work.parent.span_id == request.context.span_id
    assert trace_of(work) == TRACE
    assert [each.name for each in below(spans, work)] == STAGES[-3:]


async def test_a_delivery_is_a_trace_that_its_receiver_can_join(serving, inbox):
    async with serving(egress_allow=(inbox.place,)) as client:
        made = await subscribe(client, inbox, send={"Traceparent": "mine"})
        await client.post("/classify", files=upload())
        (delivery,) = await settled(client, made, "delivered")
        (post,) = await inbox.got(1)
    spans = serving.spans()

    span, call = named(spans, "delivery"), named(spans, "POST")
    assert dict(span.attributes) == {
        "classifier.webhook_id": made["id"],
        "classifier.delivery_id": delivery["id"],
        "classifier.outcome": "delivered",
    }
    assert below(spans, span) == [call]
    assert call.kind is SpanKind.CLIENT
    assert call.attributes["http.response.status_code"] == 204
    joined = f"00-{trace_of(call)}-{call.context.span_id:016x}-"
    assert post.headers["traceparent"].startswith(joined)


async def test_a_service_hands_its_spans_to_a_collector(start_service, inbox):
    """By OTLP over HTTP, as OpenTelemetry's own variables say; those of docket's tasks, too, and
    what is left in the end."""
    async with collector() as there:
        service = start_service(
            TRACING_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=there.url,
            OTEL_BSP_SCHEDULE_DELAY="60000",
            EGRESS_ALLOW=inbox.place,
        )
        async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
            made = await subscribe(client, inbox)
            rose = (PHOTOGRAPHS / "rose.jpg").read_bytes()
            form = {"domain": "flowers"}
            answered = await client.post(
                "/classify", data=form, files={"file": rose}, headers=PARENT
            )
            assert answered.status_code == 200, answered.text
            await settled(client, made, "delivered")
        service.process.terminate()
        await until(lambda: service.process.poll() is not None)
    spans = there.spans

    assert service.process.returncode == 0
    assert there.resources[0]["service.name"] == "enhanced-image-classifier"
    (root,) = [each for each in spans if each.name == "POST /classify"]
    assert root.trace_id.hex() == TRACE
    assert {*STAGES} <= {each.name for each in spans if each.trace_id == root.trace_id}
    (delivery,) = [each for each in spans if each.name == "delivery"]
    (link,) = delivery.links
    (task,) = [each for each in spans if each.span_id == link.span_id]
    assert task.name == "webhook"


@pytest.mark.parametrize("name", ["from the variable", ""])
async def test_the_service_has_a_name_unless_it_is_given_one(monkeypatch, name):
    monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    tracing = OpenTelemetry(InMemorySpanExporter())
    await tracing.aclose()
    resource = tracing._provider.resource

    assert resource.attributes["service.name"] == (name or "enhanced-image-classifier")


def test_without_the_extra_tracing_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "app.telemetry.spans", None)

    with pytest.raises(ConfigurationError, match=r"TRACING_ENABLED needs the extra `tracing`"):
        configured_tracing(enabled=True)


def test_nothing_of_the_extra_is_loaded_where_tracing_is_off():
    """OpenTelemetry's API is: FastAPI imports it."""
    work = (
        "import asyncio, sys\n"
        "from app.parts import build_parts\n"
        "from app.main import create_app\n"
        "from app.settings import Settings\n"
        "async def main():\n"
        "    async with build_parts(Settings(database_url='sqlite://'), serving=True) as parts:\n"
        "        create_app(parts)\n"
        "        print([each for each in sys.modules if each.startswith('opentelemetry.sdk')])\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", work], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert re.search(r"^\[\]$", ran.stdout, re.MULTILINE), ran.stdout


async def test_a_collector_that_hangs_holds_up_nobody_for_long(monkeypatch):
    """It takes the connection, and never answers. Nothing tries on in the background, either."""
    before = {*threading.enumerate()}
    monkeypatch.setattr(spans, "HANDED_OVER_WITHIN_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        tracing = OpenTelemetry()
        for _ in range(10):
            with tracing.request("", {"request_id": "req_1"}):
                pass
        began = time.monotonic()
        await tracing.aclose()
        took_s = time.monotonic() - began

    assert took_s < 2
    await until(lambda: not {*threading.enumerate()} - before, seconds=2)
