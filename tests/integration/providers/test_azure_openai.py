"""Azure OpenAI through the real SDK, its answers played at the HTTP layer."""

import asyncio
import base64
import io
import re

import httpcore2
import httpx  # respx is built on it
import httpx2
import pytest
import pytest_httpx2  # noqa: F401 - registers httpcore2 with respx
import respx
from PIL import Image

from app.api.problems import PROBLEMS
from app.classification import Question
from app.images import Upload
from app.main import create_app
from app.parts import build_parts
from app.settings import load_settings
from app.traffic import Dispatcher
from tests.integration.providers import azure

ENDPOINT = "http://127.0.0.1:9/"
V1 = "http://127.0.0.1:9/openai/v1/chat/completions"
SHARES = {"A": 0.02, "B": 0.9, "C": 0.05, "D": 0.03}


@pytest.fixture
def picture():
    return azure.picture()


@pytest.fixture
def played():
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        yield router


@pytest.fixture
def answer(picture):
    """Classify one picture with a service whose Azure is set by the given variables."""

    async def classify(times=1, domain="flowers", **variables):
        settings = load_settings(
            database_url="sqlite://",
            azure_openai={
                "endpoint": ENDPOINT,
                "api_key": "azure-secret",
                "deployment": "eyes",
                **variables.pop("azure", {}),
            },
            api={"timeout": 5, "max_retries": 2, "rate_limit": 1000},
            cache={"ttl": 0},
            **variables,
        )
        async with build_parts(settings) as parts:
            transport = httpx2.ASGITransport(create_app(parts), raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
                for _ in range(times):
                    response = await client.post(
                        "/classify", files={"file": picture}, data={"domain": domain}
                    )
                rows = (await client.get("/results")).json()["results"]
                metrics = (await client.get("/metrics")).text
        return response, rows, metrics

    return classify


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """The jitter that waits least: no time between attempts but what Azure asks for."""
    monkeypatch.setitem(Dispatcher.__init__.__kwdefaults__, "jitter", lambda: 0.0)


async def test_the_distribution_of_the_code_token_comes_back(answer, played):
    """GPT-4o with logprobs: every class within 0.001 of what the model said."""
    played.post(V1).respond(
        json=azure.completion('{"label":"B"}', logprobs=azure.labelled("B", SHARES)),
        headers=azure.headers(),
    )

    response, rows, metrics = await answer()

    result = response.json()
    assert response.status_code == 200
    assert result["predicted_class"] == "rose"
    assert result["confidence_source"] == "logprobs"
    expected = dict(zip(["dandelion", "rose", "sunflower", "daisy"], SHARES.values(), strict=True))
    assert result["probabilities"] == pytest.approx(expected, abs=0.001)
    assert result["model"] == "gpt-4o-2024-11-20"
    assert result["deployment"] == "eyes"
    assert result["provider_request_id"] == "6f1e4a1c-0000-4000-8000-000000000001"
    assert result["usage"] == {
        "prompt_tokens": 214,
        "completion_tokens": 5,
        "cost_usd": pytest.approx(214 * 2.5e-6 + 5 * 10e-6),
    }
    assert rows == [result]
    assert (
        'classifier_tokens_total{deployment="eyes",domain="flowers",kind="prompt"} 214.0' in metrics
    )
    assert 'classifier_cost_usd_total{deployment="eyes",domain="flowers"} 0.000585' in metrics


@pytest.mark.parametrize(
    ("model", "details", "tokens", "estimated"),
    [
        ("gpt-4o-2024-11-20", {}, 85, False),
        ("gpt-4o-2024-11-20", {"prompt_tokens_details": {"image_tokens": 90}}, 90, False),
        ("a-model-of-tomorrow", {"prompt_tokens_details": {"image_tokens": 91}}, 91, False),
        ("a-model-of-tomorrow", {}, 125, True),
    ],
)
async def test_what_the_picture_took_is_told(answer, played, model, details, tokens, estimated):
    """As the answer says, else by the family's formula, else by what is left of the prompt."""
    said = azure.completion('{"label":"B"}', logprobs=azure.labelled("B", SHARES), model=model)
    said["usage"] |= details
    played.post(V1).respond(json=said)

    response, _, _ = await answer()

    image = response.json()["image"]
    assert image["tokens_estimated"] == estimated
    assert image["tokens"] == pytest.approx(tokens, abs=30 if estimated else 0)


async def test_what_is_sent(answer, played):
    """The table of codes, a schema that allows nothing else, and a small JPEG without metadata."""
    route = played.post(V1).respond(
        json=azure.completion('{"label":"B"}', logprobs=azure.labelled("B", SHARES))
    )

    await answer()

    call = route.calls.last
    body = azure.sent(call)
    assert call.request.headers["authorization"] == "Bearer azure-secret"
    assert body["model"] == "eyes"
    assert "A dandelion\nB rose\nC sunflower\nD daisy" in body["messages"][0]["content"]
    schema = body["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"] == {"label": {"type": "string", "enum": list("ABCD")}}
    assert body["logprobs"] is True
    assert body["top_logprobs"] == 20
    part = body["messages"][1]["content"][0]["image_url"]
    assert part["detail"] == "low"
    jpeg = base64.b64decode(part["url"].removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(jpeg)).size == (512, 341)


async def test_the_dated_api_when_a_version_is_set(answer, played):
    """The path names the deployment, and the key goes into `api-key`."""
    route = played.post(
        "http://127.0.0.1:9/openai/deployments/eyes/chat/completions?api-version=2024-10-21"
    ).respond(json=azure.completion('{"label":"B"}', logprobs=azure.labelled("B", SHARES)))

    response, _, _ = await answer(azure={"api_version": "2024-10-21"})

    assert response.status_code == 200
    assert route.calls.last.request.headers["api-key"] == "azure-secret"


async def test_a_tail_beyond_the_logprobs_is_never_certainly_zero(answer, played):
    """Two of four codes shown: the others get no more than the least of them, and not nothing."""
    shares = {"B": 0.95, "A": 0.04}
    played.post(V1).respond(
        json=azure.completion('{"label":"B"}', logprobs=azure.labelled("B", shares))
    )

    response, _, _ = await answer()

    found = response.json()["probabilities"]
    assert found["rose"] == pytest.approx(0.95, abs=0.001)
    assert found["sunflower"] == found["daisy"] == pytest.approx(0.005, abs=0.001)


async def test_a_model_that_refuses_parameters_is_asked_without_them(answer, played):
    """A GPT-5-like deployment behind an unknown name: one downgrade, remembered for the next."""

    def gpt5(request):
        body = azure.sent(type("Call", (), {"request": request}))
        for parameter in ("logprobs", "temperature"):
            if parameter in body:
                return httpx.Response(400, json=azure.unsupported(parameter))
        text = '{"label":"B","confidence":85}'
        return httpx.Response(200, json=azure.completion(text, model="gpt-5-2025-08-07"))

    route = played.post(V1).mock(side_effect=gpt5)

    response, rows, _ = await answer(times=2)

    result = response.json()
    assert response.status_code == 200
    assert result["confidence_source"] == "stated"
    assert result["confidence"] == 0.85
    assert result["probabilities"]["daisy"] == pytest.approx(0.05)
    assert [call.response.status_code for call in route.calls] == [400, 400, 200, 200]
    assert azure.sent(route.calls.last)["reasoning_effort"] == "minimal"
    assert len(rows) == 2


async def test_a_family_known_beforehand_is_not_asked_for_what_it_lacks(answer, played):
    """AZURE_OPENAI_MODEL=gpt-5 spares even the first downgrade."""
    text = '{"label":"B","confidence":85}'
    route = played.post(V1).respond(json=azure.completion(text, model="gpt-5-2025-08-07"))

    await answer(azure={"model": "gpt-5"})

    body = azure.sent(route.calls.last)
    assert len(route.calls) == 1
    assert "logprobs" not in body
    assert "temperature" not in body
    assert body["max_completion_tokens"] > 1000


async def test_an_unknown_model_that_reasons_gets_room(answer, played):
    """Cut off in its reasoning it is asked once more with a higher cap; both calls are billed."""

    def reasoning(request):
        body = azure.sent(type("Call", (), {"request": request}))
        if body["max_completion_tokens"] < 1000:
            cut = azure.completion("", finish_reason="length", completion_tokens=32)
            return httpx.Response(200, json=cut | {"model": "acme-1"})
        full = azure.completion('{"label":"B"}', logprobs=azure.labelled("B", SHARES))
        return httpx.Response(200, json=full | {"model": "acme-1"})

    played.post(V1).mock(side_effect=reasoning)

    response, _, _ = await answer()

    result = response.json()
    assert response.status_code == 200
    assert result["usage"] == {"prompt_tokens": 428, "completion_tokens": 37, "cost_usd": None}


async def test_logprobs_that_silently_do_not_come_are_asked_for_no_more(answer, played):
    """A server that takes `logprobs` and gives none: the confidence is stated instead."""

    def silent(request):
        body = azure.sent(type("Call", (), {"request": request}))
        properties = body["response_format"]["json_schema"]["schema"]["properties"]
        text = '{"label":"B","confidence":70}' if "confidence" in properties else '{"label":"B"}'
        return httpx.Response(200, json=azure.completion(text))

    route = played.post(V1).mock(side_effect=silent)

    response, _, _ = await answer(times=2)

    assert response.json()["confidence_source"] == "stated"
    assert len(route.calls) == 3


FILTERED = {
    "error": {
        "inner_error": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_results": {
                "violence": {"filtered": True, "severity": "high"},
                "hate": {"filtered": False, "severity": "safe"},
            },
        },
        "code": "content_filter",
        "message": "The response was filtered due to the prompt triggering ...",
        "param": "prompt",
        "type": None,
    }
}
FILTERED_DATED = {
    "error": {
        "message": "The response was filtered ...",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        },
    }
}
FILTERED_ANSWER = azure.completion(
    "",
    finish_reason="content_filter",
    content_filter_results={"violence": {"filtered": True, "severity": "high"}},
)


