"""Servers measured in turn, so that what else happens on the machine hits all of them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Protocol

from benchmarks.row import Row
from benchmarks.scale import Scale
from benchmarks.wrk import Load, Run, run

Rounds = Mapping[str, Sequence[Run]]

Figure = Callable[[Run], float]


class Server(Protocol):
    """Something that listens."""

    @property
    def url(self) -> str:
        """Where."""

    @property
    def pids(self) -> Sequence[int]:
        """Its processes."""


def alternate(
    servers: Mapping[str, Server],
    loads: Mapping[str, Load],
    scale: Scale,
    before: Callable[[str], None] = lambda name: None,
) -> Rounds:
    """Each server's rounds under its load, one of each in turn; ``before`` is told of every one."""
    found: dict[str, list[Run]] = {name: [] for name in loads}
    for seconds in (scale.warm, *[scale.seconds] * scale.rounds):
        for name, load in loads.items() if seconds else ():
            before(name)
            found[name].append(run(servers[name].url, servers[name].pids, load, seconds))
    return {name: runs[-scale.rounds :] for name, runs in found.items()}


def middle(runs: Sequence[Run], figure: Figure) -> float:
    """The median of a figure."""
    return median(figure(each) for each in runs)


def ratio(rounds: Rounds, ours: str, floor: str, figure: Figure) -> float:
    """The median of our figure against the floor's in the same round."""
    return median(
        figure(one) / max(figure(other), 1e-9) for one, other in zip(rounds[ours], rounds[floor], strict=True)
    )


def rate(run: Run) -> float:
    """How many a second."""
    return run.rate


def cpu(run: Run) -> float:
    """Microseconds of CPU for each."""
    return run.cpu


def refused(rounds: Rounds) -> int:
    """How many requests were not answered as they should."""
    return sum(run.refused + run.lost for runs in rounds.values() for run in runs)


def compared(rounds: Rounds, floor: str, what: str, least: float) -> Row:
    """Ours beside a floor, which asks for that share of its rate, and for no refusal."""
    of_rate, of_cpu, lost = ratio(rounds, "ours", floor, rate), ratio(rounds, "ours", floor, cpu), refused(rounds)
    return Row(
        what,
        shown(rounds["ours"]) + (f", {lost} refused" if lost else ""),
        shown(rounds[floor]),
        f"rate x {of_rate:.2f}, CPU x {of_cpu:.2f}",
        f"rate at least x {least:.2g}",
        of_rate >= least and not lost,
        {"rate": of_rate, "cpu": of_cpu, "refused": lost, "a second": middle(rounds["ours"], rate)},
    )


def shown(runs: Sequence[Run]) -> str:
    """Rate and CPU as people read them."""
    return f"{middle(runs, rate):,.0f}/s, {middle(runs, cpu):.0f} µs"
