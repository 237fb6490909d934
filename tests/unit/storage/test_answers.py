"""Answers that are given again, and those that are not, after a restart."""

from collections.abc import Callable
from datetime import datetime

import pytest
import sqlalchemy as sa

from app.parts.ground import now
from app.result import ImageFacts
from app.storage import AnswerRepository, Database, KeptAnswer, migrate
from app.storage.tables import answers
from tests.clock import Clock


@pytest.fixture
async def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/app.db")
    await migrate(database)
    yield database
    await database.close()


def kept(model: str, deployment: str | None = "eyes", provider: str = "azure_openai"):
    return KeptAnswer(
        provider=provider,
        model=model,
        deployment=deployment,
        label="rose",
        probabilities={"rose": 0.9},
        confidence_source="logprobs",
        image=ImageFacts(sha256="ab", format="JPEG", width=8, height=8, bytes=100, warnings=[]),
    )


def repository(database: Database, clock: Callable[[], datetime] = now) -> AnswerRepository:
    return AnswerRepository(database, ttl_s=60, max_entries=100, clock=clock)


async def keep(database: Database, **new: KeptAnswer) -> None:
    """By a process that ends then."""
    keeper = repository(database)
    for key, answer in new.items():
        await database.write(keeper.keeping({key: answer}))


async def found(database: Database, *keys: str) -> list[str | None]:
    """The models whose answers the next process gives again."""
    giver = repository(database)
    await giver.load_models()
    given = [await giver.get(key) for key in keys]
    return [each.model if each else None for each in given]


async def test_answers_of_the_model_that_stood_last_are_given_again(database):
    await keep(database, a=kept("gpt-1"), b=kept("gpt-1"))

    assert await found(database, "a", "b", "c") == ["gpt-1", "gpt-1", None]


async def test_an_answer_is_given_again_for_its_time(database):
    clock = Clock()
    answers = repository(database, clock)
    await database.write(answers.keeping({"a": kept("gpt-1")}))

    clock.ahead(seconds=59)
    early = await answers.get("a")
    clock.ahead(seconds=1)
    late = await answers.get("a")

    assert early == kept("gpt-1")
    assert late is None


async def test_answers_of_a_model_that_was_replaced_are_not(database):
    """The newest answer says which stands there now, whatever its key."""
    await keep(database, a=kept("gpt-1"), c=kept("gpt-2"), b=kept("gpt-3"))

    assert await found(database, "a", "b", "c") == [None, "gpt-3", None]


async def test_an_answer_that_was_replaced_itself_counts_as_new(database):
    await keep(database, a=kept("gpt-1"), b=kept("gpt-2"))
    await keep(database, a=kept("gpt-1"))

    assert await found(database, "a", "b") == ["gpt-1", None]


async def test_each_deployment_and_each_provider_has_a_model_of_its_own(database):
    await keep(
        database,
        a=kept("gpt-1"),
        b=kept("gpt-2", deployment="other"),
        c=kept("gpt-3", provider="openai_compatible"),
        d=kept("local-1", None, "local"),
    )

    assert await found(database, *"abcd") == ["gpt-1", "gpt-2", "gpt-3", "local-1"]


async def test_what_another_version_has_kept_in_another_form_is_passed_over(database):
    """It is no answer, and tells nothing of models."""
    await keep(database, a=kept("gpt-1"), b=kept("gpt-2"))
    change = sa.update(answers).where(answers.c.key == "b").values(answer='{"model": "gpt-2"}')
    await database.write(lambda connection: connection.execute(change))

    assert await found(database, "a", "b") == ["gpt-1", None]
