"""Builds the JSON rows of the pools for the dashboard: see docs/events.md."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from vmpooler.domain import times
from vmpooler.domain.summary import Figures
from vmpooler.settings import Pool

FAILING_MOST = 5
"""Maximum number of failing subjects in a row."""

SUBJECTS = {
    ":clone": "clone",
    ":inventory": "inventory",
    ":missing": "missing VMs",
    ":answers": "answers",
    ":power": "power",
}
"""Subjects other than VMs that can fail, as words."""


@attrs.frozen
class Failing:
    """A subject that keeps failing: how often in a row, when (epoch) it is retried, and why it failed last."""

    subject: str
    tries: int
    until: float
    why: str


@attrs.frozen
class Standing:
    """The number of VMs of a pool by queue, and what fails there. ``flagged``: why the mass guard holds, or empty."""

    ready: int = 0
    pending: int = 0
    running: int = 0
    completed: int = 0
    cloning: int = 0
    failing: tuple[Failing, ...] = ()
    flagged: str = ""
    last_boot: str = ""


@attrs.frozen
class Today:
    """The clones of a day so far, and the mean seconds of clones and boots; None if there were none."""

    cloned: int = 0
    clone_average: float | None = None
    boot_average: float | None = None


def platform(pool: str) -> str:
    """Return the family of a pool: what precedes the first hyphen of its name."""
    return pool.partition("-")[0]


def row(pool: Pool, standing: Standing) -> dict[str, Any]:
    """Return the JSON row of a pool."""
    worst = sorted(standing.failing, key=lambda each: (-each.tries, each.subject))[:FAILING_MOST]
    return {
        "name": pool.name,
        "alias": list(pool.alias),
        "platform": platform(pool.name),
        "size": pool.size,
        "ready": standing.ready,
        "pending": standing.pending,
        "cloning": min(standing.cloning, standing.pending),
        "running": standing.running,
        "completed": standing.completed,
        "empty": bool(pool.size) and not standing.ready,
        "flagged": standing.flagged or None,
        "failing": [attrs.asdict(each) | {"subject": SUBJECTS.get(each.subject, each.subject)} for each in worst],
        "last_boot": times.moment(standing.last_boot),
    }


def mean(figures: Figures) -> float | None:
    """Return the mean of some times, to a tenth of a second; None if there are none."""
    return round(figures.total / figures.count, 1) if figures.count else None


def week(dates: Sequence[str], clones: Sequence[Mapping[str, Any]], boots: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the JSON of each day.

    The arguments are the dates, and for each date the sums of clones and boots (see ``vmpooler.domain.summary``).
    """
    return [_day(*each) for each in zip(dates, clones, boots, strict=True)]


def _day(date: str, clones: Mapping[str, Any], boots: Mapping[str, Any]) -> dict[str, Any]:
    cloned = {pool: Figures(*figures) for pool, figures in clones.items()}
    whole = Figures.joined(cloned.values())
    platforms: dict[str, int] = {}
    for pool, figures in cloned.items():
        platforms[platform(pool)] = platforms.get(platform(pool), 0) + figures.count
    booted = Figures.joined([Figures(*figures) for figures in boots.values()])
    averages = {"clone_average": mean(whole), "boot_average": mean(booted)}
    return {"date": date, "cloned": whole.count, **averages, "platforms": platforms}
