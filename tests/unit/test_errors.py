"""Every error that a caller may meet is a problem of its own."""

import re
from collections.abc import Iterator

import pytest

from app import errors
from app.api.problems import PROBLEMS, problem_response


def below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


ALL = [kind for kind in below(errors.ClassifierError) if kind.__module__ == "app.errors"]
LEAVES = [kind for kind in ALL if not kind.__subclasses__()]


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_problem(kind):
    """With a status, a title and a slug that tools can rely on."""
    problem = PROBLEMS[kind]

    assert 400 <= problem.status < 600
    assert problem.title
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug())
    assert kind.__doc__


def test_slugs_are_unique():
    slugs = [kind.slug() for kind in ALL]

    assert len(slugs) == len(set(slugs))


def test_no_problem_is_for_an_error_that_is_gone():
    assert PROBLEMS.keys() <= set(ALL)


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.__name__)
def test_every_503_says_when_to_come_back(kind):
    response = problem_response(kind("message"), "/classify")

    assert ("retry-after" in response.headers) == (
        response.status_code == 503 or kind is errors.IdempotencyKeyInUse
    )
    assert response.media_type == "application/problem+json"


@pytest.mark.parametrize(("asked", "told"), [(None, "5"), (0.2, "1"), (12.1, "13")])
def test_the_providers_own_wait_is_told(asked, told):
    error = errors.ProviderRateLimited("429", retry_after_s=asked)

    assert problem_response(error, "/classify").headers["retry-after"] == told


def test_kinds_are_a_closed_set():
    """They are labels of metrics: each provider error has one of its own."""
    kinds = [kind.kind for kind in below(errors.ProviderError) if kind.__module__ == "app.errors"]

    assert len(kinds) == len(set(kinds))
    assert "error" not in kinds
