"""Who is asked first answers what it is sure enough of, the next one what is left."""

import asyncio
import dataclasses

import pytest

from app.domains import Domain
from app.errors import ContentFiltered, ProviderRejected, ProviderUnavailable
from app.parts import build_parts
from app.providers.local.provider import LocalProvider
from app.settings_groups import CacheSettings
from app.storage.audit import COMMAND_LINE
from tests.fakes import COST_USD, answer
from tests.integration.calls import until
from tests.integration.test_batches import ended, pictures
from tests.labelled import FLOWERS, store_labelled
from tests.pictures import jpeg

SPEC = {
    "classes": list(FLOWERS),
    "confidence_threshold": 0.7,
    "providers": ["fake", "priced"],
    "cascade": {"threshold": 0.8},
}
SURE, UNSURE = answer("rose", 0.9), answer("rose", 0.75)


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"rate_limit_rpm": 100_000})


@pytest.fixture
async def priced(parts):
    (provider,) = await parts.providers.get("priced")
    return provider


async def put(client, name: str = "garden", **fields) -> None:
    made = await client.post("/domains", json={"name": name, **SPEC, **fields})
    assert made.status_code == 201, made.text


async def ask(client, number: int = 0, *, status: int = 200, **fields) -> dict:
    fields = {"domain": "garden", **fields}
    files = {"file": ("a.jpg", jpeg(64 + number, 64))}
    given = await client.post("/classify", files=files, data=fields)
    assert given.status_code == status, given.text
    return given.json()


async def submit(client, count: int) -> str:
    """The id of a batch."""
    made = await client.post(
        "/batches", data={"domain": "garden"}, files={"file": ("a.zip", pictures(count))}
    )
    assert made.status_code == 202, made.text
    return made.json()["id"]


async def cost(client, *, answers: int = 1) -> dict:
    """When so many are summed."""
    told: dict = {}

    async def summed() -> bool:
        told.update((await client.get("/analytics/cost", params={"by": "provider"})).json())
        return told["answers"] >= answers

    await until(summed)
    return told


async def says(parts, monkeypatch, said) -> None:
    """The local model says so of every picture."""
    (local,) = await parts.providers.get("local")

    async def classify(*_, **__):
        return dataclasses.replace(said, confidence_source="local")

    monkeypatch.setattr(local, "classify", classify)


class TestSureEnough:
    async def test_nobody_else_is_asked_and_what_that_saved_is_booked(self, client, fake, priced):
        await put(client)
        fake.script.append(SURE)

        told = await ask(client)
        costs = await cost(client)

        assert (fake.calls, priced.calls) == (1, 0)
        assert (told["provider"], told["status"], told["degraded"]) == ("fake", "accepted", False)
        assert told["usage"]["cost_usd"] == 0
        assert costs["savings"]["cascade"] == {"answers": 1, "usd": float(COST_USD)}
        (group,) = costs["groups"]
        assert (group["key"], group["answers"], group["calls"]) == ("fake", 1, 0)

    async def test_what_is_not_goes_to_the_next_one_whose_answer_stands(self, client, fake, priced):
        await put(client)
        fake.script.append(UNSURE)
        priced.script.append(answer("daisy", 0.72))

        told = await ask(client)
        costs = await cost(client)

        assert (told["provider"], told["predicted_class"]) == ("priced", "daisy")
        assert (told["status"], told["degraded"]) == ("accepted", False)
        assert told["usage"]["cost_usd"] == float(COST_USD)
        assert costs["answers"] == costs["calls"] == 1
        assert costs["savings"]["cascade"]["answers"] == 0

    @pytest.mark.parametrize(
        ("said", "fields"),
        [
            (answer("rose", 0.79), {}),
            (answer("rose", 0.85), {"confidence_threshold": 0.87}),
            (answer("rose", 0.85), {"margin": 0.9}),
        ],
        ids=["below the cascade's threshold", "below the domain's", "a close second"],
    )
    async def test_an_answer_stands_that_nobody_would_have_to_look_at(
        self, client, fake, priced, said, fields
    ):
        await put(client, **fields)
        fake.script.append(said)

        await ask(client)

        assert priced.calls == 1

    async def test_a_provider_that_is_asked_for_answers_alone(self, client, fake, priced):
        await put(client)
        fake.script.append(UNSURE)

        told = await ask(client, provider="fake")
        await ask(client, 1, provider="priced")

        assert (told["provider"], fake.calls, priced.calls) == ("fake", 1, 1)

    async def test_without_a_cascade_the_next_one_is_for_who_is_down(self, client, fake, priced):
        await put(client, cascade=None)
        fake.script.append(answer("rose", 0.2))

        told = await ask(client)

        assert (told["provider"], priced.calls) == ("fake", 0)


