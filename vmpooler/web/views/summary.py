"""The JSON of ``GET /summary``, and of the figures of days."""

from collections.abc import Mapping, Sequence
from typing import Any

from vmpooler.domain.summary import TAG, Figures, Sum
from vmpooler.web.views.pool import platform


def duration(figures: Figures) -> dict[str, Any]:
    """Return figures as clients receive them."""
    average = 0 if figures.mean is None else figures.mean
    return {"average": average, "min": figures.shortest, "max": figures.longest, "total": figures.total}


def week(dates: Sequence[str], clones: Sequence[Mapping[str, Any]], boots: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the JSON of each day.

    The arguments are the dates, and for each date the sums of clones and boots (see ``vmpooler.domain.summary``).
    """
    return [_day(*each) for each in zip(dates, clones, boots, strict=True)]


class Summary:
    """Adds up days of one or more routes. With a ``key``, reports only that member of each route."""

    def __init__(self, routes: Sequence[str], key: str | None = None) -> None:
        self._key = key
        self._overall: dict[str, _Times | _Tags] = {route: _Tags() if route == TAG else _Times() for route in routes}
        self._daily: list[dict[str, Any]] = []

    def add(self, day: str, sums: Mapping[str, Sum]) -> None:
        """Add a day. ``sums`` has the sum of each route."""
        shown = {route: self._narrow(overall.add(sums[route])) for route, overall in self._overall.items()}
        self._daily.append({"date": day, **shown})

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
        shown = {"duration": duration(whole), "count": {"total": whole.count}}
        return {name: {**shown[name], **more} for name, more in _by_pool(pools).items()} if pools else shown

    def report(self) -> dict[str, Any]:
        whole = Figures.joined(self._days)
        by_pool = _by_pool({pool: Figures.joined(figures) for pool, figures in self._pools.items()})
        counts = [day.count for day in self._days]
        count = {"average": round(whole.count / len(counts), 1), "min": min(counts), "max": max(counts)}
        return {
            "duration": {**duration(whole), **by_pool["duration"]},
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


def _day(date: str, clones: Mapping[str, Any], boots: Mapping[str, Any]) -> dict[str, Any]:
    cloned = {pool: Figures(*figures) for pool, figures in clones.items()}
    whole = Figures.joined(cloned.values())
    platforms: dict[str, int] = {}
    for pool, figures in cloned.items():
        platforms[platform(pool)] = platforms.get(platform(pool), 0) + figures.count
    booted = Figures.joined([Figures(*figures) for figures in boots.values()])
    averages = {"clone_average": whole.mean, "boot_average": booted.mean}
    return {"date": date, "cloned": whole.count, **averages, "platforms": platforms}


def _by_pool(pools: Mapping[str, Figures]) -> dict[str, dict[str, Any]]:
    return {
        "duration": {"pool": {pool: duration(figures) for pool, figures in pools.items()}},
        "count": {"pool": {pool: {"total": figures.count} for pool, figures in pools.items()}},
    }


def _totalled(tags: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return the tags with the total of each added to its values.

    A value that is itself named ``total`` is included in the sum only.
    """
    return {tag: {**values, "total": sum(values.values())} for tag, values in tags.items()}
