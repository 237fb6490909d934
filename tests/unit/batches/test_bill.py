"""What calls are expected to be billed: from history, from a quote, or from less."""

from decimal import Decimal

import pytest

from app.batches.bill import LEAST_HISTORY, Bill
from app.batches.estimate import quota_s
from app.batches.looking import Looked
from app.batches.ranges import Range
from app.domains import Domain
from app.providers.base import Prompt, Quote
from app.providers.image_tokens import ImageTokens
from app.result import ImageFacts, Result, Usage
from app.traffic import Deployment
from app.usage import TokenUsage
from tests.fakes import FakeProvider
from tests.integration.calls import NOON

DOMAIN = Domain(name="pets", classes=["cat", "dog"])
CENT = Decimal("0.01")


class Quoting(FakeProvider):
    """Text takes 100 tokens, an answer 5, a token a cent."""

    def __init__(self, *, price: Decimal | None = CENT, calls: tuple[int, int] = (1, 1)) -> None:
        super().__init__(metered=True, tokens=500)
        self.price = price
        self.calls_told = calls

    def quote(self, domain):
        return Quote(Prompt("What is it?", "", None), 100, 5, 5, *self.calls_told)

    def image_tokens(self, image, domain):
        raise NotImplementedError

    def cost(self, usage):
        return None if self.price is None else self.price * (usage.prompt + usage.completion)

    def most(self, image, domain):
        return TokenUsage(1_000, 32)


def seen(tokens: int | None = 85, *, estimated: bool = False) -> Looked:
    counted = None if tokens is None else ImageTokens(tokens, estimated)
    return Looked("asked", counted, (500,))


def billed(prompt: int = 200, completion: int = 7, image: int | None = 85, **more) -> Result:
    facts = ImageFacts(sha256="", format="JPEG", width=9, height=9, bytes=9, warnings=[])
    values = {
        "id": "cls_1",
        "domain": "pets",
        "domain_version": DOMAIN.version,
        "status": "accepted",
        "provider": "fake",
        "deployment": "fake-deployment",
        "model": "fake-1",
        "caller": "anonymous",
        "created_at": NOON,
        "image": facts.model_copy(update={"tokens": image}),
        "usage": Usage(prompt_tokens=prompt, completion_tokens=completion, cost_usd=Decimal(3)),
    }
    return Result(**values | more)


def history(**values) -> list[Result]:
    return [billed(**values) for _ in range(LEAST_HISTORY)]


def test_a_quote_is_a_rule():
    """A fifth either way for the text; the picture, by its formula, is sure."""
    bill = Bill.of(Quoting(), DOMAIN, [])
    prompt, completion = bill.tokens([seen(), seen()], 2)

    assert bill.basis == "rule"
    assert prompt == Range(2 * (80 + 85), 2 * (100 + 85), pytest.approx(2 * (120 + 85)))
    assert completion == Range(8, 10, 12)
    assert bill.cost(prompt, completion) == (CENT * 338, CENT * 380, CENT * 422)


def test_each_call_about_a_picture_counts():
    """Votes by as many as there may be; by as few as there may be at the low end."""
    bill = Bill.of(Quoting(calls=(3, 5)), DOMAIN, [])
    prompt, completion = bill.tokens([seen()], 1)

    assert prompt == Range(3 * (80 + 85), 5 * (100 + 85), pytest.approx(5 * (120 + 85)))
    assert completion == Range(3 * 4, 5 * 5, 5 * 6)
    assert bill.least_of_a_picture() == CENT * 3 * 81


def test_what_was_billed_holds_all_calls_of_a_picture():
    """Two calls of 200 tokens with a picture of 85 each, which is counted apart once."""
    bill = Bill.of(Quoting(calls=(2, 2)), DOMAIN, history(prompt=400, completion=10, image=85))
    prompt, completion = bill.tokens([seen(85)], 10)

    assert prompt.expected == 10 * 400
    assert completion.expected == 10 * 10


def test_a_guessed_picture_is_told_with_a_wide_range():
    prompt, _ = Bill.of(Quoting(), DOMAIN, []).tokens([seen(1_000, estimated=True)], 1)

    assert prompt == Range(60 + 80, 1_100, 8_000 + 120)


