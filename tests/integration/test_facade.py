"""`enhanced_classification`, in this process and against a server."""

import asyncio
import gc
import io
import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pandas
import polars
import pytest
import structlog
from PIL import Image

from app.client import at_work
from app.client.backend import Order
from app.client.folder import Folder
from app.client.http import Http
from app.client.remote_batches import RemoteBatches
from app.settings import load_settings
from app.storage import Database
from enhanced_classification import (
    AsyncImageClassifier,
    BatchProcessor,
    ClassifierError,
    ImageClassifier,
    ServiceUnreachable,
    errors,
)
from tests.conftest import PHOTOGRAPHS, ROOT
from tests.integration.calls import api_keys, until
from tests.loopback import loopback, reply
from tests.pictures import encoded, photograph
from tests.service import RunningService

ROSE = PHOTOGRAPHS / "rose.jpg"

PROMISED = f"""
from enhanced_classification import ImageClassifier, BatchProcessor

result = ImageClassifier().classify_image("{ROSE}")
print(result.predicted_class, result.confidence)

processor = BatchProcessor(batch_size=10)
results = processor.process_directory("{PHOTOGRAPHS}")
processor.export_results(results, format="json", output="results.json")
"""

HEAVY = (
    *("alembic", "docket", "fastapi", "numpy", "onnxruntime", "openai", "pydantic_settings"),
    *("prometheus_client", "redis", "sqlalchemy", "starlette", "structlog", "uvicorn"),
    *("app.parts", "app.storage", "app.api", "app.images"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With a key for `shop`, and an operator's for `boss`."""
    keys = api_keys(shop=False, boss=True)
    entries = [f"{key.name}:{key.sha256}{':admin' if key.admin else ''}" for key in keys]
    service = RunningService(
        tmp_path_factory.mktemp("facade"), API_KEYS=",".join(entries), EGRESS_ALLOW="127.0.0.0/8"
    )
    yield service
    service.stop()


@pytest.fixture(params=["here", "server"])
def where(request):
    """How to say who does the work."""
    if request.param == "here":
        return {"settings": {"egress_allow": "127.0.0.0/8"}}
    return {"base_url": request.getfixturevalue("server").url, "api_key": "boss"}


@pytest.fixture
def classifier(where):
    with ImageClassifier(**where) as classifier:
        yield classifier


@pytest.fixture
def processor(where):
    with BatchProcessor(**where) as processor:
        yield processor


@pytest.fixture
def script(tmp_path):
    """Start a program in an empty folder."""

    def start(text: str, *arguments: str, stderr=subprocess.PIPE) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", text, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    return start


@pytest.fixture
def pictures(tmp_path):
    """Two good ones, one of them where its class says so; broken ones, and what is none."""
    folder = tmp_path / "pictures"
    (folder / "rose").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    shutil.copy(ROSE, folder / "rose" / "odd: name.jpg")
    shutil.copy(PHOTOGRAPHS / "daisy.jpg", folder / "z.jpg")
    (folder / "a.png").write_text("no picture at all")
    (folder / "m.jpg").write_bytes(ROSE.read_bytes()[:2_000])
    (folder / "notes.txt").write_text("about them")
    shutil.copy(ROSE, folder / ".hidden" / "h.jpg")
    return folder


def many(folder, count: int = 300):
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").write_bytes(encoded(photograph(200 + number, 200), "PNG"))
    return folder


def done(database) -> int:
    try:
        with sqlite3.connect(database) as connection:
            query = "SELECT sum(accepted + needs_review + failed) FROM batches"
            return connection.execute(query).fetchone()[0] or 0
    except sqlite3.OperationalError:
        return 0


def named(results) -> dict[str, str | None]:
    return {each.item_id: each.predicted_class for each in results}


def check_promised(tmp_path, told: str) -> None:
    label, confidence = told.split()
    assert label == "rose"
    assert float(confidence) == pytest.approx(0.989, abs=0.01)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [each["item_id"] for each in rows] == sorted(
        path.name for path in PHOTOGRAPHS.glob("*.jpg")
    )


def test_the_promise_holds_in_a_script(script, tmp_path):
    """Nothing is closed, and nothing is said on stderr at the end."""
    program = script(PROMISED)
    told, complaints = program.communicate(timeout=60)

    check_promised(tmp_path, told)
    assert (program.returncode, complaints) == (0, "")


async def test_the_promise_holds_in_a_running_loop(tmp_path, capsys):
    """As in a notebook's cell."""
    structlog.reset_defaults()  # a test that captured lines leaves it configured

    exec(PROMISED, {})

    check_promised(tmp_path, capsys.readouterr().out)


def test_the_promise_holds_against_a_server(server, script, tmp_path):
    """Only who does the work is said besides; and nothing of the service is loaded."""
    place = f'base_url="{server.url}", api_key="shop"'
    text = PROMISED.replace("ImageClassifier()", f"ImageClassifier({place})")
    text = text.replace("batch_size=10", f"batch_size=10, {place}")
    program = script(f"{text}\nimport sys\nprint(*sys.modules, file=sys.stderr)")
    told, loaded = program.communicate(timeout=60)

    check_promised(tmp_path, told)
    assert {"httpx2", "app.client.remote"} <= set(loaded.split())
    assert set(loaded.split()).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "image",
    [
        lambda: ROSE,
        lambda: str(ROSE),
        ROSE.read_bytes,
        lambda: bytearray(ROSE.read_bytes()),
        lambda: io.BytesIO(ROSE.read_bytes()),
        lambda: Image.open(ROSE),
        lambda: np.asarray(Image.open(ROSE)),
        lambda: np.asarray(Image.open(ROSE)) / 255,
        lambda: np.asarray(Image.open(ROSE).convert("RGBA")),
    ],
    ids=["path", "str", "bytes", "bytearray", "file", "pillow", "uint8", "floats", "rgba"],
)
def test_a_picture_may_come_as_anything(classifier, image):
    assert classifier.classify_image(image()).predicted_class == "rose"


async def test_a_picture_may_be_a_url(where):
    async with (
        loopback({"/rose.jpg": reply(ROSE.read_bytes())}) as web,
        AsyncImageClassifier(**where) as classifier,
    ):
        found = await classifier.classify_image(web.url("/rose.jpg"))

    assert found.predicted_class == "rose"


async def test_many_may_wait_at_once(where):
    async with AsyncImageClassifier(**where) as classifier:
        names = ("rose", "daisy", "dandelion", "sunflower") * 5
        found = await asyncio.gather(
            *(classifier.classify_image(PHOTOGRAPHS / f"{name}.jpg") for name in names)
        )

    assert [each.predicted_class for each in found] == list(names)


def test_what_goes_with_a_picture_is_kept(classifier):
    found = classifier.classify_image(ROSE, expected="rose", metadata={"order": "A-17"})

    assert (found.expected, found.metadata) == ("rose", {"order": "A-17"})
    assert found.image.width == 320


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        (ROSE, {"domain": "flours"}, errors.DomainNotFound),
        (ROSE, {"expected": "tulip"}, errors.LabelNotInDomain),
        (ROSE, {"metadata": {"a": object()}}, errors.InvalidRequest),
        (ROSE, {"metadata": {"a": float("nan")}}, errors.InvalidRequest),
        (ROSE, {"metadata": {"a": "b" * 20_000}}, errors.MetadataTooLarge),
        (b"no picture", {}, errors.ImageUnreadable),
        ("http://10.0.0.1/", {}, errors.UrlRefused),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_same_is_raised_wherever_the_work_is_done(classifier, image, options, error):
    with pytest.raises(error):
        classifier.classify_image(image, **options)


def test_a_file_that_is_not_there_is_pythons_own_error(classifier):
    with pytest.raises(FileNotFoundError):
        classifier.classify_image("nowhere.jpg")


def test_a_server_lets_nobody_in_without_a_key(server):
    with ImageClassifier(base_url=server.url) as classifier, pytest.raises(errors.NotAuthenticated):
        classifier.classify_image(ROSE)


async def test_a_server_that_is_not_there_is_given_up_soon(unused_tcp_port):
    place = f"http://127.0.0.1:{unused_tcp_port}"
    began = time.monotonic()
    async with AsyncImageClassifier(base_url=place) as classifier:
        with pytest.raises(ServiceUnreachable, match=place):
            await classifier.classify_image(b"picture")

    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "key"},
        {"base_url": "service:8000"},
        {"base_url": "http://service", "settings": {"port": 1}},
        {"settings": {"database_url": "mysql://"}},
        {"settings": {"no_such_setting": 1}},
    ],
)
def test_wrong_options_are_refused_before_any_work(options):
    with pytest.raises(ClassifierError):
        ImageClassifier(**options).classify_image(ROSE)


