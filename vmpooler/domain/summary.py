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

    def duration(self) -> dict[str, Any]:
        """Return the JSON that clients receive."""
        average = round(self.total / self.count, 1) if self.count else 0
        return {"average": average, "min": self.shortest, "max": self.longest, "total": self.total}


class Summary:
    """Adds up days of one or more routes. With a ``key``, reports only that member of each route."""

    def __init__(self, routes: Sequence[str], key: str | None = None) -> None:
        self._key = key
        self._overall: dict[str, _Times | _Tags] = {route: _Tags() if route == TAG else _Times() for route in routes}
        self._daily: list[dict[str, Any]] = []

    def add(self, day: str, sums: Mapping[str, Sum]) -> None:
        """Add a day. ``sums`` has the sum of each route."""
        told = {route: self._narrow(overall.add(sums[route])) for route, overall in self._overall.items()}
        self._daily.append({"date": day, **told})

    def report(self) -> dict[str, Any]:
        """Return the JSON that clients receive. Source: docs/compatibility.md#summary."""
        return {
            **{route: self._narrow(overall.report()) for route, overall in self._overall.items()},
            "daily": self._daily,
        }

    def _narrow(self, members: dict[str, Any]) -> dict[str, Any]:
        if self._key is None:
            return members
        return {self._key: members[self._key]} if self._key in members else {}


class _Times:
    """Clones or boots of several days.

    A pool's average is the average of its clones. Ruby vmpooler returned the mean of each day's shortest and longest
    time, which a single slow clone changes as much as a thousand others.
    """

    def __init__(self) -> None:
        self._days: list[Figures] = []
        self._pools: dict[str, list[Figures]] = {}

    def add(self, day: Sum) -> dict[str, Any]:
        pools = {pool: Figures(*row) for pool, row in day.items()}
        for pool, figures in pools.items():
            self._pools.setdefault(pool, []).append(figures)
        whole = Figures.joined(pools.values())
        self._days.append(whole)
        told = {"duration": whole.duration(), "count": {"total": whole.count}}
        return {name: {**told[name], **more} for name, more in _by_pool(pools).items()} if pools else told

    def report(self) -> dict[str, Any]:
        whole = Figures.joined(self._days)
        by_pool = _by_pool({pool: Figures.joined(figures) for pool, figures in self._pools.items()})
        counts = [day.count for day in self._days]
        count = {"average": round(whole.count / len(counts), 1), "min": min(counts), "max": max(counts)}
        return {
            "duration": {**whole.duration(), **by_pool["duration"]},
            "count": {**count, "total": whole.count, **by_pool["count"]},
        }


class _Tags:
    """Tags of several days."""

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, int]] = {}

    def add(self, day: Sum) -> dict[str, Any]:
        for tag, values in day.items():
            counts = self._tags.setdefault(tag, {})
            for value, count in values.items():
                counts[value] = counts.get(value, 0) + count
        return _totalled(day)

    def report(self) -> dict[str, Any]:
        return _totalled(self._tags)


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


def _by_pool(pools: Mapping[str, Figures]) -> dict[str, dict[str, Any]]:
    return {
        "duration": {"pool": {pool: figures.duration() for pool, figures in pools.items()}},
        "count": {"pool": {pool: {"total": figures.count} for pool, figures in pools.items()}},
    }


def _totalled(tags: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return the tags with the total of each added to its values.

    A value that is itself named ``total`` is included in the sum only.
    """
    return {tag: {**values, "total": sum(values.values())} for tag, values in tags.items()}
