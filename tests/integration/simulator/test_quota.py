"""Who gets in, over real HTTP."""

import openai
import pytest

from tests.integration.simulator.calls import ask, question


@pytest.mark.parametrize("skew", [0, 2.5])
async def test_too_many_requests(sdk, simulator, skew):
    """One request in ten seconds: the second is refused with the time until the window of the
    simulator's own clock turns over, and taken after that."""
    simulator.start(rpm=6, clock_skew_s=skew)
    simulator.now += 3.25

    async with sdk as client:
        await client.chat.completions.create(**question())
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**question())
        simulator.now += 6.75 - skew
        await client.chat.completions.create(**question())

    headers = caught.value.response.headers
    assert headers["retry-after-ms"] == str(int((6.75 - skew) * 1000))
    assert headers["retry-after"] == ("7" if not skew else "5")
    assert headers["x-ratelimit-remaining-requests"] == "4"
    assert "rate limit" in caught.value.message
    counts = simulator.look()
    assert (counts["accepted"], counts["refused_requests"], counts["arrived"]) == (2, 1, 3)
    assert sum(counts["accepted_by_second"].values()) == 2


async def test_too_many_tokens(simulator):
    """An answer's cap counts on arrival, not what was billed; the minute then has to turn over."""
    simulator.start(tpm=2_500)
    simulator.now += 20

    async with simulator.sdk() as client:
        capped = question(max_completion_tokens=2_000)
        raw = await client.chat.completions.with_raw_response.create(**capped)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**capped)

    counts = simulator.look()
    left = int(raw.headers["x-ratelimit-remaining-tokens"])
    assert counts["tokens_admitted"] == 2_500 - left > 2_000
    assert counts["billed"]["prompt"] + counts["billed"]["completion"] < 300
    assert caught.value.response.headers["x-ratelimit-remaining-tokens"] == str(left)
    assert caught.value.response.headers["retry-after-ms"] == "40000"
    assert counts["refused_tokens"] == 1


async def test_the_quota_changes_on_order(simulator):
    """To none, with a day to wait; and back. What was counted stays counted."""
    simulator.order(rpm=0)
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(simulator.sdk())
    simulator.order(rpm=600, window_s=1, tenant_share=0.5)
    raw = await ask(simulator.sdk())

    assert caught.value.response.headers["retry-after"] == "86400"
    assert raw.headers["x-ratelimit-limit-requests"] == "600"
    assert raw.headers["x-ratelimit-remaining-requests"] == "298"
    assert simulator.look()["arrived"] == 2


@pytest.mark.parametrize(("manner", "remaining"), [("missing", None), ("absurd", "-1")])
async def test_headers_that_can_not_be_trusted(simulator, manner, remaining):
    simulator.start(rate_limit_headers=manner, rpm=6)

    raw = await ask(simulator.sdk())
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(simulator.sdk())

    assert raw.headers.get("x-ratelimit-remaining-tokens") == remaining
    after = caught.value.response.headers.get("retry-after")
    assert after == (None if manner == "missing" else "86400")
