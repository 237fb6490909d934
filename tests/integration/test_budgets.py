"""Budgets over HTTP: what they hold back, and who is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.budget import Budget
from app.settings_groups import CacheSettings
from app.storage import BudgetRepository
from app.storage.audit import COMMAND_LINE
from tests.clock import Clock
from tests.fakes import COST_USD, MOST_USD, after, answer
from tests.integration.calls import api_keys, is_problem, until
from tests.integration.test_batches import create, ended, pictures, report
from tests.pictures import jpeg

pytestmark = pytest.mark.each_database


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"rate_limit_rpm": 100_000, "egress_allow": ("127.0.0.1",)})


@pytest.fixture
async def priced(parts):
    (provider,) = await parts.providers.get("priced")
    return provider


def holding(calls: float, **fields) -> dict:
    """A budget for so many calls: the last of them needs its reservation."""
    amount = COST_USD * Decimal(str(calls - 1)) + MOST_USD
    return {"amount_usd": float(amount), **fields}


async def put(client, name: str = "all", *, headers=None, **fields) -> dict:
    made = await client.put(f"/budgets/{name}", json=fields, headers=headers)
    assert made.status_code == 200, made.text
    return made.json()


async def ask(client, number: int = 0, **fields):
    fields = {"domain": "flowers", "provider": "priced", **fields}
    headers = fields.pop("headers", None)
    return await client.post(
        "/classify",
        files={"file": ("a.jpg", jpeg(64 + number, 64))},
        data=fields,
        headers=headers,
    )


async def spent(client, name: str = "all") -> float:
    return (await client.get(f"/budgets/{name}")).json()["spent_usd"]


class TestGiving:
    async def test_one_is_made_told_changed_and_taken_away(self, client):
        made = await put(client, "shop", amount_usd=50, caller="shop", period="day")
        changed = await put(client, "shop", amount_usd=60, caller="shop", period="day")
        listed = (await client.get("/budgets")).json()["budgets"]
        gone = await client.delete("/budgets/shop")

        today = datetime.now(UTC).strftime("%Y-%m-%dT00:00:00Z")
        assert (made["amount_usd"], made["action"], made["source"]) == (50, "block", "api")
        assert (made["starts_at"], made["spent_usd"], made["left_usd"]) == (today, 0, 50)
        assert listed == [changed]
        assert changed["amount_usd"] == 60
        assert gone.status_code == 204
        assert is_problem(await client.get("/budgets/shop"), 404, "budget-not-found")
        assert is_problem(await client.delete("/budgets/shop"), 404, "budget-not-found")

    async def test_all_are_replaced_at_once(self, client):
        await put(client, "old", amount_usd=1)
        wanted = [{"name": "a", "amount_usd": 1}, {"name": "b", "amount_usd": 2, "period": "total"}]
        replaced = await client.put("/budgets", json={"budgets": wanted})
        twice = await client.put("/budgets", json={"budgets": [wanted[0], wanted[0]]})

        assert [each["name"] for each in replaced.json()["budgets"]] == ["a", "b"]
        assert replaced.json()["budgets"][1]["resets_at"] is None
        assert is_problem(twice, 422, "invalid-request")

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            *({"amount_usd": amount} for amount in (0, -1, "much", 1e9)),
            {"amount_usd": 1, "period": "week"},
            {"amount_usd": 1, "more": 1},
        ],
        ids=str,
    )
    async def test_nonsense_is_refused(self, client, wrong):
        assert is_problem(await client.put("/budgets/all", json=wrong), 422, "invalid-request")

    async def test_a_batchs_name_is_no_name(self, client):
        name = "bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
        refused = await client.put(f"/budgets/{name}", json={"amount_usd": 1})

        assert is_problem(refused, 422, "invalid-request")


class TestOfOthers:
    @pytest.fixture
    def settings(self, settings):
        configured = Budget(name="fixed", amount_usd=Decimal(5), action="alert")
        return settings.model_copy(
            update={"api_keys": api_keys(boss=True, shop=False), "budgets": (configured,)}
        )

    async def test_a_caller_sees_its_own_and_changes_none(self, client):
        boss, shop = {"x-api-key": "boss"}, {"x-api-key": "shop"}
        await put(client, "shop", headers=boss, amount_usd=1, caller="shop")
        seen = (await client.get("/budgets", headers=shop)).json()["budgets"]
        refused = await client.put("/budgets/shop", json={"amount_usd": 9}, headers=shop)

        assert [each["name"] for each in seen] == ["shop"]
        assert is_problem(await client.get("/budgets/fixed", headers=shop), 404, "budget-not-found")
        assert is_problem(refused, 403, "not-allowed")

    async def test_those_of_the_settings_are_read_only(self, client):
        boss = {"x-api-key": "boss"}
        listed = (await client.get("/budgets", headers=boss)).json()["budgets"]
        changed = await client.put("/budgets/fixed", json={"amount_usd": 9}, headers=boss)

        assert [(each["name"], each["source"]) for each in listed] == [("fixed", "settings")]
        assert is_problem(changed, 409, "budget-read-only")
        assert is_problem(
            await client.delete("/budgets/fixed", headers=boss), 409, "budget-read-only"
        )

    async def test_a_caller_does_not_learn_what_others_may_spend(self, client, priced):
        """Of a budget for all only that it holds the call back; of its own how much is left."""
        boss, shop = {"x-api-key": "boss"}, {"x-api-key": "shop"}
        await put(client, "all", headers=boss, **holding(1))
        await ask(client, headers=shop)
        refused = (await ask(client, 1, headers=shop)).json()
        await client.put("/budgets", json={"budgets": []}, headers=boss)
        await put(client, "own", headers=boss, caller="shop", **holding(1))
        own = (await ask(client, 2, headers=shop)).json()

        assert "USD" not in refused["detail"]
        assert "0.006000 of 0.01 USD are left" in own["detail"]

    async def test_nor_from_a_dry_run(self, client, priced):
        boss, shop = {"x-api-key": "boss"}, {"x-api-key": "shop"}
        await put(client, "all", headers=boss, amount_usd=5)
        fields = {"domain": "flowers", "provider": "priced", "dry_run": "true"}
        seen = [
            (
                await client.post(
                    "/batches", data=fields, files={"file": ("a.zip", pictures(2))}, headers=who
                )
            ).json()["budgets"][0]
            for who in (shop, boss)
        ]

        assert [each["left_usd"] for each in seen] == [None, 5]
        assert [each["fits"] for each in seen] == [True, True]

    async def test_a_callers_budget_holds_nobody_else_back(self, client, priced):
        boss, shop = {"x-api-key": "boss"}, {"x-api-key": "shop"}
        await put(client, "shop", headers=boss, caller="shop", **holding(1))
        codes = [
            (await ask(client, number, headers=who)).status_code
            for number, who in enumerate((shop, shop, boss))
        ]

        assert codes == [200, 429, 200]

    async def test_who_joins_a_call_has_nothing_of_anothers_budget(self, client, priced):
        """Both ask about the same picture at once; the first one's budget has the local model
        answer."""
        boss, shop = {"x-api-key": "boss"}, {"x-api-key": "shop"}
        await put(client, "shop", headers=boss, caller="shop", action="degrade", **holding(1))
        await ask(client, headers=shop)
        both = await asyncio.gather(*(ask(client, 1, headers=who) for who in (shop, boss)))
        later = await ask(client, 1, headers=boss)

        # Where the other one was first, the first one may have what that paid for.
        told = [(each.json()["provider"], each.json()["degraded"]) for each in (both[1], later)]
        assert told == [("priced", False), ("priced", False)]


class TestBlocking:
    async def test_what_does_not_fit_is_not_asked(self, client, priced):
        await put(client, **holding(3), period="day")
        answers = [await ask(client, number) for number in range(5)]
        refused = answers[-1]

        assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
        assert is_problem(refused, 429, "budget-spent")
        assert refused.json()["budget"] == "all"
        midnight = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
        assert refused.json()["resets_at"] == midnight
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert priced.calls == 3
        assert await spent(client) == 3 * float(COST_USD)

    async def test_of_many_at_once_none_spends_too_much(self, client, priced):
        """What calls under way give back is spent, too."""
        priced.script.extend([after(0.02, answer())] * 200)
        await put(client, **holding(20), period="total")
        answers = await asyncio.gather(*(ask(client, number) for number in range(60)))
        late = [await ask(client, 100 + number) for number in range(20)]

        codes = [each.status_code for each in (*answers, *late)]
        assert codes.count(200) == priced.calls == 20
        assert set(codes) == {200, 429}

    async def test_what_was_spent_before_it_was_made_counts(self, client, priced):
        """Also what no sum has yet."""
        for number in range(3):
            await ask(client, number)
        await put(client, amount_usd=float(3 * COST_USD + MOST_USD))
        codes = [(await ask(client, 3 + number)).status_code for number in range(2)]

        assert codes == [200, 429]
        assert priced.calls == 4

    async def test_one_that_another_process_makes_holds_here(self, client, parts, priced):
        """Within two seconds, also where this one serves nobody."""
        late = Budget(name="late", amount_usd=COST_USD, period="total")
        await BudgetRepository(parts.database).put(late, by=COMMAND_LINE)
        await until(lambda: late in parts.books.budgets.all)

        assert (await ask(client)).status_code == 429

    async def test_a_larger_one_lets_go_on(self, client, priced):
        await put(client, **holding(1))
        await ask(client)
        refused = await ask(client, 1)
        await put(client, **holding(2))

        assert refused.status_code == 429
        assert (await ask(client, 2)).status_code == 200
        assert (await ask(client, 3)).status_code == 429

    async def test_who_costs_nothing_is_not_held_back(self, client, fake):
        await put(client, amount_usd=0.000001)

        assert (await ask(client, provider="fake")).status_code == 200

    async def test_a_domains_budget_holds_no_other_back(self, client, priced):
        await put(client, **holding(1), domain="flowers")
        codes = [
            (await ask(client, number, domain=domain)).status_code
            for number, domain in enumerate(("flowers", "flowers", "animals"))
        ]

        assert codes == [200, 429, 200]

    async def test_without_a_price_no_budget_can_be_kept(self, client, priced):
        priced.price = None
        without = await ask(client)
        await put(client, amount_usd=100)
        refused = await ask(client, 1)

        assert without.json()["usage"]["cost_usd"] is None
        assert is_problem(refused, 503, "price-unknown")
        assert priced.calls == 1

    async def test_what_nobody_can_count_is_not_spent(self, client, parts, priced, monkeypatch):
        await put(client, amount_usd=100)

        def gone(units):
            raise sa.exc.OperationalError("x", {}, Exception("gone"))

        monkeypatch.setattr(parts.database, "_commit", gone)
        refused = await ask(client)

        assert is_problem(refused, 503, "storage-unavailable")
        assert priced.calls == 0

    async def test_it_is_whole_again_at_midnight(self, client, parts, priced, monkeypatch):
        clock = Clock()
        monkeypatch.setattr(parts.books.budgets, "_clock", clock)
        monkeypatch.setattr(parts.books, "_clock", clock)
        await put(client, **holding(1), period="day")
        codes = [(await ask(client, number)).status_code for number in range(2)]
        clock.ahead(days=1)
        codes += [(await ask(client, number)).status_code for number in range(2, 4)]

        assert codes == [200, 429, 200, 429]


class TestKept:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"cache": CacheSettings()})

    async def test_an_answer_that_is_kept_is_given_all_the_same(self, client, priced):
        await put(client, **holding(1))
        codes = [(await ask(client, number)).status_code for number in (0, 1, 0)]

        assert codes == [200, 429, 200]
        assert priced.calls == 1


class TestDegrading:
    async def test_the_local_model_answers_instead(self, client, priced):
        await put(client, **holding(1), action="degrade")
        first, second = [await ask(client, number) for number in range(2)]

        assert (first.json()["provider"], first.json()["degraded"]) == ("priced", False)
        assert (second.json()["provider"], second.json()["degraded"]) == ("local", True)
        assert second.json()["usage"]["cost_usd"] == 0
        assert priced.calls == 1

    async def test_who_it_can_not_answer_is_refused(self, client, priced):
        await client.post("/domains", json={"name": "odd", "classes": ["xyzzy", "plugh"]})
        await put(client, **holding(1), action="degrade")
        codes = [(await ask(client, number, domain="odd")).status_code for number in range(2)]

        assert codes == [200, 429]

    async def test_one_that_blocks_wins(self, client, priced):
        await put(client, "a", **holding(1), action="degrade")
        await put(client, "b", **holding(1), action="block")
        codes = [(await ask(client, number)).status_code for number in range(2)]

        assert codes == [200, 429]


async def subscribe(client, inbox) -> None:
    made = await client.post(
        "/webhooks", json={"url": inbox.url(), "event_types": ["budget.threshold"]}
    )
    assert made.status_code == 201, made.text


class TestTelling:
    async def test_each_threshold_is_told_once(self, client, priced, inbox):
        """Of ten calls: at the fifth, the eighth and the tenth; and nobody is held back."""
        await subscribe(client, inbox)
        await put(client, amount_usd=float(10 * COST_USD), action="alert")
        for number in range(12):
            assert (await ask(client, number)).status_code == 200
            expected = sum(number + 1 >= each for each in (5, 8, 10))
            await until(lambda expected=expected: len(inbox.events) == expected)

        told = [each["data"] for each in inbox.events]
        assert [each["percent"] for each in told] == [50, 80, 100]
        assert [each["spent_usd"] for each in told] == [0.02, 0.032, 0.04]
        assert told[0]["budget"] == "all"
        assert inbox.events[0]["link"] == "/budgets/all"

    async def test_one_that_blocks_tells_when_nothing_fits_any_more(self, client, priced, inbox):
        await subscribe(client, inbox)
        await put(client, **holding(1))
        await ask(client)
        await ask(client, 1)
        await ask(client, 2)

        await until(lambda: inbox.events)
        assert [each["data"]["percent"] for each in inbox.events] == [100]


class TestBatches:
    async def test_it_is_paused_and_can_be_given_more(self, client, priced):
        created = await create(
            client,
            ("a.zip", pictures(8)),
            provider="priced",
            budget_usd=str(3 * COST_USD + MOST_USD),
        )
        batch_id = created["id"]

        async def paused() -> bool:
            return (await report(client, batch_id))["status"] == "paused"

        await until(paused)
        half = await report(client, batch_id)
        own = (await client.get(f"/budgets/{batch_id}")).json()
        more = {"budget_usd": 1}
        changed = await client.patch(f"/batches/{batch_id}", json=more)
        await client.post(f"/batches/{batch_id}/resume")
        over = await ended(client, batch_id)

        assert half["budget_usd"] == float(3 * COST_USD + MOST_USD)
        assert half["cost_usd"] <= half["budget_usd"]
        assert half["done"] == priced_calls(half)
        assert "budget" in half["reason"]
        assert half["resumes_at"] is None
        assert (own["source"], own["spent_usd"]) == ("batch", half["cost_usd"])
        assert changed.json()["budget_usd"] == 1
        assert over["status"] == "completed"
        assert over["counts"]["accepted"] == 8
        assert over["cost_usd"] == float(8 * COST_USD)
        assert over["reason"] is None
        assert priced.calls == 8

    async def test_one_that_was_given_more_is_not_paused_by_what_was_ending(self, client, priced):
        """A slow call of the shard that found the budget spent ends after the batch was resumed."""
        priced.script.extend([after(0.01, answer()), after(1.5, answer())])
        created = await create(
            client, ("a.zip", pictures(8)), provider="priced", budget_usd=str(2 * MOST_USD)
        )
        path = f"/batches/{created['id']}"

        async def held_up() -> bool:
            return priced.calls >= 2

        await until(held_up)
        await asyncio.sleep(0.5)
        await client.patch(path, json={"budget_usd": 100})
        await client.post(f"{path}/resume")
        over = await ended(client, created["id"])

        assert over["counts"]["accepted"] == 8

    async def test_one_that_waits_for_its_budget_can_be_paused_for_good(self, client, priced):
        await put(client, **holding(1), period="day")
        created = await create(client, ("a.zip", pictures(2)), provider="priced")
        path = f"/batches/{created['id']}"

        async def paused() -> bool:
            return (await report(client, created["id"]))["status"] == "paused"

        await until(paused)
        by_hand = (await client.post(f"{path}/pause")).json()
        again = await client.post(f"{path}/pause")
        cancelled = (await client.post(f"{path}/cancel")).json()

        assert (by_hand["status"], by_hand["reason"], by_hand["resumes_at"]) == (
            "paused",
            None,
            None,
        )
        assert again.status_code == 409
        assert cancelled["reason"] is None

    async def test_what_can_not_fit_is_refused_at_once(self, client, parts, priced):
        """The least that ten earlier calls cost, 100 times, is more than there is."""
        for number in range(10):
            await ask(client, number)
        await put(client, amount_usd=0.3)
        zipped = pictures(100)
        refused = await client.post(
            "/batches",
            data={"domain": "flowers", "provider": "priced"},
            files={"file": ("a.zip", zipped)},
        )
        own = await client.post(
            "/batches",
            data={"domain": "flowers", "provider": "priced", "budget_usd": "0.01"},
            files={"file": ("a.zip", pictures(10))},
        )
        fits = await create(client, ("b.zip", pictures(5, first=200)), provider="priced")

        assert is_problem(refused, 429, "budget-spent")
        assert "0.4000 USD at least: more than the budget all holds" in refused.json()["detail"]
        assert is_problem(own, 429, "budget-spent")
        assert (await client.get("/batches")).json()["batches"][1:] == []
        assert (await ended(client, fits["id"]))["counts"]["accepted"] == 5

    async def test_a_dry_run_says_how_much_of_which_budget(self, client, priced):
        for number in range(10):
            await ask(client, number)
        await put(client, "all", amount_usd=0.44)
        await put(client, "told", amount_usd=0.1, action="alert")
        fields = {"domain": "flowers", "provider": "priced", "dry_run": "true", "budget_usd": "0.1"}
        estimate = await client.post(
            "/batches", data=fields, files={"file": ("a.zip", pictures(50))}
        )

        own, shared = estimate.json()["budgets"]
        assert (own["name"], own["left_usd"], own["fits"]) == ("batch", 0.1, False)
        assert (shared["name"], shared["left_usd"], shared["fits"]) == ("all", 0.4, True)
        assert shared["share"] == pytest.approx(0.5, rel=0.1)

    async def test_a_lane_or_a_budget_has_to_be_changed(self, client, fake):
        created = await create(client, ("a.zip", pictures(1)))
        refused = await client.patch(f"/batches/{created['id']}", json={})

        assert is_problem(refused, 422, "invalid-request")


class TestNextDay:
    async def test_one_goes_on_when_its_budget_is_reset(self, client, parts, priced, clock):
        """At midnight, of itself; and when that will be is told."""
        await put(client, **holding(2), period="day")
        priced.script.extend([after(0.05, answer())] * 9)
        created = await create(client, ("a.zip", pictures(3)), provider="priced")

        async def paused() -> bool:
            return (await report(client, created["id"]))["status"] == "paused"

        await until(paused)
        told = await report(client, created["id"])
        midnight = (clock.now + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
        clock.ahead(days=1)
        await parts.runner.look()
        over = await ended(client, created["id"])

        assert told["resumes_at"] == midnight
        assert over["counts"]["accepted"] == 3


def priced_calls(told: dict) -> int:
    return round(told["cost_usd"] / float(COST_USD))
