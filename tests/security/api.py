"""What the API's description allows, and what it forbids, asked of a real server:
`python -m tests.security.api`.

Schemathesis makes the requests from openapi.json, by a seed, and by what was answered: examples,
values at and beyond their bounds, others by chance, and what an answer names. They come with no
key, a caller's and an operator's. No answer may be a 5xx, or have a status, a type or a body that
is not described of its operation; nobody is let in without a key; and each operation has to succeed
at least once, but for the quick form, in which that is left to chance.
"""

import argparse
import asyncio
import base64
import hashlib
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import StopReason, events, from_schema
from schemathesis.transport.serialization import Binary

from tests.described import ALL, OPERATIONS, PROBLEMS
from tests.security.fuzz import odd_lines
from tests.security.supply import (
    PICTURE,
    TARGETS,
    Supply,
    of_what_is_there,
    outside,
    store_labels,
    with_what_is_there,
)
from tests.service import ROOT, RunningService

CALLER, OPERATOR = "shop", "boss"
REAL_SHARE = 0.8
"""Of requests, how many name what is there, and bring a picture."""

schemathesis.openapi.format("binary", st.just(PICTURE).map(Binary) | st.binary().map(Binary))

Config = dict[str, Any]

LEAST, LEAST_QUICK = 12_000, 700
"""Requests, or too little was tried."""

NEVER_DONE = {
    "GET /alerts/{alert_id}",  # needs something that is wrong for minutes
    "POST /events",  # needs a package with a type of event
}
"""What may only be refused here; any other operation has to succeed."""


@schemathesis.check
def documented_problem(ctx, response, case) -> None:
    """Of this operation; of another one where the method is none that the path has."""
    if response.status_code >= 400:
        told = response.json()
        kind = (told["type"], response.status_code)
        asked = (case.method.upper(), case.operation.path)
        assert kind in PROBLEMS.get(asked, ALL), f"{kind} is not described of {' '.join(asked)}"


class Findings:
    """
    Attributes:
        statuses: how often each operation answered with which.
        wrong: a text for each thing that is.
    """

    def __init__(self) -> None:
        self.statuses: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.wrong: dict[tuple[str, ...], str] = {}

    def add(self, event: events.EngineEvent, key: str | None) -> None:
        match event:
            case events.ScenarioFinished():
                self._add(event.recorder, key)
            case events.NonFatalError():
                self.wrong[event.label, str(event.value)] = f"{event.label}: {event.value}"
            case events.SchemaAnalysisWarnings():
                self.wrong |= {("warning", str(each)): str(each) for each in event.warnings}
            case events.EngineFinished() if event.stop_reason != StopReason.COMPLETED:
                self.wrong["stopped", str(key)] = f"ended early: {event.stop_reason}"

    def _add(self, recorder, key: str | None) -> None:
        for case_id, interaction in recorder.interactions.items():
            response = interaction.response
            operation = recorder.cases[case_id].value.operation.label
            self.statuses[operation][response.status_code if response else 0] += 1
            for check in recorder.checks.get(case_id, ()):
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    self.wrong.setdefault(
                        (operation, check.name, failure.title),
                        f"{operation}, as {key}: {failure.title}. {failure.message}\n"
                        f"  {check.failure_info.code_sample[:1_000]}\n"
                        f"  {response.status_code}: {response.text[:300]}",
                    )

    def total(self) -> int:
        return sum(each.total() for each in self.statuses.values())

    def never_done(self) -> list[str]:
        """Operations that should have succeeded once."""
        return [
            f"{label}: was never done"
            for label in map(" ".join, OPERATIONS)
            if label not in NEVER_DONE
            and not any(200 <= each < 300 for each in self.statuses[label])
        ]


