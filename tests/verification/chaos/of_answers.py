"""The checks of the responses that clients received."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.verification.chaos.claims import unclaimed
from tests.verification.chaos.history import Operation, Verb
from tests.verification.chaos.story import GONE, moment
from tests.verification.chaos.verdict import SPREAD, Analysis, Verdict
from tests.verification.load.replay import EventReplay
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind

SAMPLED_WITHIN = 0.6
"""Seconds within which a sample exists while Redis answers."""

CATCHES_UP = 1.0
"""Seconds within which a delayed order is carried out."""


def durable(case: Analysis, verdict: Verdict) -> None:
    """Check that everything answered with 2xx was done and stays done."""
    taken = Counter((claim.operation, claim.vm) for claim in case.claims if claim.found)
    for claim in case.claims:
        good = taken[claim.operation, claim.vm] == 1
        verdict.hold(good, f"{claim.vm} was given to client {claim.client}, and no event reports it")
        place = case.story.stands.get(claim.vm, GONE)
        verdict.hold(place in (Queue.RUNNING, Queue.COMPLETED, GONE), f"{claim.vm}, which was given, is {place}")
    for operation in case.evidence.operations:
        if operation.done and operation.verb in STORED:
            verdict.hold(STORED[operation.verb](case, operation), _shown(operation))


def _tag(case: Analysis, asked: Operation) -> bool:
    return case.record(asked.vm).get(f"tag:{asked.name}") == asked.value


def _hours(case: Analysis, asked: Operation) -> bool:
    """Whether the record has this value, or one that was requested later or with unknown outcome."""
    ours = [each for each in case.asked_of(asked.vm) if each.verb is Verb.LIFETIME]
    may = {each.value for each in ours if each.began >= asked.began or each.unknown}
    return case.record(asked.vm).get("lifetime") in may


def _task(case: Analysis, asked: Operation) -> bool:
    """Whether the task was recorded when it was requested. Another check covers what became of it."""
    requested = case.story.happened(asked.vm, What.REQUESTED)
    return any(
        (event.more["kind"], event.more["argument"]) == (KINDS[asked.verb], asked.value)
        and asked.began - SPREAD <= moment(event) <= asked.ended + SPREAD
        for event in requested
    )


def _deleted(case: Analysis, asked: Operation) -> bool:
    ends = case.story.happened(asked.vm, What.COMPLETED)
    return any(moment(event) <= asked.ended + SPREAD for event in ends) and case.story.stands.get(asked.vm, GONE) in (
        Queue.COMPLETED,
        GONE,
    )


KINDS = {Verb.DISK: Kind.DISK, Verb.SNAPSHOT: Kind.SNAPSHOT, Verb.REVERT: Kind.REVERT}

STORED: Mapping[Verb, Callable[[Analysis, Operation], bool]] = {
    Verb.TAG: _tag,
    Verb.LIFETIME: _hours,
    Verb.DISK: _task,
    Verb.SNAPSHOT: _task,
    Verb.REVERT: _task,
    Verb.DELETE: _deleted,
    Verb.TRESPASS: lambda case, asked: False,
    Verb.NONSENSE: lambda case, asked: False,
}
"""Whether a request answered with 2xx still shows its effect at the end."""


def disks(case: Analysis, verdict: Verdict) -> None:
    """Check that every accepted disk was made once or is still pending, unless its VM was completed before."""
    for vm, events in case.story.of.items():
        asked = {event.more["task"] for event in events if event.what is What.REQUESTED}
        ends = Counter(event.more["task"] for event in events if event.what in (What.DONE, What.GAVE_UP))
        runs = case.story.stands.get(vm) == Queue.RUNNING
        open_ = asked & case.evidence.open_tasks
        for task in asked:
            good = ends[task] + (task in open_) == 1 or (not runs and ends[task] <= 1)
            verdict.hold(good, f"task {task} of {vm} ended {ends[task]} times")
        if runs and vm in case.evidence.inventory:
            made, there = Counter(_made(events)), Counter(case.evidence.inventory[vm])
            good = made <= there and (there - made).total() <= len(open_)
            if any(event.more["kind"] == Kind.REVERT for event in events if event.more.get("task") in open_):
                good = there <= Counter(_ever(events))  # the revert may have been carried out, or not yet
            verdict.hold(good, f"{vm} has disks of {sorted(there.elements())} GB instead of {sorted(made.elements())}")


def _made(events: Sequence[Event]) -> list[int]:
    """Return the disks that a VM has after these events, in this order."""
    disks: list[int] = []
    kept: dict[str, list[int]] = {}
    for event in events:
        if event.what is What.DONE:
            argument = event.more["argument"]
            match event.more["kind"]:
                case Kind.DISK:
                    disks.append(int(argument))
                case Kind.SNAPSHOT:
                    kept[argument] = list(disks)
                case Kind.REVERT:
                    disks = list(kept.get(argument, []))
    return disks


def _ever(events: Sequence[Event]) -> list[int]:
    """Return all disks that were requested."""
    asked = [event.more for event in events if event.what is What.REQUESTED]
    return [int(more["argument"]) for more in asked if more["kind"] == Kind.DISK]


def reverts(case: Analysis, verdict: Verdict) -> None:
    """Check that a VM is only reverted while a revert of it is requested and not yet done. Later work of its client
    must not be undone by a second revert. An order that was delayed on its way to the vCenter is not caught (Note
    [Fencing])."""
    for note in case.evidence.journal:
        held_up = any(begin <= note.when <= end + CATCHES_UP for begin, end in case.evidence.held_up)
        if note.what != "revert" or held_up or note.vm not in case.story.of:
            continue
        events = case.story.of[note.vm]
        asked = [event for event in events if event.what is What.REQUESTED and event.more["kind"] == Kind.REVERT]
        requested = {event.more["task"] for event in asked if moment(event) <= note.when + SPREAD}
        ends = [event for event in events if event.what in (What.DONE, What.GAVE_UP)]
        done = {event.more["task"] for event in ends if moment(event) < note.when - SPREAD}
        verdict.hold(bool(requested - done), f"{note.vm} was reverted at {note.when:.3f}, and no revert was open")


def refused_changed_nothing(case: Analysis, verdict: Verdict) -> None:
    """Check that what had to be refused was refused, and left no trace in record, events and vCenter."""
    for asked in case.evidence.operations:
        if asked.verb not in (Verb.TRESPASS, Verb.NONSENSE):
            continue
        verdict.hold(not asked.done, _shown(asked))
        if asked.name:
            verdict.hold(f"tag:{asked.name}" not in case.record(asked.vm), f"{_shown(asked)}: its tag is there")
        if asked.value:
            verdict.hold(case.record(asked.vm).get("lifetime") != asked.value, f"{_shown(asked)}: its hours are there")
            requested = [event.more["argument"] for event in case.story.happened(asked.vm, What.REQUESTED)]
            made = map(str, case.evidence.inventory.get(asked.vm, ()))
            verdict.hold(asked.value not in [*requested, *made], f"{_shown(asked)}: its disk was asked for")


def nothing_by_refusals(case: Analysis, verdict: Verdict) -> None:
    """Check that each checkout without a response belongs to a request of unknown outcome. Also check that the API does
    not deny a VM that exists, and answers no request with 500."""
    for what in unclaimed(case.evidence.events, case.claims, case.evidence.operations, case.rules.names):
        verdict.hold(False, what)
    for operation in case.evidence.operations:
        verdict.hold(operation.status != 500, _shown(operation))
        must = operation.verb in (Verb.TRESPASS, Verb.NONSENSE)
        if operation.verb is Verb.REVERT and not _taken(case, operation):
            continue  # the snapshot did not exist yet
        if operation.vm and operation.status in (401, 403, 404) and not must:
            ends = case.story.happened(operation.vm, What.COMPLETED)
            over = any(moment(event) <= operation.ended + SPREAD for event in ends)
            good = operation.status == 404 and operation.verb is Verb.DELETE and over
            verdict.hold(good, _shown(operation))


def _taken(case: Analysis, asked: Operation) -> bool:
    """Whether the snapshot was taken before the revert to it was requested."""
    done = case.story.happened(asked.vm, What.DONE)
    return any(event.more["argument"] == asked.value and moment(event) < asked.began - SPREAD for event in done)


def _shown(asked: Operation) -> str:
    what = f"{asked.name} {asked.value}".strip()
    request = f"client {asked.client}: {asked.verb} {what} of {asked.vm} at {asked.began:.3f}"
    return f"{request} was answered with {asked.status}, and that is not so"


def refusals(case: Analysis, verdict: Verdict) -> None:
    """Check that each refused checkout was made at a time when, at some moment, too few VMs were ready."""
    replay = EventReplay(case.evidence.events)
    for asked in case.evidence.operations:
        if asked.verb is Verb.CHECKOUT and asked.refused:
            good = asked.status == 503 and not _enough(case, asked, replay)
            good = good or (asked.status == 404 and not case.rules.changing.isdisjoint(asked.wanted))
            good = good or (asked.status == 503 and _unverified(case, asked))
            verdict.hold(good, f"{dict(asked.wanted)} refused with {asked.status} at {asked.began:.3f}")


def _unverified(case: Analysis, asked: Operation) -> bool:
    """Whether a requested pool may not yet have been compared with the vCenter after Redis was replaced. Until then no
    VM is given from it."""
    pools = {pool for name in asked.wanted for pool in case.rules.names[name]}
    near = [
        each
        for each in case.evidence.samples
        if asked.began - SAMPLED_WITHIN <= each.when <= asked.ended + SAMPLED_WITHIN
    ]
    return any(each.verified is not None and pools - each.verified for each in near)


def _enough(case: Analysis, asked: Operation, replay: EventReplay) -> bool:
    """Whether all requested VMs were ready all the time. Names with several pools are served after names with one."""
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