class TestSecondOpinion:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"cache": CacheSettings()})

    @pytest.mark.parametrize("wanted", [True, False])
    async def test_a_person_looks_where_they_contradict_each_other_if_that_is_wanted(
        self, client, fake, priced, wanted
    ):
        await put(client, cascade={"threshold": 0.8, "second_opinion": wanted})
        fake.script.append(UNSURE)
        priced.script.append(answer("daisy", 0.95))

        asked, kept = await ask(client), await ask(client)

        assert (asked["cached"], kept["cached"], priced.calls) == (False, True, 1)
        for told in (asked, kept):
            assert told["review_reasons"] == (["provider_disagreement"] if wanted else [])
            assert told["status"] == ("needs_review" if wanted else "accepted")

    async def test_who_says_the_same_confirms_it(self, client, fake, priced):
        await put(client, cascade={"threshold": 0.8, "second_opinion": True})
        fake.script.append(UNSURE)
        priced.script.append(answer("rose", 0.95))

        assert (await ask(client))["review_reasons"] == []


class TestNobodyBetter:
    @pytest.mark.parametrize(
        "error", [ProviderUnavailable("down"), ProviderRejected("key"), ContentFiltered("no")]
    )
    async def test_the_earlier_answer_stands_and_is_looked_at(self, client, fake, priced, error):
        """Of a fallback whose confidence is not calibrated nobody knows what it means."""
        await put(client, max_retries=0)
        fake.script.append(UNSURE)
        priced.script.append(error)

        told = await ask(client)

        assert (told["provider"], told["predicted_class"]) == ("fake", "rose")
        assert (told["degraded"], told["review_reasons"]) == (True, ["degraded"])

    async def test_what_it_cost_brought_that_answer_after_all(self, client, fake, priced):
        await put(client, max_retries=0, providers=["priced", "fake"])
        priced.script.append(UNSURE)
        fake.script.append(ProviderUnavailable("down"))

        told = await ask(client)
        costs = await cost(client)

        assert (told["provider"], told["degraded"]) == ("priced", True)
        assert (costs["calls"], costs["answers"]) == (1, 1)

    async def test_a_provider_that_is_not_there_is_nobody(self, client, fake):
        await put(client, providers=["fake", "azure_openai"])
        fake.script.extend([UNSURE, SURE])

        unsure, sure = await ask(client), await ask(client, 1)
        steps = (await client.get("/domains/garden/cascade")).json()["steps"]

        assert (unsure["degraded"], sure["degraded"]) == (True, False)
        assert [each["configured"] for each in steps] == [True, False]

    async def test_who_is_first_may_be_down(self, client, fake, priced):
        """The last one's answer is the best there is."""
        await put(client, max_retries=0)
        fake.script.append(ProviderUnavailable("down"))

        told = await ask(client)

        assert (told["provider"], told["degraded"], told["status"]) == ("priced", False, "accepted")

    async def test_nobody_at_all(self, client, fake, priced):
        await put(client, max_retries=0)
        fake.script.append(ProviderUnavailable("down"))
        priced.script.append(ProviderUnavailable("down"))

        await ask(client, status=502)

    @pytest.mark.parametrize("action", ["degrade", "block"])
    async def test_a_spent_budget(self, client, fake, priced, action):
        await put(client)
        made = await client.put("/budgets/all", json={"amount_usd": 0.000001, "action": action})
        assert made.status_code == 200
        fake.script.extend([UNSURE, SURE])

        unsure, sure = await ask(client), await ask(client, 1)

        assert priced.calls == 0
        assert (unsure["provider"], unsure["degraded"]) == ("fake", True)
        assert unsure["status"] == "needs_review"
        assert (sure["status"], sure["degraded"]) == ("accepted", False)

    async def test_the_local_model_in_place_of_the_first_is_not_that_one(
        self, client, fake, priced, parts, monkeypatch
    ):
        """However sure it is: the threshold is another one's."""
        await put(client, providers=["priced", "fake"])
        await client.put("/budgets/all", json={"amount_usd": 0.000001, "action": "degrade"})
        await says(parts, monkeypatch, SURE)
        fake.script.append(answer("daisy", 0.9))

        told = await ask(client)

        assert (told["provider"], told["predicted_class"]) == ("fake", "daisy")
        assert not told["degraded"]

    async def test_nor_in_place_of_the_last(self, client, fake, priced, parts, monkeypatch):
        await put(client, max_retries=0)
        await client.put("/budgets/all", json={"amount_usd": 0.000001, "action": "degrade"})
        await says(parts, monkeypatch, SURE)
        fake.script.append(ProviderUnavailable("down"))

        told = await ask(client)

        assert (told["provider"], told["degraded"]) == ("local", True)
        assert told["review_reasons"] == ["degraded"]

    async def test_a_batch_waits_for_more_budget(self, client, parts, fake, priced):
        """What is sure enough is answered meanwhile; what is not is asked about again."""
        await put(client)
        await client.put("/budgets/all", json={"amount_usd": 0.000001, "action": "block"})
        fake.script.extend([UNSURE, *[SURE] * 2])
        batch = await submit(client, 3)

        async def paused() -> bool:
            told = (await client.get(f"/batches/{batch}")).json()
            return told["status"] == "paused"

        await until(paused)
        told = (await client.get(f"/batches/{batch}")).json()
        await client.put("/budgets/all", json={"amount_usd": 10, "action": "block"})
        await client.post(f"/batches/{batch}/resume")
        done = await ended(client, batch)

        assert told["counts"]["needs_review"] == told["counts"]["failed"] == 0
        assert done["counts"]["accepted"] == 3


