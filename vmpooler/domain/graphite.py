"""Reads series of the pools from Graphite, and fills charts from them.

Graphite returns a list of series, each with the name of a metric as ``target`` and its ``datapoints``: pairs of a
number, or null, and a time (epoch). Source: docs/compatibility.md#charts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmpooler.domain.history import MAX_SAMPLE

METRICS = ("ready", "running")
"""The metrics that Ruby vmpooler sent for each pool, and so the ones that can be requested."""

REPETITIONS = 8
"""How many times each number is repeated in the data for Ruby vmpooler's dashboard."""

Points = Sequence[Any]
"""The ``datapoints`` of a series as received: not validated."""

SeriesOfPools = Mapping[str, Mapping[str, Points]]
"""The points of the pools, for each of METRICS."""

NOTHING: SeriesOfPools = {what: {} for what in METRICS}


def targets(prefix: str, pools: Sequence[str]) -> list[str]:
    """Return the metrics to request: those of one pool if only one is given, else all that exist.

    A star matches what is between two dots, and the name of a pool can contain dots.
    """
    if len(pools) == 1:
        return [f"{prefix}.{what}.{pools[0]}" for what in METRICS]
    depths = sorted({pool.count(".") for pool in pools})
    return [f"{prefix}.{what}{'.*' * (depth + 1)}" for what in METRICS for depth in depths]


def parsed(answer: bytes, prefix: str) -> SeriesOfPools:
    """Return the series in a response. Raises ValueError if the response is not a list of series."""
    try:
        found = json.loads(answer)
    except RecursionError:
        raise ValueError("lists within lists within lists") from None
    if not isinstance(found, list):
        raise ValueError("not a list of series")
    series: dict[str, dict[str, Points]] = {what: {} for what in METRICS}
    for each in found:
        match each:
            case {"target": str(target), "datapoints": list(points)} if target.startswith(f"{prefix}."):
                what, _, pool = target.removeprefix(f"{prefix}.").partition(".")
                if what in series:
                    series[what][pool] = points
    return series


def filled(column: Sequence[float | None], points: Points, first: int, step: int) -> list[float | None]:
    """Return a column with its missing numbers filled in from Graphite.

    The column has a number for each ``step`` seconds from ``first`` (epoch) on. A missing one becomes the last number
    that Graphite has within the step.
    """
    found: list[float | None] = [None] * len(column)
    for when, number in _numbers(points):
        place = (when - first) // step
        if number is not None and 0 <= place < len(column):
            found[place] = number
    return [theirs if own is None else own for own, theirs in zip(column, found, strict=True)]


def steady(points: Points, start: int) -> list[int]:
    """Return the numbers as integers. A missing number repeats the one before it, or ``start`` at the beginning."""
    numbers: list[int] = []
    for _, number in _numbers(points):
        start = start if number is None else int(number)
        numbers.append(start)
    return numbers


def _numbers(points: Points) -> Iterator[tuple[int, float | None]]:
    """Yield the time and number of each point. The number is None for a value that cannot be a count of VMs."""
    for each in points:
        match each:
            case [number, int(when)]:
                is_count = isinstance(number, int | float) and 0 <= number <= MAX_SAMPLE
                yield when, round(float(number), 1) if is_count else None
