"""The evidence held against the invariants: each has its checks, which are counted, and tells its violations."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import attrs

from tests.chaos.claims import Claim, claims_of, unclaimed
from tests.chaos.evidence import Evidence, entry, told
from tests.chaos.history import Operation, Verb
from tests.chaos.story import GONE, Story, moment, story
from tests.load.replay import Replay
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.domain.times import moment as of_text

SPREAD = 0.01
"""Seconds by which two clocks of one machine may differ, cut off as each is."""

BY_CLIENT = "its client is done with it"
OVER = "reached end of TTL"
NOWHERE = "is nowhere to be found"
"""Why a running VM may be completed."""


@attrs.frozen
class Rules:
    """What the run was set up with: sizes of pools, what each name that clients ask for means, how many clones may be
    under way, hours that a VM lives, seconds that filling up again may take, VMs that are not the service's."""

    sizes: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]
    task_limit: int
    lifetime: float
    settles: float
    foreign: frozenset[str]


@attrs.define
class Verdict:
    """What became of one invariant."""

    checks: int = 0
    violations: list[str] = attrs.field(factory=list)

    def hold(self, good: bool, else_: Callable[[], str] | str) -> None:
        """Check one thing."""
        self.checks += 1
        if not good:
            self.violations.append(else_ if isinstance(else_, str) else else_())


@attrs.frozen
class Case:
    """The evidence, and what follows from it at once."""

    evidence: Evidence
    rules: Rules
    story: Story
    claims: list[Claim]


def judged(evidence: Evidence, rules: Rules) -> dict[int, Verdict]:
    """The verdict on each invariant, by its number."""
    told_again = story(evidence.events, (sample.last for sample in evidence.samples), rules.sizes)
    case = Case(evidence, rules, told_again, claims_of(evidence.operations, told_again, SPREAD))
    verdicts = {number: Verdict() for number in CHECKS}
    for number, checks in CHECKS.items():
        for check in checks:
            check(case, verdicts[number])
    return verdicts


def one_queue(case: Case, verdict: Verdict) -> None:
    """Each VM of each sample stands in one queue, and those that the events tell of stand somewhere."""
    for sample in case.evidence.samples:
        places = sample.places()
        for vm, queues in places.items():
            verdict.hold(len(queues) == 1, f"{vm} stands in {' and '.join(queues)} at {sample.when:.3f}")
        for vm in case.story.at[sample.last].keys() - places.keys():
            verdict.hold(False, f"{vm} stands nowhere at {sample.when:.3f}")


def given_once(case: Case, verdict: Verdict) -> None:
    """No VM is given to two."""
    for vm, count in Counter(claim.vm for claim in case.claims).items():
        verdict.hold(count == 1, f"{vm} was given {count} times")
    for claim in case.claims:
        back = [event for event in case.story.happened(claim.vm, What.RETURNED) if moment(event) >= claim.since]
        verdict.hold(not back, f"{claim.vm} went back to ready while client {claim.client} had it")


def kept(case: Case, verdict: Verdict) -> None:
    """What a client holds is completed for a good reason only, and is at the provider until then."""
    for claim in case.claims:
        ends = [event for event in case.story.happened(claim.vm, What.COMPLETED) if moment(event) >= claim.since]
        for event in ends:
            good = _may_end(case, claim, event.why, moment(event))
            verdict.hold(good, f"{claim.vm} was completed while client {claim.client} had it: {event.why}")
        if not ends and not _lost(case, claim.vm):
            verdict.hold(claim.vm in case.evidence.inventory, f"{claim.vm}, which a client has, is not at the vCenter")
    done = {vm: moment(event) for vm in case.story.of for event in case.story.happened(vm, What.COMPLETED)}
    for note in case.evidence.journal:
        if note.what == "destroy" and note.vm in case.story.of:
            good = note.when >= done.get(note.vm, float("inf")) - SPREAD
            verdict.hold(good, f"{note.vm} was destroyed at {note.when:.3f}, before it was completed")