@pytest.mark.each_database
class TestKept:
    """What was paid for is paid for once, whatever the cascade goes by later."""

    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"cache": CacheSettings()})

    async def test_an_answer_that_stood_saves_nothing_the_second_time(self, client, fake, priced):
        await put(client)
        fake.script.append(SURE)

        first, second = await ask(client), await ask(client)
        costs = await cost(client)

        assert (fake.calls, priced.calls, second["cached"]) == (1, 0, True)
        assert costs["answers"] == 1
        assert costs["savings"]["cache"]["answers"] == 0
        assert first["probabilities"] == second["probabilities"]

    async def test_the_last_ones_answer_is_kept_too(self, client, fake, priced):
        await put(client)
        fake.script.append(UNSURE)

        first, second = await ask(client), await ask(client)
        costs = await cost(client)

        assert (fake.calls, priced.calls) == (1, 1)
        assert (first["provider"], second["provider"], second["cached"]) == (
            *("priced", "priced"),
            True,
        )
        assert costs["savings"]["cache"] == {"answers": 1, "usd": float(COST_USD)}

    async def test_and_serves_who_asks_for_it_alone_and_the_other_way_round(
        self, client, fake, priced
    ):
        await put(client)
        fake.script.append(UNSURE)

        await ask(client)
        alone = await ask(client, provider="priced")
        await ask(client, 1, provider="priced")
        in_the_cascade = await ask(client, 1)

        assert alone["cached"]
        assert in_the_cascade["cached"]
        assert (fake.calls, priced.calls) == (1, 2)

    async def test_with_a_higher_threshold_what_stood_goes_on(self, client, fake, priced):
        await put(client)
        fake.script.extend([SURE, SURE, UNSURE])
        await ask(client)
        await ask(client, 1, status=200)
        spec = {**SPEC, "cascade": {"threshold": 0.95}}
        assert (await client.put("/domains/garden", json=spec)).status_code == 200

        told = await ask(client)
        again = await ask(client)

        assert (told["provider"], told["cached"]) == ("priced", False)
        assert (again["provider"], again["cached"], priced.calls) == ("priced", True, 1)

    async def test_a_makeshift_answer_is_asked_about_again(self, client, fake, priced):
        await put(client, max_retries=0)
        fake.script.extend([UNSURE, UNSURE])
        priced.script.append(ProviderUnavailable("down"))

        first, second = await ask(client), await ask(client)

        assert (first["degraded"], second["degraded"]) == (True, False)
        assert second["provider"] == "priced"

    async def test_also_where_a_vote_before_it_failed(self, client, fake, priced):
        await put(client, max_retries=0, votes=2)
        fake.script.extend([UNSURE, ProviderUnavailable("down")])
        priced.script.extend([SURE, SURE])

        first, second = await ask(client), await ask(client)

        assert first["provider"] == second["provider"] == "priced"
        assert second["cached"]

    async def test_one_call_for_all_who_ask_at_once(self, client, fake, priced):
        await put(client)
        fake.script.extend([UNSURE] * 9)
        priced.hold.clear()

        asking = [asyncio.create_task(ask(client)) for _ in range(5)]
        await asyncio.wait_for(priced.asked.wait(), 10)
        await asyncio.sleep(0.1)
        priced.hold.set()
        told = await asyncio.gather(*asking)

        assert (fake.calls, priced.calls) == (1, 1)
        assert {each["provider"] for each in told} == {"priced"}
        assert sum(each["usage"]["cost_usd"] for each in told) == float(COST_USD)


async def steps(client) -> list[dict]:
    return (await client.get("/domains/garden/cascade")).json()["steps"]


