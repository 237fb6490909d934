"""`dry_run`: what a batch would cost is told before, and is what the simulator bills then."""

import json

import numpy as np
import pytest
from PIL import Image

from app.settings_groups import AzureOpenAISettings, CacheSettings
from benchmarks.estimate import Simulator
from tests.conftest import PHOTOGRAPHS
from tests.integration.calls import is_problem
from tests.integration.providers.azure import picture as in_plain_order
from tests.integration.test_batches import archive, ended, picture
from tests.loopback import loopback, reply
from tests.pictures import encoded

MODELS = ("gpt-4o", "gpt-4.1-mini", "gpt-5-mini", "gpt-5.4", "gpt-6-sol")
PHOTOS = {path.name: path.read_bytes() for path in sorted(PHOTOGRAPHS.glob("*.jpg"))}


@pytest.fixture(scope="module")
def simulator():
    simulator = Simulator(MODELS)
    yield simulator
    simulator.stop()


def azure(settings, simulator, model: str, **more):
    return settings.model_copy(
        update={
            "azure_openai": AzureOpenAISettings(
                endpoint=simulator.url, api_key="key", deployment=model, model=model
            ),
            "rate_limit_rpm": 60_000,
            **more,
        }
    )


def mixed_sizes(count: int = 140) -> dict[str, bytes]:
    """From 60 to 4,000 px, upright and lying; a few large ones among many small."""
    random = np.random.default_rng(4)
    made = {}
    for number in range(count):
        longest = round(60 * (4_000 / 60) ** (random.random() ** 2))
        size = (longest, max(40, round(longest * random.uniform(0.4, 1))))
        plain = Image.new("RGB", size if number % 2 else size[::-1], (number, 90, 120))
        made[f"{number}.jpg"] = encoded(plain, "JPEG")
    return made


async def dry_run(client, *files: tuple[str, bytes], **options) -> dict:
    fields = {"domain": "flowers", "dry_run": "true", **options}
    texts = [(name, (None, text)) for name, text in fields.items()]
    told = await client.post("/batches", files=[*texts, *(("file", each) for each in files)])
    assert told.status_code == 200, told.text
    return told.json()


async def really_run(client, packed: bytes, **options) -> dict:
    fields = [(name, (None, text)) for name, text in options.items()]
    made = await client.post("/batches", files=[*fields, ("file", ("a.zip", packed))])
    assert made.status_code == 202, made.text
    return await ended(client, made.json()["id"], seconds=100)


def off(estimate: dict, billed: dict[str, int]) -> float:
    return estimate["tokens"]["expected"] / (billed["prompt"] + billed["completion"]) - 1


class TestAgainstTheBill:
    """The simulator counts for itself, in a process of its own."""

    @pytest.fixture(params=MODELS[:4])
    def model(self, request):
        return request.param

    @pytest.fixture
    def settings(self, settings, simulator, model):
        return azure(settings, simulator, model)

    @pytest.fixture
    def told_and_billed(self, client, simulator, model):
        """A dry run, the run itself, a dry run again; and the bill in between."""

        async def run(packed: bytes, **options) -> tuple[dict, dict[str, int], dict]:
            before = simulator.billed(model)
            first = await dry_run(client, ("a.zip", packed), **options)
            assert simulator.billed(model) == before
            done = await really_run(client, packed, **options)
            after = simulator.billed(model)
            assert done["counts"]["failed"] == 0
            return (
                first,
                {part: after[part] - before[part] for part in after},
                await dry_run(client, ("a.zip", packed), **options),
            )

        return run

    async def test_photographs(self, told_and_billed):
        """Within a tenth, and within the range that was told."""
        first, billed, _ = await told_and_billed(archive(**PHOTOS), domain="flowers")
        low, high = first["tokens"]["low"], first["tokens"]["high"]

        assert (first["sampled"], first["basis"]) == (6, "rule")
        assert abs(off(first, billed)) < 0.1
        assert low <= billed["prompt"] + billed["completion"] <= high

    @pytest.mark.parametrize(("detail", "size"), [("low", 512), ("high", 2_048)])
    async def test_mixed_sizes(self, client, told_and_billed, detail, size):
        """Within a tenth by rule, though a sample is all that was looked at; and within its own
        range when it is known what such calls were billed."""
        spec = {"name": "any", "classes": ["rose", "daisy", "tulip"]}
        made = await client.post("/domains", json={**spec, "detail": detail, "image_size": size})
        first, billed, again = await told_and_billed(archive(**mixed_sizes()), domain="any")
        total = billed["prompt"] + billed["completion"]

        assert made.status_code == 201
        assert (first["items"], first["sampled"]) == (140, 100)
        assert (first["basis"], again["basis"]) == ("rule", "measured")
        assert abs(off(first, billed)) < 0.1
        assert abs(off(again, billed)) < 0.1
        assert again["tokens"]["low"] <= total <= again["tokens"]["high"]