@pytest.mark.parametrize(
    ("status", "body", "problem", "calls"),
    [
        (400, FILTERED, "content-filtered", 1),
        (400, FILTERED_DATED, "content-filtered", 1),
        (200, FILTERED_ANSWER, "content-filtered", 1),
        (200, azure.completion(None, refusal="I can't help with that."), "provider-refused", 1),
        (400, {"error": {"code": "BadRequest", "message": "Invalid image data"}}, "rejected", 1),
        (401, {"error": {"code": "401", "message": "Access denied ..."}}, "denied", 1),
        (401, {"statusCode": 401, "message": "Unauthorized. Access token ..."}, "denied", 1),
        (403, "blocked by the firewall", "denied", 1),
        (404, {"error": {"code": "DeploymentNotFound", "message": "..."}}, "denied", 1),
        (408, {"error": {"code": "Timeout", "message": "..."}}, "provider-timeout", 4),
        (409, {"error": {"code": "Conflict", "message": "..."}}, "provider-unavailable", 4),
        (429, {"error": {"code": "429", "message": "..."}}, "provider-rate-limited", 4),
        (500, "", "provider-unavailable", 4),
        (502, "<html>Bad gateway</html>", "provider-unavailable", 4),
        (503, {"error": {"code": "ServiceUnavailable"}}, "provider-unavailable", 4),
        (200, "<html>Welcome</html>", "provider-answer-invalid", 2),
        (200, '{"choices":[{"index":0,"mess', "provider-answer-invalid", 2),
        (200, {"choices": []}, "provider-answer-invalid", 2),
        (200, azure.completion('{"label":"E"}'), "provider-answer-invalid", None),
        (200, azure.completion('{"label":"ros'), "provider-answer-invalid", None),
    ],
)
async def test_each_failure_is_its_own_problem(answer, played, status, body, problem, calls):
    """Once what can't succeed, twice nonsense, else the domain's three times more."""
    content = {"json": body} if isinstance(body, dict) else {"text": body}
    route = played.post(V1).respond(status, **content)

    response, rows, _ = await answer()

    told = response.json()
    assert re.search(f"^/problems/.*{problem}$", told["type"])
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code in {each.status for each in PROBLEMS.values()}
    assert calls is None or len(route.calls) == calls
    assert [row["status"] for row in rows] == ["failed"]
    assert told["result_id"] == rows[0]["id"]
    assert rows[0]["error"] == {"type": told["type"], "detail": told["detail"]}
    assert "azure-secret" not in response.text
    if problem == "content-filtered":
        assert told["categories"] == ["violence"]


