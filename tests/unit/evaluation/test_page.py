"""What the page says, in words."""

import re
from base64 import b64encode
from html import unescape

import pytest

from app.evaluation import page, report
from app.evaluation.words import cut, money, p_value, percent
from tests.unit.evaluation.answers import judged, many

LABELS = ("cat", "dog")


def text(answers, labels=LABELS, **how):
    """As a reader sees it, all on one line."""
    body = page(report(answers, labels, 0.7, **how), {}).split("</style>")[1]
    return " ".join(
        unescape(re.sub("<[^>]*>", " ", body)).replace("\N{NO-BREAK SPACE}", " ").split()
    )


def test_it_begins_with_what_a_manager_asks():
    answers = [
        *(judged("cat", "cat", 0.95, status="accepted") for _ in range(83)),
        judged("cat", "dog", 0.9, status="accepted"),
        *(judged("dog", "dog", 0.5, status="needs_review") for _ in range(13)),
        *(judged("dog", "cat", 0.4, status="needs_review") for _ in range(3)),
        judged("none", "cat", 0.9, status="accepted"),
    ]

    said = text(answers)

    assert "96 % of 100 pictures were answered right (90.2 to 98.4 %)." in said
    assert (
        "At the threshold 0.7 the service answers 84 % on its own and is right in 98.8 % of these; "
        "the other 16 % go to a person."
    ) in said
    assert "1 of 1 picture of none of the classes was accepted all the same." in said


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([judged("cat", None, error="no")], "1 picture got no answer"),
        ([judged("cat", None, error="no")], "No picture was answered with a class"),
        ([judged("none", "none")], "1 were answered with"),
        ([judged("cat", "cat", status="accepted")], "nobody else has to look"),
        ([judged("cat", "cat")], "1 class has no pictures here"),
        ([judged("cat", "cat", cached=True)], "cost, tokens and time are of the others"),
    ],
)
def test_little_to_tell_is_told_too(answers, words):
    assert words in text(answers)


def test_many_classes_are_told_by_what_was_confused_most():
    labels = [f"class {number}" for number in range(500)]

    said = text(many(3_000, labels), labels)

    assert "What was confused most" not in text(many(300, labels[:20]), labels[:20])
    assert "Pictures Of its pictures" in said
    assert "more pairs." in said


def test_runs_without_a_common_picture_say_so():
    answers = [judged("cat", "cat", name="a.jpg")]

    assert "No picture is in both" in text(answers, earlier=("monday.json", {"b.jpg": True}))


def test_truncated_reports_say_so():
    assert "only the newest are judged" in text([judged("cat", "cat")], truncated=True)


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.9734, "97.3"), (1, "100"), (0.9999, "99.9"), (0, "0"), (1e-5, "0.1"), (1 - 1e-12, "100")],
)
def test_all_and_nothing_are_said_only_where_they_are(share, told):
    assert percent(share) == f"{told}\N{NO-BREAK SPACE}%"


def test_a_threshold_is_told_as_it_is():
    """Set so, it accepts what was counted."""
    told = ["0.7311", "0.7", "0.99999951", "1", "0"]

    assert [cut(float(each)) for each in told] == told


def test_the_domains_own_threshold_keeps_its_digits():
    answers = [judged("cat", "cat", 0.7654321), judged("dog", "cat", 0.76543209)]

    body = page(report(answers, LABELS, 0.7654321), {})

    assert "0.765432<" not in body
    assert "<td>0.7654321</td><td>50" in body
    assert "the threshold 0.7654321" in body


def test_what_got_no_answer_is_no_class():
    """Also beside a class of such a name, and among many classes."""
    answers = [judged("cat", "failed"), judged("cat", None), judged("failed", None)]
    wide = [f"class {number}" for number in range(30)]

    few = unescape(page(report(answers, ("cat", "failed"), 0.7), {}))
    many = text([judged(each, None) for each in wide], wide)

    assert few.count("got no answer") == 3  # in a sentence, and in two cells
    assert "1 picture of cat answered with failed: 50" in few
    assert "1 picture of cat got no answer: 50" in few
    assert "class 0 no answer 1 100 %" in many


def test_each_mistake_has_its_own_picture():
    """Not that of an item of the same name in another batch."""
    answers = [
        judged("cat", "dog", 0.9, name="1", sha256="a" * 64, result_id="r1"),
        judged("cat", "dog", 0.8, name="1", sha256="b" * 64, result_id="r2"),
    ]
    found = report(answers, LABELS, 0.7)

    body = page(found, {"b" * 64: b"picture of b"})

    first, second = body.split('<ul class="pictures">')[1].split("</li>")[:2]
    assert "no picture kept" in first
    assert b64encode(b"picture of b").decode() in second


def test_sums_have_two_digits_that_say_something():
    told = [money(each) for each in (None, 0, 0.000585, 0.5, 12.345, 1_234.5)]

    assert told == ["not known", "$0", "$0.00059", "$0.50", "$12.35", "$1,234.50"]
    assert p_value(0.0001) == "below 0.001"
