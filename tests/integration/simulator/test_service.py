"""The service as the simulator's client: two that share no code have to agree."""

import hashlib

import pytest

from app.classification import Question
from app.errors import ContentFiltered, ProviderRateLimited, ProviderRefused, ProviderUnavailable
from app.images import Upload, prepare
from app.parts import build_parts
from app.settings import Settings
from app.simulator.config import Fault
from app.traffic import Dispatcher
from tests.integration.simulator.calls import KEY, ROSE
from tests.pictures import jpeg


def settings_for(simulator, **azure):
    return Settings(
        database_url="sqlite://",
        azure_openai={
            "endpoint": simulator.url,
            "api_key": KEY,
            "deployment": "eyes",
            **azure,
        },
        api={"timeout": 5, "max_retries": 2, "rate_limit": 10_000},
        cache={"ttl": 0},
    )


def asked(picture=ROSE):
    return Question(Upload(picture), "flowers", "test")


@pytest.mark.parametrize("tokenisation", ["plain", "split", "open", "closed", "mixed"])
async def test_the_service_reads_every_tokenisation(simulator, tokenisation):
    """The same class and the same probabilities, however quotes are cut."""
    simulator.start(accuracy=0.8, tokenisation=tokenisation)
    async with build_parts(settings_for(simulator)) as parts:
        found = await parts.classification.classify(asked())
    simulator.start(accuracy=0.8)
    async with build_parts(settings_for(simulator)) as parts:
        plain = await parts.classification.classify(asked())

    assert found.confidence_source == "logprobs"
    assert found.probabilities == pytest.approx(plain.probabilities)


@pytest.mark.parametrize("api_version", [None, "2024-10-21"])
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "gpt-5.2", "gpt-5.4"])
async def test_two_counts_of_a_picture_agree(simulator, model, api_version):
    """What the service takes a picture for is what the simulator bills, by formulas of their
    own; and both name the declared class."""
    picture = jpeg(900, 700)
    sent = prepare(picture, longest=512).jpeg
    simulator.start(model=model, truth={hashlib.sha256(sent).hexdigest(): "daisy"})

    settings = settings_for(simulator, api_version=api_version, model=model)
    async with build_parts(settings) as parts:
        result = await parts.classification.classify(asked(picture))

    assert result.predicted_class == "daisy"
    assert result.confidence_source == "logprobs"
    assert result.image.tokens == simulator.look()["billed"]["image"]
    assert result.usage.prompt_tokens == simulator.look()["billed"]["prompt"]


async def test_the_service_estimates_no_less_than_is_counted(simulator):
    """Its own estimate of a call covers the tokens that are counted when the call arrives."""
    async with build_parts(settings_for(simulator, model="gpt-4o")) as parts:
        await parts.classification.classify(asked())
        [provider] = await parts.providers.get("azure_openai")
        estimate = provider.estimate_tokens(
            prepare(ROSE, longest=512), parts.domains.get("flowers")
        )

    assert simulator.look()["tokens_admitted"] <= estimate


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5-mini"])
async def test_the_service_learns_what_a_model_refuses(simulator, model):
    """gpt-5 gives no logprobs: the confidence is the one it states, calibrated as ordered."""
    simulator.start(model=model, accuracy=0.8)

    async with build_parts(settings_for(simulator)) as parts:
        result = await parts.classification.classify(asked())

    assert result.confidence_source == "stated"
    assert result.model.startswith(f"{model}-2025")
    assert 0.25 <= result.confidence <= 1


async def test_the_service_tells_of_a_quota_that_is_spent(simulator):
    """Refused with a day to wait: told to the caller in the end, not asked over and over."""
    simulator.start(rpm=0)

    async with build_parts(settings_for(simulator)) as parts:
        with pytest.raises(ProviderRateLimited) as caught:
            await parts.classification.classify(asked())

    assert caught.value.retry_after_s > 0
    assert 1 <= simulator.look()["refused_requests"] <= 4


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("content_filter", ContentFiltered),
        ("output_filter", ContentFiltered),
        ("refusal", ProviderRefused),
        ("reset", ProviderUnavailable),
        ("html_502", ProviderUnavailable),
    ],
)
async def test_the_service_takes_each_mishap_for_what_it_is(simulator, monkeypatch, kind, error):
    # The jitter that waits least.
    monkeypatch.setitem(Dispatcher.__init__.__kwdefaults__, "jitter", lambda: 0.0)
    simulator.start(faults=(Fault(kind=kind, share=1),))

    async with build_parts(settings_for(simulator)) as parts:
        with pytest.raises(error):
            await parts.classification.classify(asked())


async def test_the_local_model_answers_when_no_truth_is_declared(simulator):
    """It sees the rose in what the service sends."""
    simulator.start(accuracy=None)

    async with build_parts(settings_for(simulator)) as parts:
        result = await parts.classification.classify(asked())

    assert result.predicted_class == "rose"
    assert result.confidence > 0.7
