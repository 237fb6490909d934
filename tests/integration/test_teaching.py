"""A domain that is taught with a few examples, over HTTP."""

import base64
import io
import zipfile
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import sqlalchemy as sa

from app.domains import Domain
from app.images import Upload
from app.main import create_app
from app.parts import build_parts
from app.providers.local.provider import DATA_VERSION
from app.settings_groups import CacheSettings
from app.storage.audit import COMMAND_LINE
from app.storage.retention import RetentionRepository
from app.storage.tables import examples
from tests.integration.calls import api_keys, is_problem
from tests.integration.test_batches import ended, items
from tests.pictures import jpeg
from tests.teaching import KINDS, picture

PATTERNS = {"name": "patterns", "classes": list(KINDS)}
EXAMPLES, LESSONS = "/domains/patterns/examples", "/domains/patterns/lessons"


@pytest.fixture
async def patterns(parts):
    await parts.domains.create(Domain(**PATTERNS), by=COMMAND_LINE)


def archive(per_class: int = 4, first: int = 0, **more: bytes) -> bytes:
    """A ZIP with a folder for each kind."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for kind in KINDS:
            for seed in range(first, first + per_class):
                packed.writestr(f"{kind}/{seed}.png", picture(kind, seed))
        for name, data in more.items():
            packed.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


async def given(client, **how) -> dict:
    answered = await client.post(EXAMPLES, files={"file": ("examples.zip", archive(**how))})
    assert answered.status_code == 200, answered.text
    return answered.json()


async def taught(client, **wanted) -> dict:
    answered = await client.post(LESSONS, json=wanted)
    assert answered.status_code == 201, answered.text
    return answered.json()


async def asked(client, kind: str, seed: int = 98) -> dict:
    fields = {"domain": (None, "patterns"), "provider": (None, "local")}
    files = {**fields, "file": ("a.png", picture(kind, seed))}
    return (await client.post("/classify", files=files)).json()


@pytest.mark.each_database
async def test_what_was_taught_answers(client, patterns):
    """At once; and what it says of itself is what it does."""
    before = await asked(client, "discs")
    found = await given(client)

    lesson = await taught(client)
    after = [await asked(client, kind) for kind in KINDS]

    assert before["type"] == "/problems/provider-cannot-serve-domain"
    assert [each["outcome"] for each in found["examples"]] == ["added"] * 12
    assert found["counts"] == dict.fromkeys(sorted(KINDS), 4)
    assert [each["predicted_class"] for each in after] == list(KINDS)
    assert {each["revision"] for each in after} == {lesson["id"]}
    report = lesson["report"]
    assert (lesson["state"], lesson["cause"], lesson["examples"]) == ("in_force", "taught", 12)
    assert report["accuracy"] > 0.9
    low, high = report["interval"]
    assert low < report["accuracy"] <= high
    assert {each["label"]: each["examples"] for each in report["classes"]} == found["counts"]
    assert report["missing"] == []


async def test_the_same_picture_is_one_example_and_its_newest_label_counts(client, patterns):
    await given(client)

    again = await given(client)
    files = {"file": ("a.png", picture("discs", 0)), "label": (None, "none")}
    changed = (await client.post(EXAMPLES, files=files)).json()

    assert {each["outcome"] for each in again["examples"]} == {"known"}
    assert [each["outcome"] for each in changed["examples"]] == ["changed"]
    assert changed["counts"] == {"checks": 4, "discs": 3, "none": 1, "stripes": 4}


async def test_what_is_no_picture_keeps_off_no_other(client, patterns):
    found = await given(client, per_class=1, discs__a=b"text", elsewhere__b=jpeg())

    assert len(found["examples"]) == 3
    assert [(each["place"], each["type"]) for each in found["refused"]] == [
        ("discs/a", "/problems/image-unreadable"),
        ("elsewhere/b", "/problems/label-not-in-domain"),
    ]


async def test_one_as_base64(client, patterns):
    encoded = base64.b64encode(picture("discs", 1)).decode()

    found = await client.post(EXAMPLES, json={"label": "discs", "image_base64": encoded})
    wrong = await client.post(EXAMPLES, json={"label": "cat", "image_base64": encoded})
    neither = await client.post(EXAMPLES, json={"label": "discs"})
    text = await client.post(EXAMPLES, json={"label": "discs", "image_base64": "bm8="})
    elsewhere = await client.post(
        EXAMPLES, json={"label": "discs", "image_url": "http://127.0.0.1/a.png"}
    )

    assert found.json()["counts"] == {"discs": 1}
    assert is_problem(wrong, 422, "label-not-in-domain")
    assert is_problem(neither, 422, "invalid-request")
    assert is_problem(text, 422, "image-unreadable")
    assert is_problem(elsewhere, 422, "url-refused")


@pytest.mark.parametrize(
    ("files", "slug"),
    [
        ({"label": (None, "discs")}, "invalid-request"),
        ({"file": ("a.png", b"x"), "label": (None, "cat")}, "label-not-in-domain"),
        ({"file": ("a.png", b"x"), "colour": (None, "red")}, "invalid-request"),
        ({"file": ("a.zip", b"PK\x03\x04no")}, "archive-refused"),
    ],
)
async def test_what_is_asked_wrongly_is_told(client, patterns, files, slug):
    assert is_problem(await client.post(EXAMPLES, files=files), 422, slug)


async def test_examples_are_listed_and_forgotten(client, patterns):
    await given(client, per_class=2)

    first = (await client.get(EXAMPLES, params={"limit": 4})).json()
    second = (
        await client.get(EXAMPLES, params={"limit": 4, "cursor": first["next_cursor"]})
    ).json()
    discs = (await client.get(EXAMPLES, params={"label": "discs"})).json()
    gone = await client.delete(f"{EXAMPLES}/{discs['examples'][0]['id']}")
    twice = await client.delete(f"{EXAMPLES}/{discs['examples'][0]['id']}")
    left = (await client.get(EXAMPLES)).json()

    ids = [each["id"] for page in (first, second) for each in page["examples"]]
    assert ids == sorted(set(ids), reverse=True)
    assert (len(ids), second["next_cursor"]) == (6, None)
    assert [each["label"] for each in discs["examples"]] == ["discs"] * 2
    assert gone.status_code == 204
    assert is_problem(twice, 404, "example-not-found")
    assert (left["counts"]["discs"], left["set_aside"]) == (1, 0)


async def test_too_few_to_tell_apart(client, patterns):
    """One class is none; of one example each nothing can be said, and it is taught."""
    nothing = await client.post(LESSONS)
    await given(client, per_class=1)

    lesson = await taught(client)

    assert is_problem(nothing, 409, "too-few-examples")
    assert lesson["report"]["accuracy"] is None
    assert lesson["report"]["threshold"] is None
    assert [each["right"] for each in lesson["report"]["classes"]] == [None] * 3
    assert (await asked(client, "stripes"))["revision"] == lesson["id"]


async def test_a_class_without_examples_is_not_answered_by_what_was_taught(client, parts):
    await parts.domains.create(Domain(name="patterns", classes=[*KINDS, "cat"]), by=COMMAND_LINE)
    await given(client)

    lesson = await taught(client)
    answer = await asked(client, "discs")

    assert lesson["report"]["missing"] == ["cat"]
    assert answer["type"] == "/problems/provider-cannot-serve-domain"


@pytest.mark.each_database
async def test_a_withdrawn_lesson_gives_way_to_the_one_before(client, patterns):
    await given(client, per_class=2)
    first = await taught(client)
    await given(client, per_class=2, first=2)
    second = await taught(client)

    answers = [(await asked(client, "discs"))["revision"]]
    for each in (second, first):
        assert (await client.delete(f"{LESSONS}/{each['id']}")).status_code == 204
        answers.append((await asked(client, "discs")).get("revision"))
    twice = await client.delete(f"{LESSONS}/{first['id']}")
    listed = (await client.get(LESSONS)).json()["lessons"]

    assert answers == [second["id"], first["id"], None]
    assert is_problem(twice, 404, "lesson-not-found")
    assert [(each["id"], each["state"]) for each in listed] == [
        (second["id"], "withdrawn"),
        (first["id"], "withdrawn"),
    ]


async def test_a_taught_head_replaces_the_one_that_came_with_the_service(client, parts):
    """Of a domain of the file, which is not changed for it."""
    files = {"domain": (None, "flowers"), "file": ("a.png", picture("discs", 99))}
    before = (await client.post("/classify", files=files)).json()
    for label, kind in zip(("rose", "daisy", "sunflower", "dandelion"), "aabb", strict=True):
        for seed in range(2):
            data = picture("discs" if kind == "a" else "stripes", seed + 10 * ord(label[0]))
            answered = await client.post(
                "/domains/flowers/examples",
                files={"file": ("a.png", data), "label": (None, label)},
            )
            assert answered.status_code == 200, answered.text

    lesson = (await client.post("/domains/flowers/lessons")).json()
    after = (await client.post("/classify", files=files)).json()

    assert before["revision"] == str(DATA_VERSION)
    assert after["revision"] == lesson["id"]
    assert after["predicted_class"] in ("rose", "daisy")


async def test_only_operators_teach(settings):
    settings = settings.model_copy(update={"api_keys": api_keys(boss=True, shop=False)})
    async with build_parts(settings, serving=True) as parts:
        await parts.domains.create(Domain(**PATTERNS), by=COMMAND_LINE)
        transport = httpx2.ASGITransport(create_app(parts))
        async with httpx2.AsyncClient(
            transport=transport,
            base_url="http://service",
            headers={"authorization": "Bearer shop"},
        ) as client:
            refused = [
                await client.post(EXAMPLES, json={"label": "discs"}),
                await client.delete(f"{EXAMPLES}/exm_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"),
                await client.post(LESSONS),
                await client.delete(f"{LESSONS}/les_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"),
            ]
            seen = [await client.get(EXAMPLES), await client.get(LESSONS)]

    assert all(is_problem(each, 403, "not-allowed") for each in refused)
    assert [each.status_code for each in seen] == [200, 200]


async def test_a_kept_answer_is_not_given_again_when_more_was_learned(settings):
    settings = settings.model_copy(update={"cache": CacheSettings()})
    async with build_parts(settings, serving=True) as parts:
        await parts.domains.create(Domain(**PATTERNS), by=COMMAND_LINE)
        transport = httpx2.ASGITransport(create_app(parts))
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
            await given(client)
            first = await taught(client)
            answers = [await asked(client, "discs") for _ in range(2)]
            second = await taught(client)
            answers.append(await asked(client, "discs"))

    assert [each["cached"] for each in answers] == [False, True, False]
    assert [each["revision"] for each in answers] == [first["id"], first["id"], second["id"]]


async def test_another_process_answers_by_it_soon(settings, lasting_url):
    """As `teach` on the command line beside a service."""
    settings = settings.model_copy(update={"database_url": lasting_url})
    async with build_parts(settings) as service, build_parts(settings) as command:
        await command.domains.create(Domain(**PATTERNS), by=COMMAND_LINE)
        transport = httpx2.ASGITransport(create_app(command))
        async with httpx2.AsyncClient(transport=transport, base_url="http://command") as client:
            await given(client)
            lesson = await taught(client)
        transport = httpx2.ASGITransport(create_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
            before = await asked(client, "discs")
            await service.lessons.load()
            after = await asked(client, "discs")

    assert before["type"] == "/problems/provider-cannot-serve-domain"
    assert after["revision"] == lesson["id"]


async def test_pictures_of_examples_outlive_retention(client, parts, patterns):
    """And go with their example."""
    await given(client, per_class=1)
    rows = await parts.examples.page("patterns", limit=10)

    names = [row.picture for row in rows]
    needed = await parts.retention._stored.needed(names, None)
    await parts.examples.delete("patterns", rows[0].id, by=COMMAND_LINE)
    left = await parts.retention._stored.needed(names, None)

    assert needed == set(names)
    assert left == set(names) - {rows[0].picture}


@pytest.mark.each_database
async def test_a_deleted_domain_takes_along_what_it_was_taught(client, parts, patterns):
    """Another one of its name begins anew."""
    await given(client)
    await taught(client)

    await client.delete("/domains/patterns")
    await parts.domains.create(Domain(**PATTERNS), by=COMMAND_LINE)

    assert (await client.get(EXAMPLES)).json()["counts"] == {}
    assert (await client.get(LESSONS)).json()["lessons"] == []
    assert (await asked(client, "discs"))["type"] == "/problems/provider-cannot-serve-domain"


async def test_an_answer_is_kept_for_the_lesson_that_gave_it(settings, monkeypatch):
    """Which came into force when the picture was on its way: once it is withdrawn, it answers
    nothing any more."""
    settings = settings.model_copy(update={"cache": CacheSettings()})
    async with build_parts(settings) as parts:
        app = create_app(parts)
        await parts.domains.create(Domain(**PATTERNS), by=COMMAND_LINE)
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            await given(client)
            first = await taught(client)
            (local,) = await parts.providers.get("local")
            classify = local.classify

            async def meanwhile(*args, **how):
                monkeypatch.undo()
                second = await taught(client)
                told = await classify(*args, **how)
                await client.delete(f"{LESSONS}/{second['id']}")
                return told

            monkeypatch.setattr(local, "classify", meanwhile)
            await asked(client, "discs")
            told = await asked(client, "discs")

    assert told["revision"] == first["id"]


@pytest.mark.each_database
async def test_a_deleted_batch_takes_along_the_examples_that_its_answers_became(
    client, parts, patterns
):
    """As a deleted answer does; not so where it is only old."""
    await given(client)
    batches = []
    for first in (60, 70):
        files = {"file": ("a.zip", archive(per_class=1, first=first))}
        fields = {"domain": "flowers", "provider": "fake"}
        made = await client.post("/batches", data=fields, files=files)
        batches.append(made.json()["id"])
        await ended(client, batches[-1])
    known = await parts.examples.page("patterns", limit=2)
    for batch, row in zip(batches, known, strict=True):
        (item, *_) = await items(client, batch)
        became = sa.update(examples).where(examples.c.id == row.id)
        became = became.values(source="review", result_id=item["result"]["id"])
        await parts.database.write(lambda each, became=became: each.execute(became).rowcount)

    deleted = await client.delete(f"/batches/{batches[0]}")
    stored, soon = RetentionRepository(parts.database), datetime.now(UTC) + timedelta(days=1)
    is_old = await stored.delete_batch(batches[1], ended_before=soon)

    left = {each.id for each in await parts.examples.page("patterns", limit=100)}
    assert (deleted.status_code, is_old) == (204, True)
    assert known[0].id not in left
    assert known[1].id in left


async def test_what_came_while_a_domain_was_deleted_is_not_the_next_ones(client, parts, patterns):
    await given(client)
    await taught(client)
    domain = parts.domains.get("patterns")
    rows = await parts.collecting.to_learn(domain)

    await client.delete("/domains/patterns")
    began = datetime.now(UTC)
    await parts.lessons.add(domain, rows, accuracy=0.97, cause="taught", began=began)
    seen = await parts.collecting.see(Upload(picture("discs", 60)), domain)
    await parts.collecting.keep(domain, "discs", seen, caller="me")
    await client.post("/domains", json=PATTERNS)

    assert (await client.get(EXAMPLES)).json()["counts"] == {}
    assert (await client.get(LESSONS)).json()["lessons"] == []