class TestUnpublishedFormula:
    @pytest.fixture
    def settings(self, settings, simulator):
        return azure(settings, simulator, "gpt-6-sol")

    async def test_prompts_are_taken_whole(self, client, simulator):
        """What a picture takes of them can't be told beforehand: once it was billed, it can."""
        packed = archive(**mixed_sizes(40))
        before = simulator.billed("gpt-6-sol")
        await really_run(client, packed, domain="flowers")
        after = simulator.billed("gpt-6-sol")
        again = await dry_run(client, ("a.zip", packed))

        assert again["basis"] == "measured"
        assert abs(off(again, {part: after[part] - before[part] for part in after})) < 0.02


class TestWhatIsTold:
    @pytest.fixture
    async def web(self):
        served = {f"/{number}.jpg": reply(picture(number)) for number in range(3)}
        served["/missing.jpg"] = reply(b"", status="404 Not Found")
        async with loopback(served) as place:
            yield place

    @pytest.fixture
    def settings(self, settings, web):
        return settings.model_copy(
            update={"egress_allow": (web.place,), "cache": CacheSettings(ttl=3_600)}
        )

    async def test_nothing_is_stored_and_nobody_is_asked(self, client, parts, fake, tmp_path):
        """And an Idempotency-Key is left for the real request."""
        files = [("domain", (None, "flowers")), ("provider", (None, "fake"))]
        packed = ("file", ("a.zip", archive(a=picture(1), b=picture(2))))
        key = {"idempotency-key": "one"}
        told = await client.post(
            "/batches", files=[*files, ("dry_run", (None, "true")), packed], headers=key
        )
        batches = (await client.get("/batches")).json()["batches"]
        results = (await client.get("/results")).json()["results"]
        stored = await parts.database.read(
            lambda each: [
                each.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
                for table in ("batch_items", "batch_errors", "answers", "idempotency_keys")
            ]
        )
        calls, files_left = fake.calls, list(tmp_path.rglob("*"))
        made = await client.post("/batches", files=[*files, packed], headers=key)

        assert (told.status_code, made.status_code) == (200, 202)
        assert (batches, results, stored, files_left, calls) == ([], [], [0] * 4, [], 0)

    async def test_duplicates_and_bad_rows_are_counted(self, client):
        """The same bytes or the same URL, however far apart; the first bad rows by name."""
        pictures = {f"{number}.jpg": picture(number) for number in range(30)}
        packed = archive(**pictures, **{"again.jpg": picture(3), "notes.txt": b"none"})
        listed = b"image_url\nhttps://127.0.0.1/a.jpg\nnowhere\nhttps://127.0.0.1/a.jpg\n"
        told = await dry_run(client, ("a.zip", packed), ("b.csv", listed), provider="fake")

        assert (told["items"], told["duplicates"], told["bad_rows"]) == (33, 2, 2)
        assert told["errors"] == [
            {"place": "notes.txt", "reason": "is no picture"},
            {"place": "line 3", "reason": "image_url: is no http or https URL"},
        ]
        assert (told["sampled"], told["unreadable"]) == (31, 1)

    async def test_lists_are_looked_at_too(self, client, web):
        """What can't be fetched is unreadable."""
        items = [{"image_url": web.url(f"/{name}.jpg")} for name in (0, 1, 2, "missing", 0)]
        told = await client.post(
            "/batches",
            json={"domain": "flowers", "provider": "fake", "dry_run": True, "items": items},
        )

        assert told.status_code == 200
        found = told.json()
        assert [found[name] for name in ("items", "duplicates", "sampled", "unreadable")] == [
            *(5, 1, 4, 1)
        ]
        assert sorted(web.asked) == ["/0.jpg", "/1.jpg", "/2.jpg", "/missing.jpg"]

    async def test_the_local_model_costs_nothing_but_time(self, client):
        told = await dry_run(client, ("a.zip", archive(**PHOTOS)), provider="local")

        assert told["tokens"] == {"low": 0, "expected": 0, "high": 0}
        assert told["cost_usd"] == {"low": 0, "expected": 0, "high": 0}
        assert told["duration_s"] > 0
        assert (told["basis"], told["prompt"]) == (None, None)

    async def test_how_long_others_take_on_this_machine_is_not_known(self, client):
        told = await dry_run(client, ("a.zip", archive(**PHOTOS)), provider="fake")

        assert told["duration_s"] is None

    async def test_more_pictures_than_are_looked_at(self, client):
        """The same ones each time."""
        packed = archive(**{f"{number}.jpg": picture(number) for number in range(150)})
        first = await dry_run(client, ("a.zip", packed), provider="fake")
        second = await dry_run(client, ("a.zip", packed), provider="fake")

        assert (first["items"], first["sampled"]) == (150, 100)
        assert first == second


