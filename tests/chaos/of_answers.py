"""The checks of what clients were told."""

from collections import Counter
from collections.abc import Callable, Mapping

from tests.chaos.claims import unclaimed
from tests.chaos.history import Operation, Verb
from tests.chaos.story import GONE, moment
from tests.chaos.verdict import SPREAD, Case, Verdict
from tests.load.replay import Replay
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue


def durable(case: Case, verdict: Verdict) -> None:
    """What was answered with 2xx is so, and stays so."""
    taken = Counter((claim.operation, claim.vm) for claim in case.claims if claim.found)
    for claim in case.claims:
        good = taken[claim.operation, claim.vm] == 1
        verdict.hold(good, f"{claim.vm} was given to client {claim.client}, and no event tells of it")
        place = case.story.stands.get(claim.vm, GONE)
        verdict.hold(place in (Queue.RUNNING, Queue.COMPLETED, GONE), f"{claim.vm}, which was given, is {place}")
    for operation in case.evidence.operations:
        if operation.done and operation.verb in STORED:
            verdict.hold(STORED[operation.verb](case, operation), _shown(operation))


def _tag(case: Case, asked: Operation) -> bool:
    return case.record(asked.vm).get(f"tag:{asked.name}") == asked.value


def _hours(case: Case, asked: Operation) -> bool:
    """The record has it, or what was asked for later, or at any time with unknown outcome."""
    ours = [each for each in case.asked_of(asked.vm) if each.verb is Verb.LIFETIME]
    may = {each.value for each in ours if each.began >= asked.began or each.unknown}
    return case.record(asked.vm).get("lifetime") in may


def _disk(case: Case, asked: Operation) -> bool:
    """It was noted when it was asked for; what became of it, another check tells."""
    requested = case.story.happened(asked.vm, What.REQUESTED)
    return any(
        event.more["argument"] == asked.value and asked.began - SPREAD <= moment(event) <= asked.ended + SPREAD
        for event in requested
    )


def _deleted(case: Case, asked: Operation) -> bool:
    ends = case.story.happened(asked.vm, What.COMPLETED)
    return any(moment(event) <= asked.ended + SPREAD for event in ends) and case.story.stands.get(asked.vm, GONE) in (
        Queue.COMPLETED,
        GONE,
    )


STORED: Mapping[Verb, Callable[[Case, Operation], bool]] = {
    Verb.TAG: _tag,
    Verb.LIFETIME: _hours,
    Verb.DISK: _disk,
    Verb.DELETE: _deleted,
    Verb.TRESPASS: lambda case, asked: False,
}
"""Whether what was answered with 2xx is so at the end."""


def disks(case: Case, verdict: Verdict) -> None:
    """Every disk that was accepted is made once, or still on its way, unless its VM was finished with before."""
    for vm, events in case.story.of.items():
        asked = {event.more["task"] for event in events if event.what is What.REQUESTED}
        ends = Counter(event.more["task"] for event in events if event.what in (What.DONE, What.GAVE_UP))
        runs = case.story.stands.get(vm) == Queue.RUNNING
        open_ = asked & case.evidence.open_tasks
        for task in asked:
            good = ends[task] + (task in open_) == 1 or (not runs and ends[task] <= 1)
            verdict.hold(good, f"task {task} of {vm} ended {ends[task]} times")
        if runs and vm in case.evidence.inventory:
            made = Counter(int(event.more["argument"]) for event in events if event.what is What.DONE)
            there = Counter(case.evidence.inventory[vm])
            good = made <= there and (there - made).total() <= len(open_)
            verdict.hold(good, f"{vm} has disks of {sorted(there.elements())} GB instead of {sorted(made.elements())}")


def nothing_by_refusals(case: Case, verdict: Verdict) -> None:
    """What no client was given was taken by requests of unknown outcome, and a VM that is there is not denied."""
    for what in unclaimed(case.evidence.events, case.claims, case.evidence.operations, case.rules.names):
        verdict.hold(False, what)
    for operation in case.evidence.operations:
        verdict.hold(operation.status != 500, _shown(operation))
        if operation.vm and operation.status in (401, 403, 404) and operation.verb is not Verb.TRESPASS:
            ends = case.story.happened(operation.vm, What.COMPLETED)
            over = any(moment(event) <= operation.ended + SPREAD for event in ends)
            good = operation.status == 404 and operation.verb is Verb.DELETE and over
            verdict.hold(good, _shown(operation))


def _shown(asked: Operation) -> str:
    what = f"{asked.name} {asked.value}".strip()
    told = f"client {asked.client}: {asked.verb} {what} of {asked.vm} at {asked.began:.3f}"
    return f"{told} was answered with {asked.status}, and that is not so"


def refusals(case: Case, verdict: Verdict) -> None:
    """Who was told that too few are ready asked at a time when at some moment there were too few."""
    replay = Replay(case.evidence.events)
    for asked in case.evidence.operations:
        if asked.verb is Verb.CHECKOUT and asked.refused:
            good = asked.status == 503 and not _enough(case, asked, replay)
            verdict.hold(good, f"{dict(asked.wanted)} refused with {asked.status} at {asked.began:.3f}")


def _enough(case: Case, asked: Operation, replay: Replay) -> bool:
    """Whether all of it was ready all the time. A name that stands for several pools comes after those of one."""
    begin, end = asked.began - SPREAD, asked.ended + SPREAD
    ready = {pool: replay.fewest_ready(pool, begin, end) for pool in case.rules.sizes}
    for name in sorted(asked.wanted, key=lambda name: len(case.rules.names[name])):
        left = asked.wanted[name]
        for pool in case.rules.names[name]:
            taken = min(left, ready[pool])
            ready[pool] -= taken
            left -= taken
        if left:
            return False
    return True
