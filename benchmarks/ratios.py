"""Statistics: a ratio of two servers, from pairs of measurements, with its confidence interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from statistics import median

PRECISION = 0.03
FAR = 0.8
# Rounds for any interval, and for a narrow one, which fewer often give by chance.
FEWEST, FEWEST_PRECISE = 6, 8


@dataclass(frozen=True)
class Ratio:
    """A ratio and its 95 % confidence interval.

    Args:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        rounds: number of independent rounds.
    """

    value: float
    low: float
    high: float
    rounds: int

    @property
    def settled(self) -> bool:
        """Whether more rounds would tell nothing new: it is known to 3 %, or far from 1."""
        precise = self.high <= self.low * (1 + PRECISION) ** 2
        far = self.high < FAR or self.low > 1 / FAR
        return far or (precise and self.rounds >= FEWEST_PRECISE)

    @property
    def equal(self) -> bool:
        """Whether the whole interval is within 3 % of 1."""
        return self.low >= 1 / (1 + PRECISION) and self.high <= 1 + PRECISION

    @property
    def unclear(self) -> bool:
        """Whether neither a difference nor equality can be told."""
        return self.low <= 1 <= self.high and not self.equal

    def __str__(self) -> str:
        if self.unclear:
            verdict = ", can't tell"
        else:
            verdict = ", equal" if self.low <= 1 <= self.high else ""
        if math.isinf(self.high):
            return f"{self.value:.2f}{verdict}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f}){verdict}"


def ratio(values: Sequence[float]) -> Ratio:
    """The Hodges-Lehmann estimate of ratios, one for each round, with Wilcoxon's interval.

    Needs no assumption about the distribution, and a few outliers do not move it. The interval of
    fewer than six rounds is infinite.
    """
    n = len(values)
    logs = [math.log(value) for value in values]
    means = sorted((a + b) / 2 for a, b in combinations_with_replacement(logs, 2))
    # Quantile of the signed-rank statistic, by its normal approximation.
    rank = n * (n + 1) / 4 - 1.96 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    low, high = (means[int(rank) - 1], means[-int(rank)]) if rank >= 1 else (-math.inf, math.inf)
    return Ratio(math.exp(median(means)), math.exp(low), math.exp(high), n)
