"""Plays schedules one after the other, checks them, and replays those that fail."""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import attrs
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.verification.proof.invariants import INVARIANTS, Violation
from tests.verification.simulation.clock import MORNING
from tests.verification.simulation.redis import LockStep
from tests.verification.simulation.schedule import Schedule
from tests.verification.simulation.simulation import Entry

GARBAGE = 20
"""Number of schedules between two garbage collections. A collection takes longer than a schedule."""

SHOWN = 60
"""Number of last steps that a failure shows."""

LONGEST = 400
"""Maximum characters shown of a step's detail, and of its outcome."""


@attrs.frozen
class ScheduleOutcome:
    """The result of a schedule. ``failure`` is empty on success. ``recovery``: seconds of virtual time until everything
    had recovered, beyond the waits that were due."""

    seed: int
    counts: Counter[str]
    checks: Counter[int]
    trace: Sequence[Entry]
    recovery: float
    failure: str = ""
    invariant: int = 0


def play(seed: int, redis: LockStep, kind: type[Schedule] = Schedule) -> ScheduleOutcome:
    """Play the schedule of a seed."""
    schedule, failure, invariant = kind(seed, redis), "", 0
    with _errors() as errors:
        try:
            schedule.run()
        except Violation as violation:
            failure, invariant = str(violation), violation.invariant.number
        except Exception:
            failure = f"a defect, perhaps of the simulation: {traceback.format_exc()}"
        finally:
            schedule.close()
    simulation = schedule.simulation
    if errors and not failure:
        failure = f"an unexpected error: {errors[0]}"
    return ScheduleOutcome(
        seed, simulation.counts, simulation.tally.checks, simulation.trace, schedule.recovery, failure, invariant
    )


@contextmanager
def _errors() -> Iterator[list[str]]:
    """Collect the failures that are logged in this block. Each one is a defect."""
    seen: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None or event.get("isError"):
            seen.append(f"{formatEvent(event)}\n{event.get('log_failure', '')}")

    globalLogPublisher.addObserver(observe)
    try:
        yield seen
    finally:
        globalLogPublisher.removeObserver(observe)


@attrs.frozen
class Totals:
    """The totals of many schedules."""

    seeds: list[int] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    checks: Counter[int] = attrs.field(factory=Counter)
    failures: dict[int, str] = attrs.field(factory=dict)
    recoveries: list[float] = attrs.field(factory=list)

    def add(self, outcome: ScheduleOutcome, failure: str) -> None:
        """Add the outcome of one schedule."""
        self.seeds.append(outcome.seed)
        self.counts.update(outcome.counts)
        self.checks.update(outcome.checks)
        self.recoveries.append(outcome.recovery)
        if failure:
            self.failures[outcome.seed] = failure

    def merge(self, other: Totals) -> None:
        """Add the totals of another worker."""
        self.seeds.extend(other.seeds)
        self.counts.update(other.counts)
        self.checks.update(other.checks)
        self.recoveries.extend(other.recoveries)
        self.failures.update(other.failures)

    def figures(self, seconds: float) -> dict[str, object]:
        """Return all figures, for JSON."""
        return {
            "schedules": len(self.seeds),
            "seconds": round(seconds, 1),
            "steps": self.counts["steps"],
            "commands": self.counts["commands"],
            "requests": self.counts["requests"],
            "terms of managers": self.counts["terms"],
            "slowest recovery": round(max(self.recoveries, default=0), 1),
            **{group: self.group(group) for group in ("request", "answer", "provider", "event", "fault")},
            "checks": {str(invariant): self.checks[invariant.number] for invariant in INVARIANTS},
            "violations": {str(seed): failure for seed, failure in sorted(self.failures.items())},
        }

    def group(self, name: str) -> dict[str, int]:
        """Return the counts whose names begin with the same group, the largest first."""
        head = f"{name}: "
        return {key.removeprefix(head): count for key, count in self.counts.most_common() if key.startswith(head)}


def play_all(seeds: Iterator[int], redis: LockStep, kind: type[Schedule] = Schedule) -> Totals:
    """Play the schedules of these seeds. A failing schedule is played twice."""
    totals = Totals()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for number, seed in enumerate(seeds):
            outcome = play(seed, redis, kind)
            totals.add(outcome, describe_failure(outcome, redis, kind) if outcome.failure else "")
            if number % GARBAGE == 0:
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return totals


def describe_failure(outcome: ScheduleOutcome, redis: LockStep, kind: type[Schedule] = Schedule) -> str:
    """Describe a failure: what it is, the steps before it, whether it replays, and the command that replays it."""
    again = difference(outcome.trace, play(outcome.seed, redis, kind).trace)
    steps = words(outcome.trace[-SHOWN:], redis.scripts)
    replay = f"python -m tests.verification.simulation --seed {outcome.seed} --trace"
    head = f"seed {outcome.seed}, after {len(outcome.trace)} steps: {outcome.failure}"
    return "\n".join([head, *steps, f"Played again: {again or 'exactly the same'}. To see it all: {replay}"])


def difference(first: Sequence[Entry], second: Sequence[Entry]) -> str:
    """Describe where two traces differ; empty when they are equal."""
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if repr(one) != repr(other):  # errors with the same text count as equal
            return f"differs at step {number}: {one} then, {other} now"
    if len(first) != len(second):
        return f"{len(first)} steps then, {len(second)} now"
    return ""


def words(trace: Sequence[Entry], scripts: Mapping[str, str]) -> Iterator[str]:
    """Format steps as lines."""
    for entry in trace:
        detail: object = entry.detail
        if isinstance(detail, tuple) and detail and detail[0] == "EVALSHA":
            detail = (scripts.get(str(detail[1])), *detail[3 + int(detail[2]) :])
        outcome = "" if entry.outcome is None else f" -> {entry.outcome}"[:LONGEST]
        yield f"{entry.when - MORNING:9.3f} {entry.who:10} {entry.what} {str(detail)[:LONGEST]}{outcome}"