class TestThreshold:
    """In force, and why."""

    async def test_without_data_all_goes_on(self, client, fake, priced):
        await put(client, cascade={})
        fake.script.append(answer("rose", 0.999))

        told = await ask(client)
        first, last = await steps(client)

        assert told["provider"] == "priced"
        assert (first["threshold"], first["basis"]) == (None, "nothing")
        assert (last["provider"], last["threshold"], last["basis"]) == ("priced", None, None)

    @pytest.mark.each_database
    async def test_from_labels(self, client, parts, fake, priced):
        """From 50 of this provider's answers on; then `cascade.accuracy` of those that stand are
        right."""
        await put(client, cascade={"accuracy": 0.9})
        version = (await client.get("/domains/garden")).json()["version"]
        await store_labelled(parts, 400, domain="garden", domain_version=version)
        await parts.surenesses.look()

        first, _ = await steps(client)

        assert (first["basis"], first["labels"]) == ("labels", 400)
        assert first["accuracy"] >= 0.9
        assert 0.7 < first["threshold"] < 1
        assert 0 < first["share"] < 1

    async def test_it_follows_the_labels_and_what_is_wanted(self, client, parts):
        await put(client, cascade={"accuracy": 0.9})
        version = (await client.get("/domains/garden")).json()["version"]
        labelled = {"domain": "garden", "domain_version": version}
        told = []
        for seed in (1, 2):
            await store_labelled(parts, 60, seed=seed, **labelled)
            await parts.surenesses.look()
            told.append((await steps(client))[0])
        changed = {**SPEC, "cascade": {"accuracy": 0.6}}
        assert (await client.put("/domains/garden", json=changed)).status_code == 200
        meanwhile = (await steps(client))[0]
        await parts.surenesses.look()
        told.append((await steps(client))[0])

        assert [each["labels"] for each in told] == [60, 120, 120]
        assert meanwhile["basis"] == "nothing"  # what is known was found for another accuracy
        assert told[2]["threshold"] < told[1]["threshold"]

    async def test_labels_that_say_nobody_is_sure_enough_count_too(self, client, parts):
        await put(client, cascade={"accuracy": 0.999}, providers=["fake", "priced"])
        version = (await client.get("/domains/garden")).json()["version"]
        await store_labelled(parts, 60, domain="garden", domain_version=version)
        await parts.surenesses.look()

        first, _ = await steps(client)

        assert (first["basis"], first["threshold"], first["labels"]) == ("labels", None, 60)

    async def test_from_what_the_local_model_was_taught_with(self, client, parts):
        await put(client, cascade={}, providers=["local", "priced"])

        first, _ = await steps(client)

        (local,) = await parts.providers.get("local")
        assert isinstance(local, LocalProvider)
        assert first["basis"] == "taught"
        assert 0.7 < first["threshold"] < 0.8  # data/heads/flowers.json

    @pytest.mark.parametrize(
        "fields",
        [{"cascade": {"accuracy": 0.99}}, {"classes": ["rose", "daisy"], "cascade": {}}],
        ids=["a higher accuracy", "other classes"],
    )
    async def test_it_was_not_taught_for(self, client, fields):
        await put(client, **{"providers": ["local", "priced"], **fields})

        first, _ = await steps(client)

        assert (first["basis"], first["threshold"]) == ("nothing", None)

    async def test_of_a_domain_without_a_cascade(self, client):
        told = (await client.get("/domains/flowers/cascade")).json()

        assert told == {"accuracy": None, "steps": []}

    async def test_a_start_knows_what_labels_say(self, settings, lasting_url, monkeypatch):
        settings = settings.model_copy(update={"database_url": lasting_url})
        domain = Domain(name="garden", **{**SPEC, "cascade": {"accuracy": 0.9}})
        async with build_parts(settings) as parts:
            await parts.domains.create(domain, by=COMMAND_LINE)
            await store_labelled(parts, 200, domain="garden", domain_version=domain.version)
        async with build_parts(settings) as parts:
            assert (await parts.surenesses.now("fake", domain)).basis == "labels"


@pytest.mark.each_database
class TestBatches:
    async def test_each_picture_goes_as_far_as_it_must(self, client, fake, priced):
        await put(client)
        fake.script.extend([SURE, UNSURE] * 6)
        batch = await submit(client, 12)

        done = await ended(client, batch)
        costs = await cost(client, answers=12)

        assert (fake.calls, priced.calls) == (12, 6)
        assert done["counts"]["accepted"] == 12
        assert done["cost_usd"] == costs["total_usd"] == pytest.approx(6 * float(COST_USD))
        assert costs["savings"]["cascade"]["answers"] == 6
        assert costs["savings"]["cascade"]["usd"] == pytest.approx(6 * float(COST_USD))

    async def test_it_waits_for_quota(self, parts, client):
        """So many pictures are under way as such a batch has."""
        await put(client)

        assert await parts.classification.is_metered("garden", None)
        assert not await parts.classification.is_metered("garden", "fake")
