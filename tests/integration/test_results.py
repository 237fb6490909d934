"""/results, and POST /classify with an answer that comes later."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.errors import ProviderRejected, ProviderUnavailable
from app.identifiers import RESULT, new_id
from app.providers.base import ProviderAnswer
from app.settings import ApiKey
from app.storage import Result, Usage
from app.usage import TokenUsage
from tests.fakes import answer, spent_with
from tests.loopback import loopback, reply
from tests.pictures import jpeg

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PICTURE = jpeg()
UNKNOWN = "cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
KEYS = {"shop": False, "press": False, "boss": True}


@pytest.fixture
async def web():
    async with loopback({"/rose.jpg": reply(PICTURE), "/text": reply(b"no picture")}) as served:
        yield served


@pytest.fixture
def settings(settings, web):
    return settings.model_copy(update={"egress_allow": (web.place,)})


def upload(**fields):
    fields = {"domain": "flowers", "provider": "fake", **fields}
    texts = [(name, (None, text)) for name, text in fields.items() if text is not None]
    return [*texts, ("file", ("rose.jpg", PICTURE))]


async def store(parts, minute: float = 0, **values) -> str:
    """A row of some minute after noon; returns its id."""
    moment = NOON + timedelta(minutes=minute)
    row = {
        "id": new_id(RESULT, moment),
        "domain": "flowers",
        "predicted_class": "rose",
        "confidence": 0.9,
        "status": "accepted",
        "provider": "local",
        "caller": "anonymous",
        "domain_version": "1",
        "created_at": moment,
    }
    result = Result(**{**row, **values})
    await parts.results.insert(result)
    return result.id


async def listed(client, headers=None, **query) -> list[str]:
    found = await client.get("/results", params=query, headers=headers)
    assert found.status_code == 200, found.text
    return [each["id"] for each in found.json()["results"]]


class TestList:
    async def test_nothing_is_there_at_first(self, client):
        found = await client.get("/results")

        assert found.json() == {"results": [], "next_cursor": None}

    async def test_the_newest_comes_first(self, client, parts):
        ids = [await store(parts, minute) for minute in (2, 0, 1)]

        assert await listed(client) == [ids[0], ids[2], ids[1]]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"domain": "animals"}, [1]),
            ({"class": "daisy"}, [2]),
            ({"status": "needs_review"}, [3]),
            ({"provider": "azure_openai"}, [4]),
            ({"caller": "press"}, [5]),
            ({"min_confidence": 0.95}, [6]),
            ({"max_confidence": 0.3}, [7]),
            ({"min_confidence": 0.99, "max_confidence": 0.99}, [6]),
            ({"since": (NOON + timedelta(minutes=8)).isoformat()}, [9, 8]),
            ({"until": (NOON + timedelta(minutes=1)).isoformat()}, [0]),
            ({"since": "2026-03-01T13:02:00+01:00", "until": "2026-03-01T12:04:00Z"}, [3, 2]),
            ({"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z", "limit": 1}, [9]),
            ({"domain": "animals", "status": "needs_review"}, []),
            ({"domain": "no such"}, []),
        ],
        ids=str,
    )
    async def test_a_filter_leaves_what_fits_it(self, client, parts, query, found):
        """Bounds of confidence belong to the range; `since` does, `until` does not."""
        odd = {
            1: {"domain": "animals"},
            2: {"predicted_class": "daisy"},
            3: {"status": "needs_review"},
            4: {"provider": "azure_openai"},
            5: {"caller": "press"},
            6: {"confidence": 0.99},
            7: {"confidence": 0.3},
        }
        ids = [await store(parts, minute, **odd.get(minute, {})) for minute in range(10)]

        assert await listed(client, **query) == [ids[each] for each in found]

    @pytest.mark.parametrize(
        "query",
        [
            {"limit": 0},
            {"limit": 1001},
            {"limit": "many"},
            {"cursor": "abc"},
            {"status": "done"},
            {"min_confidence": 1.1},
            {"max_confidence": "nan"},
            {"since": "yesterday"},
            {"since": "2026-03-01T12:00:00"},
            {"colour": "red"},
        ],
        ids=str,
    )
    async def test_a_wrong_query_is_refused(self, client, query):
        """Also a moment without a zone, and a filter that does not exist: it would find all."""
        found = await client.get("/results", params=query)

        assert found.status_code == 422
        assert found.json()["type"] == "/problems/invalid-request"
        assert next(iter(query)) in found.json()["errors"][0]["field"]

    @pytest.mark.parametrize("limit", [1, 1000])
    async def test_the_bounds_of_the_limit_are_taken(self, client, parts, limit):
        ids = [await store(parts, minute) for minute in (1, 0)]

        assert await listed(client, limit=limit) == ids[:limit]

    async def test_pages_have_no_gaps_and_no_twins_while_rows_arrive(self, client, parts):
        """Seven rows in pages of three; a new one before each page is on none of them."""
        ids = [await store(parts, minute) for minute in range(7)]
        pages, cursor = [], None
        while True:
            query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/results", params=query)).json()
            await store(parts, 60 + len(pages))
            pages.append([each["id"] for each in page["results"]])
            cursor = page["next_cursor"]
            if cursor is None:
                break

        assert pages == [ids[:3:-1], ids[3:0:-1], ids[:1]]

    async def test_a_page_that_ends_with_the_last_row_is_the_last(self, client, parts):
        for minute in range(3):
            await store(parts, minute)

        page = (await client.get("/results", params={"limit": 3})).json()

        assert page["next_cursor"] is None

    async def test_rows_of_one_millisecond_are_all_on_some_page(self, client, parts):
        ids = {await store(parts, 0) for _ in range(9)}
        found, cursor = [], None
        for _ in range(9):
            query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/results", params=query)).json()
            found += [each["id"] for each in page["results"]]
            cursor = page["next_cursor"]

        assert cursor is None
        assert set(found) == ids
        assert len(found) == 9


class TestOne:
    async def test_an_answer_is_stored_as_it_was_given(self, client, fake):
        """All fields of the contract, the same in the answer, in GET and in the list."""
        fake.script.append(
            ProviderAnswer(
                "rose",
                {"dandelion": 0.1, "rose": 0.6, "sunflower": 0.2, "daisy": 0.1},
                "logprobs",
                "fake-2026",
                "fake-deployment",
                "req-7",
                TokenUsage(200, 5, {"cached": 100}, None),
            )
        )
        fields = {"expected": "rose", "metadata": '{"order": "A-17"}'}
        given = await client.post("/classify", files=upload(**fields))
        result = given.json()
        stored = await client.get(f"/results/{result['id']}")
        page = await client.get("/results")

        assert given.status_code == 200
        assert stored.json() == result
        assert page.json()["results"] == [result]
        assert result["image"] == {
            "sha256": hashlib.sha256(PICTURE).hexdigest(),
            "format": "JPEG",
            "width": 320,
            "height": 240,
            "bytes": len(PICTURE),
            "warnings": [],
        }
        assert result["timings_ms"]["total"] >= result["timings_ms"]["prepare"] > 0
        expected = {
            "domain": "flowers",
            "predicted_class": "rose",
            "confidence": 0.6,
            "probabilities": {"dandelion": 0.1, "rose": 0.6, "sunflower": 0.2, "daisy": 0.1},
            "status": "needs_review",
            "review_reasons": ["below_threshold"],
            "confidence_source": "logprobs",
            "provider": "fake",
            "model": "fake-2026",
            "deployment": "fake-deployment",
            "cached": False,
            "usage": {"prompt_tokens": 200, "completion_tokens": 5, "cost_usd": None},
            "error": None,
            "expected": "rose",
            "metadata": {"order": "A-17"},
            "caller": "anonymous",
            "provider_request_id": "req-7",
        }
        assert {name: result[name] for name in expected} == expected

    async def test_none_of_the_classes_needs_a_look(self, client, fake):
        """The confidence is what no class has got."""
        fake.script.append(ProviderAnswer(None, {"rose": 0.1, "daisy": 0.2}, "logprobs", "fake-1"))

        result = (await client.post("/classify", files=upload())).json()

        assert result["predicted_class"] is None
        assert result["confidence"] == pytest.approx(0.7)
        assert (result["status"], result["review_reasons"]) == (
            "needs_review",
            ["none_of_the_classes"],
        )

    async def test_the_threshold_itself_is_enough(self, client, fake):
        fake.script.append(answer("rose", 0.7))

        result = (await client.post("/classify", files=upload())).json()

        assert result["status"] == "accepted"

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_an_unknown_id_is_not_found(self, client, method):
        found = await client.request(method, f"/results/{UNKNOWN}")

        assert found.status_code == 404
        assert found.json()["type"] == "/problems/result-not-found"

    @pytest.mark.parametrize("result_id", ["1", UNKNOWN.lower(), UNKNOWN + "0", "%00", "'--"])
    async def test_what_is_no_id_is_refused(self, client, result_id):
        found = await client.get(f"/results/{result_id}")

        assert found.status_code in (404, 422)
        assert found.headers["content-type"] == "application/problem+json"

    async def test_a_deleted_result_is_gone(self, client, parts):
        kept, gone = await store(parts), await store(parts)

        deleted = await client.delete(f"/results/{gone}")

        assert deleted.status_code == 204
        assert (await client.get(f"/results/{gone}")).status_code == 404
        assert (await client.delete(f"/results/{gone}")).status_code == 404
        assert await listed(client) == [kept]

    async def test_the_truth_is_stored(self, client, parts):
        result_id = await store(parts)

        told = await client.put(f"/results/{result_id}/expected", json={"label": "daisy"})

        assert told.status_code == 204
        assert (await client.get(f"/results/{result_id}")).json()["expected"] == "daisy"

    @pytest.mark.parametrize("body", [{}, {"label": 1}, {"label": "rose", "x": 1}, []], ids=str)
    async def test_a_malformed_truth_is_refused(self, client, parts, body):
        result_id = await store(parts)

        told = await client.put(f"/results/{result_id}/expected", json=body)

        assert told.status_code == 422
        assert told.json()["type"] == "/problems/invalid-request"

    async def test_a_field_that_is_half_a_character_is_refused(self, client, parts):
        """JSON can name one, UTF-8 can't hold it: the problem must still be written."""
        result_id = await store(parts)

        told = await client.put(
            f"/results/{result_id}/expected",
            content=rb'{"label": "rose", "\ud800": 1}',
            headers={"content-type": "application/json"},
        )

        assert told.status_code == 422
        assert told.json()["type"] == "/problems/invalid-request"

    async def test_a_label_of_another_domain_is_refused_by_name(self, client, parts):
        result_id = await store(parts)

        told = await client.put(f"/results/{result_id}/expected", json={"label": "cat"})

        assert told.status_code == 422
        assert told.json()["type"] == "/problems/label-not-in-domain"
        assert "dandelion, rose, sunflower, daisy" in told.json()["detail"]
        assert (await client.get(f"/results/{result_id}")).json()["expected"] is None

    async def test_the_truth_of_a_result_that_is_not_there_is_refused(self, client):
        told = await client.put(f"/results/{UNKNOWN}/expected", json={"label": "rose"})

        assert told.status_code == 404