@pytest.mark.parametrize(
    ("failure", "status", "problem"),
    [
        (httpcore2.ConnectError("refused"), 502, "provider-unavailable"),
        (httpcore2.ReadTimeout("slow"), 504, "provider-timeout"),
        (httpcore2.RemoteProtocolError("cut off"), 502, "provider-unavailable"),
        (
            AttributeError("'NoneType' object has no attribute 'getpeername'"),
            502,
            "provider-unavailable",
        ),
    ],
)
async def test_a_broken_connection_is_a_clear_problem(answer, played, failure, status, problem):
    """Refused, silent or cut off, also just when it was made, which the libraries below do not
    expect: retried, then told, and the row says so."""
    route = played.post(V1).mock(side_effect=failure)

    response, rows, _ = await answer()

    assert response.status_code == status
    assert response.json()["type"] == f"/problems/{problem}"
    assert len(route.calls) == 4
    assert rows[0]["status"] == "failed"


async def test_billed_tokens_of_a_failure_are_kept(answer, played):
    """An answer that makes no sense was paid for all the same, both times."""
    nonsense = azure.completion('{"label":"Z"}', logprobs=azure.labelled("Z", {"Z": 1.0}))
    played.post(V1).respond(json=nonsense)

    _, rows, _ = await answer()

    assert rows[0]["usage"]["prompt_tokens"] == 2 * 214
    assert rows[0]["usage"]["cost_usd"] > 0


UNREADABLE = {
    "no choices": {"choices": []},
    "choices that are none": {"choices": None},
    "a message that is none": {"choices": [{"message": "a rose"}]},
}


