"""What the planner decides for a pool: how it counts VMs, and how few of them it destroys."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpooler.domain.actions import (
    Action,
    Check,
    Clone,
    Complete,
    Discover,
    Explain,
    Flag,
    Miss,
    NoteEmpty,
    NoteMissing,
    Probe,
    Reclaim,
    Release,
    RunTask,
    Settle,
    StaysOff,
    Unflag,
    Verify,
    VmAction,
    Welcome,
    Withdraw,
)
from vmpooler.domain.backoff import CLOCK_TOLERANCE, SECOND_CHECK_DELAY, pause
from vmpooler.domain.evidence import BY_STAMP, recorded
from vmpooler.domain.guest import Guest, Holder, Stamp
from vmpooler.domain.model import PoolState, Queue, Vm
from vmpooler.domain.plan import Rules, plan_pool
from vmpooler.domain.tasks import Kind, Task
from vmpooler.domain.vm_policy import CLONE_SETTLES
from vmpooler.settings import Pool

NOW = 1_700_000_000.0
LONG_AGO = NOW - 1000.0
POOL = Pool(name="debian", size=3, timeout=15, ready_ttl=60)


def guest(name: str, stamped: bool = True, **seen: Any) -> Guest:
    return Guest(name, **{"hostname": name, "stamp": Stamp("debian", name, NOW) if stamped else None, **seen})


def pending(name: str, ordered: float = NOW - 5, **known: Any) -> Vm:
    return Vm(name, Queue.PENDING, ordered=ordered, **known)


def ready(name: str, since: float = NOW - 5, **known: Any) -> Vm:
    return Vm(name, Queue.READY, ordered=since, ready=since, checked=NOW, **known)


def running(name: str) -> Vm:
    return Vm(name, Queue.RUNNING, checkout=NOW)


def unknown(name: str, since: float | None = LONG_AGO) -> Vm:
    return Vm(name, Queue.DISCOVERED, since=since)


def named(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(count)]


def pool_of(*vms: Vm, also: tuple[Guest, ...] = (), **more: Any) -> PoolState:
    """Return a pool whose VMs are all in the inventory, powered on and booted."""
    here = {vm.name: guest(vm.name, stamp=Stamp("debian", vm.name, NOW, holder_of(vm))) for vm in vms}
    here |= {each.name: each for each in also}
    return PoolState(vms=vms, **{"inventory": here, **more})


def holder_of(vm: Vm) -> Holder | None:
    return recorded(vm) if vm.queue is Queue.RUNNING else None


def planned(state: PoolState, size: int = 3, now: float = NOW, **rules: Any) -> list[Action]:
    return plan_pool(attrs.evolve(POOL, size=size), state, now, Rules(**rules))


def notes(plan: list[Action]) -> list[Action]:
    """Return the actions that are about the pool itself: what is missing, the mass guard."""
    return [action for action in plan if isinstance(action, NoteMissing | Flag | Unflag)]


def completed(plan: list[Action]) -> list[str]:
    return [action.vm for action in plan if isinstance(action, Complete)]


# Missing VMs.


def test_many_missing_vms_at_once_are_noted_and_kept_and_a_few_are_replaced() -> None:
    ten = [ready(name) for name in named("vm", 10)]
    some = {vm.name: guest(vm.name) for vm in ten[5:]}
    assert len(completed(planned(PoolState(vms=(*ten,), inventory=some), size=10))) == 5
    few = {vm.name: guest(vm.name) for vm in ten[6:]}
    plan = planned(PoolState(vms=(*ten,), inventory=few), size=10)
    assert completed(plan) == []
    missing = [Miss(vm.name, Queue.READY) for vm in ten[:6]]
    why = "6 VMs are missing from the inventory at once; none is given up before 10 minutes"
    assert plan == [*missing, NoteMissing(why)]
    assert planned(PoolState(vms=(*ten,), inventory=few, distrusts=True), size=10) == missing
    assert notes(planned(PoolState(vms=(*ten,), inventory=some, distrusts=True), size=10)) == [NoteMissing("")]


def test_a_whole_pool_that_is_missing_is_kept_and_a_pool_of_one_is_replaced() -> None:
    assert completed(planned(PoolState(vms=(ready("a"), ready("b"))), size=2)) == []
    assert completed(planned(PoolState(vms=(ready("a"),)), size=1)) == ["a"]


def test_vms_that_are_missing_for_long_make_no_others_suspect() -> None:
    lost = [attrs.evolve(running(name), since=NOW - 601) for name in named("lost", 9)]
    assert completed(planned(PoolState(vms=(*lost, ready("a"))), size=1)) == ["a"]


def test_pending_vms_that_are_missing_are_given_up_however_many_there_are() -> None:
    lost = [Vm(name, Queue.PENDING, ordered=NOW - CLONE_SETTLES - 600) for name in named("lost", 9)]
    plan = planned(PoolState(vms=(*lost,), distrusts=True), size=9)
    assert completed(plan) == named("lost", 9)
    assert notes(plan) == [NoteMissing("")]
    young = [attrs.evolve(vm, ordered=NOW - CLONE_SETTLES - 599) for vm in lost]
    assert completed(planned(PoolState(vms=(*young,), distrusts=True), size=9)) == []


def test_a_pool_that_is_not_verified_is_compared_at_once_busy_vms_too() -> None:
    taken = guest("a", stamp=Stamp("debian", "a", NOW, Holder("ann", "id", NOW, NOW + 60)))
    state = PoolState(vms=(ready("a"),), inventory={"a": taken}, busy=frozenset({"a"}), verified=False)
    plan = planned(state, size=1)
    reclaimed = Reclaim("a", Queue.READY, Holder("ann", "id", NOW, NOW + 60), BY_STAMP)
    assert plan == [reclaimed, Verify(), NoteEmpty(True), Clone(1)]
    assert planned(attrs.evolve(state, verified=True), size=1) == [], "its stamp may be cleared since it was read"


# Filling a pool.


def test_an_empty_pool_is_reported_and_filled() -> None:
    assert planned(PoolState()) == [NoteEmpty(True), Clone(3)]


def test_pending_and_ready_vms_count_and_those_in_use_do_not() -> None:
    assert planned(pool_of(running("r"), ready("a"), pending("b"), busy=frozenset("b"))) == [Clone(1)]


def test_a_full_pool_with_nothing_amiss_has_nothing_to_do() -> None:
    assert planned(pool_of(*map(ready, "abc"))) == []


def test_what_is_completed_now_is_replaced_now() -> None:
    state = pool_of(ready("a"), ready("b"), ready("c", LONG_AGO * 0))
    plan = planned(state)
    assert (completed(plan), plan[-1]) == (["c"], Clone(1))


def test_a_pool_that_has_ready_vms_again_is_reported() -> None:
    assert planned(pool_of(*map(ready, "abc"), empty=True)) == [NoteEmpty(False)]


@pytest.mark.parametrize("marked", [True, False])
def test_a_pool_of_size_0_does_not_run_out(marked: bool) -> None:
    assert planned(PoolState(empty=marked), size=0) == []


def test_where_clones_fail_nothing_is_tried_before_its_time_and_the_place_in_line_is_left() -> None:
    failing = PoolState(clone_failures=3, clones_after=NOW + 1, empty=True)
    assert planned(failing) == []
    assert planned(attrs.evolve(failing, waiting=True)) == [Withdraw()]


def test_where_clones_fail_one_is_tried_at_a_time() -> None:
    failing = PoolState(clone_failures=3, clones_after=NOW, empty=True)
    assert planned(failing) == [Clone(1)]
    trial = frozenset("a")
    assert planned(attrs.evolve(failing, vms=(pending("a"),), busy=trial, cloning=trial)) == []


def test_where_vms_cannot_be_switched_on_the_next_clone_waits_until_the_last_is_on() -> None:
    failing = PoolState(clone_failures=1, clones_after=NOW, power_fails=True, empty=True)
    assert planned(failing) == [Clone(1)]
    cloned = attrs.evolve(failing, vms=(pending("a"),))
    assert planned(attrs.evolve(cloned, inventory={"a": guest("a", powered_on=False)})) == []
    assert planned(cloned) == []
    on = attrs.evolve(cloned, inventory={"a": guest("a", hostname="")})
    assert planned(on) == [Clone(1)]


def test_a_vm_that_stays_off_is_replaced_at_once() -> None:
    off = pool_of(pending("a", NOW - 200, powered=NOW - 100), ready("b"), ready("c"))
    state = attrs.evolve(off, inventory={**off.inventory, "a": guest("a", powered_on=False)})
    assert planned(state) == [StaysOff("a", "is switched off again after it was switched on"), Clone(1)]


# Witnesses: ready VMs that are checked early while others are in doubt.


def checked(name: str, ago: float, **known: Any) -> Vm:
    return attrs.evolve(ready(name), checked=NOW - ago, **known)


def test_witnesses_are_the_ready_vms_that_were_not_checked_for_the_longest_time() -> None:
    vms = (checked("a", 60), checked("b", 80), checked("c", 2))
    assert planned(pool_of(*vms, witnesses=1, witnesses_since=NOW - 5.0)) == [Check("b")]
    assert set(planned(pool_of(*vms, witnesses=3, witnesses_since=NOW - 5.0))) == {Check("a"), Check("b")}
    assert planned(pool_of(*vms, witnesses=0, witnesses_since=NOW - 5.0)) == []


def test_a_vm_that_is_missing_is_no_witness() -> None:
    vms = [ready(name, since=NOW - 60) for name in ("a", "b")]
    vms = [attrs.evolve(vm, checked=NOW - 60, since=NOW - 9) for vm in vms]
    assert planned(PoolState(vms=(*vms,), distrusts=True, witnesses=2, witnesses_since=NOW)) == [
        NoteEmpty(True),
        Clone(3, 2),
    ]


def test_a_pool_is_filled_beside_vms_that_are_missing_for_more_than_a_moment() -> None:
    vms = [attrs.evolve(ready(name), since=NOW - 5) for name in ("a", "b")]
    state = PoolState(vms=(*vms,), distrusts=True)
    assert planned(state, size=2) == []
    assert planned(state, size=2, now=NOW + 3) == [NoteEmpty(True), Clone(2, 2)]
    ahead = PoolState(vms=(*(attrs.evolve(vm, since=NOW + 3600) for vm in vms),), distrusts=True)
    again = [Miss(vm.name, Queue.READY) for vm in vms]
    assert planned(ahead, size=2) == [*again, NoteEmpty(True), Clone(2, 2)], "its clock was set back since"
    assert pause(state, NOW) == 3


def test_nobody_who_is_busy_in_trouble_or_checked_in_the_same_second_is_a_witness() -> None:
    vms = (checked("a", 60), checked("b", 60, retry_at=NOW + 1), checked("c", 5))
    state = pool_of(*vms, witnesses=3, witnesses_since=NOW - 4.5, busy=frozenset("a"))
    assert planned(state) == []


def test_a_pool_that_needs_no_clone_any_more_leaves_the_line() -> None:
    assert planned(pool_of(*map(ready, "abc"), waiting=True)) == [Withdraw()]


def test_a_clone_counted_of_a_vm_that_stands_nowhere_gives_its_place_back() -> None:
    lost = pool_of(*map(ready, "abc"), cloning=frozenset({"lost", "made"}), busy=frozenset({"made"}))
    assert planned(lost) == [Release("lost")]


def test_a_clone_counted_of_a_vm_that_is_there_but_in_no_queue_is_first_noted() -> None:
    state = pool_of(*map(ready, "abc"), also=(guest("x"),), cloning=frozenset("x"))
    assert planned(state) == [Discover("x", stamped=True)]
    noted = pool_of(*map(ready, "abc"), unknown("x"), cloning=frozenset("x"))
    assert planned(noted) == [Release("x")]


# Removing surplus VMs.


def test_of_too_many_vms_the_youngest_pending_go_first() -> None:
    state = pool_of(ready("a"), ready("b"), pending("old", NOW - 9), pending("young", NOW - 1))
    assert completed(planned(state)) == ["young"]


def test_then_the_stalest_ready_ones() -> None:
    state = pool_of(ready("a", NOW - 3), ready("old", NOW - 9), ready("b", NOW - 2), pending("young"))
    assert completed(planned(state, size=2)) == ["old", "young"]


def test_a_clone_under_way_is_not_cut_short_and_no_ready_vm_goes_in_its_place() -> None:
    making = frozenset({"new"})
    state = pool_of(*map(ready, "abc"), pending("new"), busy=making, cloning=making)
    assert planned(state) == []
    abandoned = pool_of(*map(ready, "abc"), pending("new"), cloning=making)
    assert planned(abandoned) == [Release("new")]


def test_a_vm_in_several_queues_is_settled_before_it_is_counted_out() -> None:
    odd = ready("a", also=(Queue.COMPLETED,))
    assert planned(pool_of(odd), size=0) == [Settle("a", Queue.READY, (Queue.COMPLETED,))]


def test_a_pool_shrunk_to_nothing_keeps_what_is_in_use() -> None:
    assert completed(planned(pool_of(running("r"), ready("a"), ready("b")), size=0)) == ["a", "b"]


# Unknown VMs: a VM that cannot be explained is not destroyed.


def crowd(*strangers: Vm, of: int = 20, **more: Any) -> PoolState:
    """Return a pool of ``of`` VMs: these unknown ones, and the others in use."""
    return pool_of(*map(running, named("r", of - len(strangers))), *strangers, **more)


def test_a_vm_in_no_queue_is_noted_and_nothing_more() -> None:
    state = pool_of(*map(ready, "abc"), also=(guest("new"),))
    assert planned(state) == [Discover("new", stamped=True)]


def test_a_copy_of_one_of_our_vms_does_not_count_as_stamped() -> None:
    copy = guest("copy", stamp=Stamp("debian", "a", NOW))
    assert planned(pool_of(*map(ready, "abc"), also=(copy,))) == [Discover("copy", stamped=False)]


def test_a_vm_that_is_being_made_or_destroyed_is_not_unknown() -> None:
    assert planned(pool_of(*map(ready, "abc"), also=(guest("new"),), busy=frozenset({"new"}))) == []


def test_a_stamped_vm_that_stayed_unknown_is_completed() -> None:
    assert completed(planned(crowd(unknown("x")))) == ["x"]
    assert completed(planned(crowd(unknown("x", NOW - 599)))) == []


def test_a_foreign_vm_is_left_alone_for_ever_unless_the_operator_says_otherwise() -> None:
    foreign = crowd(unknown("x", 0), also=(guest("x", stamped=False),), confirmed=frozenset("x"))
    assert completed(planned(foreign)) == []
    assert completed(planned(foreign, destroy_foreign=True)) == ["x"]


def test_an_unknown_vm_that_went_away_is_explained() -> None:
    state = crowd(unknown("x"))
    gone = {name: each for name, each in state.inventory.items() if name != "x"}
    plan = planned(attrs.evolve(state, inventory=gone))
    assert plan == [Explain("x", "is no longer in the inventory"), NoteEmpty(True), Clone(3)]


@pytest.mark.parametrize(("strangers", "of", "guarded"), [(5, 20, False), (6, 20, True), (8, 40, False), (9, 40, True)])
def test_more_than_five_unknown_vms_that_are_more_than_a_fifth_raise_the_guard(
    strangers: int, of: int, guarded: bool
) -> None:
    plan = planned(crowd(*map(unknown, named("x", strangers)), of=of))
    assert completed(plan) == ([] if guarded else named("x", strangers))
    why = f"{strangers} of {of} VMs are unknown; none is destroyed until this is confirmed"
    assert notes(plan) == [Flag(why)] * guarded


def test_a_pool_of_which_all_is_unknown_is_guarded_however_small_it_is() -> None:
    plan = planned(pool_of(unknown("x")))
    why = "1 of 1 VMs are unknown; none is destroyed until this is confirmed"
    assert plan == [Flag(why), NoteEmpty(True), Clone(3)]


def test_the_flag_says_how_much_is_unknown_and_not_confirmed() -> None:
    strangers = named("x", 9)
    plan = planned(crowd(*map(unknown, strangers), confirmed=frozenset(strangers[:2])))
    assert completed(plan) == strangers[:2]
    assert notes(plan) == [Flag("7 of 20 VMs are unknown; none is destroyed until this is confirmed")]


def test_the_guard_stays_when_new_clones_make_the_unknown_ones_few() -> None:
    """Redis started empty: three VMs in use are unknown, and the pool was filled up again."""
    refilled = pool_of(*map(ready, "abc"), *map(unknown, "xyz"), flagged=True)
    assert planned(refilled) == []


def test_work_in_flight_for_vms_of_no_queue_is_no_sign_of_health() -> None:
    """Redis was emptied while a clone was in flight."""
    state = pool_of(*map(unknown, "xyz"), also=(guest("made"),), busy=frozenset({"made"}))
    assert completed(planned(state)) == []


def test_confirmed_vms_are_completed_while_the_others_stay_guarded() -> None:
    strangers = named("x", 8)
    some = frozenset(strangers[:3])
    state = crowd(*map(unknown, strangers), flagged=True, confirmed=some)
    plan = planned(state)
    assert completed(plan) == sorted(some)
    assert notes(plan) == []


def test_the_flag_goes_when_everything_is_confirmed_or_explained() -> None:
    assert planned(crowd(flagged=True)) == [Unflag(), NoteEmpty(True), Clone(3)]
    confirmed = crowd(*map(unknown, named("x", 8)), flagged=True, confirmed=frozenset(named("x", 8)))
    assert notes(planned(confirmed)) == [Unflag()]
    assert completed(planned(confirmed)) == named("x", 8)


# Properties that hold for any state of a pool.

NAMES = st.sampled_from(named("vm", 9))
AGES = st.sampled_from([-10.0, 0.0, 5.0, 31.0, 599.0, 600.0, 900.0, 3600.0, 8000.0])
MOMENTS = st.none() | AGES.map(lambda age: NOW - age)
ALSO = st.just(()) | st.just((Queue.COMPLETED,)) | st.just((Queue.PENDING, Queue.DISCOVERED))

VMS = st.builds(
    Vm,
    name=NAMES,
    queue=st.sampled_from(Queue),
    ordered=MOMENTS,
    ready=MOMENTS,
    checked=MOMENTS,
    checkout=MOMENTS,
    lifetime=st.none() | st.sampled_from([1.0, 2.0]),
    owner=st.sampled_from(["", "ann"]),
    since=MOMENTS,
    retry_at=st.sampled_from([0.0, NOW + 5]),
    also=st.one_of(st.just(()), st.just(()), ALSO),
    checkout_id=st.sampled_from(["", "id"]),
    ended=st.booleans(),
    unclaimed=st.booleans(),
    quarantined=st.booleans(),
)


@st.composite
def guests(draw: st.DrawFn, name: str) -> Guest:
    holder = draw(st.none() | st.none() | st.sampled_from([Holder("ann"), Holder("ann", "id", NOW, NOW + 60)]))
    stamps = [Stamp("debian", name, NOW, holder), Stamp("debian", "another", NOW, holder)]
    stamp = draw(st.none() | st.sampled_from(stamps))
    hostname = draw(st.sampled_from(["", name, "other"]))
    return Guest(name, draw(st.booleans()), draw(st.booleans()), hostname, stamp=stamp)


@st.composite
def states(draw: st.DrawFn) -> PoolState:
    """Generate any pool, consistent or not."""
    inventory = {name: draw(guests(name)) for name in draw(st.sets(NAMES))}
    return PoolState(
        vms=tuple(draw(st.lists(VMS, unique_by=lambda vm: vm.name))),
        inventory=inventory,
        busy=draw(st.frozensets(NAMES, max_size=3)),
        cloning=draw(st.frozensets(NAMES, max_size=3)),
        clone_failures=draw(st.integers(0, 2)),
        clones_after=draw(st.sampled_from([0.0, NOW, NOW + 5])),
        power_fails=draw(st.booleans()),
        witnesses=draw(st.integers(0, 2)),
        witnesses_since=NOW,
        confirmed=draw(st.frozensets(NAMES, max_size=2)),
        flagged=draw(st.booleans()),
        empty=draw(st.booleans()),
        waiting=draw(st.booleans()),
        verified=draw(st.booleans()),
        distrusts=draw(st.booleans()),
    )


SIZES = st.integers(0, 6)


@given(states(), SIZES)
def test_every_vm_gets_at_most_one_action_and_a_busy_one_none(state: PoolState, size: int) -> None:
    actions = [action for action in planned(state, size) if isinstance(action, VmAction)]
    touched = [action.vm for action in actions]
    assert len(touched) == len(set(touched))
    waiting = [action for action in actions if state.verified or not isinstance(action, Reclaim)]
    assert state.busy.isdisjoint(action.vm for action in waiting)


@given(states(), SIZES)
def test_a_vm_that_somebody_has_by_any_witness_is_neither_completed_nor_kept_ready(state: PoolState, size: int) -> None:
    plan = planned(state, size)
    reclaimed = {action.vm for action in plan if isinstance(action, Reclaim)}
    assert reclaimed.isdisjoint(completed(plan))
    for vm in state.vms:
        if vm.also or vm.queue in (Queue.RUNNING, Queue.COMPLETED) or (state.verified and vm.name in state.busy):
            continue
        stamp = state.inventory[vm.name].stamp if vm.name in state.inventory else None
        holder = stamp.holder if stamp and stamp.name == vm.name else None
        if (holder and not vm.ended) or (vm.checkout is not None and not vm.ended and not vm.quarantined):
            assert vm.name in reclaimed


@given(states(), SIZES)
def test_only_a_vm_that_is_there_is_checked(state: PoolState, size: int) -> None:
    checks = (action for action in planned(state, size) if isinstance(action, Check | Probe))
    assert {action.vm for action in checks} <= state.inventory.keys()


@given(states(), SIZES)
def test_a_vm_is_completed_from_the_queue_that_it_stands_in(state: PoolState, size: int) -> None:
    stands = {vm.name: vm.queue for vm in state.vms}
    for action in planned(state, size):
        if isinstance(action, Complete):
            assert stands[action.vm] is action.queue
            assert action.why


@given(states(), SIZES, st.booleans())
def test_an_unknown_vm_is_completed_only_when_all_the_rules_allow_it(
    state: PoolState, size: int, destroy_foreign: bool
) -> None:
    vms = {vm.name: vm for vm in state.vms}
    plan = planned(state, size, destroy_foreign=destroy_foreign)
    unexplained = {name for name in state.inventory if name not in vms or vms[name].queue is Queue.DISCOVERED}
    strange = unexplained - state.busy - state.confirmed
    for name in completed(plan):
        if vms[name].queue is not Queue.DISCOVERED:
            continue
        stamp = state.inventory[name].stamp
        assert destroy_foreign or (stamp is not None and stamp.name == name)
        assert NOW - (vms[name].since or NOW) >= 600
        if name not in state.confirmed:
            assert not state.flagged
            assert strange != state.inventory.keys()
            assert len(strange) <= max(5, len(state.inventory) / 5)


@given(states(), SIZES)
def test_pending_and_ready_never_exceed_the_size_by_a_clone(state: PoolState, size: int) -> None:
    plan = planned(state, size)
    gone = {*completed(plan), *(action.vm for action in plan if isinstance(action, Reclaim))}
    found = {action.vm for action in plan if isinstance(action, Welcome)}
    missing = [vm for vm in state.vms if vm.queue is Queue.READY and vm.since is not None]
    # A moment further ahead than clocks may differ is of a clock that was set back: it counts as long ago.
    away = {vm.name for vm in missing if not -CLOCK_TOLERANCE <= NOW - (vm.since or 0) < SECOND_CHECK_DELAY}
    gone |= away - found
    filling = [vm for vm in state.vms if vm.queue in (Queue.PENDING, Queue.READY) and vm.name not in gone]
    ordered = sum(action.count for action in plan if isinstance(action, Clone))
    assert ordered == 0 or (ordered > 0 and len(filling) + ordered <= size)


@given(states(), SIZES)
def test_trimming_never_goes_below_the_size(state: PoolState, size: int) -> None:
    plan = planned(state, size)
    gone = {*completed(plan), *(action.vm for action in plan if isinstance(action, Reclaim))}
    filling = [vm for vm in state.vms if vm.queue in (Queue.PENDING, Queue.READY) and vm.name not in gone]
    if any(isinstance(action, Complete) and "more than the pool's size" in action.why for action in plan):
        assert len(filling) >= size
        assert not any(isinstance(action, Clone) for action in plan)


@given(states(), SIZES)
def test_a_running_vm_is_completed_at_the_end_of_its_lifetime_and_for_nothing_else(state: PoolState, size: int) -> None:
    vms = {vm.name: vm for vm in state.vms}
    for name in completed(planned(state, size)):
        vm = vms[name]
        if vm.queue is Queue.RUNNING:
            if vm.unclaimed:
                assert vm.name not in state.inventory or (vm.since is not None and NOW - vm.since >= 600)
                continue
            assert vm.checkout is not None
            assert vm.lifetime is not None
            assert NOW - vm.checkout >= vm.lifetime * 3600


@given(states(), SIZES)
def test_nothing_is_cloned_before_its_time_or_twice_where_clones_fail(state: PoolState, size: int) -> None:
    for action in planned(state, size):
        if isinstance(action, Clone):
            assert state.clones_after <= NOW
            assert action.count == 1 or not state.clone_failures


# A wait that exceeds the longest possible wait is ignored: a clock was ahead for a moment.


def test_clones_do_not_wait_for_a_moment_that_is_further_off_than_any_wait() -> None:
    failing = PoolState(clone_failures=3, clones_after=NOW + 3600, empty=True)
    assert planned(failing) == [Clone(1)]


def test_tasks_do_not_wait_for_a_moment_that_is_further_off_than_any_wait() -> None:
    for wait, due in ((1.0, False), (3600.0, True)):
        task = Task("1", Kind.SNAPSHOT, "a", "x", retry_at=NOW + wait)
        assert (RunTask("a", task) in planned(pool_of(running("a"), tasks=(task,)))) == due
