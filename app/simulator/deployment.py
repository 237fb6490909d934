"""One deployment: from a parsed call to its answer."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from app.simulator import errors
from app.simulator.admission import Admission, Quota
from app.simulator.answers import DeclaredTruth, LocalModel
from app.simulator.asked import Asked
from app.simulator.call_log import CallLog
from app.simulator.completion import Usage
from app.simulator.config import Behaviour, DeploymentConfig, Fault
from app.simulator.counts import Tally
from app.simulator.errors import Unacceptable
from app.simulator.faults import UNTOLD, FaultSource
from app.simulator.inference import Inference
from app.simulator.latency import LatencySource
from app.simulator.parameters import complaint
from app.simulator.reply import HTML, Dialect, Reply, deployment_headers, quota_headers

FAILURES: dict[str, Callable[[], Reply]] = {
    "error_500": errors.broken,
    "empty_500": errors.broken_without_words,
    "html_502": errors.bad_gateway,
    "unavailable_503": errors.unavailable,
    "timeout_408": errors.timed_out,
    "capacity_429": errors.no_capacity,
    "reset": lambda: Reply(500, b"", manner="reset"),
}
GARBAGE = (
    Reply(200, b"<html><body>Welcome</body></html>", content_type=HTML),
    Reply(200, b'{"choices":[{"index":0,"mess'),
    Reply.json(200, {"choices": [], "object": "chat.completion"}),
    Reply(200, b""),
)


@dataclass(frozen=True, slots=True)
class Call:
    """
    Attributes:
        api_version: of the dated API; None on v1.
        key: of whoever calls.
    """

    asked: Asked
    api_version: str | None = None
    key: str = ""

    @property
    def dialect(self) -> Dialect:
        return "v1" if self.api_version is None else "dated"


class Deployment:
    def __init__(
        self,
        config: DeploymentConfig,
        *,
        truth: DeclaredTruth,
        local: LocalModel,
        seed: int,
        clock: Callable[[], float] = time.time,
        log: CallLog | None = None,
    ) -> None:
        """`clock` gives Unix time, to which windows are aligned."""
        self.config = config
        self.tally = Tally()
        self._model = config.simulated
        self._inference = Inference(self._model, truth=truth, local=local, seed=seed)
        self._seed = f"{seed} {config.name}"
        self._clock = clock
        self._log = log
        self._admission = Admission(_quota(config))
        self._latency = LatencySource(config.latency, self._seed)
        self._faults = FaultSource(config.faults, self._seed)
        self._garbage = Random(self._seed)  # noqa: S311 - it has to be repeatable

    def change(self, by: Behaviour) -> None:
        """Applies from the next call on. Counters and windows are kept."""
        self.config = self.config.changed(by)
        self._admission.quota = _quota(self.config)
        if "latency" in by.model_fields_set:
            self._latency = LatencySource(self.config.latency, self._seed)
        if "faults" in by.model_fields_set:
            self._faults = FaultSource(self.config.faults, self._seed)

    async def complete(self, call: Call) -> Reply:
        self.tally.arrive()
        try:
            await _sleep(self._latency.network_s())
            reply = await self._judge(call)
            await _sleep(self._latency.network_s())
            return reply
        finally:
            self.tally.leave()

    async def _judge(self, call: Call) -> Reply:
        config, now = self.config, self._clock() + self.config.clock_skew_s
        if config.down:
            self.tally.turn_away()
            return errors.unavailable()
        tokens = call.asked.estimated_tokens(self._model, images_count=config.images_count)
        decision = self._admission.admit(tokens, now)
        headers = quota_headers(self._admission.quota, decision, config.rate_limit_headers)
        if decision.refused_by is not None:
            self.tally.refuse(decision.refused_by)
            limit = "call" if decision.refused_by == "requests" else "token"
            reply = errors.over_quota(
                call.dialect, config.model, limit, call.api_version, decision.retry_after_s
            )
            return reply.having(headers)
        self.tally.accept(tokens, now)
        began = time.monotonic()
        try:
            reply = await self._answer(call)
        except Unacceptable as error:
            self.tally.find_invalid()
            reply = error.reply
        took = time.monotonic() - began
        return reply.having(headers | deployment_headers(config.name, took))

    async def _answer(self, call: Call) -> Reply:
        """Raises Unacceptable."""
        if reply := complaint(call.asked, self._model, self.config.refuses):
            raise Unacceptable(reply)
        logged = self._logged(call)
        fault = self._faults.strike(lambda: self._inference.drawn(call.asked, "fate"))
        if fault is not None:
            self.tally.strike(fault.kind)
        latency = self._latency.model_s()
        if fault is None or fault.kind in ("slow_body", "output_filter", "refusal"):
            return await self._infer(call.asked, latency, fault, logged)
        await _sleep(latency)
        usage = None
        if fault.kind in UNTOLD:
            usage = self._inference.usage(call.asked, self.config)
            self.tally.bill(usage, told=False)
        self._ended(logged, fault.kind, usage)
        match fault.kind:
            case "garbage":
                return self._garbage.choice(GARBAGE)
            case "content_filter":
                return errors.prompt_filtered(call.dialect)
            case "silence":
                return errors.timed_out().lasting("silent", fault.seconds)
            case _:
                return FAILURES[fault.kind]()

    async def _infer(
        self, asked: Asked, latency: float, fault: Fault | None, logged: str | None
    ) -> Reply:
        """Answer with the model's output after `latency`, or when it is ready if that is later.
        Raises Unacceptable."""
        began = time.monotonic()
        try:
            inferred = await self._inference.run(asked, self.config, fault.kind if fault else None)
        except Unacceptable:
            self._ended(logged, "invalid", None)
            raise
        await _sleep(latency - (time.monotonic() - began))
        self.tally.bill(inferred.usage)
        self._ended(logged, fault.kind if fault else "answered", inferred.usage)
        reply = Reply.json(200, inferred.body)
        if fault is None:
            self.tally.answer()
        elif fault.kind == "slow_body":
            return reply.lasting("slow", fault.seconds)
        return reply

    def _logged(self, call: Call) -> str | None:
        if self._log is None:
            return None
        return self._log.admit(
            deployment=self.config.name,
            key=call.key,
            picture=call.asked.identity,
            expected=self._inference.usage(call.asked, self.config),
        )

    def _ended(self, logged: str | None, outcome: str, billed: Usage | None) -> None:
        if self._log is not None and logged is not None:
            self._log.end(logged, outcome, billed)


def _quota(behaviour: Behaviour) -> Quota:
    return Quota(behaviour.rpm, behaviour.tpm, behaviour.window_s, behaviour.tenant_share)


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
