"""/results: what is kept of an answer, and how it is found."""

import base64
import hashlib
import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest

from app.providers.base import ProviderAnswer
from app.result import Usage
from app.usage import TokenUsage
from tests.fakes import answer
from tests.integration.calls import NOON, PICTURE, UNKNOWN, listed, store, upload
from tests.pictures import jpeg

pytestmark = pytest.mark.each_database


async def test_of_two_outcomes_the_first_holds(parts):
    """The second is that of a process that was taken for dead, or took another for it."""
    result_id = await store(parts, status="pending", predicted_class=None, confidence=None)
    pending = await parts.results.get(result_id, caller=None)
    done = {"status": "accepted", "predicted_class": "rose", "confidence": 0.9}
    await parts.results.complete(pending.model_copy(update=done))
    await parts.results.complete(pending.model_copy(update={"status": "failed"}))
    found = await parts.results.get(result_id, caller=None)

    assert (found.status, found.predicted_class) == ("accepted", "rose")


@pytest.mark.parametrize("name", ["domain", "class", "provider", "caller"])
async def test_a_nul_finds_nothing_or_is_refused(client, name):
    answered = await client.get("/results", params={name: "a\0b"})

    assert answered.status_code in (200, 422)


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

    async def test_a_value_is_never_a_part_of_the_question(self, client, parts):
        """Quotation marks, comments and wildcards are looked for as they stand."""
        kept = await store(parts)
        for text in ("' OR 1=1 --", 'x"; DROP TABLE results; --', "%", "flower_", "\\"):
            for name in ("domain", "class", "provider", "caller"):
                assert await listed(client, **{name: text}) == []

        assert await listed(client) == [kept]

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
            {"since": "1772366400"},
            {"until": "0.5"},
            {"since": "0001-01-01T00:00:00+14:00"},
            {"colour": "red"},
        ],
        ids=str,
    )
    async def test_a_wrong_query_is_refused(self, client, query):
        """Also a moment without a zone, as a number or outside all time; and a filter that does
        not exist: it would find all."""
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
        image = result["image"]
        assert image["sha256"] == hashlib.sha256(PICTURE).hexdigest()
        assert (image["format"], image["width"], image["height"]) == ("JPEG", 320, 240)
        assert (image["prepared_width"], image["prepared_height"]) == (320, 240)
        assert image["bytes"] == len(PICTURE)
        assert re.fullmatch("[0-9a-f]{16}", image["phash"])
        assert image["quality"]["jpeg_quality"] == 75
        assert image["warnings"] == ["It is blurred (sharpness 0.33; in focus it is about 1)."]
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

    async def test_metadata_are_as_long_as_their_text(self, client, fake):
        """In bytes of UTF-8, as in a batch."""
        metadata = {"Bestellung": "ö" * 8_000}
        files = upload(metadata=json.dumps(metadata))
        told = (await client.post("/classify", files=files)).json()
        too_long = upload(metadata=json.dumps({"Bestellung": "ö" * 8_200}))

        assert told["metadata"] == metadata
        assert (await client.post("/classify", files=too_long)).status_code == 422

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


async def test_a_long_picture_in_json_is_taken(client, fake):
    """In lines, as base64 is often written, and with slashes escaped, as PHP does."""
    text = base64.encodebytes(jpeg(1200, 900, quality=95)).decode()
    body = json.dumps({"domain": "flowers", "image_base64": text, "provider": "fake"})
    given = await client.post(
        "/classify",
        content=body.replace("/", "\\/"),
        headers={"content-type": "application/json"},
    )

    assert len(body) > 300_000
    assert given.status_code == 200, given.text


async def test_money_is_kept_exactly(parts):
    """To a millionth of a millionth of a dollar."""
    usage = Usage(prompt_tokens=1, completion_tokens=1, cost_usd=Decimal("0.000000150001"))
    result_id = await store(parts, usage=usage)

    stored = await parts.results.get(result_id, caller=None)

    assert stored.usage == usage