def test_a_batch_has_from_10_to_100_answers():
    with pytest.raises(errors.InvalidRequest):
        BatchProcessor(batch_size=9)


def test_a_closed_classifier_says_so(classifier):
    classifier.close()
    classifier.close()

    with pytest.raises(RuntimeError, match="closed"):
        classifier.classify_image(ROSE)


def test_a_domain_of_ones_own(classifier):
    """Made at once, and made anew when it is there; what it knows not is refused."""
    classifier.define_domain("garden", ["cat", "dog"])
    classifier.define_domain(
        "garden", ["daisy", {"label": "pet", "aliases": ["cat", "dog"]}], confidence_threshold=0.5
    )

    found = classifier.classify_image(PHOTOGRAPHS / "daisy.jpg", domain="garden")

    assert found.predicted_class == "daisy"
    assert set(found.probabilities) == {"daisy", "pet"}
    with pytest.raises(errors.InvalidRequest) as refused:
        classifier.define_domain("garden", ["cat", "cat"])
    assert not str(refused.value).startswith(":")
    assert "Value error" not in str(refused.value)
    with pytest.raises(errors.DomainReadOnly):
        classifier.define_domain("flowers", ["rose", "tulip"])


def test_every_picture_of_a_folder_has_a_row(processor, pictures):
    """In its order, what failed with its error; hidden files and others have none."""
    results = processor.process_directory(pictures)

    assert named(results) == {
        "a.png": None,
        "m.jpg": None,
        "rose/odd: name.jpg": "rose",
        "z.jpg": "daisy",
    }
    assert [each.item_id for each in results.failed] == ["a.png", "m.jpg"]
    assert {each.error.type for each in results.failed} == {"/problems/image-unreadable"}
    assert [each.error for each in results[2:]] == [None, None]
    assert results[2].expected == "rose"
    assert results.skipped == {"notes.txt": "is no picture"}
    assert len(results.batch_ids) == 1
    assert repr(results).startswith("<BatchResults 4 pictures: 2 failed, ")
    assert "1 skipped" in repr(results)