class TestCallers:
    """`shop` and `press` are callers, `boss` is an operator."""

    @pytest.fixture
    def settings(self, settings):
        keys = tuple(
            ApiKey(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), admin=admin)
            for name, admin in KEYS.items()
        )
        return settings.model_copy(update={"api_keys": keys})

    @staticmethod
    def as_(name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {name}"}

    async def test_a_list_shows_only_own_rows(self, client, parts):
        """Asking for another caller's does not help; an operator sees and filters all."""
        own, other = await store(parts, caller="shop"), await store(parts, 1, caller="press")

        assert await listed(client, self.as_("shop")) == [own]
        assert await listed(client, self.as_("shop"), caller="press") == [own]
        assert await listed(client, self.as_("boss")) == [other, own]
        assert await listed(client, self.as_("boss"), caller="shop") == [own]

    @pytest.mark.parametrize(
        ("method", "path", "options", "status"),
        [
            ("GET", "", {}, 200),
            ("GET", "?wait=1", {}, 200),
            ("PUT", "/expected", {"json": {"label": "rose"}}, 204),
            ("DELETE", "", {}, 204),
        ],
    )
    async def test_other_callers_rows_do_not_exist(
        self, client, parts, method, path, options, status
    ):
        """404, not 403: an id must not be confirmed to a stranger. An operator may."""
        result_id = await store(parts, caller="shop")

        async def ask(name: str) -> int:
            url = f"/results/{result_id}{path}"
            return (
                await client.request(method, url, headers=self.as_(name), **options)
            ).status_code

        assert await ask("press") == 404
        assert (await client.get(f"/results/{result_id}", headers=self.as_("shop"))).json()[
            "expected"
        ] is None
        assert await ask("boss") == status

    async def test_a_row_belongs_to_who_asked(self, client, fake):
        given = await client.post("/classify", files=upload(), headers=self.as_("shop"))

        assert given.json()["caller"] == "shop"
        assert await listed(client, self.as_("press")) == []


class TestLater:
    """`Prefer: respond-async`."""

    LATER = {"prefer": "respond-async"}  # noqa: RUF012

    @pytest.mark.parametrize(
        "prefer", ["respond-async", "wait=10, respond-async", "respond-async;x"]
    )
    async def test_the_row_is_there_at_once_and_the_answer_later(self, client, fake, prefer):
        """202 with `Location`; GET with `wait` is held until the answer is there."""
        fake.hold.clear()
        accepted = await client.post("/classify", files=upload(), headers={"prefer": prefer})
        place = accepted.headers["location"]
        pending = await client.get(place)
        waiting = asyncio.create_task(client.get(place, params={"wait": 30}))
        await asyncio.sleep(0.05)
        held = not waiting.done()
        fake.hold.set()
        answered = await waiting

        assert accepted.status_code == 202
        assert accepted.headers["preference-applied"] == "respond-async"
        assert place == f"/results/{accepted.json()['id']}"
        assert accepted.json() == pending.json()
        assert pending.json()["status"] == "pending"
        assert pending.json()["predicted_class"] is None
        assert held
        assert answered.json()["status"] == "accepted"
        assert answered.json()["image"]["bytes"] == len(PICTURE)

    async def test_waiting_ends_when_the_time_is_over(self, client, fake):
        """With the result as it is: still pending."""
        fake.hold.clear()
        accepted = await client.post("/classify", files=upload(), headers=self.LATER)

        answered = await client.get(accepted.headers["location"], params={"wait": 0.05})
        fake.hold.set()

        assert answered.json()["status"] == "pending"

    @pytest.mark.parametrize("wait", [-1, 61, "nan", "long"])
    async def test_a_wait_out_of_bounds_is_refused(self, client, wait):
        answered = await client.get(f"/results/{UNKNOWN}", params={"wait": wait})

        assert answered.status_code == 422

    async def test_other_preferences_are_ignored(self, client, fake):
        given = await client.post("/classify", files=upload(), headers={"prefer": "return=minimal"})

        assert given.status_code == 200
        assert "preference-applied" not in given.headers

    async def test_a_bad_picture_is_refused_at_once(self, client, fake):
        files = [("domain", (None, "flowers")), ("file", ("rose.jpg", PICTURE[:1000]))]

        answered = await client.post("/classify", files=files, headers=self.LATER)

        assert answered.status_code == 422
        assert answered.json()["type"] == "/problems/image-unreadable"
        assert await listed(client) == []

    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            ("http://127.0.0.1:1/", "/problems/url-refused"),
            ("/text", "/problems/image-unreadable"),
            ("/rose.jpg", None),
        ],
    )
    async def test_a_url_is_read_later(self, client, fake, web, path, problem):
        """When nothing comes of it, the row says why, in the words of the problem."""
        url = path if path.startswith("http") else web.url(path)
        accepted = await client.post(
            "/classify",
            json={"domain": "flowers", "image_url": url, "provider": "fake"},
            headers=self.LATER,
        )
        answered = await client.get(accepted.headers["location"], params={"wait": 10})

        assert accepted.status_code == 202
        result = answered.json()
        assert result["status"] == ("failed" if problem else "accepted")
        assert (result["error"] or {}).get("type") == problem
        assert result["completed_at"] >= result["created_at"]

    async def test_an_unknown_provider_fails_the_row(self, client):
        accepted = await client.post(
            "/classify", files=upload(provider="crystal-ball"), headers=self.LATER
        )
        answered = await client.get(accepted.headers["location"], params={"wait": 10})

        assert answered.json()["error"]["type"] == "/problems/provider-unknown"

    async def test_a_provider_that_fails_fails_the_row(self, client, fake):
        usage = TokenUsage(100, 1, {}, None)
        fake.script.append(spent_with(ProviderRejected("wrong key"), usage))
        accepted = await client.post("/classify", files=upload(), headers=self.LATER)
        answered = (await client.get(accepted.headers["location"], params={"wait": 10})).json()

        assert answered["error"] == {"type": "/problems/provider-rejected", "detail": "wrong key"}
        assert answered["usage"] == {"prompt_tokens": 100, "completion_tokens": 1, "cost_usd": None}

    async def test_a_mistake_of_the_service_fails_the_row(self, client, fake):
        """Without telling the error's own text."""
        fake.script.append(RuntimeError("the secret is 4711"))
        accepted = await client.post("/classify", files=upload(), headers=self.LATER)
        answered = (await client.get(accepted.headers["location"], params={"wait": 10})).json()

        assert answered["error"]["type"] == "/problems/internal-error"
        assert "4711" not in str(answered)

    async def test_a_row_deleted_while_pending_stays_deleted(self, client, fake):
        fake.hold.clear()
        accepted = await client.post("/classify", files=upload(), headers=self.LATER)
        place = accepted.headers["location"]
        await client.delete(place)
        waiting = asyncio.create_task(client.get(place, params={"wait": 1}))
        fake.hold.set()

        assert (await waiting).status_code == 404
        assert await listed(client) == []

    async def test_the_truth_told_while_pending_is_kept(self, client, fake):
        fake.hold.clear()
        accepted = await client.post("/classify", files=upload(), headers=self.LATER)
        place = accepted.headers["location"]
        await client.put(f"{place}/expected", json={"label": "daisy"})
        fake.hold.set()
        answered = await client.get(place, params={"wait": 10})

        assert answered.json()["status"] == "accepted"
        assert answered.json()["expected"] == "daisy"

    async def test_more_than_can_wait_is_told_to_come_back(self, client, fake, monkeypatch):
        monkeypatch.setattr("app.classification.service.MAX_PENDING", 1)
        fake.hold.clear()
        first = await client.post("/classify", files=upload(), headers=self.LATER)
        second = await client.post("/classify", files=upload(), headers=self.LATER)
        fake.hold.set()

        assert (first.status_code, second.status_code) == (202, 503)
        assert second.json()["type"] == "/problems/overloaded"
        assert int(second.headers["retry-after"]) >= 1


