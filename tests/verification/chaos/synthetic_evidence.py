"""Synthetic evidence: a short, correct history that tests falsify."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from tests.verification.chaos.evidence import Evidence, Note, entry
from tests.verification.chaos.history import Operation, Verb
from tests.verification.chaos.story import story_of
from tests.verification.chaos.verdict import RunRules
from tests.verification.chaos.watcher import RedisSample
from vmpooler.domain import times
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue

POOL, FOREIGN = "debian-12", "foreign"
START = 1_800_000_000.0

RULES = RunRules({POOL: 1}, {POOL: (POOL,)}, 2, 0.01, 60, frozenset({FOREIGN}))
"""A pool of one VM that lives for 36 seconds; at most two clones at a time."""


def event(second: float, what: What, vm: str, why: str = "", **more: str) -> Event:
    """Return an event that happened this many seconds after the start."""
    when = START + second
    return Event(f"{round(when * 1000)}-0", what, POOL, vm, when, "by", why, more)


def asked(second: float, verb: Verb, status: int | None, vm: str = "", **known: Any) -> Operation:
    """Return a request of client 0 that took half a second."""
    when = START + second
    known = {"client": 0, "began": when, "ended": when + 0.5, **known}
    return Operation(verb=verb, status=status, vm=vm, **known)


EVENTS = (
    event(0, What.DISCOVERED, FOREIGN, stamped="0"),
    event(1, What.CLONE, "a"),
    event(2, What.CLONED, "a", seconds="1"),
    event(3, What.READY, "a", seconds="2"),
    event(10.2, What.CHECKOUT, "a", checkout_id="one"),
    event(10.3, What.CLONE, "b"),
    event(12, What.READY, "b", seconds="1.7"),
    event(14.2, What.REQUESTED, "a", task="1", kind="disk", argument="5"),
    event(14.4, What.DONE, "a", task="1", kind="disk", argument="5"),
    event(20.2, What.COMPLETED, "a", "its client is done with it", queue="running"),
    event(21, What.DESTROYED, "a", seconds="0.8"),
    event(30.2, What.CHECKOUT, "b", checkout_id="two"),
    event(30.3, What.CLONE, "c"),
    event(31, What.READY, "c", seconds="0.7"),
)

OPERATIONS = (
    asked(10, Verb.CHECKOUT, 200, wanted={POOL: 1}, given=("a",)),
    asked(10.5, Verb.CHECKOUT, 503, wanted={POOL: 1}),
    asked(12, Verb.TAG, 200, "a", name="t", value="v"),
    asked(13, Verb.TRESPASS, 401, "a"),
    asked(14, Verb.DISK, 202, "a", value="5"),
    asked(20, Verb.DELETE, 200, "a"),
    asked(30, Verb.CHECKOUT, 200, wanted={POOL: 1}, given=("b",), client=1),
    asked(32, Verb.LIFETIME, 200, "b", value="4", client=1),
)

RECORDS: Mapping[str, Mapping[str, str]] = {
    "a": {"checkout": times.text(START + 10.2), "destroy": "then", "tag:t": "v", "disk": "+5gb"},
    "b": {"checkout": times.text(START + 30.2), "lifetime": "4"},
    "c": {},
    FOREIGN: {},
}

JOURNAL = (
    Note(START + 1, "clone", "a"),
    Note(START + 1.1, "clone", FOREIGN),
    Note(START + 2, "cloned", "a"),
    Note(START + 20.5, "destroy", "a"),
)


def synthetic(**other: Any) -> Evidence:
    """Return the correct history, with the given parts replaced. Samples and histories follow from its events."""
    known: dict[str, Any] = {
        "operations": OPERATIONS,
        "events": EVENTS,
        "records": RECORDS,
        "open_tasks": frozenset(),
        "inventory": {"b": [], "c": [], FOREIGN: []},
        "journal": JOURNAL,
        "forgot": (),
        "settled": 3.0,
        **other,
    }
    events = known["events"]
    story = story_of(events, [each.id for each in events], RULES.sizes)
    texts = {vm: [json.dumps({**entry(each), "when": "0"}) for each in ours] for vm, ours in story.of.items()}
    samples = [_sample(each, story.at[each.id]) for each in events]
    return Evidence(**{"samples": samples, "histories": texts, **known})


def last(evidence: Evidence, **changed: Any) -> list[RedisSample]:
    """Return the samples, with the last one changed."""
    return [*evidence.samples[:-1], attrs.evolve(evidence.end, **changed)]


def _sample(event: Event, stands: Mapping[str, str]) -> RedisSample:
    queues = {(POOL, queue): {vm for vm, at in stands.items() if at == queue} for queue in Queue}
    return RedisSample(event.when, queues, set(), 0, event.id)
