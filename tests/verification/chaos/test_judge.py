"""The checks on synthetic evidence: correct evidence passes, and each falsified part is reported by its invariant."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from tests.verification.chaos.evidence import Evidence, Note
from tests.verification.chaos.history import Operation, Verb
from tests.verification.chaos.judge import AFTER_LAPSES, judged
from tests.verification.chaos.report import together
from tests.verification.chaos.synthetic_evidence import (
    EVENTS,
    FOREIGN,
    JOURNAL,
    OPERATIONS,
    POOL,
    RECORDS,
    RULES,
    START,
    asked,
    event,
    last,
    synthetic,
)
from tests.verification.proof.invariants import (
    ACCOUNTED,
    DURABLE,
    FULL_AGAIN,
    NOT_REFUSED,
    ONE_CLIENT,
    ONE_EVENT,
    ONE_QUEUE,
    WITHIN_LIMITS,
    Invariant,
)
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue


def violations(evidence: Evidence) -> dict[Invariant, list[str]]:
    """Return the violated invariants with their violations."""
    return {each: verdict.violations for each, verdict in judged(evidence, RULES).items() if verdict.violations}


def changed(index: int, **other: Any) -> Sequence[Operation]:
    """Return the requests, with one of them changed."""
    return [*OPERATIONS[:index], attrs.evolve(OPERATIONS[index], **other), *OPERATIONS[index + 1 :]]


def without(what: What, vm: str, *instead: Event) -> Sequence[Event]:
    """Return the events, with one of them left out or replaced."""
    kept = [each for each in EVENTS if (each.what, each.vm) != (what, vm)]
    return sorted([*kept, *instead], key=lambda each: each.id)


def test_a_sound_history_passes_and_every_invariant_was_checked() -> None:
    verdicts = judged(synthetic(), RULES)
    assert {str(each): verdict.violations for each, verdict in verdicts.items() if verdict.violations} == {}
    assert all(verdict.checks for verdict in verdicts.values())


THIEF = asked(40, Verb.CHECKOUT, 200, wanted={POOL: 1}, given=("b",), client=2)

TTL = event(34, What.COMPLETED, "b", "reached end of TTL after 0.01 hours", queue="running")

LOST = event(34, What.COMPLETED, "b", "is nowhere to be found", queue="running")

BACK = event(33, What.RETURNED, "b", "its client hung up")

UNCLAIMED = event(33, What.UNCLAIMED, "b", "its client hung up")

EMPTY_AGAIN = {(POOL, queue): {"b"} if queue is Queue.RUNNING else set() for queue in Queue}

BOTH = {(POOL, Queue.RUNNING): {"b", "c"}}

MOVED = {(POOL, Queue.RUNNING): {"b", "c"}, (POOL, Queue.READY): set[str]()}

STOLEN = {**RECORDS, "b": {**RECORDS["b"], "lifetime": "77"}}

REVERTED = (
    event(32.1, What.REQUESTED, "b", task="8", kind="snapshot-revert", argument="s"),
    event(32.3, What.DONE, "b", task="8", kind="snapshot-revert", argument="s"),
)


def trespass(status: int) -> Operation:
    """Return a request of a client that does not own the VM."""
    return asked(33, Verb.TRESPASS, status, "b", name="x", value="77")


FALSE = {
    "a VM stands in two queues": (
        ONE_QUEUE,
        synthetic(samples=last(synthetic(), queues={**synthetic().end.queues, **BOTH})),
    ),
    "a VM stands nowhere": (ONE_QUEUE, synthetic(samples=last(synthetic(), queues=EMPTY_AGAIN))),
    "a VM is given to two": (ONE_CLIENT, synthetic(operations=[*OPERATIONS, THIEF])),
    "a VM goes back to ready while a client has it": (ONE_CLIENT, synthetic(events=[*EVENTS, BACK])),
    "a VM is unclaimed while a client has it": (ONE_CLIENT, synthetic(events=[*EVENTS, UNCLAIMED])),
    "a VM is completed before its lifetime ends": (ONE_CLIENT, synthetic(events=[*EVENTS, TTL])),
    "a VM is completed as lost and was not": (ONE_CLIENT, synthetic(events=[*EVENTS, LOST])),
    "a VM is completed for its client, who did not ask": (ONE_CLIENT, synthetic(operations=changed(5, status=401))),
    "a VM is destroyed in use": (ONE_CLIENT, synthetic(inventory={"c": [], FOREIGN: []})),
    "a VM is destroyed before it was completed": (
        ONE_CLIENT,
        synthetic(journal=[*JOURNAL, Note(START + 19, "destroy", "a")]),
    ),
    "a VM was forgotten and is there": (ACCOUNTED, synthetic(inventory={"a": [], "b": [], "c": [], FOREIGN: []})),
    "a VM of ours stays unknown": (
        ACCOUNTED,
        synthetic(
            events=[*EVENTS, event(60, What.DISCOVERED, "x", stamped="1")],
            inventory={"b": [], "c": [], "x": [], FOREIGN: []},
            records={**RECORDS, "x": {}},
        ),
    ),
    "a foreign VM is destroyed": (ACCOUNTED, synthetic(journal=[*JOURNAL, Note(START, "destroy", FOREIGN)])),
    "a clone beyond the pool's size": (
        WITHIN_LIMITS,
        synthetic(events=[*EVENTS, event(50, What.CLONE, "d")], records={**RECORDS, "d": {}}),
    ),
    "too many clones at the vCenter": (
        WITHIN_LIMITS,
        synthetic(journal=[*JOURNAL, *(Note(START + 40, "clone", vm) for vm in "abc")]),
    ),
    "too many clones in the books": (WITHIN_LIMITS, synthetic(samples=last(synthetic(), cloning=set("xyz"), count=3))),
    "a clone that is counted for ever": (WITHIN_LIMITS, synthetic(samples=last(synthetic(), cloning={"x"}, count=1))),
    "a checkout that was answered is not there": (DURABLE, synthetic(operations=changed(0, given=("a", "z")))),
    "a tag is lost": (DURABLE, synthetic(records={**RECORDS, "a": {**RECORDS["a"], "tag:t": "w"}})),
    "a lifetime is lost": (DURABLE, synthetic(records={**RECORDS, "b": {**RECORDS["b"], "lifetime": "1"}})),
    "a disk is lost": (DURABLE, synthetic(events=without(What.REQUESTED, "a"))),
    "a disk is made twice": (DURABLE, synthetic(inventory={"b": [5], "c": [], FOREIGN: []})),
    "a task is done twice": (
        DURABLE,
        synthetic(events=[*EVENTS, event(14.45, What.DONE, "a", task="1", kind="disk", argument="5")]),
    ),
    "a VM that was deleted is in use": (
        DURABLE,
        synthetic(
            events=[each for each in EVENTS if each.vm != "a" or each.what not in (What.COMPLETED, What.DESTROYED)]
        ),
    ),
    "a stranger deletes a VM": (DURABLE, synthetic(operations=changed(3, status=200))),
    "a stranger changes hours": (DURABLE, synthetic(operations=[*OPERATIONS, trespass(401)], records=STOLEN)),
    "a stranger's disk is made": (
        DURABLE,
        synthetic(
            operations=[*OPERATIONS, trespass(401)],
            events=[*EVENTS, event(33.1, What.REQUESTED, "b", task="9", kind="disk", argument="77")],
        ),
    ),
    "half of what makes no sense is done": (
        DURABLE,
        synthetic(
            operations=[*OPERATIONS, asked(33, Verb.NONSENSE, 400, "b", name="n")],
            records={**RECORDS, "b": {**RECORDS["b"], "tag:n": "v"}},
        ),
    ),
    "a VM is reverted without a request": (DURABLE, synthetic(journal=[*JOURNAL, Note(START + 32, "revert", "b")])),
    "a VM is reverted again, after it was done": (
        DURABLE,
        synthetic(
            events=[*EVENTS, *REVERTED], journal=[*JOURNAL, *(Note(START + at, "revert", "b") for at in (32.2, 33))]
        ),
    ),
    "a snapshot is lost": (DURABLE, synthetic(operations=[*OPERATIONS, asked(33, Verb.SNAPSHOT, 202, "b", value="s")])),
    "a refused checkout took a VM": (DURABLE, synthetic(operations=changed(6, status=503, given=()))),
    "a VM is denied": (DURABLE, synthetic(operations=[*OPERATIONS, asked(33, Verb.GET, 404, "b")])),
    "a defect": (DURABLE, synthetic(operations=[*OPERATIONS, asked(33, Verb.GET, 500, "b")])),
    "a client is refused what is ready": (
        NOT_REFUSED,
        synthetic(operations=[*OPERATIONS, asked(40, Verb.CHECKOUT, 503, wanted={POOL: 1})]),
    ),
    "a transition without an event": (ONE_EVENT, synthetic(events=without(What.READY, "a"))),
    "an event without a transition": (ONE_EVENT, synthetic(events=[*EVENTS, event(40, What.READY, "c", seconds="9")])),
    "a record that its events do not give": (ONE_EVENT, synthetic(records={**RECORDS, "b": {"lifetime": "4"}})),
    "a history that lacks an event": (ONE_EVENT, synthetic(histories={**synthetic().histories, "a": []})),
    "a VM was moved behind the events": (
        ONE_EVENT,
        synthetic(samples=last(synthetic(), queues={**synthetic().end.queues, **MOVED})),
    ),
    "Redis lost all": (DURABLE, synthetic(events=EVENTS[-2:], records={}, histories={})),
    "a pool that is not filled again": (FULL_AGAIN, synthetic(settled=None)),
    "a pool that is filled too late": (FULL_AGAIN, synthetic(settled=61.0)),
}
"""What is wrong, the invariant that must report it, and the evidence."""


@pytest.mark.parametrize("wrong", FALSE)
def test_false_evidence_is_reported(wrong: str) -> None:
    invariant, evidence = FALSE[wrong]
    assert invariant in violations(evidence), violations(evidence)


def test_allowed_evidence_is_not_reported() -> None:
    """Lifetimes end, and VMs are lost with the vCenter. A request without a response may or may not have been carried
    out."""
    over = event(67, What.COMPLETED, "b", "reached end of TTL after 0.01 hours", queue="running")
    assert violations(synthetic(events=[*EVENTS, over], operations=OPERATIONS[:-1])) == {}
    gone = {"forgot": [START + 33], "inventory": {"c": [], FOREIGN: []}}
    assert violations(synthetic(events=[*EVENTS, LOST], **gone)) == {}
    assert violations(synthetic(operations=changed(5, status=None))) == {}, "deleted without a response"
    unanswered = [*OPERATIONS[:6], attrs.evolve(OPERATIONS[6], status=None, given=())]
    assert violations(
        synthetic(operations=unanswered, events=[*EVENTS, BACK], records={**RECORDS, "b": {}})
    ).keys() == {FULL_AGAIN}, "what came back is one more than the pool's size"
    unclaimed = synthetic(operations=unanswered, events=[*EVENTS, UNCLAIMED], records={**RECORDS, "b": {}})
    assert violations(unclaimed) == {}, "it waits in running until its stamp is clear"


def test_a_returned_vm_may_be_given_again_in_the_same_moment_but_not_before_its_return() -> None:
    given = next(each for each in EVENTS if each.more.get("checkout_id") == "two")
    moment = given.id.partition("-")[0]
    unanswered = attrs.evolve(given, more={"checkout_id": "unanswered"})
    back = attrs.evolve(given, id=f"{moment}-1", what=What.RETURNED, more={})
    then = attrs.evolve(given, id=f"{moment}-2")
    events = [each for old in EVENTS for each in ((unanswered, back, then) if old is given else (old,))]
    lost = asked(29.9, Verb.CHECKOUT, None, wanted={POOL: 1})
    assert violations(synthetic(events=events, operations=[*OPERATIONS, lost])) == {}
    both = (given, attrs.evolve(back, id=f"{moment}-1"))
    events = [each for old in EVENTS for each in (both if old is given else (old,))]
    assert ONE_CLIENT in violations(synthetic(events=events))


def test_the_reports_of_worlds_are_added_up() -> None:
    one = {"seed": 1, "operations": 2, "answers": {"200": 1}, "takeovers": [1.0], "full again after": 3.0}
    one["invariants"] = [{"invariant": "1", "checks": 1, "violations": ["a"]}]
    other = {**one, "full again after": 4.0, "invariants": [{"invariant": "2", "checks": 5, "violations": []}]}
    found = together([one, other, other])
    assert (found["seed"], found["operations"], found["answers"]) == (1, 6, {"200": 3})
    assert (found["takeovers"], found["full again after"]) == ([1.0, 1.0, 1.0], 4.0)
    assert [(each["invariant"], each["checks"], each["violations"]) for each in found["invariants"]] == [
        ("1", 1, ["a"]),
        ("2", 10, []),
    ]
    assert together([one, {**other, "full again after": None}])["full again after"] is None


def test_a_revert_while_it_is_requested_or_delayed_is_allowed() -> None:
    known: dict[str, Any] = {"events": [*EVENTS, *REVERTED], "journal": [*JOURNAL, Note(START + 32.2, "revert", "b")]}
    assert violations(synthetic(**known)) == {}
    known["journal"] = [*known["journal"], Note(START + 36, "revert", "b")]
    assert violations(synthetic(**known, held_up=[(START + 30, START + 35.5)])) == {}


def test_a_revert_removes_the_disks_added_after_its_snapshot() -> None:
    done = [
        event(at, What.DONE, "b", task=str(at), kind=kind, argument=argument)
        for at, kind, argument in ((31, "disk", "5"), (32, "snapshot", "s"), (33, "disk", "6"))
    ]
    back = event(34, What.DONE, "b", task="34", kind="snapshot-revert", argument="s")
    asked = [attrs.evolve(each, what=What.REQUESTED) for each in (*done, back)]
    known = {"records": {**RECORDS, "b": {**RECORDS["b"], "disk": "+5gb:+6gb"}}}
    for events, disks in ((done, [5, 6]), ([*done, back], [5])):
        every = sorted([*EVENTS, *asked[: len(events)], *events], key=lambda each: each.id)
        for there in ([5], [5, 6]):
            found = violations(synthetic(**known, events=every, inventory={"b": there, "c": [], FOREIGN: []}))
            assert (DURABLE in found) == (there != disks), (events, there)


LAPSED: dict[str, tuple[Invariant, dict[str, Any]]] = {
    "a VM is given to two": (ONE_CLIENT, {"operations": [*OPERATIONS, THIEF]}),
    "a VM is destroyed in use": (ONE_CLIENT, {"journal": [*JOURNAL, Note(START + 33, "destroy", "b")]}),
    "a VM of ours stays unknown": (ACCOUNTED, {"inventory": {"b": [], "c": [], "x": [], FOREIGN: []}}),
    "a foreign VM is destroyed": (ACCOUNTED, {"journal": [*JOURNAL, Note(START, "destroy", FOREIGN)]}),
    "a tag that was answered since is lost": (DURABLE, {"records": {**RECORDS, "a": {}}}),
    "a defect": (DURABLE, {"operations": [*OPERATIONS, asked(33, Verb.GET, 500, "b")]}),
    "a stranger changes hours": (DURABLE, {"operations": [*OPERATIONS, trespass(200)]}),
    "a pool that is not filled again": (FULL_AGAIN, {"settled": None}),
}


@pytest.mark.parametrize("wrong", LAPSED)
def test_false_evidence_is_reported_after_redis_lost_writes(wrong: str) -> None:
    invariant, other = LAPSED[wrong]
    verdicts = judged(synthetic(**other), RULES, AFTER_LAPSES)
    assert verdicts[invariant].violations


def test_evidence_that_redis_lost_may_be_missing() -> None:
    known: dict[str, Any] = {"samples": synthetic().samples, "lapses": [(START + 5, START + 31)]}
    evidence = synthetic(records={**RECORDS, "a": {}}, events=EVENTS[-2:], **known)
    verdicts = judged(evidence, RULES, AFTER_LAPSES)
    assert {str(each): verdict.violations for each, verdict in verdicts.items() if verdict.violations} == {}
