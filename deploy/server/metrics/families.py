"""Families of metrics, as prometheus_client has them."""

from typing import Any

from prometheus_client.core import CounterMetricFamily


def counter(name: str, text: str, labels: tuple[str, ...], counts: Any) -> CounterMetricFamily:
    """A counter, from its values by labels."""
    found = CounterMetricFamily(name, text, labels=labels)
    for key, count in counts.items():
        found.add_metric(key, count)
    return found


def cumulative(bounds: tuple[int, ...], counts: list[int]) -> list[tuple[str, int]]:
    """Buckets of a histogram, from milliseconds."""
    total, buckets = 0, []
    names = [str(bound / 1000) for bound in bounds]
    for name, count in zip([*names, "+Inf"], counts, strict=True):
        total += count
        buckets.append((name, total))
    return buckets
