"""The same picture is answered once: by an answer that was kept, or by one that is on its way."""

import asyncio

import pytest
from PIL import Image

from app.classification import Question
from app.errors import ProviderUnavailable
from app.images import Upload
from app.parts import build_parts
from app.providers import registry
from app.providers.base import Capabilities, ProviderAnswer
from app.settings_groups import CacheSettings
from app.usage import TokenUsage
from tests.conftest import PHOTOGRAPHS
from tests.fakes import ENTRY_POINTS, answer, spent_with
from tests.integration.calls import PICTURE, UNKNOWN, api_keys, is_problem, listed, until, upload
from tests.pictures import encoded, jpeg, photograph

USAGE = TokenUsage(100, 5, {})
OTHER = jpeg(seed=2)
LATER = {"prefer": "respond-async"}


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"cache": CacheSettings()})


async def ask(client, files=None, **headers):
    given = await client.post("/classify", files=files or upload(), headers=headers)
    assert given.status_code in (200, 202), given.text
    return given.json()


async def until_done(client, result):
    return (await client.get(f"/results/{result['id']}", params={"wait": 10})).json()


@pytest.mark.each_database
class TestKept:
    """Answers in the database."""

    async def test_the_second_time_nobody_is_asked_and_nothing_is_paid(self, client, fake):
        """A row of its own, the same answer, the same facts about the picture."""
        fake.script.append(ProviderAnswer("rose", {"rose": 0.9}, "stated", "fake-1", usage=USAGE))
        first, second = await ask(client), await ask(client)

        assert fake.calls == 1
        assert (first["cached"], second["cached"]) == (False, True)
        assert second["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0}
        assert second["image"]["tokens"] == 0
        same = ("predicted_class", "confidence", "probabilities", "provider", "model", "status")
        assert [first[name] for name in same] == [second[name] for name in same]
        assert {**second["image"], "tokens": None} == first["image"]
        assert second["id"] != first["id"]
        assert await listed(client) == [second["id"], first["id"]]

    async def test_a_picture_with_an_answer_is_not_decoded(self, client, fake, monkeypatch):
        first = await ask(client)
        monkeypatch.setattr("app.classification.intake.prepare", None)
        second = await ask(client)

        assert second["predicted_class"] == first["predicted_class"]
        assert second["timings_ms"]["prepare"] == 0

    async def test_it_counts_neither_as_a_request_to_the_provider_nor_as_tokens(self, client, fake):
        for _ in range(3):
            await ask(client)
        metrics = (await client.get("/metrics")).text

        assert 'classifier_answers_total{how="asked"} 1.0' in metrics
        assert 'classifier_answers_total{how="kept"} 2.0' in metrics

    @pytest.mark.parametrize("header", ["no-cache", "max-age=0, No-Cache", "no-store"])
    async def test_a_request_may_want_a_new_answer(self, client, fake, header):
        """Which is then the one that is given again."""
        fake.script += [answer("rose"), answer("daisy")]
        await ask(client)
        fresh = await ask(client, **{"cache-control": header})
        again = await ask(client)

        assert (fresh["predicted_class"], fresh["cached"]) == ("daisy", False)
        assert (again["predicted_class"], again["cached"]) == ("daisy", True)

    async def test_another_picture_domain_or_provider_is_another_question(self, client, fake):
        await client.post("/domains", json={"name": "garden", "classes": ["rose", "daisy"]})
        for files in (
            upload(),
            [*upload()[:-1], ("file", ("b.jpg", OTHER))],
            upload(domain="garden"),
            upload(provider="second"),
        ):
            assert not (await ask(client, files))["cached"]

    async def test_a_domain_that_was_changed_is_asked_about_anew(self, client, fake):
        garden = {"name": "garden", "classes": ["rose", "daisy"]}
        await client.post("/domains", json=garden)
        await ask(client, upload(domain="garden"))
        del garden["name"]
        changed = garden | {"classes": ["daisy", "tulip"]}
        await client.put("/domains/garden", json=changed)
        other = await ask(client, upload(domain="garden"))
        await client.put("/domains/garden", json=garden | {"confidence_threshold": 0.95})
        stricter = await ask(client, upload(domain="garden"))

        assert (other["cached"], other["predicted_class"]) == (False, "daisy")
        assert (stricter["cached"], stricter["predicted_class"]) == (True, "rose")
        assert (stricter["status"], stricter["review_reasons"]) == (
            "needs_review",
            ["below_threshold"],
        )

    async def test_a_failure_is_not_kept(self, client, fake):
        fake.script += [ProviderUnavailable("down")] * 4
        failed = await client.post("/classify", files=upload())
        given = await ask(client)

        assert failed.status_code == 502
        assert not given["cached"]

    async def test_the_answer_of_another_provider_in_the_chain_is_not_kept(self, client, fake):
        """The first one is asked again as soon as it is up."""
        spec = {"classes": ["rose", "daisy"], "providers": ["fake", "second"], "max_retries": 0}
        await client.post("/domains", json={"name": "garden", **spec})
        fake.script.append(ProviderUnavailable("down"))
        files = upload(domain="garden", provider=None)
        first, second = await ask(client, files), await ask(client, files)

        assert (first["provider"], second["provider"]) == ("second", "fake")
        assert not second["cached"]

    async def test_an_accepted_picture_is_answered_so_too(self, client, fake):
        await ask(client)
        later = await until_done(client, await ask(client, **LATER))

        assert fake.calls == 1
        assert later["cached"]
        assert later["status"] == "accepted"

    async def test_a_model_that_was_replaced_behind_its_deployment_is_asked(
        self, client, fake, monkeypatch
    ):
        """As soon as any answer tells so."""
        await ask(client)
        fake.script.append(ProviderAnswer("rose", {"rose": 0.9}, "stated", "fake-2"))
        await ask(client, [*upload()[:-1], ("file", ("b.jpg", OTHER))])

        assert not (await ask(client))["cached"]

    async def test_another_prompt_or_deployment_is_asked(self, client, fake, monkeypatch):
        """Whatever the provider says its answers depend on."""
        await ask(client)
        changed = Capabilities("fake-1", None, False, "stated", answers_as="another prompt")
        monkeypatch.setattr(fake, "capabilities", lambda: changed)

        assert not (await ask(client))["cached"]

    async def test_a_provider_that_can_not_be_kept_apart_is_told_by_its_model(self, client, fake):
        assert fake.capabilities().answers_as is None
        assert [(await ask(client))["cached"] for _ in range(2)] == [False, True]

    async def test_what_was_kept_survives_a_restart(self, settings, lasting_url):
        """With the local model, and a database in a file."""
        settings = settings.model_copy(update={"database_url": lasting_url})
        picture = (PHOTOGRAPHS / "rose.jpg").read_bytes()
        answers = []
        for _ in range(2):
            async with build_parts(settings, serving=True) as parts:
                question = Question(Upload(picture), "flowers", "test")
                answers.append(await parts.classification.classify(question))

        assert [each.cached for each in answers] == [False, True]
        assert answers[0].probabilities == answers[1].probabilities

    async def test_what_a_model_said_that_was_replaced_since_does_not(
        self, settings, lasting_url, monkeypatch
    ):
        monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
        settings = settings.model_copy(update={"database_url": lasting_url})

        def asked(picture: bytes) -> Question:
            return Question(Upload(picture), "flowers", "test", provider="fake")

        async with build_parts(settings, serving=True) as parts:
            (fake,) = await parts.providers.get("fake")
            fake.script += [
                ProviderAnswer("rose", {"rose": 0.9}, "stated", model)
                for model in ("fake-1", "fake-2")
            ]
            for each in (PICTURE, OTHER):
                await parts.classification.classify(asked(each))
        async with build_parts(settings, serving=True) as parts:
            again = [await parts.classification.classify(asked(each)) for each in (OTHER, PICTURE)]

        assert [each.cached for each in again] == [True, False]


@pytest.mark.each_database
class TestBounds:
    """How long, and how many."""

    @pytest.fixture
    def settings(self, settings, request):
        return settings.model_copy(update={"cache": CacheSettings(**request.param)})

    @pytest.mark.parametrize("settings", [{"ttl": 0}, {"ttl": 0.01}], indirect=True)
    async def test_an_old_answer_is_not_given_again(self, client, fake, settings):
        await ask(client)
        await asyncio.sleep(0.02)

        assert not (await ask(client))["cached"]

    @pytest.mark.parametrize("settings", [{"max_entries": 3}], indirect=True)
    async def test_the_oldest_go_when_there_are_too_many(self, client, fake, monkeypatch):
        monkeypatch.setattr("app.storage.answers.EVICT_EVERY", 1)
        pictures = [encoded(photograph(32, 32, seed=seed)) for seed in range(5)]
        files = [[*upload()[:-1], ("file", ("a.png", each))] for each in pictures]
        for each in files:
            await ask(client, each)

        kept = [(await ask(client, each))["cached"] for each in reversed(files)]
        assert kept == [True, True, True, False, False]


class TestAtTheSameTime:
    """Requests that meet."""

    @pytest.fixture
    def meet(self, parts, client, fake):
        """Five requests, all under way before the provider answers."""

        async def meet(files=None, **headers):
            fake.hold.clear()
            asking = [
                asyncio.create_task(
                    client.post("/classify", files=files or upload(), headers=headers)
                )
                for _ in range(5)
            ]
            await fake.asked.wait()
            await until(lambda: len(parts.running) == 5)
            await asyncio.sleep(0.1)
            fake.hold.set()
            return await asyncio.gather(*asking)

        return meet

    async def test_they_share_one_call(self, meet, fake):
        """Each with a row of its own; one of them pays."""
        fake.script.append(ProviderAnswer("rose", {"rose": 0.9}, "stated", "fake-1", usage=USAGE))
        results = [each.json() for each in await meet()]

        assert fake.calls == 1
        assert sorted(each["usage"]["prompt_tokens"] for each in results) == [0, 0, 0, 0, 100]
        assert sorted(each["cached"] for each in results) == [False, True, True, True, True]
        assert {each["predicted_class"] for each in results} == {"rose"}
        assert len({each["id"] for each in results}) == 5

    async def test_a_failure_is_told_to_each_with_its_own_row(self, meet, client, fake):
        fake.script += [spent_with(ProviderUnavailable("down"), USAGE)]
        spec = {"classes": ["rose", "daisy"], "providers": ["fake"], "max_retries": 0}
        await client.post("/domains", json={"name": "garden", **spec})
        files = upload(domain="garden", provider=None)
        failed = await meet(files)
        rows = (await client.get("/results")).json()["results"]

        assert all(is_problem(each, 502, "provider-unavailable") for each in failed)
        assert {each.json()["result_id"] for each in failed} == {row["id"] for row in rows}
        assert sorted(row["usage"]["prompt_tokens"] for row in rows) == [0, 0, 0, 0, 100]

    async def test_who_wants_a_new_answer_asks_alone(self, meet, fake):
        await meet(**{"cache-control": "no-cache"})

        assert fake.calls == 5

    async def test_who_goes_away_takes_the_answer_from_nobody(self, parts, client, fake):
        """Though it was the one that began to ask."""
        fake.hold.clear()
        first, second = [(await ask(client, **LATER))["id"] for _ in range(2)]
        await fake.asked.wait()
        parts.running._tasks[first].cancel()
        await asyncio.sleep(0.01)
        fake.hold.set()
        stopped, answered = [await until_done(client, {"id": each}) for each in (first, second)]

        assert fake.calls == 1
        assert stopped["error"]["type"] == "/problems/interrupted"
        assert answered["status"] == "accepted"

    async def test_a_call_that_nobody_waits_for_is_stopped(self, parts, client, fake):
        """What it has cost so far is in the row of who began it."""
        fake.script.append(spent_with(ProviderUnavailable("down"), USAGE))
        accepted = await ask(client, **LATER)
        await until(lambda: fake.calls == 1)
        fake.hold.clear()
        await until(lambda: fake.calls == 2)
        parts.running._tasks[accepted["id"]].cancel()
        stopped = await until_done(client, accepted)
        metrics = (await client.get("/metrics")).text

        assert stopped["status"] == "failed"
        assert stopped["usage"]["prompt_tokens"] == 100
        assert 'classifier_provider_calls_in_flight{provider="fake"} 0.0' in metrics


@pytest.mark.each_database
class TestNearlyTheSame:
    """Found and told, never answered with the other one's answer."""

    SMALLER = encoded(
        Image.open(PHOTOGRAPHS / "rose.jpg").convert("RGB").resize((240, 180)), "JPEG", quality=60
    )

    def files(self, picture: bytes):
        return [*upload()[:-1], ("file", ("a.jpg", picture))]

    @pytest.fixture
    def rose(self):
        return self.files((PHOTOGRAPHS / "rose.jpg").read_bytes())

    async def test_the_earlier_one_is_named(self, client, fake, rose):
        first = await ask(client, rose)
        other = await ask(client, self.files((PHOTOGRAPHS / "daisy.jpg").read_bytes()))
        near = await ask(client, self.files(self.SMALLER))

        assert fake.calls == 3
        assert first["similar_to"] is None
        assert other["similar_to"] is None
        assert near["similar_to"] == first["id"]
        assert (await client.get(f"/results/{near['id']}")).json() == near

    async def test_all_that_look_like_one_are_listed(self, client, fake, rose):
        """Not itself."""
        first = await ask(client, rose)
        await ask(client, self.files((PHOTOGRAPHS / "daisy.jpg").read_bytes()))
        near = await ask(client, self.files(self.SMALLER))
        later = await until_done(client, await ask(client, rose, **LATER))

        assert await listed(client, similar_to=first["id"]) == [later["id"], near["id"]]
        assert await listed(client, similar_to=first["id"], limit=1) == [later["id"]]
        assert later["similar_to"] in (first["id"], near["id"])
        assert is_problem(
            await client.get("/results", params={"similar_to": UNKNOWN}), 404, "result-not-found"
        )

    async def test_pictures_of_one_colour_are_not_all_alike(self, client, fake):
        for colour in ("red", "blue"):
            picture = encoded(Image.new("RGB", (200, 150), colour))
            told = await ask(client, self.files(picture))

        assert told["similar_to"] is None
        assert told["image"]["phash"] is None


@pytest.mark.each_database
class TestCallers:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, press=False)})

    async def test_other_callers_results_are_not_named(self, client, fake):
        """An answer may be given to another caller: it tells nothing about who asked first."""
        first = await ask(client, authorization="Bearer shop")
        second = await ask(client, authorization="Bearer press")

        assert second["cached"]
        assert second["similar_to"] is None
        listing = await client.get(
            "/results", params={"similar_to": first["id"]}, headers={"x-api-key": "press"}
        )
        assert listing.status_code == 404


