"""Starting, refusing to start, draining, and what is left after a crash: real processes."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys

import httpx2
import psycopg
import pytest

from app.storage.database import OWNER
from tests.conftest import ROOT
from tests.integration.calls import until
from tests.loopback import loopback, reply
from tests.pictures import jpeg
from tests.unit.storage.test_database import cut_off

PICTURE = jpeg()
DIGEST = hashlib.sha256(b"the-key-itself").hexdigest()


@pytest.fixture
async def web():
    async with loopback({"/rose.jpg": reply(PICTURE)}) as served:
        yield served


@pytest.fixture
async def http():
    async with httpx2.AsyncClient(timeout=20) as client:
        yield client


def lines_of(service) -> list[dict]:
    """The log so far. Every line of it is JSON: no traceback, no stray text."""
    return [json.loads(line) for line in service.log.read_text().splitlines()]


async def stopped(service) -> int:
    return await asyncio.to_thread(service.process.wait, 30)


class TestDraining:
    async def test_running_requests_end_before_the_process_does(self, start_service, http, web):
        """SIGTERM: 503 for the load balancer while requests are still taken, then the end."""
        web.gate.clear()
        service = start_service(DRAIN_DELAY="1", EGRESS_ALLOW=web.place)
        before = await http.get(f"{service.url}/health/ready")
        body = {"domain": "flowers", "image_url": web.url("/rose.jpg")}
        running = asyncio.create_task(http.post(f"{service.url}/classify", json=body))
        await until(lambda: asyncio.sleep(0, bool(web.asked)))
        service.process.send_signal(signal.SIGTERM)

        async def not_ready() -> bool:
            return (await http.get(f"{service.url}/health/ready")).status_code == 503

        await until(not_ready)
        ready = await http.get(f"{service.url}/health/ready")
        live = await http.get(f"{service.url}/health/live")
        late = await http.get(f"{service.url}/domains")
        await asyncio.sleep(1.2)
        web.gate.set()
        answered = await running

        assert before.status_code == 200
        assert ready.json() == {"status": "not_ready", "failing": ["draining"]}
        assert (live.status_code, late.status_code) == (200, 200)
        assert answered.status_code == 200
        assert answered.json()["status"] in ("accepted", "needs_review")
        assert await stopped(service) == 0
        assert lines_of(service)[-1]["event"] == "stopped"

    async def test_ctrl_c_ends_it_too(self, start_service):
        service = start_service()

        assert service.stop(signal.SIGINT) == 0
        assert lines_of(service)

    async def test_a_second_signal_does_not_wait(self, start_service, http):
        service = start_service(DRAIN_DELAY="60")
        service.process.send_signal(signal.SIGTERM)

        async def not_ready() -> bool:
            return (await http.get(f"{service.url}/health/ready")).status_code == 503

        await until(not_ready)

        assert service.stop(signal.SIGTERM) == 0

    async def test_what_does_not_end_in_time_is_gone_on_with(self, start_service, http, web):
        """By the next start, as after a crash."""
        web.gate.clear()
        service = start_service(DRAIN_TIMEOUT="1", EGRESS_ALLOW=web.place)
        accepted = await _accept(http, service, web)
        code = await asyncio.to_thread(service.stop)
        web.gate.set()
        service.start()
        found = await http.get(f"{service.url}{accepted}", params={"wait": 10})

        assert code == 0
        assert found.json()["status"] in ("accepted", "needs_review")


async def _accept(http, service, web) -> str:
    body = {"domain": "flowers", "image_url": web.url("/rose.jpg")}
    answer = await http.post(
        f"{service.url}/classify",
        json=body,
        headers={"prefer": "respond-async", "idempotency-key": "k-1"},
    )
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


async def test_what_a_killed_process_had_accepted_is_gone_on_with(start_service, http, web):
    """Under its id, and its idempotency key still stands."""
    web.gate.clear()
    service = start_service(EGRESS_ALLOW=web.place)
    place = await _accept(http, service, web)
    pending = await http.get(f"{service.url}{place}")
    await asyncio.to_thread(service.stop, signal.SIGKILL)
    web.gate.set()
    service.start()
    answered = await http.get(f"{service.url}{place}", params={"wait": 10})
    again = await _accept(http, service, web)

    assert pending.json()["status"] == "pending"
    assert answered.json()["status"] in ("accepted", "needs_review")
    assert answered.json()["created_at"] == pending.json()["created_at"]
    assert again == place


async def test_an_upload_that_was_accepted_is_kept_until_it_is_answered(start_service, http):
    """A model that does not answer holds it up; the next start asks another one."""
    async with loopback({}) as silent:
        service = start_service(
            PROVIDER="openai_compatible",
            OPENAI_BASE_URL=f"http://{silent.place}/v1",
            OPENAI_MODEL="gpt-4o",
        )
        silent.gate.clear()
        accepted = await http.post(
            f"{service.url}/classify",
            data={"domain": "flowers"},
            files={"file": ("rose.jpg", PICTURE)},
            headers={"prefer": "respond-async"},
        )
        kept = [*service.folder.glob("blobs/*/cls_*")]
        await asyncio.to_thread(service.stop, signal.SIGKILL)
        service.variables["PROVIDER"] = "local"
        service.start()
        place = f"{service.url}{accepted.headers['location']}"
        answered = (await http.get(place, params={"wait": 10})).json()
        await until(lambda: not [*service.folder.glob("blobs/*/cls_*")])

    assert [each.name for each in kept] == [answered["id"]]
    assert answered["status"] in ("accepted", "needs_review")
    assert answered["provider"] == "local"


ZYGOTE = """
import json, os, sys
import app.cli, app.cli.serve
for line in sys.stdin:
    case = json.loads(line)
    if not (child := os.fork()):
        os.environ.update(case["variables"])
        os.chdir(case["folder"])
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["app", "serve"]
        app.cli.main()
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Has imported all, and forks for each case: a start costs a tenth of a second."""


@pytest.fixture(scope="module")
def zygote():
    with subprocess.Popen(
        [sys.executable, "-c", ZYGOTE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def refused(zygote, tmp_path):
    """`python -m app serve` that does not start: its exit status and its lines on stderr."""

    def serve(**variables: str) -> tuple[int, list[str]]:
        own = {
            "CONFIG_DIR": str(ROOT / "config"),
            "DATABASE_URL": f"sqlite:///{tmp_path}/refused.db",
            "PORT": "0",
            "LOG_RENDERER": "json",
        }
        case = {"folder": str(tmp_path), "variables": own | variables}
        zygote.stdin.write(json.dumps(case) + "\n")
        zygote.stdin.flush()
        status = int(zygote.stdout.readline())
        told = (tmp_path / "err").read_text()
        assert (tmp_path / "out").read_text() == ""
        assert "Traceback" not in told
        return status, told.splitlines()

    return serve


class TestRefusing:
    """Exit status 2, and one line for each complaint; never a traceback."""

    def test_a_second_service_on_the_same_file(self, start_service, refused):
        """It says whose file it is instead of racing; the first one goes on."""
        service = start_service()
        file = service.folder / "app.db"

        status, lines = refused(DATABASE_URL=f"sqlite:///{file}")

        assert status == 2
        assert len(lines) == 1
        assert lines[0].startswith(f"error: {file} is in use by another running service")
        assert httpx2.get(f"{service.url}/health", timeout=30).status_code == 200

    def test_one_that_lost_its_database_to_another_ends(self, start_service, postgres_url):
        """It was taken for dead, for its connections were cut: two would do the same work."""
        service = start_service(DATABASE_URL=postgres_url)
        taken = False
        while not taken:  # unless the service is quicker
            cut_off(postgres_url)
            with psycopg.connect(postgres_url, autocommit=True) as other:
                taken = other.execute("SELECT pg_try_advisory_lock(%s)", (OWNER,)).fetchone()[0]
                status = service.process.wait(timeout=30) if taken else None

        assert status == 0
        assert b"the database is another process's now" in service.log.read_bytes()

    @pytest.mark.parametrize(
        ("variables", "told"),
        [
            ({"HOST": "0.0.0.0"}, ["HOST 0.0.0.0", "API_KEYS", "ALLOW_ANONYMOUS"]),
            (
                {"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com"},
                ["half configured", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_DEPLOYMENT"],
            ),
            ({"AZURE_OPENAI_API_KEY": "very-secret"}, ["AZURE_OPENAI_ENDPOINT"]),
            ({"API_TIMEOUT": "soon"}, ["environment: API_TIMEOUT: "]),
            ({"API_KEYS": "shop:very-secret"}, ["environment: API_KEYS: "]),
            ({"API_KEYS": f"erased:{64 * '0'}"}, ["environment: API_KEYS: ", "erased"]),
            ({"EGRESS_ALLOW": "http://x/"}, ["EGRESS_ALLOW: 'http://x/'"]),
            ({"PROVIDER": "crystal-ball"}, ["'crystal-ball'", "azure_openai, local"]),
            ({"DATABASE_URL": "mysql://me:very-secret@db/x"}, ["DATABASE_URL: mysql"]),
            (
                {"DATABASE_URL": "postgresql://me:very-secret@127.0.0.1:1/x"},
                ["postgresql://me:***@127.0.0.1:1/x: connection failed"],
            ),
            ({"WORK": "off"}, ["WORK is off", "DATABASE_URL", "REDIS_URL"]),
            (
                {"DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://:very-secret@db"},
                ["BLOBS_URL"],
            ),
            ({"DATABASE_URL": "very-secret"}, ["DATABASE_URL is not a database URL"]),
            ({"DATABASE_URL": "sqlite:////etc/hostname/x.db"}, ["/etc/hostname"]),
        ],
        ids=str,
    )
    def test_a_wrong_variable_is_named(self, refused, variables, told):
        """Without repeating a secret."""
        status, lines = refused(**variables)

        assert status == 2, lines
        assert len(lines) == 1
        assert all(each in lines[0] for each in told), lines
        assert "very-secret" not in lines[0]

    @pytest.mark.parametrize(
        ("name", "text", "told"),
        [
            ("settings.yaml", "api:\n  timeout: soon\n", "settings.yaml:2: api.timeout: "),
            ("settings.yaml", "api:\n  timeuot: 3\n", "settings.yaml:2: api.timeuot: "),
            ("settings.yaml", "- 1\n", "settings.yaml:1: "),
            ("settings.yaml", "api: [\n", "settings.yaml:2: "),
            ("domains.yaml", "a:\n  classes: [x]\n", "domains.yaml:2: a.classes: "),
            ("domains.yaml", "a:\n  classes: [x, x]\n", "domains.yaml:1: a: "),
            ("models.yaml", "families:\n- name: x\n  y: 1\n", "models.yaml:3: families.0.y: "),
            ("logging.yaml", "level: loud\n", "logging.yaml:1: level: "),
        ],
    )
    def test_a_wrong_file_is_named_with_its_line(self, refused, tmp_path, name, text, told):
        folder = shutil.copytree(ROOT / "config", tmp_path / "config")
        (folder / name).write_text(text)

        status, lines = refused(CONFIG_DIR=str(folder))

        assert status == 2
        assert len(lines) == 1
        assert lines[0].startswith(f"error: {folder}/{told}")

    def test_a_file_that_is_no_database_is_named(self, refused, tmp_path):
        (tmp_path / "refused.db").write_bytes(b"no database " * 100)

        status, lines = refused()

        assert status in (1, 2)
        assert len(lines) == 1
        assert "refused.db" in lines[0]

    def test_a_port_that_is_taken_is_named(self, start_service, refused):
        port = start_service().url.rpartition(":")[2]

        status, lines = refused(PORT=port)

        assert status in (1, 2)
        assert any(port in line or "address already in use" in line for line in lines)


async def test_anonymous_on_a_public_address_starts_and_warns(start_service, http):
    """When it is meant; everybody may then do everything."""
    service = start_service(HOST="0.0.0.0", ALLOW_ANONYMOUS="true")
    answer = await http.post(f"{service.url.replace('0.0.0.0', '127.0.0.1')}/domains/reload")

    assert answer.status_code == 200
    warnings = [line["event"] for line in lines_of(service) if line["level"] == "warning"]
    assert warnings == ["anybody who reaches this service may use it: API_KEYS is empty"]


async def test_a_start_says_what_it_runs_with(start_service):
    service = start_service()
    (line,) = [each for each in lines_of(service) if each["event"] == "listening"]

    assert line["provider"] == "local"
    assert line["model"] == "efficientnet-lite0-int8"
    assert line["limit"] == "none"
    assert line["storage"] == f"sqlite:///{service.folder}/app.db"
    assert line["domains"] == ["animals", "flowers", "objects"]


@pytest.mark.parametrize("renderer", ["json", "console"])
async def test_the_log_names_requests_and_no_secrets(start_service, http, web, renderer):
    """At the most talkative level: ids in every line of a request; no key, no query of a URL, no
    bytes of a picture, also when a request fails."""
    service = start_service(
        LOG_LEVEL="debug",
        LOG_RENDERER=renderer,
        API_KEYS=f"shop:{DIGEST}:admin",
        EGRESS_ALLOW=web.place,
        OPENAI_API_KEY="sk-very-secret",
    )
    key = {"authorization": "Bearer the-key-itself", "x-request-id": "trace-17"}
    text = base64.b64encode(PICTURE).decode()
    requests = [
        {"image_url": web.url("/rose.jpg?sig=signed-4711")},
        {"image_url": web.url("/nothing?sig=signed-4711")},
        {"image_url": "http://10.0.0.1/?sig=signed-4711"},
        {"image_base64": text},
        {"image_base64": text[: len(text) // 2]},
        {"image_base64": text, "provider": "openai_compatible"},
    ]
    for body in requests:
        await http.post(f"{service.url}/classify", json={"domain": "flowers", **body}, headers=key)
    await http.get(f"{service.url}/results?cursor=signed-4711", headers=key)
    await http.get(f"{service.url}/results", headers={"x-api-key": "wrong-key-itself"})
    assert await asyncio.to_thread(service.stop) == 0

    log = service.log.read_text()
    assert log.count("trace-17") >= len(requests)
    for secret in ("key-itself", "signed-4711", "sk-very-secret", text[100:140], DIGEST):
        assert secret not in log
    assert "\\xff\\xd8" not in log
    assert "\\x00\\x10JFIF" not in log
    assert "Traceback" not in log
