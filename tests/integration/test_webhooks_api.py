"""`/webhooks`: made, changed, given new secrets and forgotten; what is secret stays so."""

import json
import logging

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from app.storage.tables import metadata
from app.webhooks.signing import new_private_key, new_secret, verify
from tests.integration.calls import api_keys, is_problem
from tests.integration.webhook_calls import classify, get, sent_to, settled, subscribe
from tests.receiver import said

pytestmark = pytest.mark.each_database

UNKNOWN = "whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
HTTPS = "https://hooks.example.com/in"


@pytest.fixture
def settings(settings, inbox):
    return settings.model_copy(update={"egress_allow": (inbox.place,)})


async def refused(client, **values):
    return await client.post("/webhooks", json={"url": HTTPS, **values})


class TestMaking:
    async def test_the_secret_is_told_once(self, client):
        """With the answer that makes it, and never again."""
        made = await subscribe(client, HTTPS)
        secret = made.pop("secret")
        place = f"/webhooks/{made['id']}"
        later = [
            await client.get(place),
            await client.get("/webhooks"),
            await client.patch(place, json={"description": "x"}),
            await client.post(f"{place}/enable"),
        ]

        assert Webhook(secret)
        assert later[0].json() == made
        assert later[1].json() == {"webhooks": [made]}
        assert [each.status_code for each in later] == [200] * 4
        assert not any(secret in each.text or "secret" in each.json() for each in later)

    async def test_it_is_as_it_was_asked_for(self, client):
        asked = {
            "event_types": ["result.created", "batch.completed"],
            "domains": ["flowers"],
            "description": "the shop's inbox",
            "rate_limit": 2.5,
        }
        made = await subscribe(client, HTTPS, send={"X-Shop": "north"}, **asked)

        assert {name: made[name] for name in asked} == asked
        assert (made["url"], made["caller"], made["status"]) == (HTTPS, "anonymous", "enabled")
        assert made["public_key"] is made["old_secret_until"] is made["failing_since"] is None

    @pytest.mark.parametrize("make", [new_secret, new_private_key])
    async def test_a_secret_may_be_given(self, client, inbox, make):
        secret = make()
        made = await subscribe(client, inbox, secret=secret)
        await client.post(f"/webhooks/{made['id']}/test")
        (post,) = await inbox.got(1)

        assert made["secret"] == secret
        verify([made["public_key"] or secret], post.headers, post.body, now=post.timestamp)

    async def test_receivers_of_v1a_know_the_public_key_only(self, client, inbox):
        made = await subscribe(client, inbox, signature="v1a")
        await client.post(f"/webhooks/{made['id']}/test")
        (post,) = await inbox.got(1)

        assert made["secret"].startswith("whsk_")
        assert made["public_key"].startswith("whpk_")
        assert (await get(client, f"/webhooks/{made['id']}"))["public_key"] == made["public_key"]
        assert post.headers["webhook-signature"].startswith("v1a,")
        verify([made["public_key"]], post.headers, post.body, now=post.timestamp)

    @pytest.mark.parametrize(
        "secret", ["whsec_c2hvcnQ=", "whsec_?", "whsk_c2hvcnQ=", "whpk_c2hvcnQ=", "0123456789"]
    )
    async def test_what_is_no_secret_is_refused_and_not_repeated(self, client, secret):
        answer = await refused(client, secret=secret)

        assert is_problem(answer, 422, "invalid-request")
        assert secret not in answer.text

    @pytest.mark.parametrize(
        ("values", "status", "slug"),
        [
            ({"event_types": ["result.creatd"]}, 422, "invalid-request"),
            ({"domains": ["flours"]}, 404, "domain-not-found"),
            ({"event_types": ["a\0b"]}, 422, "invalid-request"),
            ({"rate_limit": 0}, 422, "invalid-request"),
            ({"signature": "v2"}, 422, "invalid-request"),
            ({"description": "a\0b"}, 422, "invalid-request"),
            ({"status": "disabled"}, 422, "invalid-request"),
        ],
        ids=str,
    )
    async def test_what_is_wrong_is_told(self, client, values, status, slug):
        assert is_problem(await refused(client, **values), status, slug)
        assert await get(client, "/webhooks") == {"webhooks": []}

    @pytest.mark.parametrize(
        "url",
        [
            "http://hooks.example.com/in",
            "https://10.0.0.1/in",
            "https://127.0.0.1/in",
            "https://[::1]/in",
            "https://169.254.169.254/latest",
            "https://localhost/in",
            "https://receiver/in",
            "https://me:hunter2@hooks.example.com/in",
            "https://hooks.example.com:8443/in",
            "ftp://hooks.example.com/in",
            "https://hooks.example.com/a b",
            "",
        ],
    )
    async def test_where_nothing_may_be_sent_is_refused(self, client, inbox, url):
        """When it is made, when it is changed, and for a callback."""
        made = await subscribe(client, inbox)
        picture = {"domain": "flowers", "image_url": "https://example.com/a.jpg"}
        answers = [
            await client.post("/webhooks", json={"url": url}),
            await client.patch(f"/webhooks/{made['id']}", json={"url": url}),
            await client.post("/classify", json={**picture, "callback_url": url}),
            await client.post(
                "/batches",
                json={"domain": "flowers", "items": [picture], "callback_url": url},
            ),
        ]

        assert all(is_problem(each, 422, "url-refused") for each in answers)
        assert not any("hunter2" in each.text for each in answers)
        assert (await get(client, f"/webhooks/{made['id']}"))["url"] == inbox.url()

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-A": "b\r\nX-C: d"},
            {"X-A": "b\nc"},
            {"X-A": "ü"},
            {"X-A": "x" * 1_001},
            {"X-A\r\nX-B": "c"},
            {"X A": "b"},
            {"": "b"},
            {"webhook-id": "evt_1"},
            {"Webhook-Signature": "v1,"},
            {"Host": "10.0.0.1"},
            {"Content-Length": "0"},
            {"transfer-encoding": "chunked"},
            {"X-A": "b", "x-a": "c"},
            {f"X-{number}": "b" for number in range(21)},
        ],
        ids=lambda headers: str(headers)[:30],
    )
    async def test_headers_that_do_harm_are_refused(self, client, headers):
        assert is_problem(await refused(client, headers=headers), 422, "invalid-request")

    async def test_headers_are_sent_and_not_shown(self, client, inbox):
        made = await subscribe(
            client, inbox, send={"Authorization": "Bearer b-4711", "X-Empty": ""}
        )
        await client.post(f"/webhooks/{made['id']}/test")
        (post,) = await inbox.got(1)

        assert made["headers"] == {"Authorization": "***", "X-Empty": "***"}
        assert (await get(client, f"/webhooks/{made['id']}"))["headers"] == made["headers"]
        assert (post.headers["authorization"], post.headers["content-type"]) == (
            "Bearer b-4711",
            "application/json",
        )

    async def test_there_may_be_so_many(self, client, monkeypatch):
        monkeypatch.setattr("app.webhooks.endpoints.MAX_WEBHOOKS", 2)
        first = await subscribe(client, HTTPS)
        await subscribe(client, HTTPS)
        one_more = await refused(client)
        await client.delete(f"/webhooks/{first['id']}")

        assert is_problem(one_more, 409, "too-many-webhooks")
        await subscribe(client, HTTPS)

    async def test_they_are_listed_the_oldest_first(self, client):
        made = [(await subscribe(client, HTTPS))["id"] for _ in range(3)]

        assert [each["id"] for each in (await get(client, "/webhooks"))["webhooks"]] == made


