"""One script is one transition: what it moves, what it writes, which event it records, and when it changes nothing."""

import json
from collections.abc import Awaitable, Callable

import pytest

from tests.store.contents import (
    DATA_TTL,
    NOW,
    POOL,
    SIZE,
    contents,
    events,
    hash_of,
    history,
    make_completed,
    make_ready,
    make_running,
    queues_of,
    standing,
)
from vmpooler.domain import times
from vmpooler.domain.backoff import MAX_CHECK_DELAY, SECOND_CHECK_DELAY
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.redis.client import Connection

LATER = NOW + 100
WRITTEN, WRITTEN_LATER = times.text(NOW), times.text(LATER)
TODAY = times.day(LATER)


@pytest.fixture
def queues(store: Connection) -> Queues:
    return queues_of(store)


async def began(store: Connection, vm: str = "vm", pool: str = POOL) -> None:
    assert await queues_of(store).begin_clone(pool, vm, SIZE, NOW) == "ok"


async def record(store: Connection, vm: str = "vm") -> dict[str, str]:
    return await hash_of(store, keys.record(vm))


async def cloning(store: Connection) -> tuple[dict[str, str], str | None]:
    return await hash_of(store, keys.CLONING), await store.call("GET", keys.TASKS_CLONE)


# From the start of the clone to ready.


async def test_begin_clone_makes_a_vm_pending_and_counts_its_clone(store: Connection, queues: Queues) -> None:
    assert await queues.begin_clone(POOL, "vm", SIZE, NOW) == "ok"
    assert await standing(store) == [Queue.PENDING]
    assert await record(store) == {"clone": WRITTEN, "template": POOL, "pool": POOL}
    assert await cloning(store) == ({"vm": POOL}, "1")


async def test_begin_clone_takes_no_name_that_has_a_record(store: Connection, queues: Queues) -> None:
    await make_ready(store, "vm", pool="other")
    before = await contents(store)
    assert await queues.begin_clone(POOL, "vm", SIZE, LATER) == "taken"
    assert await contents(store) == before


@pytest.mark.parametrize("queue", Queue)
async def test_begin_clone_takes_no_name_that_stands_in_a_queue(
    store: Connection, queues: Queues, queue: Queue
) -> None:
    await store.call("SADD", keys.queue(queue, POOL), "vm")
    assert await queues.begin_clone(POOL, "vm", SIZE, LATER) == "taken"
    assert await standing(store) == [queue]


async def test_begin_clone_fills_a_pool_up_to_its_size(store: Connection, queues: Queues) -> None:
    await make_ready(store, "a")
    await began(store, "b")
    before = await contents(store)
    assert await queues.begin_clone(POOL, "vm", 2, LATER) == "full"
    assert await contents(store) == before
    assert await queues.begin_clone(POOL, "vm", 3, LATER) == "ok"


async def test_end_clone_gives_the_place_back_and_notes_how_long_it_took(store: Connection, queues: Queues) -> None:
    await began(store)
    assert await queues.end_clone(POOL, "vm", 12.3456, LATER)
    assert await cloning(store) == ({}, "0")
    assert (await record(store))["clone_time"] == "12.35"
    assert await hash_of(store, keys.clone_times(TODAY)) == {f"{POOL}:vm": "12.35"}
    assert await standing(store) == [Queue.PENDING]


async def test_a_clone_that_was_given_up_gives_its_place_back_and_counts_in_no_figure(
    store: Connection, queues: Queues
) -> None:
    await began(store)
    assert await queues.end_clone(POOL, "vm", None, LATER)
    assert await cloning(store) == ({}, "0")
    assert "clone_time" not in await record(store)
    assert await hash_of(store, keys.clone_times(TODAY)) == {}


