"""Whatever reached a provider leaves a row, also when it failed."""

import asyncio

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.classification import Storing
from app.errors import ProviderTimeout, ProviderUnavailable, StorageUnavailable
from app.traffic import Dispatcher
from app.usage import TokenUsage
from tests.fakes import spent_with
from tests.integration.calls import is_problem, listed, until, upload

SPENT = TokenUsage(100, 1, {}, None)


@pytest.fixture
def settings(settings):
    calls = settings.api.model_copy(update={"max_retries": 0})
    return settings.model_copy(update={"api": calls})


async def domain(client, name: str, providers: list[str], classes: list[str], **more) -> None:
    spec = {"name": name, "classes": classes, "providers": providers, **more}
    made = await client.post("/domains", json=spec)
    assert made.status_code == 201, made.text


async def test_a_failed_answer_names_its_row(client, fake):
    """The problem tells the row's id; the row tells the problem and what was spent."""
    await domain(client, "garden", ["fake"], ["rose", "daisy"])
    fake.script.append(spent_with(ProviderUnavailable("down"), SPENT))
    failed = await client.post("/classify", files=upload(provider=None, domain="garden"))
    rows = (await client.get("/results")).json()["results"]

    assert failed.status_code == 502, failed.text
    assert [row["id"] for row in rows] == [failed.json()["result_id"]]
    assert rows[0]["status"] == "failed"
    assert rows[0]["error"] == {"type": "/problems/provider-unavailable", "detail": "down"}
    assert rows[0]["usage"]["prompt_tokens"] == 100


@pytest.mark.parametrize(
    ("second", "classes"),
    [
        pytest.param("local", ["pegasus", "unicorn"], id="can not serve"),
        pytest.param("azure_openai", ["rose", "daisy"], id="is not configured"),
    ],
)
async def test_what_one_provider_cost_is_kept_when_the_next(client, fake, second, classes):
    """The first one is down and was paid; the local one does not know unicorns."""
    await domain(client, "garden", ["fake", second], classes)
    fake.script.append(spent_with(ProviderUnavailable("down"), SPENT))
    failed = await client.post("/classify", files=upload(provider=None, domain="garden"))
    rows = (await client.get("/results")).json()["results"]

    assert failed.status_code >= 400
    assert [row["usage"]["prompt_tokens"] for row in rows] == [100]


async def test_the_next_provider_is_asked(client, fake):
    """What both have cost is summed."""
    await domain(client, "garden", ["fake", "local"], ["rose", "daisy"])
    fake.script.append(spent_with(ProviderUnavailable("down"), SPENT))
    given = await client.post("/classify", files=upload(provider=None, domain="garden"))

    assert given.status_code == 200, given.text
    assert given.json()["provider"] == "local"
    assert given.json()["usage"]["prompt_tokens"] == 100


async def test_a_provider_that_can_not_serve_the_domain_leaves_no_row(client):
    """It was not paid, and a retry won't help: the caller is told which classes and why."""
    await domain(client, "unicorns", [], ["pegasus", "unicorn"])
    failed = await client.post("/classify", files=upload(provider=None, domain="unicorns"))

    assert failed.status_code == 422
    assert failed.json()["type"] == "/problems/provider-cannot-serve-domain"
    assert "'unicorn'" in failed.json()["detail"]
    assert await listed(client) == []


async def test_a_mistake_after_a_paid_call_is_kept(client, fake, monkeypatch):
    """The caller learns the row and not the error's own text."""
    monkeypatch.setitem(Dispatcher.__init__.__kwdefaults__, "jitter", lambda: 0.0)
    fake.script += [spent_with(ProviderTimeout("late"), SPENT), RuntimeError("the secret is 4711")]
    await domain(client, "garden", ["fake"], ["rose", "daisy"], max_retries=1)
    failed = await client.post("/classify", files=upload(provider=None, domain="garden"))
    rows = (await client.get("/results")).json()["results"]

    assert is_problem(failed, 500, "internal-error")
    assert failed.json()["result_id"] == rows[0]["id"]
    assert rows[0]["usage"]["prompt_tokens"] == 100
    assert "4711" not in failed.text + str(rows)


