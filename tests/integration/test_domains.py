"""/domains: the shipped ones, those made through the API, and reloading the file."""

import asyncio
import shutil
import signal
import time

import httpx2
import pytest
from structlog.testing import capture_logs

from app.domains import Domain
from app.main import create_app
from app.parts import build_parts
from app.storage.audit import COMMAND_LINE
from app.storage.domains import DomainRepository
from tests.conftest import ROOT
from tests.integration.calls import api_keys, until
from tests.pictures import jpeg

pytestmark = pytest.mark.each_database

BIRDS = {
    "name": "garden-birds",
    "classes": ["robin", "jay", {"label": "magpie", "aliases": ["pica"]}],
}
PICTURE = ("bird.jpg", jpeg())


async def names(client) -> list[str]:
    return [each["name"] for each in (await client.get("/domains")).json()["domains"]]


def assert_problem(answer, status: int, slug: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text


async def test_the_shipped_domains_are_there(client):
    """With the classes and the threshold that were promised, from the file."""
    listed = (await client.get("/domains")).json()["domains"]

    assert [each["name"] for each in listed] == ["animals", "flowers", "objects"]
    assert {each["source"] for each in listed} == {"file"}
    animals, flowers = (await client.get("/domains/animals")).json(), listed[1]
    assert [each["label"] for each in animals["classes"]] == ["cat", "dog", "bird", "fish", "horse"]
    assert [each["label"] for each in flowers["classes"]] == [
        "dandelion",
        "rose",
        "sunflower",
        "daisy",
    ]
    assert (flowers["confidence_threshold"], flowers["max_retries"]) == (0.7, 3)


async def test_a_new_domain_is_used_by_the_next_request(client):
    made = await client.post("/domains", json=BIRDS)
    asked = await client.post(
        "/classify", files={"domain": (None, "garden-birds"), "file": PICTURE}
    )

    assert made.status_code == 201
    assert made.headers["location"] == "/domains/garden-birds"
    assert made.json()["source"] == "api"
    assert made.json() == (await client.get("/domains/garden-birds")).json()
    assert set(asked.json()["probabilities"]) == {"robin", "jay", "magpie"}
    assert asked.json()["domain_version"] == made.json()["version"]


async def test_a_replaced_domain_is_used_by_the_next_request(client):
    """Its version changes with its classes; what is not given goes back to its default."""
    made = await client.post("/domains", json={**BIRDS, "confidence_threshold": 0.9})
    put = await client.put("/domains/garden-birds", json={"classes": ["robin", "jay"]})
    asked = await client.post(
        "/classify", files={"domain": (None, "garden-birds"), "file": PICTURE}
    )

    assert put.status_code == 200
    assert put.json()["version"] != made.json()["version"]
    assert put.json()["confidence_threshold"] == 0.7
    assert set(asked.json()["probabilities"]) == {"robin", "jay"}


async def test_a_deleted_domain_is_gone_and_its_results_stay(client):
    await client.post("/domains", json=BIRDS)
    asked = await client.post(
        "/classify", files={"domain": (None, "garden-birds"), "file": PICTURE}
    )
    deleted = await client.delete("/domains/garden-birds")

    assert deleted.status_code == 204
    assert_problem(await client.get("/domains/garden-birds"), 404, "domain-not-found")
    assert_problem(await client.delete("/domains/garden-birds"), 404, "domain-not-found")
    assert (await client.get(f"/results/{asked.json()['id']}")).status_code == 200


async def test_an_unknown_domain_can_not_be_replaced(client):
    """PUT does not make one: a typing mistake in the name would."""
    put = await client.put("/domains/garden-birds", json={"classes": ["robin", "jay"]})

    assert_problem(put, 404, "domain-not-found")


async def test_a_domain_of_the_file_is_read_only(client):
    """It is changed in the file, and reloaded."""
    spec = {"classes": ["rose", "tulip"]}

    assert_problem(await client.put("/domains/flowers", json=spec), 409, "domain-read-only")
    assert_problem(await client.delete("/domains/flowers"), 409, "domain-read-only")
    assert_problem(
        await client.post("/domains", json={"name": "flowers", **spec}), 409, "domain-exists"
    )
    assert len((await client.get("/domains/flowers")).json()["classes"]) == 4


async def test_a_name_is_taken_once(client):
    """Also when two ask for it at the same time."""
    answers = await asyncio.gather(*(client.post("/domains", json=BIRDS) for _ in range(2)))
    third = await client.post("/domains", json=BIRDS)

    assert sorted(each.status_code for each in answers) == [201, 409]
    assert_problem(third, 409, "domain-exists")


async def test_two_deletes_at_the_same_time_are_no_mistake_of_the_service(client):
    await client.post("/domains", json=BIRDS)
    answers = await asyncio.gather(*(client.delete("/domains/garden-birds") for _ in range(2)))

    assert sorted(each.status_code for each in answers) in ([204, 204], [204, 404])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"classes": ["robin", "Robin"]}, ""),
        ({"classes": ["robin", {"label": "jay", "aliases": ["robin"]}]}, ""),
        ({"classes": ["robin"]}, "classes"),
        ({"classes": []}, "classes"),
        ({"classes": ["robin", ""]}, "classes.1.label"),
        ({"classes": ["robin", "a\nb"]}, "classes.1.label"),
        ({"classes": ["robin", {"label": "jay", "colour": "blue"}]}, "classes.1.colour"),
        ({"classes": "robin, jay"}, "classes"),
        ({"classes": [f"bird {n}" for n in range(501)]}, "classes"),
        ({"prompt_template": "Which bird?"}, ""),
        ({"colour": "blue"}, "colour"),
        ({"confidence_threshold": 1.5}, "confidence_threshold"),
        ({"confidence_threshold": -0.1}, "confidence_threshold"),
        ({"max_retries": 11}, "max_retries"),
        ({"few_shot": False}, "few_shot"),
        ({"allow_none": 0}, "allow_none"),
        ({"detail": "medium"}, "detail"),
        ({"image_size": 8}, "image_size"),
        ({"name": "Garden Birds"}, "name"),
        ({"name": "../../etc"}, "name"),
        ({"name": ""}, "name"),
    ],
    ids=str,
)
async def test_a_wrong_domain_is_refused_with_the_place_that_is_wrong(client, change, field):
    refused = await client.post("/domains", json={**BIRDS, **change})

    assert_problem(refused, 422, "invalid-request")
    assert refused.json()["errors"][0]["field"].startswith(f"body.{field}".rstrip("."))
    assert "garden-birds" not in await names(client)