async def test_a_clone_that_worked_ends_the_back_off(store: Connection, queues: Queues) -> None:
    await began(store)
    await queues.fail(POOL, keys.CLONES, "no space", NOW)
    await queues.end_clone(POOL, "vm", 1, LATER)
    assert await hash_of(store, keys.trouble(POOL)) == {}
    last = (await events(store))[-1]
    assert last["what"] == What.RECOVERED
    assert last["vm"] == "", "it is the pool that recovered: the VM's history does not have it"


async def test_promote_makes_a_vm_ready_as_both_ages_of_the_original_note_it(store: Connection, queues: Queues) -> None:
    await began(store)
    await queues.end_clone(POOL, "vm", 50, LATER)
    assert await queues.promote(POOL, "vm", "10.0.0.1", 99.5, LATER)
    assert await standing(store) == [Queue.READY]
    fields = await record(store)
    assert (fields["ready"], fields["check"], fields["ip"]) == (WRITTEN_LATER, WRITTEN_LATER, "10.0.0.1")
    assert (fields["template"], fields["pool"]) == (POOL, POOL)
    assert await hash_of(store, keys.boot_times(TODAY)) == {f"{POOL}:vm": "99.50"}
    assert await hash_of(store, keys.LASTBOOT) == {POOL: WRITTEN_LATER}


async def test_promote_writes_no_boot_time_that_it_does_not_know(store: Connection, queues: Queues) -> None:
    await began(store)
    assert await queues.promote(POOL, "vm", "", None, LATER)
    assert await hash_of(store, keys.boot_times(TODAY)) == {}
    assert "ip" not in await record(store)


async def test_promote_leaves_no_place_taken_by_a_clone(store: Connection, queues: Queues) -> None:
    await began(store)
    await queues.promote(POOL, "vm", "", None, LATER)
    assert await cloning(store) == ({}, "0")


async def test_check_notes_when_a_vm_was_found_well(store: Connection, queues: Queues) -> None:
    await make_ready(store, "vm")
    await queues.check("vm", LATER)
    assert (await record(store))["check"] == WRITTEN_LATER


# Completion and destruction.


async def test_complete_moves_from_pending_and_gives_the_clones_place_back(store: Connection, queues: Queues) -> None:
    await began(store)
    assert await queues.complete(POOL, "vm", Queue.PENDING, "why", LATER)
    assert await standing(store) == [Queue.COMPLETED]
    assert await cloning(store) == ({}, "0")


async def test_complete_moves_from_running_and_forgets_the_checkout_time(store: Connection, queues: Queues) -> None:
    await make_running(store, "vm", "other")
    await queues.miss(POOL, "vm", Queue.RUNNING, True, NOW)
    assert await queues.complete(POOL, "vm", Queue.RUNNING, "why", LATER)
    assert await standing(store) == [Queue.COMPLETED]
    assert (await hash_of(store, keys.active(POOL))).keys() == {"other"}
    assert await hash_of(store, keys.since(POOL)) == {}
    assert (await record(store))["checkout"] == WRITTEN


async def test_complete_moves_from_discovered(store: Connection, queues: Queues) -> None:
    await queues.discover(POOL, "vm", True, NOW)
    assert await queues.complete(POOL, "vm", Queue.DISCOVERED, "why", LATER)
    assert await standing(store) == [Queue.COMPLETED]
    assert await hash_of(store, keys.since(POOL)) == {}


@pytest.mark.parametrize("change", [{"lifetime": "9"}, {"checkout": "later"}])
async def test_complete_leaves_a_vm_alone_that_is_held_on_other_terms_by_now(
    store: Connection, queues: Queues, change: dict[str, str]
) -> None:
    await make_running(store, "vm")
    seen = (await hash_of(store, keys.record("vm")))["checkout"]
    await store.call("HSET", keys.record("vm"), *change.popitem())
    assert not await queues.complete(POOL, "vm", Queue.RUNNING, "why", LATER, (seen, ""))
    assert await standing(store) == [Queue.RUNNING]


