"""Samples of the pools' counts, and series of samples.

A sample is eight bytes: how many VMs were ready, running and pending, and how many were checked out since the sample
before. Each takes two bytes and is stored as the number plus one. Eight zero bytes mean that no sample was taken.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import attrs

from vmpooler.domain.errors import Invalid

SERIES = ("ready", "running", "pending", "checkouts")

SAMPLE = struct.Struct(">4H")

MAX_SAMPLE = (1 << 16) - 2
"""The largest number that a sample can contain."""

CHECKOUTS = 3

Row = Sequence[int]
"""One number for each of SERIES."""


@attrs.frozen
class Grain:
    """A resolution: ``seconds`` between two samples, and ``chunk`` samples that are stored as one string."""

    name: str
    seconds: int
    chunk: int


MINUTES = Grain("minutes", 60, 24 * 60)
QUARTERS = Grain("quarters", 15 * 60, 30 * 24 * 4)

GROUP = QUARTERS.seconds // MINUTES.seconds
"""Samples of MINUTES in one of QUARTERS."""


@attrs.frozen
class Range:
    """A time range of ``samples`` samples, in steps of ``group`` samples, or of ``fine`` samples for a single pool."""

    grain: Grain
    samples: int
    group: int
    fine: int


RANGES = {
    "1h": Range(MINUTES, 60, 1, 1),
    "24h": Range(MINUTES, MINUTES.chunk, 15, 1),
    "7d": Range(QUARTERS, 7 * 24 * 4, 8, 1),
}


def range_of(name: str) -> Range:
    """Return the time range that a client requests. Raises Invalid for an unknown name."""
    if name not in RANGES:
        raise Invalid(f"'range' must be one of {', '.join(RANGES)}.")
    return RANGES[name]


def packed(row: Row) -> bytes:
    """Return a sample in its stored form."""
    return SAMPLE.pack(*(min(MAX_SAMPLE, number) + 1 for number in row))


def joined(kept: bytes) -> bytes:
    """Return one sample that stands for several: the mean of each count, and the sum of checkouts."""
    rows = _rows(kept)
    if not rows:
        return bytes(SAMPLE.size)
    *counts, checkouts = zip(*rows, strict=True)
    return packed([*(round(sum(each) / len(rows)) for each in counts), sum(checkouts)])


def series(kept: bytes, group: int) -> dict[str, list[float | None]]:
    """Return samples as steps of ``group`` samples each; None for a step without a sample."""
    size = SAMPLE.size * group
    steps = [_step(_rows(kept[first : first + size])) for first in range(0, len(kept), size)]
    columns = zip(*steps, strict=True) if steps else ([] for _ in SERIES)
    return dict(zip(SERIES, map(list, columns), strict=True))


def _rows(kept: bytes) -> list[list[int]]:
    """Return the samples that were taken."""
    return [[number - 1 for number in row] for row in SAMPLE.iter_unpack(kept) if row[0]]


def _step(rows: Sequence[Row]) -> Sequence[float | None]:
    if len(rows) <= 1:
        return rows[0] if rows else [None] * len(SERIES)
    means = [round(sum(row[number] for row in rows) / len(rows), 1) for number in range(CHECKOUTS)]
    return [*means, sum(row[CHECKOUTS] for row in rows)]


def checkouts(pools: Iterable[str]) -> Mapping[str, int]:
    """Return how often each pool occurs."""
    counts: dict[str, int] = {}
    for pool in pools:
        counts[pool] = counts.get(pool, 0) + 1
    return counts