class TestChanging:
    async def test_what_is_not_named_stays(self, client):
        made = await subscribe(client, HTTPS, description="a", rate_limit=5, send={"X-A": "b"})
        del made["secret"]
        place = f"/webhooks/{made['id']}"
        changed = (await client.patch(place, json={"domains": ["flowers"]})).json()
        same = {"changed_at", "domains"}

        assert changed["domains"] == ["flowers"]
        assert changed["changed_at"] > made["changed_at"]
        assert all(changed[name] == made[name] for name in made.keys() - same)
        assert await get(client, place) == changed

    async def test_null_takes_away_what_may_be_missing(self, client):
        """And changes nothing of what may not."""
        values = {"event_types": ["ping"], "domains": ["flowers"]}
        made = await subscribe(
            client, HTTPS, description="a", rate_limit=5, send={"X-A": "b"}, **values
        )
        nothing = dict.fromkeys(
            ("url", "event_types", "domains", "description", "rate_limit", "headers")
        )
        answer = await client.patch(f"/webhooks/{made['id']}", json=nothing)
        changed = answer.json()

        assert answer.status_code == 200
        assert (changed["description"], changed["rate_limit"], changed["headers"]) == (
            None,
            None,
            {},
        )
        assert changed["url"] == HTTPS
        assert {name: changed[name] for name in values} == values

    async def test_headers_are_replaced_as_a_whole(self, client, inbox):
        made = await subscribe(client, inbox, send={"X-A": "1", "X-B": "2"})
        place = f"/webhooks/{made['id']}"
        changed = (await client.patch(place, json={"headers": {"X-C": "3"}})).json()
        await client.post(f"{place}/test")
        (post,) = await inbox.got(1)

        assert changed["headers"] == {"X-C": "***"}
        assert post.headers["x-c"] == "3"
        assert "x-a" not in post.headers

    @pytest.mark.parametrize(
        "values",
        [{"event_types": ["x"]}, {"headers": {"Host": "x"}}, {"secret": "x"}, {"rate_limit": -1}],
        ids=str,
    )
    async def test_what_is_wrong_changes_nothing(self, client, values):
        made = await subscribe(client, HTTPS)
        del made["secret"]
        answer = await client.patch(f"/webhooks/{made['id']}", json={"description": "x", **values})

        assert is_problem(answer, 422, "invalid-request")
        assert await get(client, f"/webhooks/{made['id']}") == made

    async def test_it_holds_for_what_is_sent_next(self, client, inbox):
        """Though what was sent last was a moment ago: new place, new headers, new secret."""
        made = await subscribe(client, inbox)
        place = f"/webhooks/{made['id']}"
        await classify(client)
        await settled(client, made, "delivered")
        new = {"url": inbox.url("/new"), "headers": {"X-A": "new"}}
        await client.patch(place, json=new)
        secret = (await client.post(f"{place}/rotate")).json()["secret"]
        await classify(client)
        _, last = await inbox.got(2)

        assert (last.path, last.headers.get("x-a")) == ("/new", "new")
        last.verify(secret)

    async def test_one_that_is_deleted_takes_all_it_had_along(self, client, inbox):
        """And is sent nothing any more; others keep theirs."""
        gone, stays = await subscribe(client, inbox), await subscribe(client, inbox)
        await classify(client)
        (delivery,) = await settled(client, gone, "delivered")
        await settled(client, stays, "delivered")
        inbox.always = said("500 Broken")
        await classify(client)
        await inbox.got(4)
        answer = await client.delete(f"/webhooks/{gone['id']}")
        place = f"/webhooks/{gone['id']}"
        asked = [
            await client.get(place),
            await client.get(f"{place}/deliveries"),
            await client.delete(place),
            await client.patch(place, json={}),
            await client.post(f"{place}/test"),
        ]

        assert answer.status_code == 204
        assert all(is_problem(each, 404, "webhook-not-found") for each in asked)
        one = await client.get(f"/deliveries/{delivery['id']}")
        assert is_problem(one, 404, "delivery-not-found")
        left = await get(client, "/deliveries")
        assert {each["webhook_id"] for each in left["deliveries"]} == {stays["id"]}

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    async def test_callbacks_are_no_webhooks(self, client, fake, inbox, method):
        """Their deliveries are there to be read, but nobody changes what they go through."""
        await classify(client, callback_url=inbox.url())
        await inbox.got(1)
        (delivery,) = (await get(client, "/deliveries"))["deliveries"]
        place = f"/webhooks/{delivery['webhook_id']}"
        options = {"json": {"url": HTTPS}} if method == "PATCH" else {}

        assert is_problem(await client.request(method, place, **options), 404, "webhook-not-found")
        assert await get(client, "/webhooks") == {"webhooks": []}