async def test_what_is_wrong_between_fields_is_said(client):
    """Twins are named; so is the placeholder that is missing, and the name that is taken."""
    twins = await client.post("/domains", json={**BIRDS, "classes": ["jay", "JAY"]})
    bare = await client.post("/domains", json={**BIRDS, "prompt_template": "Which?"})

    none = await client.post("/domains", json={**BIRDS, "classes": ["jay", "None"]})

    assert "'jay' names two classes" in twins.json()["detail"]
    assert "allow_none" in none.json()["detail"]
    assert "{classes}" in bare.json()["detail"]


@pytest.mark.parametrize("name", ["Flowers", "a" * 65, "%2e%2e", "a b"])
async def test_a_malformed_name_is_not_found_or_refused(client, name):
    for method in ("GET", "PUT", "DELETE"):
        answer = await client.request(method, f"/domains/{name}", json={"classes": ["a", "b"]})

        assert answer.status_code in (404, 422)


@pytest.mark.parametrize(
    ("votes", "classes", "warned"), [(1, 11, 0), (2, 10, 0), (2, 11, 1), (3, 11, 0)]
)
async def test_votes_that_can_not_reach_the_threshold_are_warned_of(client, votes, classes, warned):
    """When it is made, and when it is replaced; a calibration may lift them all the same."""
    many = {"classes": [f"class {n}" for n in range(classes)], "votes": votes}
    with capture_logs() as logs:
        made = await client.post("/domains", json={"name": "many", **many})
        await client.put("/domains/many", json=many)

    assert made.status_code == 201
    told = [each for each in logs if each["event"].startswith("votes that all agree")]
    assert [each["domain"] for each in told] == ["many"] * 2 * warned


class TestKeys:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, boss=True)})

    @pytest.mark.parametrize(
        ("method", "path", "json", "status"),
        [
            ("POST", "/domains", BIRDS, 201),
            ("PUT", "/domains/garden-birds", {"classes": ["a", "b"]}, 404),
            ("DELETE", "/domains/garden-birds", None, 404),
            ("POST", "/domains/reload", None, 200),
        ],
    )
    async def test_only_an_operator_changes_domains(self, client, method, path, json, status):
        answers = [
            await client.request(method, path, json=json, headers={"x-api-key": name})
            for name in ("shop", "boss")
        ]

        assert_problem(answers[0], 403, "not-allowed")
        assert answers[1].status_code == status

    async def test_everybody_with_a_key_reads_domains(self, client):
        listed = await client.get("/domains", headers={"x-api-key": "shop"})

        assert len(listed.json()["domains"]) == 3