async def test_complete_moves_from_running_when_the_terms_still_hold(store: Connection, queues: Queues) -> None:
    await make_running(store, "vm")
    seen = (await hash_of(store, keys.record("vm")))["checkout"]
    assert await queues.complete(POOL, "vm", Queue.RUNNING, "why", LATER, (seen, ""))
    assert await standing(store) == [Queue.COMPLETED]


@pytest.mark.parametrize("queue", [Queue.PENDING, Queue.RUNNING, Queue.DISCOVERED, Queue.COMPLETED])
async def test_complete_leaves_a_vm_alone_that_has_moved_on(store: Connection, queues: Queues, queue: Queue) -> None:
    await make_ready(store, "vm")
    before = await contents(store)
    assert not await queues.complete(POOL, "vm", queue, "why", LATER)
    assert await contents(store) == before


async def test_forget_ends_a_vm_and_lets_its_record_and_history_expire_together(
    store: Connection, queues: Queues
) -> None:
    await make_completed(store, "vm")
    await queues.fail(POOL, "vm", "busy", NOW)
    await store.call("SADD", keys.confirmed(POOL), "vm")
    assert await queues.forget(POOL, "vm", 3.5, LATER)
    assert await standing(store) == []
    assert (await record(store))["destroy"] == WRITTEN_LATER
    left = [await store.call("PTTL", key) for key in (keys.record("vm"), keys.history("vm"))]
    assert DATA_TTL * 1000 - 5000 < min(left) <= max(left) <= DATA_TTL * 1000
    assert max(left) - min(left) < 1000
    assert await hash_of(store, keys.trouble(POOL)) == {}
    assert await store.call("EXISTS", keys.confirmed(POOL)) == 0


# Unknown and missing VMs, several queues, wrong times.


async def test_discover_notes_a_vm_and_since_when(store: Connection, queues: Queues) -> None:
    assert await queues.discover(POOL, "vm", True, NOW)
    assert not await queues.discover(POOL, "vm", True, LATER)
    assert await standing(store) == [Queue.DISCOVERED]
    assert await hash_of(store, keys.since(POOL)) == {"vm": "1700000000.000"}


@pytest.mark.parametrize("queue", [queue for queue in Queue if queue is not Queue.DISCOVERED])
async def test_discover_notes_no_vm_that_stands_in_a_queue(store: Connection, queues: Queues, queue: Queue) -> None:
    await store.call("SADD", keys.queue(queue, POOL), "vm")
    assert not await queues.discover(POOL, "vm", True, NOW)
    assert await standing(store) == [queue]


async def test_a_vm_that_is_unknown_again_gets_its_whole_grace_again(store: Connection, queues: Queues) -> None:
    await store.call("HSET", keys.since(POOL), "vm", "1.000")
    await queues.discover(POOL, "vm", True, NOW)
    assert await hash_of(store, keys.since(POOL)) == {"vm": "1700000000.000"}


async def test_explain_leaves_nothing_that_stays_for_ever(store: Connection, queues: Queues) -> None:
    await queues.discover(POOL, "vm", True, NOW)
    await store.call("SADD", keys.confirmed(POOL), "vm")
    await store.call("HSET", keys.record("vm"), "clone", WRITTEN)
    assert await queues.explain(POOL, "vm", "gone", LATER)
    assert await standing(store) == []
    assert {*await contents(store)} == {keys.EVENTS, keys.history("vm"), keys.record("vm")}
    assert 0 < await store.call("TTL", keys.record("vm")) <= DATA_TTL
    assert 0 < await store.call("TTL", keys.history("vm")) <= DATA_TTL


async def test_explain_keeps_the_record_of_a_destroyed_vm_no_longer_than_before(
    store: Connection, queues: Queues
) -> None:
    await queues.discover(POOL, "vm", True, NOW)
    await store.call("HSET", keys.record("vm"), "destroy", WRITTEN)
    await store.call("EXPIRE", keys.record("vm"), 10)
    await queues.explain(POOL, "vm", "gone", LATER)
    assert 0 < await store.call("TTL", keys.record("vm")) <= 10


