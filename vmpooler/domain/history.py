"""How pools stood: samples, and series of them.

A sample is eight bytes: how many VMs were ready, running, pending, and how many were checked out since the sample
before, two bytes each, the number and one; nothing but zeros where no sample was taken.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import attrs

from vmpooler.domain.errors import Invalid

SERIES = ("ready", "running", "pending", "checkouts")

SAMPLE = struct.Struct(">4H")

MOST = (1 << 16) - 2
"""The largest number that a sample tells."""

CHECKOUTS = 3

Row = Sequence[int]
"""One number of each of SERIES."""


@attrs.frozen
class Grain:
    """So many seconds between samples, of which so many make a chunk: what is kept in one piece."""

    name: str
    seconds: int
    chunk: int


MINUTES = Grain("minutes", 60, 24 * 60)
QUARTERS = Grain("quarters", 15 * 60, 30 * 24 * 4)

GROUP = QUARTERS.seconds // MINUTES.seconds
"""Minutes of a quarter of an hour."""


@attrs.frozen
class Range:
    """A time to look back on: so many samples, told as steps of ``group`` of them, and of one pool of ``fine``."""

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
    """What a client asks for. Raises Invalid."""
    if name not in RANGES:
        raise Invalid(f"'range' must be one of {', '.join(RANGES)}.")
    return RANGES[name]


def packed(row: Row) -> bytes:
    """A sample as it is kept."""
    return SAMPLE.pack(*(min(MOST, number) + 1 for number in row))


def joined(kept: bytes) -> bytes:
    """The one sample that stands for some: the mean of each count, and all checkouts."""
    rows = _rows(kept)
    if not rows:
        return bytes(SAMPLE.size)
    *counts, checkouts = zip(*rows, strict=True)
    return packed([*(round(sum(each) / len(rows)) for each in counts), sum(checkouts)])


def series(kept: bytes, group: int) -> dict[str, list[float | None]]:
    """Samples as steps of ``group`` each; None for a step without a sample."""
    size = SAMPLE.size * group
    steps = [_step(_rows(kept[first : first + size])) for first in range(0, len(kept), size)]
    columns = zip(*steps, strict=True) if steps else ([] for _ in SERIES)
    return dict(zip(SERIES, map(list, columns), strict=True))


def _rows(kept: bytes) -> list[list[int]]:
    """The samples that there are."""
    return [[number - 1 for number in row] for row in SAMPLE.iter_unpack(kept) if row[0]]


def _step(rows: Sequence[Row]) -> Sequence[float | None]:
    if len(rows) <= 1:
        return rows[0] if rows else [None] * len(SERIES)
    means = [round(sum(row[number] for row in rows) / len(rows), 1) for number in range(CHECKOUTS)]
    return [*means, sum(row[CHECKOUTS] for row in rows)]


def checkouts(pools: Iterable[str]) -> Mapping[str, int]:
    """How often each pool occurs."""
    counts: dict[str, int] = {}
    for pool in pools:
        counts[pool] = counts.get(pool, 0) + 1
    return counts
