"""What Graphite tells of the pools, and charts that are filled from it.

Its answer is a list of series, each with the name of a metric as ``target`` and its ``datapoints``: pairs of a number,
or null, and a time (epoch). Source: API-CONTRACT 5.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmpooler.domain.history import MOST

ASKED = ("ready", "running")
"""What the original has sent of each pool, and so what can be asked for."""

REPEATED = 8
"""How often the original's dashboard is told each number."""

Points = Sequence[Any]
"""The ``datapoints`` of a series as they came: anything may be among them."""

Told = Mapping[str, Mapping[str, Points]]
"""For each of ASKED, the points of pools."""

NOTHING: Told = {what: {} for what in ASKED}


def targets(prefix: str, pools: Sequence[str]) -> list[str]:
    """The metrics to ask for: of one pool its own, else of all that there are. A star stands for what is between two
    dots, and the name of a pool may have dots."""
    if len(pools) == 1:
        return [f"{prefix}.{what}.{pools[0]}" for what in ASKED]
    depths = sorted({pool.count(".") for pool in pools})
    return [f"{prefix}.{what}{'.*' * (depth + 1)}" for what in ASKED for depth in depths]


def told(answer: bytes, prefix: str) -> Told:
    """The series in an answer. Raises ValueError when it is none."""
    try:
        found = json.loads(answer)
    except RecursionError:
        raise ValueError("lists within lists within lists") from None
    if not isinstance(found, list):
        raise ValueError("not a list of series")
    series: dict[str, dict[str, Points]] = {what: {} for what in ASKED}
    for each in found:
        match each:
            case {"target": str(target), "datapoints": list(points)} if target.startswith(f"{prefix}."):
                what, _, pool = target.removeprefix(f"{prefix}.").partition(".")
                if what in series:
                    series[what][pool] = points
    return series


def filled(column: Sequence[float | None], points: Points, first: int, step: int) -> list[float | None]:
    """A column of numbers, of steps of so many seconds from ``first`` (epoch) on, in which those that are missing are
    the last that Graphite has within the step."""
    found: list[float | None] = [None] * len(column)
    for when, number in _numbers(points):
        place = (when - first) // step
        if number is not None and 0 <= place < len(column):
            found[place] = number
    return [theirs if own is None else own for own, theirs in zip(column, found, strict=True)]


def steady(points: Points, start: int) -> list[int]:
    """The numbers, whole, where what is missing is as before, and ``start`` before the first."""
    numbers: list[int] = []
    for _, number in _numbers(points):
        start = start if number is None else int(number)
        numbers.append(start)
    return numbers


def _numbers(points: Points) -> Iterator[tuple[int, float | None]]:
    """The time and number of each point; None for what cannot be a count of VMs."""
    for each in points:
        match each:
            case [number, int(when)]:
                is_count = isinstance(number, int | float) and 0 <= number <= MOST
                yield when, round(float(number), 1) if is_count else None
