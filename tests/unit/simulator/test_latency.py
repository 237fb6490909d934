"""How long answers take."""

from statistics import mean, quantiles

import pytest
from pydantic import ValidationError

from app.simulator.config import Latency
from app.simulator.latency import LatencySource


@pytest.mark.parametrize(
    ("mean_s", "p95_s", "floor_s"), [(1.1, 2.2, 0.3), (0.5, 0.6, 0), (2, 6, 0.5), (1, 1, 0)]
)
def test_mean_and_p95_are_the_ones_ordered(mean_s, p95_s, floor_s):
    source = LatencySource(Latency(mean_s=mean_s, p95_s=p95_s, floor_s=floor_s), "seed")

    drawn = [source.model_s() for _ in range(20_000)]

    assert mean(drawn) == pytest.approx(mean_s, rel=0.03)
    assert quantiles(drawn, n=20)[-1] == pytest.approx(p95_s, rel=0.04)
    assert min(drawn) >= floor_s


def test_the_network_takes_its_time_evenly():
    source = LatencySource(Latency(network_min_s=0.1, network_max_s=0.3), "seed")

    drawn = [source.network_s() for _ in range(1_000)]

    assert min(drawn) >= 0.1
    assert max(drawn) <= 0.3
    assert mean(drawn) == pytest.approx(0.2, rel=0.05)


def test_none_is_none():
    source = LatencySource(Latency.none(), "seed")

    assert source.model_s() == source.network_s() == 0


@pytest.mark.parametrize(
    "wrong",
    [{"mean_s": 0.1}, {"p95_s": 1}, {"p95_s": 60}, {"mean_s": -1, "floor_s": -2}],
)
def test_what_no_such_distribution_has_is_refused(wrong):
    """Floor above mean, 95th percentile below it or too far above, negative times."""
    with pytest.raises(ValidationError):
        Latency(**wrong)