class TestRotating:
    async def rotated(self, client, made, **body) -> str:
        answer = await client.post(f"/webhooks/{made['id']}/rotate", **body)
        assert answer.status_code == 200, answer.text
        return answer.json()["secret"]

    async def signers(self, client, inbox, made, *secrets: str) -> list[bool]:
        """Which of them sign now; there are no other signatures."""
        await client.post(f"/webhooks/{made['id']}/test")
        post = inbox.posts[-1]
        found = [post.is_signed_with(each) for each in secrets]
        assert len(post.headers["webhook-signature"].split()) == sum(found)
        return found

    async def test_both_sign_for_a_day(self, client, inbox, clock):
        made = await subscribe(client, inbox)
        old, new = made["secret"], await self.rotated(client, made)
        now = await self.signers(client, inbox, made, new, old)
        until = (await get(client, f"/webhooks/{made['id']}"))["old_secret_until"]
        clock.ahead(hours=23.9)
        late = await self.signers(client, inbox, made, new, old)
        clock.ahead(hours=0.2)
        over = await self.signers(client, inbox, made, new, old)
        after = (await get(client, f"/webhooks/{made['id']}"))["old_secret_until"]

        assert new != old
        assert (now, late, over) == ([True, True], [True, True], [True, False])
        assert until is not None
        assert after is None

    async def test_twice_in_a_day(self, client, inbox, clock):
        """Each signs for a day after it was replaced."""
        made = await subscribe(client, inbox)
        first, second = made["secret"], await self.rotated(client, made)
        clock.ahead(hours=12)
        third = await self.rotated(client, made)
        all_ = [third, second, first]
        now = await self.signers(client, inbox, made, *all_)
        clock.ahead(hours=12.1)
        later = await self.signers(client, inbox, made, *all_)
        clock.ahead(hours=12)
        over = await self.signers(client, inbox, made, *all_)

        assert now == [True, True, True]
        assert later == [True, True, False]
        assert over == [True, False, False]

    async def test_the_next_one_may_be_given(self, client, inbox, clock):
        made = await subscribe(client, inbox)
        given = new_secret()

        assert await self.rotated(client, made, json={"secret": given}) == given
        assert await self.signers(client, inbox, made, given, made["secret"]) == [True, True]

    async def test_a_private_key_is_followed_by_one(self, client, clock):
        made = await subscribe(client, HTTPS, signature="v1a")
        answer = await client.post(f"/webhooks/{made['id']}/rotate")

        assert answer.json()["secret"].startswith("whsk_")
        assert answer.json()["public_key"] not in (None, made["public_key"])

    async def test_what_is_no_secret_changes_nothing(self, client, inbox, clock):
        made = await subscribe(client, inbox)
        answer = await client.post(f"/webhooks/{made['id']}/rotate", json={"secret": "whsec_x"})

        assert is_problem(answer, 422, "invalid-request")
        assert await self.signers(client, inbox, made, made["secret"]) == [True]