def fuzz(seed: int, examples: int, *, thorough: bool) -> Findings:
    """Ask with each key."""
    found = Findings()
    keys = {CALLER: "", OPERATOR: ":admin"}
    with outside() as proxy, tempfile.TemporaryDirectory() as folder:
        database_url = f"sqlite:///{folder}/app.db"
        asyncio.run(store_labels(database_url))
        service = RunningService(
            Path(folder),
            DATABASE_URL=database_url,
            API_KEYS=",".join(
                f"{key}:{hashlib.sha256(key.encode()).hexdigest()}{rights}"
                for key, rights in keys.items()
            ),
            EGRESS_PROXY=proxy,
            EXPORT_TARGETS=TARGETS,
            REVIEW_RANDOM_SHARE="1",  # there is something to review, and its picture is kept
            WEBHOOK_SECRET="whsec_" + base64.b64encode(bytes(32)).decode(),
        )
        try:
            with client(service, OPERATOR) as operator:
                for key in (None, *keys):
                    with client(service, key or OPERATOR) as caller:
                        supply = Supply(caller, operator)
                        config = configured(service.url, key, seed, examples, thorough=thorough)
                        for event in asked(config, supply, random.Random(seed)):
                            found.add(event, key)
        finally:
            service.stop()
        found.wrong |= {("log", each): each for each in odd_lines(service.log.read_text())}
    return found


def client(service: RunningService, key: str) -> httpx2.Client:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.Client(base_url=service.url, headers=headers, timeout=30)


def configured(url: str, key: str | None, seed: int, examples: int, *, thorough: bool) -> Config:
    known = {} if key is None else {"auth": {"openapi": {"ApiKey": {"bearer": key}}}}
    return {
        "base-url": url,
        "seed": seed,
        "workers": 1,  # else their order is by chance
        "continue-on-failure": True,
        "request-timeout": 30,
        "cache": {"enabled": False},
        "max-stream-events": 1,  # a batch that is paused is followed for ever
        "generation": {
            "max-examples": examples,
            "database": "none",
            "no-shrink": True,
            "with-security-parameters": False,
        },
        "phases": {"coverage": {"enabled": thorough}, "stateful": {"enabled": thorough}},
        "checks": {
            # What a description can't say, as that two fields exclude each other, is refused.
            "positive_data_acceptance": {"enabled": False},
        },
        "operations": [
            {
                # Also /results/{result_id} and /reviews/{result_id}, which refuse what is no id.
                "include-path": ["/results/export", "/reviews/statistics"],
                "checks": {"unsupported_method": {"enabled": False}},
            },
            {
                # 503, and no problem, while it starts and drains.
                "include-path": "/health/ready",
                "checks": {"documented_problem": {"enabled": False}},
            },
        ],
        **known,
    }


def asked(config: Config, supply: Supply, dice: random.Random) -> Iterator[events.EngineEvent]:
    """All requests, most of them for what is there."""
    schema = schemathesis.openapi.from_path(
        ROOT / "openapi.json", config=schemathesis.Config.from_dict(config)
    )

    def real(case, location: ParameterLocation) -> bool:
        """Mostly, but never where the description is broken on purpose."""
        broken = case.meta is not None and case.meta.is_negative_at(location)
        return dice.random() < REAL_SHARE and not broken

    def before_call(context, case, kwargs) -> None:
        if case.path_parameters and real(case, ParameterLocation.PATH):
            case.path_parameters = supply.names(case.path, case.path_parameters)
        if case.query and real(case, ParameterLocation.QUERY):
            case.query = of_what_is_there(case.path, case.query)
        is_json = case.media_type == "application/json" and isinstance(case.body, dict)
        if is_json and real(case, ParameterLocation.BODY):
            case.body = with_what_is_there(case.path, case.body)

    def after_call(context, case, response) -> None:
        if case.method in ("DELETE", "PUT") and response.status_code < 300:
            supply.forget(case.path, (case.path_parameters or {}).values())

    with hooked(before_call), hooked(after_call):
        yield from from_schema(schema).execute()


@contextmanager
def hooked(hook) -> Iterator[None]:
    schemathesis.hook(hook)
    try:
        yield
    finally:
        schemathesis.hooks.unregister(hook)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20, help="by chance, of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="no bounds, no chains of requests")
    options = parser.parse_args()
    found = fuzz(options.seed, options.examples, thorough=not options.quick)
    wrong = [*found.wrong.values(), *([] if options.quick else found.never_done())]
    total, least = found.total(), LEAST_QUICK if options.quick else LEAST
    if total < least:
        wrong.append(f"{total} requests are fewer than {least}")
    for operation, statuses in sorted(found.statuses.items()):
        told = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        print(f"{statuses.total():6} {operation}: {told}")
    for each in wrong:
        print(each)
    print(f"{total} requests, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