def _may_end(case: Case, claim: Claim, why: str, when: float) -> bool:
    ours = [each for each in case.evidence.operations if each.vm == claim.vm]
    if why == BY_CLIENT:
        asked = [each for each in ours if each.verb is Verb.DELETE and not each.refused]
        return any(each.began <= when + SPREAD for each in asked)
    if why.startswith(OVER):
        asked = [each for each in ours if each.verb is Verb.LIFETIME and not each.refused]
        # A change that was answered before is in force, unless one of unknown outcome came after it, or too late.
        sure = [each for each in asked if each.done and each.ended < when]
        unsure = [float(each.value) for each in asked if not each.done or each.ended >= when]
        hours = [float(sure[-1].value)] if sure else [case.rules.lifetime]
        return when >= claim.since + min([*hours, *unsure]) * 3600 - 1.1  # records tell whole seconds
    return why.startswith(NOWHERE) and _lost(case, claim.vm, when)


def _lost(case: Case, vm: str, until: float = float("inf")) -> bool:
    """Whether the vCenter lost the VM before then."""
    made = moment(case.story.of[vm][0])
    return any(made <= forgot <= until for forgot in case.evidence.forgot)


def accounted(case: Case, verdict: Verdict) -> None:
    """What the provider holds at the end is in a queue, and the foreign VM is as it was."""
    places = case.evidence.end.places()
    for vm in case.evidence.inventory:
        queues = places.get(vm, [])
        known = vm in case.rules.foreign or (queues and queues != [Queue.DISCOVERED])
        verdict.hold(bool(known), f"{vm} is at the vCenter and {' and '.join(queues) or 'in no queue'}")
    for vm in case.rules.foreign:
        there = vm in case.evidence.inventory or bool(case.evidence.forgot)
        verdict.hold(there, f"{vm}, which is foreign, is gone")
    for note in case.evidence.journal:
        if note.what == "destroy":
            verdict.hold(note.vm in case.story.of and note.vm not in case.rules.foreign, f"{note.vm} was destroyed")


def clones(case: Case, verdict: Verdict) -> None:
    """No clone beyond a pool's size; never more under way than the limit, by our books and by the vCenter's."""
    ordered = sum(event.what is What.CLONE for event in case.evidence.events)
    verdict.checks += ordered - len(case.story.crowded)
    for each in case.story.crowded:
        verdict.hold(False, each)
    limit = case.rules.task_limit
    for sample in case.evidence.samples:
        verdict.hold(len(sample.cloning) <= limit, f"{len(sample.cloning)} clones in the books at {sample.when:.3f}")
        verdict.hold(sample.count == len(sample.cloning), f"{sample.count} clones are counted at {sample.when:.3f}")
    for note in case.evidence.journal:
        if note.what == "clone":
            verdict.hold(note.clones <= limit, f"{note.clones} clones under way at the vCenter at {note.when:.3f}")
    verdict.hold(not case.evidence.end.cloning, "a clone is counted as under way at the end")


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
            verdict.hold(STORED[operation.verb](case, operation), lambda operation=operation: _shown(operation))  # type: ignore[misc]  # called at once


def _tag(case: Case, asked: Operation) -> bool:
    return case.evidence.records[asked.vm].get(f"tag:{asked.name}") == asked.value


def _hours(case: Case, asked: Operation) -> bool:
    """The record has it, or what was asked for later, or at any time with unknown outcome."""
    ours = [each for each in case.evidence.operations if each.verb is Verb.LIFETIME and each.vm == asked.vm]
    may = {each.value for each in ours if each.began >= asked.began or each.unknown}
    return case.evidence.records[asked.vm].get("lifetime") in may


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
    """Every disk that was accepted is made once, unless its VM was finished with before."""
    for vm, events in case.story.of.items():
        asked = Counter(event.more["task"] for event in events if event.what is What.REQUESTED)
        ends = Counter(event.more["task"] for event in events if event.what in (What.DONE, What.GAVE_UP))
        for task in asked:
            over = case.story.stands.get(vm, GONE) != Queue.RUNNING or _lost(case, vm)
            verdict.hold(ends[task] == 1 or (over and not ends[task]), f"task {task} of {vm} ended {ends[task]} times")
        made = sorted(int(event.more["argument"]) for event in events if event.what is What.DONE)
        if vm in case.evidence.inventory and case.story.stands.get(vm) == Queue.RUNNING:
            there = sorted(case.evidence.inventory[vm])
            verdict.hold(there == made, f"{vm} has disks of {there} GB instead of {made}")