@pytest.mark.each_database
class TestBadPictures:
    """What a domain makes of them."""

    BLACK = encoded(Image.new("RGB", (200, 150)))

    async def classify(self, client, policy):
        spec = {"name": "garden", "classes": ["rose", "daisy"], "quality": policy}
        await client.post("/domains", json=spec)
        files = [*upload(domain="garden")[:-1], ("file", ("black.png", self.BLACK))]
        return [await client.post("/classify", files=files) for _ in range(2)]

    async def test_they_are_answered_with_a_warning(self, client, fake):
        for given in await self.classify(client, "warn"):
            assert given.json()["status"] == "accepted"
            assert given.json()["image"]["warnings"] == ["It is nearly one colour (contrast 0%)."]

    async def test_they_need_review(self, client, fake):
        """Also when the answer was kept."""
        for given in await self.classify(client, "review"):
            assert given.json()["status"] == "needs_review"
            assert given.json()["review_reasons"] == ["image_quality"]

    async def test_they_are_refused_before_anybody_is_paid(self, client, fake):
        for given in await self.classify(client, "reject"):
            assert is_problem(given, 422, "image-rejected")
        assert fake.calls == 0
        assert await listed(client) == []


async def test_what_a_picture_took_of_the_prompt_is_told(client, fake):
    fake.script.append(
        ProviderAnswer("rose", {"rose": 0.9}, "stated", "fake-1", usage=USAGE, image_tokens=85)
    )
    told = await ask(client, [*upload()[:-1], ("file", ("a.jpg", jpeg(seed=3)))])

    assert (told["image"]["tokens"], told["image"]["tokens_estimated"]) == (85, False)