async def test_miss_notes_the_first_time_only_until_the_vm_is_back(store: Connection, queues: Queues) -> None:
    await make_running(store, "vm")
    assert await queues.miss(POOL, "vm", Queue.RUNNING, True, NOW)
    assert not await queues.miss(POOL, "vm", Queue.RUNNING, True, LATER)
    assert await hash_of(store, keys.since(POOL)) == {"vm": "1700000000.000"}
    assert await queues.miss(POOL, "vm", Queue.RUNNING, False, LATER)
    assert not await queues.miss(POOL, "vm", Queue.RUNNING, False, LATER)
    assert await hash_of(store, keys.since(POOL)) == {}


async def test_settle_takes_a_vm_out_of_the_other_queues(store: Connection, queues: Queues) -> None:
    for queue in (Queue.RUNNING, Queue.COMPLETED, Queue.DISCOVERED):
        await store.call("SADD", keys.queue(queue, POOL), "vm")
    await store.call("HSET", keys.since(POOL), "vm", "1.000")
    assert await queues.settle(POOL, "vm", Queue.RUNNING, (Queue.COMPLETED, Queue.DISCOVERED), NOW)
    assert await standing(store) == [Queue.RUNNING]
    assert await hash_of(store, keys.since(POOL)) == {}
    assert (await events(store))[-1]["why"] == "completed, discovered"


async def test_settle_leaves_a_vm_alone_that_stands_in_one_queue(store: Connection, queues: Queues) -> None:
    await make_running(store, "vm")
    await queues.miss(POOL, "vm", Queue.RUNNING, True, NOW)
    before = await contents(store)
    assert not await queues.settle(POOL, "vm", Queue.RUNNING, (Queue.COMPLETED,), LATER)
    assert await contents(store) == before


@pytest.mark.parametrize(
    ("queue", "key", "field", "written"),
    [
        (Queue.PENDING, keys.record("vm"), "clone", WRITTEN),
        (Queue.READY, keys.record("vm"), "ready", WRITTEN),
        (Queue.RUNNING, keys.record("vm"), "checkout", WRITTEN),
        (Queue.RUNNING, keys.active(POOL), "vm", WRITTEN),
        (Queue.DISCOVERED, keys.since(POOL), "vm", "1700000000.000"),
    ],
)
@pytest.mark.parametrize("before", [None, "not a moment"])
async def test_mend_starts_a_clock_that_is_lacking_or_unreadable(
    store: Connection, queues: Queues, queue: Queue, key: str, field: str, written: str, before: str | None
) -> None:
    await store.call("SADD", keys.queue(queue, POOL), "vm")
    if before:
        await store.call("HSET", key, field, before)
    assert await queues.mend(POOL, "vm", queue, NOW)
    assert (await hash_of(store, key))[field] == written


async def test_mend_gives_no_checkout_to_a_vm_that_is_unclaimed(store: Connection, queues: Queues) -> None:
    await store.call("SADD", keys.queue(Queue.RUNNING, POOL), "vm")
    await store.call("HSET", keys.record("vm"), "unclaimed", "its client hung up")
    assert not await queues.mend(POOL, "vm", Queue.RUNNING, NOW)
    assert "checkout" not in await hash_of(store, keys.record("vm"))


async def test_a_failure_counts_though_a_clock_was_set_back_since_the_last(queues: Queues) -> None:
    assert await queues.fail(POOL, ":clone", "first", NOW) == 1
    assert await queues.fail(POOL, ":clone", "during the wait", NOW + 0.5) == 0.5
    assert await queues.fail(POOL, ":clone", "second", NOW - 100) == 2