class TestCallers:
    """`shop` and `press` are callers, `boss` is an operator."""

    @pytest.fixture
    def settings(self, settings):
        keys = api_keys(shop=False, press=False, boss=True)
        return settings.model_copy(update={"api_keys": keys})

    @staticmethod
    def as_(name: str) -> dict[str, str]:
        return {"x-api-key": name}

    async def test_others_do_not_exist(self, client, inbox):
        """404, not 403. An operator may do everything with them."""
        shop = self.as_("shop")
        made = await subscribe(client, inbox, shop)
        await classify(client, shop)
        await inbox.got(1)
        (delivery,) = (await get(client, "/deliveries", shop))["deliveries"]
        place, since = f"/webhooks/{made['id']}", {"since": "2026-01-01T00:00:00Z"}
        asked = [
            ("GET", place, {}),
            ("PATCH", place, {"json": {"description": "x"}}),
            ("POST", f"{place}/rotate", {}),
            ("POST", f"{place}/test", {}),
            ("POST", f"{place}/enable", {}),
            ("GET", f"{place}/deliveries", {}),
            ("POST", f"{place}/replay", {"params": since}),
            ("GET", f"/deliveries/{delivery['id']}", {}),
            ("POST", f"/deliveries/{delivery['id']}/redeliver", {}),
            ("DELETE", place, {}),
        ]

        async def ask(name: str) -> set[int]:
            return {
                (await client.request(method, path, headers=self.as_(name), **options)).status_code
                for method, path, options in asked
            }

        assert await ask("press") == {404}
        assert (await get(client, "/webhooks", self.as_("press"))) == {"webhooks": []}
        assert (await get(client, "/deliveries", self.as_("press")))["deliveries"] == []
        of_one = await get(client, "/deliveries", self.as_("press"), webhook_id=made["id"])
        assert of_one["deliveries"] == []
        assert (await get(client, place, shop))["description"] is None
        assert len((await get(client, "/webhooks", self.as_("boss")))["webhooks"]) == 1
        assert len((await get(client, "/deliveries", self.as_("boss")))["deliveries"]) == 1
        assert await ask("boss") == {200, 202, 204}

    async def test_an_operators_do_not_count_for_others(self, client, monkeypatch):
        monkeypatch.setattr("app.webhooks.endpoints.MAX_WEBHOOKS", 1)
        for name in ("shop", "press", "boss"):
            await subscribe(client, HTTPS, self.as_(name))

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/webhooks"),
            ("POST", "/webhooks"),
            ("GET", f"/webhooks/{UNKNOWN}"),
            ("POST", f"/webhooks/{UNKNOWN}/rotate"),
            ("GET", "/deliveries"),
        ],
    )
    async def test_a_key_is_needed(self, client, method, path):
        assert is_problem(await client.request(method, path), 401, "not-authenticated")


