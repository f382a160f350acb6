"""The checks of a run in which Redis lost writes.

They use the clients' responses, the vCenter's journal and the state at the end: the events of lost writes are lost,
too.

Weakened: tags, disks and hours that were answered before a lapse may be lost, the events of a VM need not be
consistent, clones may be ordered beyond the size, and a client may be refused. Not weakened: a VM that a client was
given is given to no other client, and is not destroyed before its client deletes it or its lifetime ends.
"""

from collections import Counter

from tests.verification.chaos.history import Operation, Verb
from tests.verification.chaos.of_answers import STORED
from tests.verification.chaos.verdict import SPREAD, Analysis, Verdict
from vmpooler.domain.model import Queue

SINCE = 3.0
"""Seconds after a lapse from which answers must be durable."""


def one_place(case: Analysis, verdict: Verdict) -> None:
    """Check that no VM stands in two queues."""
    for sample in case.evidence.samples:
        for vm, queues in sample.places().items():
            verdict.hold(len(queues) == 1, f"{vm} stands in {' and '.join(queues)} at {sample.when:.3f}")


def never_twice(case: Analysis, verdict: Verdict) -> None:
    """Check that no VM is ever given to two clients."""
    given = Counter(vm for operation in case.evidence.operations for vm in operation.given)
    for vm, count in given.items():
        verdict.hold(count == 1, f"{vm} was given {count} times")


def never_destroyed(case: Analysis, verdict: Verdict) -> None:
    """Check that a client's VM stays at the vCenter until the client deletes it or its lifetime ends."""
    given = {vm: operation for operation in case.evidence.operations for vm in operation.given}
    for note in case.evidence.journal:
        if note.what == "destroy" and note.vm in given:
            good = _may_go(case, given[note.vm], note.vm, note.when)
            verdict.hold(good, f"{note.vm} was destroyed at {note.when:.3f}, while a client had it")


def _may_go(case: Analysis, checkout: Operation, vm: str, when: float) -> bool:
    asked = [each for each in case.asked_of(vm) if not each.refused and each.began <= when + SPREAD]
    if any(each.verb is Verb.DELETE for each in asked):
        return True
    hours = [case.rules.lifetime, *(float(each.value) for each in asked if each.verb is Verb.LIFETIME)]
    return when >= checkout.began + min(hours) * 3600 - 1.1  # records keep whole seconds


def nothing_unknown(case: Analysis, verdict: Verdict) -> None:
    """Check that each VM at the vCenter is in a queue at the end, and that no foreign VM was destroyed."""
    places = case.evidence.end.places()
    for vm in case.evidence.inventory:
        queues = places.get(vm, [])
        known = vm in case.rules.foreign or (queues and queues != [Queue.DISCOVERED])
        verdict.hold(bool(known), f"{vm} is at the vCenter and {' and '.join(queues) or 'in no queue'}")
    for note in case.evidence.journal:
        verdict.hold(note.what != "destroy" or note.vm not in case.rules.foreign, f"{note.vm} was destroyed")


def answered_since(case: Analysis, verdict: Verdict) -> None:
    """Check that everything answered with 2xx after the last lapse is stored. A given VM must be in use, completed or
    gone."""
    last = max((until for _, until in case.evidence.lapses), default=0.0) + SINCE
    places = case.evidence.end.places()
    for operation in case.evidence.operations:
        if operation.began < last:
            continue
        for vm in operation.given:
            stands = places.get(vm, [])
            verdict.hold(set(stands) <= {Queue.RUNNING, Queue.COMPLETED}, f"{vm}, which was given, is {stands}")
        if operation.done and operation.verb in (Verb.TAG, Verb.LIFETIME):
            verdict.hold(STORED[operation.verb](case, operation), f"{operation.verb} of {operation.vm} is lost")


def no_defect(case: Analysis, verdict: Verdict) -> None:
    """Check that no request is answered with 500, and that what must be refused is refused."""
    for operation in case.evidence.operations:
        finding = f"client {operation.client}: {operation.verb} of {operation.vm} was answered with {operation.status}"
        verdict.hold(operation.status != 500, finding)
        must = operation.verb in (Verb.TRESPASS, Verb.NONSENSE)
        verdict.hold(not (must and operation.done), finding)