async def test_a_moment_that_is_ahead_only_for_a_manager_that_is_behind_stays(
    store: Connection, queues: Queues
) -> None:
    seconds, _ = await store.call("TIME")
    now = float(seconds)
    await store.call("SADD", keys.queue(Queue.RUNNING, POOL), "vm")
    await store.call("HSET", keys.record("vm"), "checkout", times.text(now))
    assert not await queues.mend(POOL, "vm", Queue.RUNNING, now - 600)
    assert (await hash_of(store, keys.record("vm")))["checkout"] == times.text(now)
    await store.call("HSET", keys.record("vm"), "checkout", times.text(now + 600))
    assert await queues.mend(POOL, "vm", Queue.RUNNING, now)
    assert (await hash_of(store, keys.record("vm")))["checkout"] == times.text(now)


# Every transition.

Act = Callable[[Queues], Awaitable[object]]

ACTS: dict[str, Act] = {
    "end_clone": lambda q: q.end_clone(POOL, "vm", 1, LATER),
    "release": lambda q: q.end_clone(POOL, "vm", None, LATER),
    "promote": lambda q: q.promote(POOL, "vm", "10.0.0.1", 1, LATER),
    "complete": lambda q: q.complete(POOL, "vm", Queue.READY, "why", LATER),
    "forget": lambda q: q.forget(POOL, "vm", 1, LATER),
    "explain": lambda q: q.explain(POOL, "vm", "why", LATER),
    "miss": lambda q: q.miss(POOL, "vm", Queue.RUNNING, True, LATER),
    "welcome": lambda q: q.miss(POOL, "vm", Queue.RUNNING, False, LATER),
    "settle": lambda q: q.settle(POOL, "vm", Queue.RUNNING, (Queue.READY,), LATER),
    "mend": lambda q: q.mend(POOL, "vm", Queue.RUNNING, LATER),
    "recover": lambda q: q.recover(POOL, "vm", LATER),
    "unflag": lambda q: q.flag(POOL, "", LATER),
}


@pytest.mark.parametrize("name", ACTS)
async def test_what_is_not_there_is_left_alone(store: Connection, queues: Queues, name: str) -> None:
    await make_ready(store, "other")
    before = await contents(store)
    assert not await ACTS[name](queues)
    assert await contents(store) == before


async def in_running(store: Connection) -> None:
    await make_running(store, "vm")


async def in_ready(store: Connection) -> None:
    await make_ready(store, "vm")


async def in_two(store: Connection) -> None:
    await in_running(store)
    await store.call("SADD", keys.queue(Queue.READY, POOL), "vm")


async def in_completed(store: Connection) -> None:
    await make_completed(store, "vm")


async def nowhere(_: Connection) -> None:
    pass


async def discovered(store: Connection) -> None:
    await queues_of(store).discover(POOL, "vm", True, NOW)


async def missing(store: Connection) -> None:
    await in_running(store)
    await queues_of(store).miss(POOL, "vm", Queue.RUNNING, True, NOW)


TRANSITIONS: dict[What, tuple[Callable[[Connection], Awaitable[None]], Act, dict[str, str]]] = {
    What.CLONE: (nowhere, lambda q: q.begin_clone(POOL, "vm", SIZE, LATER), {}),
    What.CLONED: (began, ACTS["end_clone"], {"seconds": "1.00"}),
    What.READY: (began, ACTS["promote"], {"seconds": "1.00"}),
    What.COMPLETED: (in_ready, ACTS["complete"], {"why": "why", "queue": "ready"}),
    What.DESTROYED: (in_completed, ACTS["forget"], {"seconds": "1.00"}),
    What.DISCOVERED: (nowhere, lambda q: q.discover(POOL, "vm", False, LATER), {"stamped": "0"}),
    What.EXPLAINED: (discovered, ACTS["explain"], {"why": "why"}),
    What.MISSING: (in_running, ACTS["miss"], {}),
    What.FOUND: (missing, ACTS["welcome"], {}),
    What.SETTLED: (in_two, ACTS["settle"], {"why": "ready"}),
    What.FAILED: (
        in_completed,
        lambda q: q.fail(POOL, "vm", "why", LATER),
        {"why": "why", "subject": "vm", "tries": "1", "seconds": "1"},
    ),
}