def test_what_was_billed_counts_more_than_a_quote():
    """Text is what prompts took beside their pictures."""
    bill = Bill.of(Quoting(), DOMAIN, history(prompt=200, completion=7, image=85))
    prompt, completion = bill.tokens([seen(400), seen(600)], 2)

    assert bill.basis == "measured"
    assert prompt == Range.exactly(400 + 600 + 2 * 115)
    assert completion == Range.exactly(14)


@pytest.mark.parametrize("tokens", [seen(None), seen(1_100, estimated=True)])
def test_prompts_are_taken_whole_where_no_formula_is_known(tokens):
    bill = Bill.of(Quoting(price=None), DOMAIN, history(prompt=300, completion=100))
    prompt, completion = bill.tokens([tokens], 10)

    assert prompt.expected == 3_000
    assert bill.cost(prompt, completion) is not None


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "second"},
        {"deployment": "east"},
        {"model": "fake-2"},
        {"domain_version": "older"},
        {"status": "failed"},
        {"cached": True},
        {"usage": None},
        {"prompt": 0},
    ],
)
def test_other_results_are_no_history(other):
    assert Bill.of(Quoting(), DOMAIN, history(**other)).basis == "rule"


def test_a_dated_model_is_of_its_family():
    assert Bill.of(Quoting(), DOMAIN, history(model="fake-1-2024-11-20")).basis == "measured"


def test_a_plug_in_without_a_quote_takes_at_most_what_it_says():
    bill = Bill.of(FakeProvider(metered=True, tokens=500), DOMAIN, [])
    prompt, completion = bill.tokens([seen(None)], 1)

    assert (prompt, completion) == (Range(0, 500, 500), Range.exactly(0))
    assert bill.cost(prompt, completion) is None


def test_a_plug_in_that_was_billed_before_costs_as_much_again():
    """3 dollars for 300 tokens."""
    bill = Bill.of(FakeProvider(metered=True), DOMAIN, history(prompt=290, completion=10))
    prompt, completion = bill.tokens([seen(None)], 5)

    assert bill.cost(prompt, completion) == (15, 15, 15)


def test_what_is_not_metered_costs_nothing():
    bill = Bill.of(FakeProvider(), DOMAIN, [])
    prompt, completion = bill.tokens([seen(None)], 5)

    assert bill.basis is None
    assert bill.cost(prompt, completion) == (0, 0, 0)


def test_kept_and_unreadable_pictures_cost_nothing():
    looked = [seen(), seen(), Looked("kept"), Looked("unreadable")]
    prompt, completion = Bill.of(Quoting(), DOMAIN, []).tokens(looked, 4)

    assert prompt.expected == 2 * 185
    assert completion.expected == 10


class TestDuration:
    """Of 100 pictures that each reserve 500 tokens."""

    @pytest.fixture
    def deployments(self):
        def made(*limits: tuple[int, int | None]) -> list[Deployment]:
            from app.settings_groups import DeploymentLimits

            return [
                Deployment(FakeProvider(metered=True), DeploymentLimits(rpm=rpm, tpm=tpm), now=0.0)
                for rpm, tpm in limits
            ]

        return made

    @pytest.mark.parametrize(
        ("limits", "minutes"),
        [
            ([(600, None)], 1 / 6),
            ([(600, 10_000_000)], 1 / 6),
            ([(600, 5_000)], 10),
            ([(600, 5_000), (40, None)], 2),
        ],
    )
    def test_the_scarcer_dimension_decides(self, deployments, limits, minutes):
        """Of each deployment, and they work together."""
        made = deployments(*limits)
        looked = [Looked("asked", None, (500,) * len(made))] * 10
        found = quota_s(looked, 100, made, 100.0)

        assert found == pytest.approx(60 * minutes, rel=0.08)

    def test_each_call_about_a_picture_takes_quota(self, deployments):
        looked = [Looked("asked", None, (500,))]
        found = quota_s(looked, 100, deployments((600, None)), 100.0, calls=2)

        assert found == pytest.approx(20, rel=0.08)

    def test_what_is_not_asked_takes_no_quota(self, deployments):
        looked = [Looked("asked", None, (500,)), Looked("kept")]

        assert quota_s(looked, 100, deployments((600, None)), 100.0) == pytest.approx(5, rel=0.08)
        assert quota_s([Looked("kept")], 100, deployments((600, None)), 100.0) == 0