class TestFailures:
    """Whatever reached a provider leaves a row, also when it failed."""

    SPENT = TokenUsage(100, 1, {}, None)

    @pytest.fixture
    def settings(self, settings):
        calls = settings.api.model_copy(update={"max_retries": 0})
        return settings.model_copy(update={"api": calls})

    async def test_a_failed_answer_names_its_row(self, client, fake):
        """The problem tells the row's id; the row tells the problem and what was spent."""
        await self._domain(client, "garden", ["fake"], ["rose", "daisy"])
        fake.script.append(spent_with(ProviderUnavailable("down"), self.SPENT))
        failed = await client.post("/classify", files=upload(provider=None, domain="garden"))
        rows = (await client.get("/results")).json()["results"]

        assert failed.status_code == 502, failed.text
        assert [row["id"] for row in rows] == [failed.json()["result_id"]]
        assert rows[0]["status"] == "failed"
        assert rows[0]["error"] == {"type": "/problems/provider-unavailable", "detail": "down"}
        assert rows[0]["usage"]["prompt_tokens"] == 100

    async def test_what_one_provider_cost_is_kept_when_the_next_can_not_serve(self, client, fake):
        """The first one is down and was paid; the local one does not know unicorns."""
        await self._domain(client, "unicorns", ["fake", "local"], ["pegasus", "unicorn"])
        fake.script.append(spent_with(ProviderUnavailable("down"), self.SPENT))
        failed = await client.post("/classify", files=upload(provider=None, domain="unicorns"))
        rows = (await client.get("/results")).json()["results"]

        assert failed.status_code >= 400
        assert [row["usage"]["prompt_tokens"] for row in rows] == [100]

    async def test_what_one_provider_cost_is_kept_when_the_next_is_not_configured(
        self, client, fake
    ):
        await self._domain(client, "garden", ["fake", "azure_openai"], ["rose", "daisy"])
        fake.script.append(spent_with(ProviderUnavailable("down"), self.SPENT))
        failed = await client.post("/classify", files=upload(provider=None, domain="garden"))
        rows = (await client.get("/results")).json()["results"]

        assert failed.status_code >= 400
        assert [row["usage"]["prompt_tokens"] for row in rows] == [100]

    async def test_the_next_provider_is_asked(self, client, fake):
        """What both have cost is summed."""
        await self._domain(client, "garden", ["fake", "local"], ["rose", "daisy"])
        fake.script.append(spent_with(ProviderUnavailable("down"), self.SPENT))
        given = await client.post("/classify", files=upload(provider=None, domain="garden"))

        assert given.status_code == 200, given.text
        assert given.json()["provider"] == "local"
        assert given.json()["usage"]["prompt_tokens"] == 100

    async def test_a_provider_that_can_not_serve_the_domain_leaves_no_row(self, client):
        """It was not paid, and a retry won't help: the caller is told which classes and why."""
        await self._domain(client, "unicorns", [], ["pegasus", "unicorn"])
        failed = await client.post("/classify", files=upload(provider=None, domain="unicorns"))

        assert failed.status_code == 422
        assert failed.json()["type"] == "/problems/provider-cannot-serve-domain"
        assert "'unicorn'" in failed.json()["detail"]
        assert await listed(client) == []

    @staticmethod
    async def _domain(client, name: str, providers: list[str], classes: list[str]) -> None:
        made = await client.post(
            "/domains", json={"name": name, "classes": classes, "providers": providers}
        )
        assert made.status_code == 201, made.text


async def test_money_is_kept_exactly(parts):
    """To a millionth of a millionth of a dollar."""
    usage = Usage(prompt_tokens=1, completion_tokens=1, cost_usd=Decimal("0.000000150001"))
    result_id = await store(parts, usage=usage)

    stored = await parts.results.get(result_id, caller=None)

    assert stored.usage == usage
