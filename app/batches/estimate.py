"""Estimates what a batch would cost and how long it would take, before it is stored or asked."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.batches.affording import Affording, BudgetShare
from app.batches.bill import Bill
from app.batches.looking import Looked, Looking
from app.batches.options import BatchOptions
from app.batches.ranges import Range
from app.batches.reading import Reading
from app.batches.rows import Row, Unusable
from app.batches.sample import Sample
from app.budget import Payer, budget_of_batch
from app.classification import Intake, Standing
from app.domains import Domain, DomainRegistry
from app.identifiers import BATCH, new_id
from app.result import UsdAmount
from app.telemetry.metrics import Metrics
from app.traffic import Deployment, clock

LOOKED_AT = 100
"""The most pictures that are looked at."""

TOLD = 20
"""The most unusable rows that are reported."""


class TokenRange(BaseModel):
    """Tokens; the bill is between `low` and `high` about 95 times in 100."""

    low: int = Field(examples=[18_900])
    expected: int = Field(examples=[19_600])
    high: int = Field(examples=[20_300])


class CostRange(BaseModel):
    """US dollars; the bill is between `low` and `high` about 95 times in 100."""

    low: UsdAmount = Field(examples=[0.0501])
    expected: UsdAmount = Field(examples=[0.0523])
    high: UsdAmount = Field(examples=[0.0546])


class UnusableRow(BaseModel):
    """A row or file that is not a valid item."""

    place: str = Field(description="A line, or the name of a file.", examples=["line 7"])
    reason: str = Field(examples=["image_url: is no http or https URL"])


class PromptText(BaseModel):
    """The text that a model is sent with a picture, word for word, except that the order of the
    classes differs for each picture."""

    model_config = ConfigDict(from_attributes=True)
    system: str = Field(examples=["You are a botanist. Decide which flower ..."])
    user: str = Field(description="Empty if the picture stands alone.", examples=[""])
    schema_: str | None = Field(
        alias="schema",
        description="JSON schema of the answer, which the model reads and which is billed.",
        examples=['{"type":"object","properties":{"label":...'],
    )


class BatchEstimate(BaseModel):
    """Estimate of a batch. Nothing was stored, and nothing was paid for."""

    domain: str = Field(examples=["flowers"])
    provider: str = Field(
        description="Provider that would answer; in a cascade, the first whose answers cost more "
        "than this machine's time.",
        examples=["azure_openai"],
    )
    model: str = Field(examples=["gpt-4o"])
    items: int = Field(examples=[100])
    duplicates: int = Field(
        description="Items with the same URL or bytes as an earlier one.", examples=[3]
    )
    bad_rows: int = Field(description="Rows and files that are not valid items.", examples=[1])
    errors: list[UnusableRow] = Field(description="The first of the bad rows.")
    sampled: int = Field(
        description="Pictures that were examined, drawn evenly from all distinct ones.",
        examples=[97],
    )
    unreadable: int = Field(
        description="Sampled pictures that would fail before any provider is asked.", examples=[0]
    )
    kept: int = Field(description="Sampled pictures that were answered before.", examples=[0])
    settled: int | None = Field(
        description="Sampled pictures about which `provider` would not be asked, because an "
        "earlier one in the cascade is sure enough; null if there is no earlier one.",
        examples=[None],
    )
    prompt_tokens: TokenRange = Field(description="Tokens of pictures and text.")
    completion_tokens: TokenRange = Field(
        description="Tokens of answers, and of the reasoning before them."
    )
    tokens: TokenRange = Field(description="Prompt and completion tokens together.")
    cost_usd: CostRange | None = Field(description="Null if the price is not known.")
    budgets: list[BudgetShare] = Field(
        description="Budgets in which the calls are reserved, and what the batch would take of "
        "them."
    )
    duration_s: float | None = Field(
        description="Estimated seconds: at the provider's present quota, without other traffic, or "
        "at the pace of the sample if this machine answers; null if unknown.",
        examples=[9.7],
    )
    basis: Literal["measured", "rule"] | None = Field(
        description="Where the tokens of text and answer come from: `measured` (what earlier calls "
        "about this domain were billed) or `rule` (a rule of thumb). Null if no tokens are billed.",
        examples=["measured"],
    )
    prompt: PromptText | None = Field(
        description="What the model would be sent; null if it takes no prompt."
    )


class Estimator:
    """Reads a batch as it would be taken in, and keeps nothing of it."""

    def __init__(
        self,
        domains: DomainRegistry,
        intake: Intake,
        metrics: Metrics,
        reading: Reading,
        affording: Affording,
        standing: Standing,
    ) -> None:
        self._domains = domains
        self._intake = intake
        self._metrics = metrics
        self._reading = reading
        self._affording = affording
        self._standing = standing

    async def estimate(
        self,
        options: BatchOptions,
        rows: Iterable[Row | Unusable],
        *,
        caller: str,
        operator: bool = False,
        threads: Executor | None = None,
    ) -> BatchEstimate:
        """`rows` are read in `threads`, and up to 100 pictures looked at. The bill is that of the
        provider's deployment that would be asked first.

        Raises what TakingIn.take raises, ProviderUnknown, and Overloaded.
        """
        domain = await self._domains.find(options.domain)
        route = await self._affording.route(options.provider, domain)
        bill = await self._affording.bill(route.name, domain)
        looking = Looking(self._intake, self._metrics, domain, route, self._standing)
        sample, bad = await self._read(rows, domain, looking, threads)
        looked = [looking.found[rank] for rank in sample.drawn]
        pictures = await asyncio.to_thread(sample.pictures)
        billed = bill.of_all(looked, pictures)
        for name in route.later:
            further = await self._affording.bill(name, domain)
            billed += further.of_all(looked, pictures).at_most
        prompt, completion, cost = billed.prompt, billed.completion, billed.cost
        duration_s = _duration_s(bill, looked, pictures, route.deployments, looking.picture_s)
        return BatchEstimate(
            domain=domain.name,
            provider=route.name,
            model=route.deployments[0].provider.capabilities().model,
            items=sample.items,
            duplicates=sample.items - pictures,
            bad_rows=len(bad),
            errors=[UnusableRow(place=each.place, reason=each.reason) for each in bad[:TOLD]],
            sampled=len(looked),
            unreadable=sum(each.fate == "unreadable" for each in looked),
            kept=sum(each.fate == "kept" for each in looked),
            settled=sum(each.fate == "settled" for each in looked) if route.before else None,
            prompt_tokens=_tokens(prompt),
            completion_tokens=_tokens(completion),
            tokens=_tokens(prompt + completion),
            cost_usd=cost and CostRange(low=cost[0], expected=cost[1], high=cost[2]),
            budgets=(
                await self._affording.shares(
                    _payer(options, caller), domain, cost, operator=operator
                )
                if bill.is_metered
                else []
            ),
            duration_s=None if duration_s is None else round(duration_s, 2),
            basis=bill.basis,
            prompt=bill.quote and PromptText.model_validate(bill.quote.prompt),
        )

    async def _read(
        self,
        rows: Iterable[Row | Unusable],
        domain: Domain,
        looking: Looking,
        threads: Executor | None,
    ) -> tuple[Sample, list[Unusable]]:
        """Uploads are looked at while they are in memory, URLs once the sample is complete."""
        sample, bad = Sample(LOOKED_AT), []
        async for good, unusable in self._reading.groups(rows, domain.truths, threads):
            bad += unusable
            await asyncio.to_thread(_add, sample, [each.picture for each in good])
            uploads = {key: each for key, each in sample.drawn.items() if isinstance(each, bytes)}
            await looking.at(uploads)
            for key in uploads:
                sample.let_go(key)
        await looking.at({key: each for key, each in sample.drawn.items() if isinstance(each, str)})
        return sample, bad


def _duration_s(
    bill: Bill,
    looked: Sequence[Looked],
    pictures: int,
    deployments: Sequence[Deployment],
    picture_s: float | None,
) -> float | None:
    """Seconds at the quota, or at this machine's pace, whichever takes longer."""
    here = None if picture_s is None else picture_s * pictures
    if not bill.is_metered:
        return here
    now = clock.now()
    there = quota_s(looked, pictures, deployments, now, calls=bill.calls.expected)
    return None if there is None else max(there, here or 0.0)