async def test_a_domain_survives_a_restart(settings, lasting_url):
    """In a database that is a file; also that it was deleted."""
    kept = settings.model_copy(update={"database_url": lasting_url})

    async def run(method: str, path: str, **options):
        async with build_parts(kept, serving=True) as parts:
            transport = httpx2.ASGITransport(create_app(parts))
            async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, **options)

    made = await run("POST", "/domains", json=BIRDS)
    found = await run("GET", "/domains/garden-birds")
    await run("DELETE", "/domains/garden-birds")
    gone = await run("GET", "/domains/garden-birds")

    assert found.json() == made.json()
    assert gone.status_code == 404


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config/ of one's own, which may be changed."""
    folder = shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.setenv("CONFIG_DIR", str(folder))
    return folder


class TestReload:
    GOOD = "trees:\n  classes: [oak, birch]\n"
    WRONG = "trees:\n  classes: [oak, birch]\n  confidence_threshold: 7\n"

    @pytest.fixture
    def settings(self, settings, config):
        return settings

    async def test_a_changed_file_is_taken(self, client, config):
        (config / "domains.yaml").write_text(self.GOOD)

        reloaded = await client.post("/domains/reload")

        assert reloaded.status_code == 200
        assert [each["name"] for each in reloaded.json()["domains"]] == ["trees"]
        assert await names(client) == ["trees"]

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            (WRONG, "domains.yaml:3: trees.confidence_threshold: "),
            ("trees:\n  classes: [oak\n", "domains.yaml:3: "),
            ("trees:\n  classes: [oak, oak]\n", "domains.yaml:1: trees: "),
            ("trees:\n  classes:\n  - oak\n  - {label: x, y: 1}\n", "domains.yaml:4: "),
            (GOOD + GOOD, "domains.yaml:3: trees: is there twice"),
            ("- oak\n", "domains.yaml:1: "),
            ("", "domains.yaml:1: "),
        ],
    )
    async def test_a_wrong_file_is_refused_and_the_last_good_one_stays(
        self, client, config, text, complaint
    ):
        """The operator is told file, line and key."""
        (config / "domains.yaml").write_text(text)

        refused = await client.post("/domains/reload")

        assert_problem(refused, 422, "configuration-refused")
        assert complaint in refused.json()["detail"]
        assert await names(client) == ["animals", "flowers", "objects"]

    async def test_a_file_that_is_gone_is_refused(self, client, config):
        (config / "domains.yaml").unlink()

        refused = await client.post("/domains/reload")

        assert_problem(refused, 422, "configuration-refused")
        assert await names(client) == ["animals", "flowers", "objects"]

    async def test_the_files_domain_wins_over_a_stored_one(self, client, config):
        """And gives it free again."""
        await client.post("/domains", json={"name": "trees", "classes": ["elm", "ash"]})
        before = (config / "domains.yaml").read_text()
        (config / "domains.yaml").write_text(self.GOOD)
        await client.post("/domains/reload")
        shadowing = (await client.get("/domains/trees")).json()
        (config / "domains.yaml").write_text(before)
        await client.post("/domains/reload")
        free = (await client.get("/domains/trees")).json()

        assert (shadowing["source"], free["source"]) == ("file", "api")
        assert free["classes"][0]["label"] == "elm"

    async def test_sighup_does_the_same(self, start_service, config):
        """A changed file is taken, a wrong one is logged with its place."""
        service = start_service(CONFIG_DIR=str(config))

        def hang_up(text: str, until) -> bool:
            (config / "domains.yaml").write_text(text)
            service.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and not until():
                time.sleep(0.02)
            return until()

        def known() -> list[str]:
            found = httpx2.get(f"{service.url}/domains", timeout=30).json()["domains"]
            return [each["name"] for each in found]

        assert hang_up(self.GOOD, lambda: known() == ["trees"])
        assert hang_up(self.WRONG, lambda: "domains.yaml:3: " in service.log.read_text())
        assert known() == ["trees"]
        assert service.stop() == 0


async def test_what_another_process_makes_is_listed_soon(client, parts):
    """As a command does, beside a service that shares nothing else with it."""
    definition = Domain.model_validate(
        {"name": "garden", "classes": ["robin", "jay"]}
    ).model_dump_json()
    await DomainRepository(parts.database).add("garden", definition, by=COMMAND_LINE)

    async def listed() -> bool:
        return "garden" in (await client.get("/domains")).text

    await until(listed)
