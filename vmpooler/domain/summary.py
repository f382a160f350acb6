"""Daily sums: how long clones and boots took, and which tags were set.

A day's *sum* is the part of its data that is stored: small, and JSON. For ``boot`` and ``clone`` it has a list for each
pool: the count, and the seconds of all together, of the shortest and of the longest. For ``tag`` it has for each tag
the number of VMs by value.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Self

import attrs

from vmpooler.domain.errors import Invalid

ROUTES = ("boot", "clone", "tag")
"""The routes that have summaries."""

TAG = "tag"

UNKNOWN = "unknown"
"""Name of the pool or tag if a field names none."""

DAYS_MOST = 366
"""Maximum number of days in one summary."""

MAX_SHOWN = 40
"""Maximum characters of an invalid date in an error text."""

DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
SECONDS = re.compile(r"\d{1,15}(\.\d{1,15})?", re.ASCII)

Sum = Mapping[str, Any]


def days(start: str | None, end: str | None, today: str) -> list[str]:
    """Return every date from ``start`` to ``end``. Both default to today; no date is later than today.

    Raises Invalid with the texts of Ruby vmpooler: docs/compatibility.md#summary.
    """
    now = date.fromisoformat(today)
    first, last = (now if text is None else _date(text) for text in (start, end))
    if last < first:
        raise Invalid("Date range is invalid, 'to' cannot come before 'from'.")
    if first > now:
        raise Invalid("Date range is invalid, 'from' must be in the past.")
    count = (min(last, now) - first).days + 1
    if count > DAYS_MOST:
        raise Invalid(f"Date range is invalid, it cannot have more than {DAYS_MOST} days.")
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


def seconds(text: str) -> float | None:
    """Return a duration from its stored text; None if it is not valid.

    Ruby vmpooler can leave an empty text, for example.
    """
    return float(text) if SECONDS.fullmatch(text) else None


def summed(route: str, flat: Sequence[str]) -> Sum:
    """Return the sum of a day from its hash: field, value, field, ..."""
    fields = zip(flat[::2], flat[1::2], strict=True)
    return _tags(fields) if route == TAG else _times(fields)


@attrs.frozen
class Figures:
    """A number of durations: their count, and in seconds the total, the shortest and the longest."""

    count: int = 0
    total: float = 0
    shortest: float = 0
    longest: float = 0

    @classmethod
    def of(cls, times: Sequence[float]) -> Self:
        """Return the figures of these durations."""
        return cls(len(times), round(math.fsum(times), 2), min(times), max(times)) if times else cls()

    @classmethod
    def joined(cls, parts: Iterable["Figures"]) -> Self:
        """Return the figures of all parts together."""
        some = [part for part in parts if part.count]
        if not some:
            return cls()
        total = round(math.fsum(part.total for part in some), 2)
        shortest, longest = min(part.shortest for part in some), max(part.longest for part in some)
        return cls(sum(part.count for part in some), total, shortest, longest)

    @property
    def mean(self) -> float | None:
        """The mean in seconds; None if there were none."""
        return round(self.total / self.count, 1) if self.count else None


def _date(text: str) -> date:
    try:
        if DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise Invalid(f"Invalid date format '{text[:MAX_SHOWN]}', must match YYYY-MM-DD.")


def _times(fields: Iterable[tuple[str, str]]) -> Sum:
    times: dict[str, list[float]] = {}
    for field, text in fields:
        time = seconds(text)
        if time is not None:
            pool, named, _ = field.partition(":")
            times.setdefault(pool if named else UNKNOWN, []).append(time)
    return {pool: attrs.astuple(Figures.of(ours)) for pool, ours in times.items()}


def _tags(fields: Iterable[tuple[str, str]]) -> Sum:
    tags: dict[str, dict[str, int]] = {}
    for field, value in fields:
        _, named, tag = field.partition(":")
        counts = tags.setdefault(tag if named else UNKNOWN, {})
        counts[value] = counts.get(value, 0) + 1
    return tags