class TestStorageDown:
    """The database is locked or full just when a paid answer is there."""

    @pytest.fixture
    def down(self, parts, monkeypatch):
        """Writes fail, so many times; nobody sleeps between them."""

        def fail(method: str, times: int) -> list[float]:
            write = getattr(parts.results, method)
            slept: list[float] = []

            async def failing(result, beside=None, **options):
                nonlocal times
                if times:
                    times -= 1
                    raise StorageUnavailable("full")
                return await write(result, beside, **options)

            async def sleep(seconds):
                slept.append(seconds)

            monkeypatch.setattr(parts.results, method, failing)
            monkeypatch.setattr(parts.classification._storing, "_sleep", sleep)
            return slept

        return fail

    async def test_the_answer_is_stored_when_it_can_be(self, client, fake, down):
        """And paid once."""
        slept = down("insert", 2)
        given = await client.post("/classify", files=upload())

        assert given.status_code == 200
        assert await listed(client) == [given.json()["id"]]
        assert fake.calls == 1
        assert slept == [0.1, 0.5]

    async def test_a_caller_does_not_wait_for_ever(self, client, fake, down):
        """What was paid for is in the log at least."""
        down("insert", 99)
        with capture_logs() as logs:
            given = await client.post("/classify", files=upload(metadata='{"secret": "4711"}'))

        assert is_problem(given, 503, "storage-unavailable")
        lost = [line for line in logs if "lost" in line["event"]]
        assert [(line["predicted_class"], line["log_level"]) for line in lost] == [
            ("dandelion", "error")
        ]
        assert "4711" not in str(logs)

    async def test_what_was_accepted_is_stored_however_long_it_takes(self, client, fake, down):
        slept = down("complete", 50)
        accepted = await client.post(
            "/classify", files=upload(), headers={"prefer": "respond-async"}
        )
        answered = await client.get(accepted.headers["location"], params={"wait": 10})

        assert answered.json()["status"] == "accepted"
        assert len(slept) == 50


class TestDraining:
    """The database takes no writes, and the service is to stop."""

    @pytest.fixture(autouse=True)
    def slept(self, monkeypatch) -> list[float]:
        """What was slept between attempts: nothing, in truth."""
        slept: list[float] = []

        async def sleep(seconds):
            slept.append(seconds)
            await asyncio.sleep(0)

        monkeypatch.setitem(Storing.__init__.__kwdefaults__, "sleep", sleep)
        return slept

    @pytest.fixture
    def writable(self, parts):
        """Let the database take writes, or none."""

        async def switch(on: bool) -> None:
            pragma = sa.text(f"PRAGMA query_only = {not on}")
            await parts.database.read(lambda connection: connection.execute(pragma).close())

        return switch

    @pytest.fixture
    async def accepted(self, client, fake, writable) -> str:
        """Where the result of a picture is found that was accepted before writing went wrong, and
        that waits for the provider."""
        fake.hold.clear()
        given = await client.post("/classify", files=upload(), headers={"prefer": "respond-async"})
        await fake.asked.wait()
        await writable(False)
        return given.headers["location"]

    @staticmethod
    async def drained(parts) -> list[dict]:
        """What was logged of answers that may be lost."""
        with capture_logs() as logs:
            async with asyncio.timeout(10):
                await parts.running.drain(seconds=0.01)
        assert all(line["log_level"] == "error" for line in logs if "lost" in line["event"])
        return [line for line in logs if "lost" in line["event"]]

    async def test_while_the_service_runs_it_tries_again(
        self, client, fake, accepted, writable, slept
    ):
        fake.hold.set()
        await until(lambda: len(slept) > 20)
        await writable(True)
        answered = await client.get(accepted, params={"wait": 10})

        assert answered.json()["status"] == "accepted"
        assert slept[:5] == [0.1, 0.5, 2.0, 2.0, 2.0]

    async def test_an_answer_that_can_not_be_stored_is_in_the_log_when_it_stops(
        self, client, parts, fake, accepted, slept
    ):
        """It was paid for. The next start finds the row pending, and fails it."""
        fake.hold.set()
        await until(lambda: len(slept) > 20)
        lost = await self.drained(parts)
        tried = len(slept)
        row = (await client.get(accepted)).json()

        assert [(line["id"], line["predicted_class"]) for line in lost] == [
            (row["id"], "dandelion")
        ]
        assert row["status"] == "pending"
        assert len(slept) == tried

    async def test_what_is_cut_off_when_it_stops_is_tried_a_few_times(
        self, client, parts, accepted, slept
    ):
        lost = await self.drained(parts)

        assert [line["error"]["type"] for line in lost] == ["/problems/interrupted"]
        assert slept == [0.1, 0.5, 2.0]

    async def test_what_is_cut_off_is_stored_when_it_can_be(
        self, client, parts, accepted, writable
    ):
        await writable(True)
        lost = await self.drained(parts)
        row = (await client.get(accepted)).json()

        assert lost == []
        assert row["error"]["type"] == "/problems/interrupted"


@pytest.mark.parametrize(("url", "status"), [(False, "accepted"), (True, "failed")])
async def test_every_row_is_counted(client, fake, url, status):
    """Also one that failed on its way to the provider."""
    source = upload() if not url else None
    refused = {"domain": "flowers", "provider": "fake", "image_url": "http://127.0.0.1:1/"}
    accepted = await client.post(
        "/classify",
        files=source,
        json=refused if url else None,
        headers={"prefer": "respond-async"},
    )
    await client.get(accepted.headers["location"], params={"wait": 10})
    metrics = (await client.get("/metrics")).text

    assert f'classifier_results_total{{domain="flowers",status="{status}"}} 1.0' in metrics
