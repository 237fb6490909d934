"""What the embedded model says of pictures that show none of the classes, and under which names."""

import json
from importlib.resources import files

import numpy as np
import pytest

from app.domains import Domain
from app.images import ImageWorkers, prepare
from app.providers.local.head import Head, shipped_heads
from app.providers.local.model import Prediction
from app.providers.local.provider import LocalProvider
from app.providers.local.recognise import FromHead
from app.providers.local.teaching import Examples, teach
from app.providers.taught import Taught
from tests.conftest import PHOTOGRAPHS

FLOWERS = ["daisy", "dandelion", "rose", "sunflower"]


@pytest.fixture(scope="module")
def provider():
    workers = ImageWorkers(1)
    yield LocalProvider(workers, Taught())
    workers.close()


@pytest.fixture
def ask(provider):
    async def ask(name, classes, **options):
        image = prepare((PHOTOGRAPHS / f"{name}.jpg").read_bytes(), longest=512)
        domain = Domain(name="asked", classes=classes, **options)
        return await provider.classify(image, domain, timeout=1)

    return ask


@pytest.mark.parametrize("name", FLOWERS)
async def test_a_flower_is_no_stranger_among_flowers(ask, name):
    """With and without "none of these" for an answer."""
    for allow_none in (False, True):
        answer = await ask(name, FLOWERS, allow_none=allow_none)

        assert answer.label == name
        assert answer.probabilities[name] > 0.9
        assert not answer.out_of_domain


@pytest.mark.parametrize("name", ["fork", "scissors"])
@pytest.mark.parametrize("classes", [FLOWERS, ["cat", "dog", "bird"]], ids=["head", "zero-shot"])
async def test_a_tool_is_a_stranger_to_flowers_and_to_animals(ask, name, classes):
    """ "None of these" is the answer where it may be one; else a class, and the warning."""
    told = await ask(name, classes, allow_none=True)
    forced = await ask(name, classes)

    assert told.out_of_domain
    assert told.label is None
    assert sum(told.probabilities.values()) < 0.5
    assert forced.out_of_domain
    assert forced.label in classes


async def test_the_distance_speaks_for_none_of_these(ask):
    """Also where that is no answer: what is like nothing that was taught is no class for sure. From
    a picture like those that were taught it takes next to nothing, and only where it is one."""
    stranger = [await ask("fork", FLOWERS, allow_none=each) for each in (True, False)]
    told, forced = await ask("rose", FLOWERS, allow_none=True), await ask("rose", FLOWERS)
    shares = [told.probabilities[each] / forced.probabilities[each] for each in FLOWERS]

    assert sum(stranger[0].probabilities.values()) < 0.1
    assert sum(stranger[1].probabilities.values()) < 0.2
    assert shares == pytest.approx([shares[0]] * 4)
    assert 0.999 < shares[0] <= 1


async def test_a_class_of_the_domain_is_no_stranger_to_labels_of_imagenet(ask):
    answer = await ask("daisy", ["daisy", "cat"], allow_none=True)

    assert answer.label == "daisy"
    assert not answer.out_of_domain


async def test_what_a_domain_leaves_out_of_a_head_is_none_of_these(ask):
    """The head knows the sunflower; the domain does not ask for it."""
    told = await ask("sunflower", ["rose", "dandelion"], allow_none=True)

    assert told.label is None
    assert sum(told.probabilities.values()) < 0.1


async def test_a_head_answers_under_the_domains_own_names(ask):
    """Aliases, as the domain spells them; a class may be several of the head's."""
    classes = [
        {"label": "Rosen", "aliases": ["ROSE"]},
        {"label": "yellow", "aliases": ["dandelion", "sunflower"]},
    ]

    rose = await ask("rose", classes)
    for name in ("dandelion", "sunflower"):
        yellow = await ask(name, classes)
        assert yellow.label == "yellow"
        assert yellow.probabilities["yellow"] > 0.9
        assert not yellow.out_of_domain

    assert rose.label == "Rosen"
    assert sum(rose.probabilities.values()) <= 1


def test_what_was_taught_of_classes_left_out_makes_no_picture_belong():
    """Three clusters at right angles; the domain asks for two."""
    noise = np.random.default_rng(5).normal(0, 0.03, (30, 64))
    pictures = np.repeat(np.eye(64)[:3], 10, axis=0) + noise
    head = teach(Examples.of(pictures, list("aaaaaaaaaabbbbbbbbbbcccccccccc")), "").head
    all_three = FromHead(head, {label: [label] for label in "abc"})
    first_two = FromHead(head, {label: [label] for label in "ab"})

    for place, label in enumerate("abc"):
        seen = Prediction(np.zeros(1000, np.float32), np.eye(64, dtype=np.float32)[place])
        assert not all_three(seen).out_of_domain
        assert first_two(seen).out_of_domain == (label == "c")


def without_examples(path):
    """A head's file as it was before heads kept their examples."""
    shipped = files("app.providers.local").joinpath("data/heads/flowers.json")
    content = json.loads(shipped.read_text("utf-8"))
    del content["examples"], content["threshold"]
    path.write_text(json.dumps(content))
    return Head.load(path)


def test_a_head_without_examples_says_nothing_about_strangers(tmp_path):
    """An older file is read, and answers as before."""
    (shipped,) = shipped_heads()
    head = without_examples(tmp_path / "head.json")
    names = {label: [label] for label in head.labels}
    stranger = np.eye(1280, dtype=np.float32)[0]
    seen = Prediction(np.zeros(1000, np.float32), stranger)

    assert FromHead(shipped, names)(seen).out_of_domain
    old = FromHead(head, names)(seen)
    assert not old.out_of_domain
    assert old.belongs == 1
    assert old.probabilities == pytest.approx(shipped.probabilities(stranger))


def test_examples_of_another_length_are_refused(tmp_path):
    head = without_examples(tmp_path / "head.json")
    (shipped,) = shipped_heads()
    short = Head(
        head.labels, head.weights[:, :640], head.bias, head.model_sha256, shipped.taught, None
    )
    short.save(tmp_path / "short.json", {})

    with pytest.raises(ValueError, match="examples and weights"):
        Head.load(tmp_path / "short.json")


def test_the_shipped_head_keeps_its_eighty_flowers():
    """Not what was none of them: that has a row of its own."""
    (head,) = shipped_heads()

    assert np.bincount(head.taught.owners).tolist() == [20, 20, 20, 20]
    assert 0.5 < head.threshold < 0.95
    assert 0.3 < head.taught.bound < 0.8