class TestWrongInput:
    @pytest.mark.parametrize(
        ("name", "data", "status", "slug"),
        [
            ("a.zip", b"PK\x03\x04 broken", 422, "archive-refused"),
            ("a.zip", archive(**{"../a.jpg": picture(0)}), 422, "archive-refused"),
            ("a.zip", archive(**{"a.jpg": picture(0), "b.zip": b"PK"}), 422, "archive-refused"),
            ("a.csv", b"url\nhttps://example.org/a.jpg\n", 422, "invalid-request"),
            ("a.txt", b"no picture", 422, "invalid-request"),
        ],
    )
    async def test_it_is_refused_as_the_real_request_is(self, client, name, data, status, slug):
        for dry in ("true", "false"):
            fields = {"domain": "flowers", "provider": "fake", "dry_run": dry}
            texts = [(each, (None, text)) for each, text in fields.items()]
            refused = await client.post("/batches", files=[*texts, ("file", (name, data))])

            assert is_problem(refused, status, slug)

    @pytest.mark.parametrize(
        ("fields", "status", "slug"),
        [
            ({"domain": "flours"}, 404, "domain-not-found"),
            ({"provider": "nobody"}, 422, "provider-unknown"),
            ({"dry_run": "perhaps"}, 422, "invalid-request"),
        ],
    )
    async def test_wrong_options(self, client, fields, status, slug):
        options = {"domain": "flowers", "dry_run": "true"} | fields
        texts = [(each, (None, text)) for each, text in options.items()]
        refused = await client.post("/batches", files=[*texts, ("file", ("a.jpg", picture(0)))])

        assert is_problem(refused, status, slug)


class TestWithAzure:
    """Asked by its dispatcher, answered by the simulator."""

    @pytest.fixture
    def settings(self, settings, simulator):
        return azure(
            settings, simulator, "gpt-4o", rate_limit_rpm=60, cache=CacheSettings(ttl=3_600)
        )

    async def test_what_is_kept_costs_nothing(self, client):
        """One of six is answered already."""
        whole = await dry_run(client, ("a.zip", archive(**PHOTOS)))
        fields = {"domain": (None, "flowers"), "file": ("a.jpg", PHOTOS["rose.jpg"])}
        asked = await client.post("/classify", files=fields)
        rest = await dry_run(client, ("a.zip", archive(**PHOTOS)))

        assert asked.status_code == 200
        assert (whole["kept"], rest["kept"]) == (0, 1)
        assert rest["tokens"]["expected"] == pytest.approx(
            whole["tokens"]["expected"] * 5 / 6, 0.01
        )

    async def test_the_quota_tells_how_long(self, client):
        """60 calls a minute."""
        packed = archive(**{f"{number}.jpg": picture(number) for number in range(120)})
        told = await dry_run(client, ("a.zip", packed))

        assert told["duration_s"] == pytest.approx(120, rel=0.1)

    async def test_a_second_order_costs_as_much_again(self, client, parts):
        """What is told before is what is billed then, by the rule to a tenth."""
        spec = parts.domains.get("flowers").model_dump() | {"name": "twice", "orders": 2}
        assert (await client.post("/domains", json=spec)).status_code == 201
        told = await dry_run(client, ("a.zip", archive(a=PHOTOS["rose.jpg"])), domain="twice")
        fields = {"domain": (None, "twice"), "file": ("a.jpg", PHOTOS["rose.jpg"])}
        usage = (await client.post("/classify", files=fields)).json()["usage"]

        billed = usage["prompt_tokens"] + usage["completion_tokens"]
        assert told["tokens"]["expected"] == pytest.approx(billed, rel=0.1)
        assert told["cost_usd"]["expected"] == pytest.approx(usage["cost_usd"], rel=0.1)
        assert told["duration_s"] == pytest.approx(2, rel=0.2)

    async def test_the_prompt_is_what_is_sent(self, client, parts, monkeypatch):
        """Word for word, when the picture's own order is that of the domain."""
        sent = []
        (provider,) = await parts.providers.get("azure_openai")
        create = provider._client.chat.completions.with_raw_response.create

        async def noted(**body):
            sent.append(body)
            return await create(**body)

        monkeypatch.setattr(provider._client.chat.completions.with_raw_response, "create", noted)
        told = await dry_run(client, ("a.zip", archive(**PHOTOS)))
        fields = {"domain": (None, "flowers"), "file": ("a.png", in_plain_order())}
        await client.post("/classify", files=fields)
        system, user = sent[0]["messages"]

        assert told["prompt"]["system"] == system["content"]
        assert [part["type"] for part in user["content"]] == ["image_url"]
        assert told["prompt"]["user"] == ""
        assert (
            json.loads(told["prompt"]["schema"])
            == sent[0]["response_format"]["json_schema"]["schema"]
        )
