"""Measures servers in turn, so that other load on the machine affects all of them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Protocol

from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from benchmarks.wrk import LoadResult, RequestLoad, run

Rounds = Mapping[str, Sequence[LoadResult]]

Figure = Callable[[LoadResult], float]


class MeasuredServer(Protocol):
    """A server to measure."""

    @property
    def url(self) -> str:
        """The URL at which it listens."""

    @property
    def pids(self) -> Sequence[int]:
        """The ids of its processes."""


def alternate(
    servers: Mapping[str, MeasuredServer],
    loads: Mapping[str, RequestLoad],
    scale: Scale,
    before: Callable[[str], None] = lambda name: None,
) -> Rounds:
    """Measure each server under its load, one round of each in turn. ``before`` is called with the name before each.

    Return the rounds of each server, without the warm-up round.
    """
    found: dict[str, list[LoadResult]] = {name: [] for name in loads}
    for seconds in (scale.warm, *[scale.seconds] * scale.rounds):
        for name, load in loads.items() if seconds else ():
            before(name)
            found[name].append(run(servers[name].url, servers[name].pids, load, seconds))
    return {name: runs[-scale.rounds :] for name, runs in found.items()}


def middle(runs: Sequence[LoadResult], figure: Figure) -> float:
    """Return the median of a figure."""
    return median(figure(each) for each in runs)


def ratio(rounds: Rounds, ours: str, floor: str, figure: Figure) -> float:
    """Return the median of our figure divided by the floor's in the same round."""
    return median(
        figure(one) / max(figure(other), 1e-9) for one, other in zip(rounds[ours], rounds[floor], strict=True)
    )


def rate(run: LoadResult) -> float:
    """Return the requests a second."""
    return run.rate


def cpu(run: LoadResult) -> float:
    """Return the microseconds of CPU time for each request."""
    return run.cpu


def refused(rounds: Rounds) -> int:
    """Return how many requests got an error or no response."""
    return sum(run.refused + run.lost for runs in rounds.values() for run in runs)


def compared(rounds: Rounds, floor: str, what: str, least: float) -> ResultRow:
    """Return the row that compares ours with a floor. The target: ``least`` times its rate, and no refused request."""
    of_rate, of_cpu, lost = ratio(rounds, "ours", floor, rate), ratio(rounds, "ours", floor, cpu), refused(rounds)
    return ResultRow(
        what,
        shown(rounds["ours"]) + (f", {lost} refused" if lost else ""),
        shown(rounds[floor]),
        f"rate x {of_rate:.2f}, CPU x {of_cpu:.2f}",
        f"rate at least x {least:.2g}",
        of_rate >= least and not lost,
        {"rate": of_rate, "cpu": of_cpu, "refused": lost, "a second": middle(rounds["ours"], rate)},
    )


def shown(runs: Sequence[LoadResult]) -> str:
    """Return rate and CPU time as text."""
    return f"{middle(runs, rate):,.0f}/s, {middle(runs, cpu):.0f} µs"