def nothing_by_refusals(case: Case, verdict: Verdict) -> None:
    """What no client was given was taken by requests of unknown outcome, and a VM that is there is not denied."""
    for what in unclaimed(case.evidence.events, case.claims, case.evidence.operations, case.rules.names):
        verdict.hold(False, what)
    for operation in case.evidence.operations:
        verdict.hold(operation.status != 500, lambda operation=operation: _shown(operation))  # type: ignore[misc]  # called at once
        if operation.vm and operation.status in (401, 403, 404) and operation.verb is not Verb.TRESPASS:
            ends = case.story.happened(operation.vm, What.COMPLETED)
            over = any(moment(event) <= operation.ended + SPREAD for event in ends)
            good = operation.status == 404 and operation.verb is Verb.DELETE and over
            verdict.hold(good, lambda operation=operation: _shown(operation))  # type: ignore[misc]  # called at once


def _shown(asked: Operation) -> str:
    what = f"{asked.name} {asked.value}".strip()
    return f"client {asked.client}: {asked.verb} {what} of {asked.vm} at {asked.began:.3f}: answered {asked.status}, not so"


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


def told_once(case: Case, verdict: Verdict) -> None:
    """Each event is a transition from where the events before left the VM, and they end where Redis has it."""
    verdict.checks += case.story.moves
    verdict.violations += case.story.wrong
    for sample in case.evidence.samples:
        for vm, queues in sample.places().items():
            stands = case.story.at[sample.last].get(vm)
            verdict.hold(stands in queues, f"{vm} is {' and '.join(queues)}, by its events {stands or 'nowhere'}")


def recorded(case: Case, verdict: Verdict) -> None:
    """The record and the history of each VM say what its events say."""
    for vm, events in case.story.of.items():
        texts = case.evidence.histories[vm]
        ours = [entry(event) for event in events][-len(texts) :] if texts else []
        verdict.hold(bool(texts) and [told(text) for text in texts] == ours, f"the history of {vm} is not its events")
        if vm in case.rules.foreign:
            continue
        record = case.evidence.records[vm]
        taken = [event for event in events if event.what in (What.CHECKOUT, What.RETURNED)]
        held = taken[-1] if taken and taken[-1].what is What.CHECKOUT else None
        since = of_text(record.get("checkout", ""))
        same = since is None if held is None else since is not None and abs(since - held.when) <= 1.1
        verdict.hold(same, f"{vm}: its record says checked out {since}, its last event {held and held.when}")
        destroyed = bool(case.story.happened(vm, What.DESTROYED))
        verdict.hold(("destroy" in record) == destroyed, f"{vm}: its record and its events differ on its end")
        disks = [f"+{event.more['argument']}gb" for event in events if event.what is What.DONE]
        verdict.hold(record.get("disk", "") == ":".join(disks), f"{vm}: its record has disks {record.get('disk')}")


def full_again(case: Case, verdict: Verdict) -> None:
    """Every pool is at size again, in time."""
    settled = case.evidence.settled
    verdict.hold(settled is not None and settled <= case.rules.settles, f"full again after {settled} s")
    for pool, size in case.rules.sizes.items():
        queues = {queue: len(case.evidence.end.queues[pool, queue]) for queue in (Queue.READY, Queue.PENDING)}
        good = queues[Queue.READY] == size and not queues[Queue.PENDING]
        verdict.hold(good, f"{pool} has {queues[Queue.READY]} of {size} ready, {queues[Queue.PENDING]} pending")


CHECKS: Mapping[int, Iterable[Callable[[Case, Verdict], None]]] = {
    1: (one_queue,),
    2: (given_once, kept),
    3: (accounted,),
    4: (clones,),
    5: (durable, disks, nothing_by_refusals),
    6: (refusals,),
    7: (told_once, recorded),
    8: (full_again,),
}
"""The checks of each invariant."""