@pytest.mark.parametrize("what", TRANSITIONS)
async def test_a_transition_is_one_event_the_same_in_the_stream_and_in_the_vms_history(
    store: Connection, queues: Queues, what: What
) -> None:
    before, act, more = TRANSITIONS[what]
    await before(store)
    count, known = len(await events(store)), len(await history(store))
    assert await act(queues)
    event = {"what": what, "pool": POOL, "vm": "vm", "when": "1700000100.000", "by": "manager", **more}
    assert (await events(store))[count:] == [event]
    assert (await history(store))[known:] == [event]
    assert Event.of("1-0", event) is not None


OF_THE_POOL: dict[What, tuple[Act, dict[str, str]]] = {
    What.FAILED: (
        lambda q: q.fail(POOL, keys.CLONES, "why", LATER),
        {"why": "why", "subject": ":clone", "tries": "1", "seconds": "1"},
    ),
    What.FLAGGED: (lambda q: q.flag(POOL, "why", LATER), {"why": "why"}),
    What.EMPTY: (lambda q: q.note_empty(POOL, LATER), {}),
}


@pytest.mark.parametrize("what", OF_THE_POOL)
async def test_what_concerns_a_pool_is_one_event_and_in_no_history(
    store: Connection, queues: Queues, what: What
) -> None:
    act, more = OF_THE_POOL[what]
    assert await act(queues)
    event = {"what": what, "pool": POOL, "vm": "", "when": "1700000100.000", "by": "manager", **more}
    assert await events(store) == [event]
    assert await store.call("EXISTS", keys.history("")) == 0


async def test_the_stream_and_a_history_are_bounded(store: Connection) -> None:
    few = queues_of(store, events_max=100)
    await make_running(store, "vm")
    for turn in range(400):
        assert await few.miss(POOL, "vm", Queue.RUNNING, turn % 2 == 0, NOW + turn)
    assert 100 <= await store.call("XLEN", keys.EVENTS) < 300
    entries = await history(store)
    assert (len(entries), entries[-1]["when"]) == (200, "1700000399.000")


async def test_a_history_without_a_record_does_not_stay_for_ever(store: Connection, queues: Queues) -> None:
    await queues.discover(POOL, "vm", False, NOW)
    assert 0 < await store.call("TTL", keys.history("vm")) <= 7 * 24 * 3600


async def test_a_history_that_was_to_expire_lives_on_with_a_new_record(store: Connection, queues: Queues) -> None:
    await queues.discover(POOL, "vm", False, NOW)
    await store.call("HSET", keys.record("vm"), "clone", WRITTEN)
    await queues.complete(POOL, "vm", Queue.DISCOVERED, "why", LATER)
    assert await store.call("TTL", keys.history("vm")) == -1


# The pool as a whole.


async def test_the_mark_of_an_empty_pool_follows_its_ready_queue(store: Connection, queues: Queues) -> None:
    assert await queues.note_empty(POOL, NOW)
    assert not await queues.note_empty(POOL, NOW)
    assert await store.call("GET", keys.empty(POOL)) == "true"
    await make_ready(store, "vm")
    assert await queues.note_empty(POOL, NOW)
    assert not await queues.note_empty(POOL, NOW)
    assert await store.call("EXISTS", keys.empty(POOL)) == 0


async def test_the_flag_is_raised_and_lowered_once(store: Connection, queues: Queues) -> None:
    assert [await queues.flag(POOL, why, NOW) for why in ("too many", "still", "", "")] == [True, False, True, False]
    assert [event["what"] for event in await events(store)] == [What.FLAGGED, What.UNFLAGGED]


