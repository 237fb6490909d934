"""How results are told, and what rows they give."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas
import polars
import pytest

from app.client import html
from app.client.backend import Answers, Kept
from app.client.folder import Folder, PictureFile
from app.client.results import BatchResults, Classification, Row, collected
from app.result import Failure, Result, Timings, Usage
from tests.pictures import jpeg, png_that_claims

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROSE = Result(
    id="cls_1",
    domain="flowers",
    predicted_class="rose",
    confidence=0.9167,
    probabilities={"rose": 0.9167, "daisy": 0.0833},
    status="accepted",
    usage=Usage(prompt_tokens=1, completion_tokens=2, cost_usd=Decimal("0.5")),
    timings_ms=Timings(),
    caller="anonymous",
    domain_version="1",
    created_at=NOW,
)
DOUBTFUL = ROSE.model_copy(
    update={"confidence": 0.3, "status": "needs_review", "review_reasons": ["below_threshold"]}
)
CORRECTED = DOUBTFUL.model_copy(update={"final_class": "daisy", "decided_by": "anna"})
REJECTED = DOUBTFUL.model_copy(update={"decided_by": "anna"})
NONE = ROSE.model_copy(update={"predicted_class": None, "confidence": 0.8})


def row_of_failure() -> Classification:
    return Classification.of(
        ROSE.model_copy(
            update={
                "status": "failed",
                "predicted_class": None,
                "probabilities": None,
                "error": Failure(type="/problems/image-unreadable", detail="It is <broken>."),
            }
        )
    )


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (ROSE, "<Classification rose 91.7%>"),
        (DOUBTFUL, "<Classification rose 30.0%, needs review: below_threshold>"),
        (NONE, "<Classification none of the classes 80.0%>"),
        (CORRECTED, "<Classification rose 30.0%, decided by anna: daisy>"),
        (REJECTED, "<Classification rose 30.0%, decided by anna: useless>"),
        (row_of_failure(), "<Classification failed: It is <broken>.>"),
    ],
)
def test_a_result_is_told_in_a_line(result, told):
    assert repr(Classification.of(result)) == told
    assert str(Classification.of(result)) == told


def test_a_result_says_whether_a_person_should_look():
    assert not Classification.of(ROSE).needs_review
    assert Classification.of(DOUBTFUL).needs_review


def test_rows_have_the_same_columns_whatever_became_of_the_picture():
    row = Classification.of(ROSE).to_dict()

    assert next(iter(row)) == "item_id"
    assert row["usage.cost_usd"] == 0.5
    assert row["created_at"] == NOW
    assert row["probabilities"] == {"rose": 0.9167, "daisy": 0.0833}
    assert row["image.quality.sharpness"] is None
    assert all(isinstance(row[f"timings_ms.{name}"], float) for name in Timings.model_fields)
    assert list(row_of_failure().to_dict()) == list(row)


def test_what_is_shown_is_escaped():
    """Names of files and classes are others' words."""
    shown = row_of_failure().model_copy(update={"item_id": "<script>.jpg"})._repr_html_()

    assert "<script>" not in shown
    assert "It is &lt;broken&gt;." in shown
    odd = ROSE.model_copy(update={"probabilities": {"<b>": 1.0}})
    assert "<b></b>" not in Classification.of(odd, 'x" onerror="y')._repr_html_()
    assert 'src="x&quot; onerror' in Classification.of(odd, 'x" onerror="y')._repr_html_()


def test_a_picture_is_shown_small(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(2_000, 1_000))

    shown = Classification.of(ROSE, tmp_path / "a.jpg")._repr_html_()

    assert "data:image/jpeg;base64," in shown
    assert len(shown) < 10_000


@pytest.mark.parametrize("content", [b"no picture", png_that_claims(20_000, 20_000), jpeg()[:900]])
def test_a_result_is_shown_without_what_is_no_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)

    assert html.small(tmp_path / "a.jpg") is None
    assert html.small(tmp_path / "nowhere.jpg") is None
    assert "<img" not in Classification.of(ROSE, tmp_path / "a.jpg")._repr_html_()


@pytest.fixture
def results():
    folder = Folder(
        Path("pictures"),
        names=["a", "b", "c", "d", "e", "notes"],
        pictures=[PictureFile(Path(name), name, f"{name}'", 1) for name in "abde"],
        failures={"c": Failure(type="/problems/image-unreadable", detail="It is none.")},
        skipped={"notes": "is no picture"},
    )
    answers = Answers(
        ["bat_1"],
        {"gone'": Kept.of(NONE), "b'": Kept.of(DOUBTFUL), "a'": Kept.of(ROSE), "d'": None},
        {},
        "The batch is cancelled.",
    )
    return collected(folder, answers, "flowers")


def test_rows_are_in_the_folders_order(results):
    """Last what is not there any more; what came later has none."""
    assert [each.item_id for each in results] == ["a", "b", "c", "d", "gone'"]
    assert [each.status for each in results[2:4]] == ["failed", "failed"]
    assert results[3].error.detail == "The batch is cancelled."
    assert results.skipped == {"notes": "is no picture", "e": "came after the batch began"}


def test_results_are_a_sequence(results):
    assert len(results) == 5
    assert results[-1].predicted_class is None
    assert isinstance(results[1:3], BatchResults)
    assert results[0] in results
    assert [each.item_id for each in results.needs_review] == ["b"]
    with pytest.raises(IndexError):
        results[5]


def test_results_are_told_in_a_line(results):
    assert repr(results) == (
        "<BatchResults 5 pictures: 2 rose, 2 failed, 1 none of the classes; 1 to review; 2 skipped>"
    )
    assert results.counts() == {"rose": 2, "failed": 2, "none of the classes": 1}


def test_rows_feed_data_frames_when_what_is_odd_comes_late():
    rows = [Row(f"{n}.jpg", Kept.of(ROSE)) for n in range(200)]
    odd = [DOUBTFUL, row_of_failure(), ROSE.model_copy(update={"metadata": {"order": 1}})]
    results = BatchResults([*rows, *(Row("odd", Kept.of(each)) for each in odd)], Path("pictures"))

    by_polars = polars.DataFrame(results.to_dicts(), infer_schema_length=None)
    by_pandas = pandas.DataFrame(results.to_dicts())

    assert by_polars.shape == by_pandas.shape == (203, len(results[0].to_dict()))
    assert by_polars["review_reasons"].to_list()[-3] == ["below_threshold"]
    assert by_polars["error.detail"].to_list()[-2] == "It is <broken>."
    assert by_polars["usage.cost_usd"].sum() == by_pandas["usage.cost_usd"].sum() == 101.5


def test_results_are_shown_as_a_table(results):
    shown = results._repr_html_()

    assert shown.count("<tr>") == 5
    assert "failed: It is none." in shown
    assert "more" not in shown
