"""Whatever was answered, a report's figures lie where they must."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.evaluation import Judged, report
from app.evaluation.figures import Ranking, mcnemar, paired_interval
from app.evaluation.page import page
from app.evaluation.words import cut

SHARES = st.floats(0, 1)
RANKED = st.lists(st.tuples(SHARES, st.booleans()), min_size=1, max_size=150)
COUNTS = st.tuples(st.integers(0, 400), st.integers(0, 400))
LABELS = ("cat", "dog", "<hostile>", "\N{TULIP}" * 90)
NAMES = st.text("ab<>&'\"/ \x00\N{TULIP}", max_size=70)
ANSWERS = st.builds(
    Judged,
    name=NAMES,
    expected=st.sampled_from((*LABELS, "none", "gone")),
    predicted=st.sampled_from((*LABELS, "none", "new", None)),
    confidence=SHARES,
    seconds=st.floats(0, 100),
    error=st.none() | NAMES,
    status=st.sampled_from(("accepted", "needs_review", "failed", None)),
    reasons=st.lists(st.sampled_from(("ood", "below_threshold", "<hostile>")), max_size=2).map(
        tuple
    ),
    brier=st.none() | st.floats(0, 2),
    raw_confidence=st.none() | SHARES,
    cached=st.booleans(),
    cost_usd=st.none() | st.floats(0, 1),
    prompt_tokens=st.none() | st.integers(0, 10_000),
    completion_tokens=st.none() | st.integers(0, 10_000),
)


@settings(max_examples=200)
@given(RANKED, st.integers(0, 50))
def test_risk_and_coverage_stay_in_bounds(ranked, failed):
    """Coverage grows and thresholds fall, risks are shares, and accepting all risks what all of it
    gets wrong."""
    confidence, right = zip(*ranked, strict=True)
    total = len(ranked) + failed

    found = Ranking(confidence, right).risk_coverage(total)

    coverages = [each.coverage for each in found.points]
    thresholds = [each.threshold for each in found.points]
    assert coverages == sorted(set(coverages))
    assert thresholds == sorted(set(thresholds), reverse=True)
    assert all(0 <= each.risk <= 1 for each in found.points)
    assert 0 <= found.area <= 1
    assert found.points[-1].coverage == pytest.approx(len(ranked) / total)
    assert found.points[-1].risk == pytest.approx(1 - sum(right) / len(ranked))


@settings(max_examples=200)
@given(st.lists(SHARES | st.floats(0.7, 0.7001), min_size=1, max_size=50))
def test_a_threshold_as_it_is_told_accepts_what_was_counted(confidences):
    ranking = Ranking(confidences, [True] * len(confidences))

    for place, level in enumerate(ranking.levels):
        threshold = float(cut(ranking.threshold(place)))

        assert 0 <= threshold <= level
        assert ranking.at(threshold) == (ranking.n[place], ranking.right[place])


@settings(max_examples=200)
@given(RANKED, SHARES, SHARES)
def test_who_wants_more_accuracy_accepts_no_more(ranked, one, other):
    """And gets what was wanted."""
    ranking = Ranking(*zip(*ranked, strict=True))
    less, more = sorted((one, other))

    low, high = ranking.lowest(less), ranking.lowest(more)

    if high is not None:
        assert low is not None
        assert low >= high
        accepted, right = ranking.at(float(ranking.levels[high]))
        assert right >= more * accepted - 1e-6


@settings(max_examples=200)
@given(COUNTS)
def test_mcnemar_is_a_probability_and_fair(counts):
    better, worse = counts

    p = mcnemar(better, worse)

    assert 0 <= p <= 1
    assert p == mcnemar(worse, better)
    if better > worse:
        assert mcnemar(better + 1, worse) <= p


@settings(max_examples=200)
@given(COUNTS, st.integers(0, 400))
def test_the_interval_holds_the_difference(counts, same):
    better, worse = counts
    n = better + worse + same
    if n:
        found = paired_interval(better, worse, n)

        assert -1 <= found.low <= (better - worse) / n + 1e-12
        assert (better - worse) / n - 1e-12 <= found.high <= 1


TAGS = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "section"),
    *("div", "h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "b", "small", "details"),
    *("table", "thead", "tbody", "tr", "th", "td", "summary", "img", "span"),
    *("lang", "charset", "name", "content", "rel", "href", "class", "scope", "src", "alt"),
    *("role", "tabindex", "aria-label", "loading"),
}


@settings(max_examples=150, deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=6), SHARES)
def test_every_report_can_be_told_and_shown(judged, threshold):
    """As JSON without what JSON has not, and as a page without what others' names could do."""
    found = report(judged, LABELS, threshold, earlier=("<hostile>", {judged[0].key: True}))

    text = page(found, {})

    assert type(found).model_validate_json(found.model_dump_json()) == found
    assert 0 <= found.accuracy <= 1
    assert found.ece is None or 0 <= found.ece <= 1
    answered = sum(sum(row.values()) for row in found.confusion.values())
    assert answered + sum(found.unanswered.values()) == len(judged)
    assert sum(found.unanswered.values()) == found.failed
    assert _tags(text) <= TAGS


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attributes):
        self.found |= {tag, *(name for name, _ in attributes)}


def _tags(text):
    """And their attributes, but for SVG's."""
    parser = _Tags()
    parser.feed(re.sub("<svg.*?</svg>", "", text, flags=re.DOTALL))
    parser.close()
    return parser.found