async def test_what_keeps_failing_is_tried_ever_more_rarely(store: Connection, queues: Queues) -> None:
    now, waits = NOW, []
    for _ in range(11):
        waits.append(await queues.fail(POOL, "vm", "why", now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert json.loads((await hash_of(store, keys.trouble(POOL)))["vm"])["tries"] == 11


async def test_what_fails_during_the_wait_is_the_same_failure(store: Connection, queues: Queues) -> None:
    assert await queues.fail(POOL, keys.CLONES, "why", NOW) == 1
    assert await queues.fail(POOL, keys.CLONES, "why", NOW + 0.25) == pytest.approx(0.75)
    assert len(await events(store)) == 1


async def test_what_works_again_begins_anew(store: Connection, queues: Queues) -> None:
    await queues.fail(POOL, "vm", "why", NOW)
    await queues.fail(POOL, "vm", "why", LATER)
    assert await queues.recover(POOL, "vm", LATER)
    assert await queues.fail(POOL, "vm", "why", LATER) == 1


# Failed checks of a VM.


async def test_a_look_that_failed_is_remembered_from_the_first_of_a_row(store: Connection, queues: Queues) -> None:
    await make_ready(store, "vm")
    assert await queues.doubt(POOL, "vm", Queue.READY, "is unreachable", LATER, first=True)
    assert await queues.doubt(POOL, "vm", Queue.READY, "is unreachable", LATER + SECOND_CHECK_DELAY, first=False)
    assert (await record(store))["doubt"] == f"{LATER:.3f}"
    trouble = json.loads((await hash_of(store, keys.trouble(POOL)))["vm"])
    assert (trouble["tries"], trouble["until"]) == (2, LATER + 3 * SECOND_CHECK_DELAY)
    assert await standing(store, "vm") == [Queue.READY]


async def test_looks_are_never_far_apart_however_often_they_failed(store: Connection, queues: Queues) -> None:
    await make_ready(store, "vm")
    now = LATER
    for _ in range(9):
        await queues.doubt(POOL, "vm", Queue.READY, "is unreachable", now, first=False)
        now = json.loads((await hash_of(store, keys.trouble(POOL)))["vm"])["until"]
    await queues.doubt(POOL, "vm", Queue.READY, "is unreachable", now, first=False)
    assert json.loads((await hash_of(store, keys.trouble(POOL)))["vm"])["until"] == now + MAX_CHECK_DELAY


async def test_a_vm_that_has_moved_on_is_not_doubted(store: Connection, queues: Queues) -> None:
    await make_running(store, "vm")
    before = await contents(store)
    assert not await queues.doubt(POOL, "vm", Queue.READY, "is unreachable", LATER, first=True)
    assert await contents(store) == before


async def test_what_works_again_ends_the_doubt_and_is_said_once(store: Connection, queues: Queues) -> None:
    await make_ready(store, "vm")
    await queues.doubt(POOL, "vm", Queue.READY, "is unreachable", LATER, first=True)
    before = len(await events(store))
    assert await queues.recover(POOL, "vm", LATER + 9)
    assert not await queues.recover(POOL, "vm", LATER + 9)
    assert "doubt" not in await record(store)
    (event,) = (await events(store))[before:]
    assert (event["what"], event["vm"], event["subject"]) == (What.RECOVERED, "vm", "vm")
    assert (await history(store))[-1] == event


async def test_a_wait_that_is_longer_than_any_is_none(store: Connection, queues: Queues) -> None:
    ahead = NOW + 3600
    assert await queues.fail(POOL, "vm", "why", ahead) == 1
    assert await queues.fail(POOL, "vm", "why", NOW) == 2, "as if the first had been over"
    assert await queues.fail(POOL, "vm", "why", NOW + 0.5) == pytest.approx(1.5)


async def test_miss_notes_now_where_a_moment_lies_ahead(store: Connection, queues: Queues) -> None:
    await make_running(store, "vm")
    assert await queues.miss(POOL, "vm", Queue.RUNNING, True, NOW + 3600)
    count = len(await events(store))
    assert await queues.miss(POOL, "vm", Queue.RUNNING, True, NOW)
    assert await hash_of(store, keys.since(POOL)) == {"vm": "1700000000.000"}
    assert len(await events(store)) == count
    assert not await queues.miss(POOL, "vm", Queue.RUNNING, True, NOW - 1)