def quota_s(
    looked: Sequence[Looked],
    pictures: int,
    deployments: Sequence[Deployment],
    now: float,
    *,
    calls: float = 1,
) -> float | None:
    """Seconds until the last call is answered, at the rate that the deployments sustain together.
    Each sustains as many calls as the scarcer of its quotas, calls or tokens per minute, allows; a
    call takes the tokens that are reserved for it when it arrives, and a picture takes `calls`
    calls. None when nothing limits the rate."""
    asked = [each for each in looked if each.fate == "asked"]
    if not asked:
        return 0.0
    rates = []
    for number, deployment in enumerate(deployments):
        per_second = deployment.per_second(now)
        tokens = fmean([each.reserved[number] for each in asked])
        rates.append(min(per_second["requests"], per_second["tokens"] / max(1.0, tokens)))
    if math.inf in rates:
        return None
    made = calls * pictures * len(asked) / len(looked)
    return made / sum(rates) + min(each.latency_s for each in deployments)


def _add(sample: Sample, pictures: Sequence[str | bytes]) -> None:
    for each in pictures:
        sample.add(each)


def _payer(options: BatchOptions, caller: str) -> Payer:
    """The payer for a batch that does not exist: nothing is spent of its own budget."""
    batch_id = new_id(BATCH)
    own = budget_of_batch(batch_id, options.budget_usd, caller=caller, domain=options.domain)
    return Payer(caller, batch_id, own)


def _tokens(amount: Range) -> TokenRange:
    return TokenRange(
        low=round(amount.low), expected=round(amount.expected), high=round(amount.high)
    )
