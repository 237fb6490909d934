"""API keys: who is let in, and whose rows one sees."""

import hashlib

import pytest

from app.settings_groups import ApiKey
from tests.integration.calls import api_keys, is_problem, listed, store, upload

CALLERS = {"shop": False, "press": False, "boss": True}
"""Names, and who of them is an operator."""


class TestCallers:
    """`shop` and `press` are callers, `boss` is an operator."""

    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(**CALLERS)})

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


class TestWithKeys:
    """With API keys configured."""

    GUARDED = (
        ("POST", "/classify"),
        ("GET", "/results"),
        ("GET", "/results/cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"),
        ("DELETE", "/results/cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"),
        ("GET", "/domains"),
        ("POST", "/domains"),
        ("DELETE", "/domains/flowers"),
        ("POST", "/domains/reload"),
        ("GET", "/metrics"),
    )

    @pytest.fixture
    def settings(self, settings):
        digest = hashlib.sha256(b"right").hexdigest()
        return settings.model_copy(update={"api_keys": (ApiKey(name="shop", sha256=digest),)})

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "Bearer"},
            {"authorization": "Basic right"},
            {"authorization": "right"},
            {"x-api-key": "wrong"},
            {"x-api-key": ""},
            {"x-api-key": "schlüssel".encode()},
            {"x-api-key": hashlib.sha256(b"right").hexdigest()},
        ],
        ids=str,
    )
    async def test_without_a_key_that_is_known_nothing_is_done(self, client, headers):
        for method, path in self.GUARDED:
            answer = await client.request(method, path, headers=headers)

            assert is_problem(answer, 401, "not-authenticated")
            assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "headers", [{"authorization": "bearer right"}, {"x-api-key": "right"}], ids=str
    )
    async def test_a_known_key_is_let_in(self, client, headers):
        answer = await client.post("/classify", files=upload(provider=None), headers=headers)

        assert answer.status_code == 200
        assert answer.json()["caller"] == "shop"

    @pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/health/ready", "/docs"])
    async def test_health_and_pages_need_no_key(self, client, path):
        answer = await client.get(path)

        assert answer.status_code == 200
