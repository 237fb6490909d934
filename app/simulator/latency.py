"""How long an answer takes."""

import math
from random import Random

from app.simulator.config import Latency

P95 = 1.6448536269514722
"""Standard deviations from the middle of a normal distribution to its 95th percentile."""


class LatencySource:
    """Draws from one distribution; the same seed gives the same sequence."""

    def __init__(self, latency: Latency, seed: str) -> None:
        self._latency = latency
        self._random = Random(seed)  # noqa: S311 - it has to be repeatable
        self._mu, self._sigma = lognormal(
            latency.mean_s - latency.floor_s, latency.p95_s - latency.floor_s
        )

    def model_s(self) -> float:
        """Seconds that the model takes."""
        if self._mu == -math.inf:
            return self._latency.floor_s
        return self._latency.floor_s + self._random.lognormvariate(self._mu, self._sigma)

    def network_s(self) -> float:
        """Seconds that one way through the network takes."""
        return self._random.uniform(self._latency.network_min_s, self._latency.network_max_s)


def lognormal(mean: float, p95: float) -> tuple[float, float]:
    """mu and sigma of the lognormal distribution of this mean and 95th percentile."""
    if mean <= 0:
        return -math.inf, 0.0
    sigma = P95 - math.sqrt(max(0.0, P95 * P95 - 2 * math.log(p95 / mean)))
    return math.log(mean) - sigma * sigma / 2, sigma