class TestSecrecy:
    @pytest.fixture
    def settings(self, settings, lasting_url):
        return settings.model_copy(update={"database_url": lasting_url})

    async def test_secrets_are_nowhere_in_clear(self, client, parts, inbox, caplog, tmp_path):
        """In no answer but the one that tells it, no log line, no column, no file beside the
        database; also when the receiver sends them back."""
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.WARNING, "httpcore2")  # as config/logging.yaml has it
        inbox.always = said("500 Broken", "X-Echo: Bearer b-4711", body=b"got: Bearer b-4711")
        given = new_secret()
        with capture_logs() as logs:
            made = await subscribe(
                client, inbox, secret=given, send={"Authorization": "Bearer b-4711"}
            )
            place = f"/webhooks/{made['id']}"
            tested = await client.post(f"{place}/test")
            await classify(client)
            await inbox.got(2)
            rotated = (await client.post(f"{place}/rotate")).json()["secret"]
            new = {"Authorization": "Bearer b-0815"}
            answers = [
                tested,
                await client.patch(place, json={"headers": new}),
                await client.get(place),
                await client.get("/webhooks"),
                await client.get("/deliveries"),
                await client.post("/webhooks", json={"url": "", "secret": given, "headers": new}),
                await client.post("/webhooks", json={"url": 7, "secret": given, "headers": new}),
                await client.get("/metrics"),
            ]

        def unit(connection: sa.Connection) -> str:
            tables = metadata.sorted_tables
            return str([connection.execute(sa.select(each)).all() for each in tables])

        columns = await parts.database.read(unit)
        files = [each for each in tmp_path.iterdir() if each.name.startswith("app.db")]
        told = [each.text for each in answers] + [str(logs), caplog.text, columns]
        held = [each.read_bytes() for each in files if each.suffix != ".lock"]
        assert tested.json()["attempts"][0]["answer"] == "got: ***"
        assert made["id"] in columns
        for secret in (given, rotated):
            key = secret.removeprefix("whsec_")
            assert not any(key in each for each in told)
            assert not any(key.encode() in each for each in held)
        for value in ("b-4711", "b-0815"):
            assert not any(value in each for each in told)
            assert not any(value.encode() in each for each in held)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 10_000], ids=ascii)
async def test_names_that_no_database_holds(client, name):
    content = json.dumps({"url": HTTPS, "domains": [name]})
    refused = await client.post(
        "/webhooks", content=content, headers={"content-type": "application/json"}
    )
    asked = await client.get("/deliveries", params={"subject": "a\0b"})

    assert refused.status_code in (404, 422)
    assert asked.status_code in (200, 422)


async def test_deliveries_come_page_by_page(client, inbox):
    """The newest first, by what they are about and how they stand."""
    made = await subscribe(client, inbox)
    ids = [(await classify(client))["id"] for _ in range(3)]
    await settled(client, made, *["delivered"] * 3)
    first = await get(client, "/deliveries", limit=2)
    rest = await get(client, "/deliveries", limit=2, cursor=first["next_cursor"])
    one = await sent_to(client, made, subject=ids[1])

    found = [each["subject"] for each in first["deliveries"] + rest["deliveries"]]
    assert found == ids[::-1]
    assert rest["next_cursor"] is None
    assert [each["subject"] for each in one] == [ids[1]]
    assert await sent_to(client, made, state="failed") == []