def test_a_folder_of_broken_pictures_only_has_rows_too(processor, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("no picture")

    results = processor.process_directory(tmp_path / "broken")

    assert [each.error is None for each in results] == [False]


def test_too_large_a_picture_is_a_row(pictures):
    with BatchProcessor(settings={"max_upload": 33_000}) as processor:
        results = processor.process_directory(pictures)

    assert results[3].error.type == "/problems/upload-too-large"
    assert results[2].predicted_class == "rose"


def test_copies_that_wait_are_no_pictures_of_the_folder(tmp_path):
    """They may well be in it, under `data`."""
    shutil.copy(ROSE, tmp_path)
    with BatchProcessor() as processor:
        first, second = (processor.process_directory(".") for _ in range(2))

    assert list((tmp_path / "data" / "blobs").rglob("*"))
    assert named(first) == named(second) == {"rose.jpg": "rose"}


def test_what_would_fail_every_picture_is_raised(processor, pictures):
    with pytest.raises(errors.DomainNotFound):
        processor.process_directory(pictures, domain="flours")
    with pytest.raises(NotADirectoryError):
        processor.process_directory(pictures / "z.jpg")


def test_rows_feed_data_frames(processor, pictures):
    rows = processor.process_directory(pictures).to_dicts()

    by_pandas, by_polars = pandas.DataFrame(rows), polars.DataFrame(rows, infer_schema_length=None)

    assert by_pandas.groupby("status").size().to_dict() == {"accepted": 2, "failed": 2}
    assert by_polars["image.width"].to_list() == [None, None, 320, 320]
    assert list(by_pandas.columns) == by_polars.columns
    assert by_pandas["usage.cost_usd"].sum() == 0
    assert by_polars["error.type"].null_count() == 2


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_results_are_written(processor, pictures, form):
    results = processor.process_directory(pictures)

    path = processor.export_results(results, format=form, output=f"out.{form}")

    if form == "json":
        rows = json.loads(path.read_text())
    elif form == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = pandas.read_csv(path).to_dict("records")
    assert [each["item_id"] for each in rows] == [each.item_id for each in results]
    assert [each["status"] for each in rows] == ["failed", "failed", "accepted", "accepted"]


def test_an_unknown_format_names_those_there_are():
    with pytest.raises(errors.InvalidRequest, match="json, jsonl, csv"):
        BatchProcessor.export_results([], format="xls")


@pytest.mark.parametrize("wanted", [True, False])
def test_a_terminal_shows_how_far_it_is(script, wanted):
    text = (
        "from enhanced_classification import BatchProcessor\n"
        f"BatchProcessor(progress={wanted}).process_directory({str(PHOTOGRAPHS)!r})"
    )
    ours, theirs = pty.openpty()
    program = script(text, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # it is closed
        while piece := os.read(ours, 65_536):
            shown += piece
    os.close(ours)
    program.communicate(timeout=60)

    assert (b"6/6" in shown, b"2 to review, 0 failed" in shown) == (wanted, wanted)
    assert wanted or shown == b""


INTERRUPTED = """
import sys, time
from enhanced_classification import BatchProcessor

try:
    BatchProcessor(batch_size=10, **eval(sys.argv[2])).process_directory(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_quick_and_the_same_call_goes_on(script, tmp_path):
    """What was answered stays, and is not asked again."""
    folder = many(tmp_path / "many")
    database = tmp_path / "data" / "app.db"
    program = script(INTERRUPTED, str(folder), "{}")
    while done(database) < 20:
        assert program.poll() is None, program.communicate()
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    began = time.monotonic()
    told, complaints = program.communicate(timeout=30)
    took_s = time.monotonic() - began
    before = done(database)
    with BatchProcessor(batch_size=10) as processor:
        results = processor.process_directory(folder)
    with sqlite3.connect(database) as connection:
        ((asked, batches),) = connection.execute(
            "SELECT (SELECT count(*) FROM results), (SELECT count(*) FROM batches)"
        )

    assert (told, complaints) == ("interrupted\n", "")
    assert took_s < 5
    assert 20 <= before < 300
    assert (asked, batches, len(results)) == (300, 1, 300)


async def test_an_interrupted_batch_of_a_server_is_paused_and_gone_on_with(server, tmp_path):
    """In several archives: those that are there are not sent again."""
    folder = Folder.read(many(tmp_path / "many"))
    http = Http(server.url, "shop", timeout_s=30)
    batches = RemoteBatches(http, group_files=120)
    order = Order("flowers", name="interrupted")
    told = []
    first = asyncio.create_task(batches.process(folder, order, told.append))
    await until(lambda: any(each.phase == "classifying" and each.done for each in told))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    left = (await http.send("GET", "/batches")).json()["batches"][:3]
    answers = await batches.process(folder, order, told.append)
    again = await batches.process(folder, order, told.append)
    await http.aclose()

    assert [each["name"] for each in left] == [f"interrupted ({n}/3)" for n in (3, 2, 1)]
    assert "paused" in {each["status"] for each in left}
    assert sorted(answers.batch_ids) == sorted(each["id"] for each in left)
    assert list(answers.results) == [each.sent_as for each in folder.pictures]
    assert None not in answers.results.values()
    assert set(again.batch_ids).isdisjoint(answers.batch_ids)


def test_what_came_since_the_interruption_is_told(pictures, monkeypatch):
    """The batch is as it was begun."""
    with BatchProcessor() as processor:
        results = processor.process_directory(pictures)
        (batch_id,) = results.batch_ids
        shutil.copy(ROSE, pictures / "new.jpg")
        monkeypatch.setattr(
            at_work.AtWork, "unfinished", lambda self, _: self.parts.batches.get(batch_id)
        )
        again = processor.process_directory(pictures)

    assert again.batch_ids == results.batch_ids
    assert again.skipped["new.jpg"] == "came after the batch began"
    assert named(again) == named(results)


async def test_a_batch_is_taken_over_when_who_had_the_database_ends(pictures, monkeypatch):
    monkeypatch.setattr(at_work, "TRIED_AGAIN_EVERY_S", 0.2)
    other = Database(load_settings().database_url)
    other.lock()
    with BatchProcessor() as processor:
        ours = asyncio.create_task(asyncio.to_thread(processor.process_directory, pictures))
        await until(lambda: (pictures.parent / "data" / "app.db").exists())
        await asyncio.sleep(1)
        assert not ours.done()
        await other.close()
        results = await ours

    assert named(results)["z.jpg"] == "daisy"


def test_a_forgotten_classifier_ends_its_thread():
    ImageClassifier().classify_image(ROSE)
    gc.collect()
    deadline = time.monotonic() + 10
    while any(each.name == "ImageClassifier" for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