def unreadable(**broken):
    said = azure.completion('{"label":"B"}', completion_tokens=5, reasoning_tokens=3) | broken
    said["usage"]["prompt_tokens_details"]["cached_tokens"] = 128
    return said


@pytest.mark.parametrize("broken", UNREADABLE.values(), ids=UNREADABLE)
async def test_billed_tokens_of_an_answer_that_can_not_be_read_are_kept(answer, played, broken):
    """Both times, and what some of them were: 256 were cached, and cost half."""
    played.post(V1).respond(json=unreadable(**broken))

    response, rows, metrics = await answer()

    assert response.json()["type"] == "/problems/provider-answer-invalid"
    assert rows[0]["usage"] == {"prompt_tokens": 428, "completion_tokens": 10, "cost_usd": 0.00085}
    of = 'deployment="eyes",domain="flowers"'
    for counted in (
        f'classifier_tokens_total{{{of},kind="prompt"}} 428.0',
        f'classifier_tokens_total{{{of},kind="completion"}} 10.0',
        f'classifier_token_parts_total{{{of},part="cached"}} 256.0',
        f'classifier_token_parts_total{{{of},part="reasoning"}} 6.0',
    ):
        assert counted in metrics


async def test_billed_tokens_of_an_answer_that_can_not_be_read_are_added_to_the_next(
    answer, played
):
    """A row that is answered carries what the attempt before it took."""
    good = azure.completion('{"label":"B"}', logprobs=azure.labelled("B", SHARES))
    played.post(V1).mock(
        side_effect=[httpx.Response(200, json=each) for each in (unreadable(choices=[]), good)]
    )

    response, _, _ = await answer()

    assert response.status_code == 200
    usage = response.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (428, 10)
    assert usage["cost_usd"] == pytest.approx((428 - 128) * 2.5e-6 + 128 * 1.25e-6 + 10 * 10e-6)


@pytest.mark.parametrize("usage", [None, "free", {"prompt_tokens": "many"}])
async def test_an_answer_without_a_bill_that_can_be_read_cost_what_was_reserved(
    answer, played, usage
):
    played.post(V1).respond(json=unreadable(choices=[]) | {"usage": usage})

    response, rows, _ = await answer()

    assert response.json()["type"] == "/problems/provider-answer-invalid"
    assert rows[0]["usage"]["prompt_tokens"] > 85  # more than the picture
    assert rows[0]["usage"]["completion_tokens"] == 2 * 32  # the cap, of both attempts


@pytest.mark.parametrize("header", ["retry-after-ms", "x-ms-retry-after-ms"])
async def test_the_wait_that_azure_asks_for_is_waited(answer, played, header):
    """`retry-after-ms: 30`, then an answer: one retry, 30 ms later."""
    good = azure.completion('{"label":"B"}', logprobs=azure.labelled("B", SHARES))
    played.post(V1).mock(
        side_effect=[
            httpx.Response(429, json={"error": {"code": "429"}}, headers={header: "30"}),
            httpx.Response(200, json=good),
        ]
    )

    response, _, _ = await answer()

    assert response.status_code == 200
    # The deployment rests from the moment of its answer, and the wait begins a little later.
    assert response.json()["timings_ms"]["wait"] >= 28


async def test_a_wait_that_does_not_fit_is_told_to_the_caller(answer, played):
    """`retry-after: 86400` is not waited for, and not believed: 503 at once, and when the next call
    is made anyway in Retry-After."""
    played.post(V1).respond(429, json={"error": {"code": "429"}}, headers={"retry-after": "86400"})

    response, _, _ = await answer()

    assert response.status_code == 503
    assert 50 <= int(response.headers["retry-after"]) <= 60


def without_logprobs(body):
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    text = '{"label":"B","confidence":70}' if "confidence" in properties else '{"label":"B"}'
    return azure.completion(text, model="acme-1")


def reasoning(body):
    if body["max_completion_tokens"] < 1000:
        return azure.completion("", finish_reason="length", model="acme-1")
    return without_logprobs(body)


@pytest.mark.parametrize("model", [without_logprobs, reasoning])
async def test_first_calls_at_the_same_time_all_learn_how_to_ask(picture, played, model):
    """None of them fails because another one learned it first."""

    async def slow(request):
        await asyncio.sleep(0.05)
        return httpx.Response(200, json=model(azure.sent(type("Call", (), {"request": request}))))

    played.post(V1).mock(side_effect=slow)
    settings = load_settings(
        database_url="sqlite://",
        azure_openai={"endpoint": ENDPOINT, "api_key": "azure-secret", "deployment": "eyes"},
        api={"max_retries": 0},
    )

    async with build_parts(settings) as parts:
        results = await asyncio.gather(
            *(
                parts.classification.classify(
                    Question(Upload(picture), "flowers", "test", fresh=True)
                )
                for _ in range(4)
            )
        )

    assert {each.confidence_source for each in results} == {"stated"}
