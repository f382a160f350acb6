"""What happens to one VM: the rules of docs/compatibility.md#queues, one test for each rule."""

from typing import Any

import attrs
import pytest

from vmpooler.domain.actions import (
    Check,
    Complete,
    Destroy,
    Explain,
    Mend,
    Miss,
    PowerOn,
    Probe,
    Reclaim,
    Recover,
    Release,
    Seek,
    Settle,
    StaysOff,
    VmAction,
    Welcome,
    WriteStamp,
)
from vmpooler.domain.backoff import BACKOFF_MOST, CLOCK_TOLERANCE, SECOND_CHECK_DELAY
from vmpooler.domain.evidence import BY_RECORD, BY_STAMP, LONGER, ROW_ENDS
from vmpooler.domain.guest import Guest, Holder, Stamp
from vmpooler.domain.model import Queue, Vm
from vmpooler.domain.plan import is_stamped
from vmpooler.domain.vm_policy import CLONE_SETTLES, Case, next_action
from vmpooler.settings import Pool

NOW = 1_700_000_000.0
MINUTE, HOUR = 60.0, 3600.0
POOL = Pool(name="debian", size=5, timeout=15, ready_ttl=60)
UP = Guest("vm", hostname="vm", address="10.0.0.1", stamp=Stamp("debian", "vm", NOW))
OF_A_CASE = ("may_complete_unknown", "verified", "distrusts")
CLONING = Guest("vm", cloning=True, powered_on=False)

PENDING, READY, RUNNING = Queue.PENDING, Queue.READY, Queue.RUNNING
COMPLETED, DISCOVERED = Queue.COMPLETED, Queue.DISCOVERED


def judged(
    queue: Queue, guest: Guest | None = UP, pool: Pool = POOL, case: Any = None, **known: Any
) -> VmAction | None:
    """Return the action for a VM. ``known`` are attributes of the VM or of its case."""
    bears = {name: known.pop(name) for name in OF_A_CASE if name in known}
    bears = {"ours": is_stamped(guest, "vm", pool.name), **bears, **(case or {})}
    return next_action(Case(Vm("vm", queue, **known), guest, pool, NOW, **bears))


def stamped(holder: Holder | None) -> Guest:
    """Return the VM, powered on and booted, with this holder in its stamp."""
    return attrs.evolve(UP, stamp=Stamp("debian", "vm", NOW, holder))


def why(action: VmAction | None) -> str:
    assert isinstance(action, Complete)
    return action.why


def test_a_vm_in_several_queues_is_settled_before_anything_else() -> None:
    assert judged(RUNNING, checkout=0.0, lifetime=1, also=(COMPLETED,)) == Settle("vm", RUNNING, (COMPLETED,))


# Pending VMs.


def test_a_pending_vm_that_is_up_under_its_name_is_probed() -> None:
    assert judged(PENDING, ordered=NOW - 20) == Probe("vm")
    assert judged(PENDING, attrs.evolve(UP, hostname="vm.example.com"), ordered=NOW - 20) == Probe("vm")


def test_a_pending_vm_whose_time_is_up_is_probed_a_last_time() -> None:
    assert judged(PENDING, ordered=NOW - 15 * MINUTE) == Probe("vm", last=True)


NOT_UP = {
    "its host name is 'other'": attrs.evolve(UP, hostname="other"),
    "its host name is 'vm2.example.com'": attrs.evolve(UP, hostname="vm2.example.com"),
    "its guest has not reported a host name": attrs.evolve(UP, hostname=""),
    "it is switched off": attrs.evolve(UP, powered_on=False),
    "its guest has not reported a host name (on esx-1, switched on 14 minutes ago)": attrs.evolve(
        UP, hostname="", host="esx-1", booted=NOW - 14 * MINUTE
    ),
    "its clone has not ended": CLONING,
}


@pytest.mark.parametrize("trouble", NOT_UP)
def test_a_pending_vm_that_does_not_come_up_fails_when_its_time_is_up_and_not_before(trouble: str) -> None:
    early = judged(PENDING, NOT_UP[trouble], ordered=NOW - 15 * MINUTE + 1)
    assert early == (PowerOn("vm") if trouble == "it is switched off" else None)
    failed = judged(PENDING, NOT_UP[trouble], ordered=NOW - 15 * MINUTE)
    assert failed == Complete("vm", PENDING, f"marked as 'failed' after 15 minutes: {trouble}")


def test_a_pending_vm_whose_time_is_up_fails_by_its_second_check() -> None:
    since = NOW - SECOND_CHECK_DELAY
    known: Any = {"ordered": NOW - HOUR, "doubted": since}
    assert judged(PENDING, retry_at=NOW + 1, **known) is None
    assert judged(PENDING, retry_at=NOW, **known) == Probe("vm", last=True, since=since)


OFF = attrs.evolve(UP, powered_on=False, hostname="", host="esx-1")


def test_a_pending_vm_that_is_off_after_its_clone_is_switched_on_when_that_is_no_part_of_its_clone() -> None:
    ordered = NOW - 100 - CLONE_SETTLES
    assert judged(PENDING, OFF, ordered=ordered + 1, clone_seconds=100) is None
    assert judged(PENDING, OFF, ordered=ordered, clone_seconds=100) == PowerOn("vm")
    assert judged(PENDING, OFF, ordered=ordered, clone_seconds=100, retry_at=NOW + 1) is None
    assert judged(PENDING, CLONING, ordered=ordered) is None
    assert judged(PENDING, UP, ordered=ordered) == Probe("vm")


def test_a_pending_vm_that_is_off_again_is_replaced() -> None:
    known: Any = {"ordered": NOW - 5 * MINUTE, "retry_at": NOW + 1}
    assert judged(PENDING, OFF, powered=NOW - CLONE_SETTLES + 1, **known) is None
    off = judged(PENDING, OFF, powered=NOW - CLONE_SETTLES, **known)
    assert off == StaysOff("vm", "is switched off again after it was switched on (on esx-1)")
    assert judged(PENDING, UP, ordered=NOW - 5 * MINUTE, powered=NOW - CLONE_SETTLES) == Probe("vm")


def test_a_pending_vm_without_a_time_of_order_gets_one_and_so_will_not_stay_for_ever() -> None:
    assert judged(PENDING) == Mend("vm", PENDING)


def test_a_pending_vm_missing_from_the_inventory_is_no_ghost() -> None:
    assert judged(PENDING, None, ordered=NOW - CLONE_SETTLES + 1) is None
    assert why(judged(PENDING, None, ordered=NOW - CLONE_SETTLES)) == "is missing from the inventory"


def test_a_missing_vm_of_a_pool_with_a_very_short_timeout_fails_by_that() -> None:
    hasty = attrs.evolve(POOL, timeout=0.1)
    assert why(judged(PENDING, None, hasty, ordered=NOW - 6)).endswith("it is not in the inventory")


def test_a_clone_that_nobody_waits_for_and_that_is_not_under_way_gives_its_place_back() -> None:
    assert judged(PENDING, UP, case={"cloning": True}, ordered=NOW) == Release("vm")


def test_a_clone_that_another_manager_ordered_keeps_its_place_until_it_is_known() -> None:
    assert judged(PENDING, None, case={"cloning": True}, ordered=NOW - CLONE_SETTLES + 1) is None
    known = judged(PENDING, None, case={"cloning": True}, ordered=NOW - CLONE_SETTLES)
    assert why(known) == "is missing from the inventory", "which gives its place back too"


def test_a_clone_in_flight_keeps_its_place_also_when_another_manager_ordered_it() -> None:
    assert judged(PENDING, CLONING, case={"cloning": True}, ordered=NOW - 60) is None


def test_a_clone_counted_of_a_vm_that_is_pending_no_more_gives_its_place_back() -> None:
    assert judged(RUNNING, case={"cloning": True}, checkout=NOW, owner="") == Release("vm")


# Ready VMs.


def test_a_good_ready_vm_is_left_alone_until_its_next_check() -> None:
    assert judged(READY, ready=NOW - 20 * MINUTE, checked=NOW - 15 * MINUTE + 1) is None
    assert judged(READY, ready=NOW - 20 * MINUTE, checked=NOW - 15 * MINUTE) == Check("vm")


def test_a_ready_vm_that_was_never_checked_is_checked_in_time_after_it_became_ready() -> None:
    assert judged(READY, ready=NOW - 15 * MINUTE + 1) is None
    assert judged(READY, ready=NOW - 15 * MINUTE) == Check("vm")


@pytest.mark.parametrize("field", ["ready", "ordered"])
def test_a_ready_vm_goes_stale_counted_from_when_it_was_ready_else_from_its_order(field: str) -> None:
    stale: dict[str, Any] = {field: NOW - HOUR}
    fresh: dict[str, Any] = {field: NOW - HOUR + 1}
    assert why(judged(READY, **stale)) == "reached end of TTL after 60 minutes"
    assert not isinstance(judged(READY, **fresh), Complete)


def test_a_ready_vm_that_became_ready_late_is_not_stale_by_its_order() -> None:
    assert judged(READY, ordered=NOW - 2 * HOUR, ready=NOW - MINUTE) is None


def test_without_ready_ttl_a_ready_vm_never_goes_stale() -> None:
    lasting = attrs.evolve(POOL, ready_ttl=0)
    assert judged(READY, UP, lasting, ready=NOW - 1000 * HOUR, checked=NOW) is None


def test_a_stale_vm_is_stale_also_when_a_check_is_due() -> None:
    assert why(judged(READY, ready=NOW - HOUR, checked=NOW - HOUR)) == "reached end of TTL after 60 minutes"


NOT_WELL = {
    "is missing from the inventory": None,
    "appears to be powered off": attrs.evolve(UP, powered_on=False),
}


@pytest.mark.parametrize("trouble", NOT_WELL)
def test_a_ready_vm_that_is_visibly_not_well_is_completed(trouble: str) -> None:
    assert judged(READY, NOT_WELL[trouble], ready=NOW - 1) == Complete("vm", READY, trouble)


def test_a_ready_vm_that_reports_another_host_name_is_checked_at_once() -> None:
    assert judged(READY, attrs.evolve(UP, hostname="other"), ready=NOW - 1) == Check("vm")


def doubted(guest: Guest = UP, since: float = NOW - SECOND_CHECK_DELAY, **known: Any) -> VmAction | None:
    return judged(READY, guest, **{"ready": NOW - HOUR + 1, "checked": NOW - MINUTE, "doubted": since, **known})


def test_a_ready_vm_that_failed_its_check_gets_a_second_one_some_seconds_later() -> None:
    assert doubted(retry_at=NOW + 1) is None
    assert doubted(retry_at=NOW) == Check("vm", since=NOW - SECOND_CHECK_DELAY)
    renamed = attrs.evolve(UP, hostname="other")
    assert doubted(renamed, retry_at=NOW + 1) is None
    assert doubted(renamed, retry_at=NOW) == Check("vm", since=NOW - SECOND_CHECK_DELAY)


NO_DOUBT: dict[str, dict[str, Any]] = {
    "a check succeeded since": {"checked": NOW - 5},
    "it is of the future": {"since": NOW + 100, "retry_at": NOW + 100 + SECOND_CHECK_DELAY},
    "its row of checks was broken off": {"retry_at": NOW - ROW_ENDS - 1},
    "nothing says when the next check is due": {"retry_at": 0},
}


@pytest.mark.parametrize("why", NO_DOUBT)
def test_a_failed_check_is_forgotten_when(why: str) -> None:
    assert doubted(**{"retry_at": NOW, **NO_DOUBT[why]}) is None
    stale = attrs.evolve(UP, hostname="other")
    assert doubted(stale, **{**NO_DOUBT[why], "retry_at": min(NOW, NO_DOUBT[why].get("retry_at", NOW))}) == Check("vm")


def test_the_doubt_of_a_vm_that_was_given_meanwhile_ends() -> None:
    known: Any = {"checkout": NOW - 1, "doubted": NOW - 3, "owner": "jo"}
    holder = Holder("jo", since=NOW - 1)
    assert judged(RUNNING, **known) == WriteStamp("vm", holder)
    assert judged(RUNNING, retry_at=NOW + 5, **known) == WriteStamp("vm", holder), "whatever it was doubted for"
    assert judged(RUNNING, stamped(holder), **known) == Recover("vm")
    assert judged(RUNNING, stamped(holder), **{**known, "doubted": None}) is None


def test_a_ready_vm_that_reports_no_host_name_is_not_judged_by_it() -> None:
    assert judged(READY, attrs.evolve(UP, hostname=""), ready=NOW - 1) is None


def test_a_ready_vm_without_any_moment_gets_one() -> None:
    assert judged(READY) == Mend("vm", READY)


@pytest.mark.parametrize("queue", [PENDING, READY, DISCOVERED])
@pytest.mark.parametrize("holder", [Holder("ann", "id", NOW, NOW + HOUR), Holder("ann")])
def test_a_vm_whose_stamp_names_a_holder_runs_for_it_wherever_redis_has_it(queue: Queue, holder: Holder) -> None:
    known: dict[str, Any] = {"ordered": 0.0, "ready": 0.0, "since": 0.0}
    assert judged(queue, stamped(holder), **known) == Reclaim("vm", queue, holder, BY_STAMP)


def test_a_stamp_of_another_vm_or_pool_is_no_evidence() -> None:
    holder = Holder("ann", "id", NOW, NOW + HOUR)
    for stamp in (Stamp("debian", "another", NOW, holder), Stamp("centos", "vm", NOW, holder)):
        assert judged(READY, attrs.evolve(UP, stamp=stamp), ready=NOW) is None


@pytest.mark.parametrize("queue", [PENDING, READY, DISCOVERED])
def test_a_vm_whose_record_has_a_checkout_without_an_end_runs_again(queue: Queue) -> None:
    known: dict[str, Any] = {"ordered": 0.0, "ready": 0.0, "since": 0.0, "checkout": NOW - HOUR, "owner": "ann"}
    holder = Holder("ann", "id", NOW - HOUR, NOW + HOUR)
    assert judged(queue, lifetime=2.0, checkout_id="id", **known) == Reclaim("vm", queue, holder, BY_RECORD)


def test_a_checkout_that_has_ended_is_no_evidence() -> None:
    known: dict[str, Any] = {"since": NOW - HOUR, "checkout": NOW - HOUR, "checkout_id": "id", "ended": True}
    for stamp in (Holder("ann", "id", NOW - HOUR, NOW + HOUR), Holder("ann")):
        assert isinstance(judged(DISCOVERED, stamped(stamp), may_complete_unknown=True, **known), Complete)
    later = Holder("bob", "later", NOW - MINUTE, NOW + HOUR)
    assert judged(DISCOVERED, stamped(later), **known) == Reclaim("vm", DISCOVERED, later, BY_STAMP)


def test_a_vm_that_was_completed_for_want_of_its_checkout_runs_again() -> None:
    lost = Holder("ann", "lost", NOW - HOUR, NOW + HOUR)
    assert judged(COMPLETED, stamped(lost)) == Reclaim("vm", COMPLETED, lost, BY_STAMP)
    earlier: dict[str, Any] = {"checkout": NOW - 2 * HOUR, "checkout_id": "earlier", "ended": True}
    assert judged(COMPLETED, stamped(lost), **earlier) == Reclaim("vm", COMPLETED, lost, BY_STAMP)
    for known in ({"checkout_id": "lost"}, {"stamping": "lost", "unclaimed": True}, {**earlier, "checkout": NOW}):
        assert judged(COMPLETED, stamped(lost), **known) == Destroy("vm")
    assert judged(COMPLETED, stamped(Holder("ann"))) == Destroy("vm"), "a stamp of an early version"


def test_a_quarantined_vm_that_stands_in_no_queue_is_quarantined_again() -> None:
    known: dict[str, Any] = {"since": NOW - HOUR, "checkout": NOW - HOUR, "quarantined": True}
    assert judged(DISCOVERED, **known) == Reclaim("vm", DISCOVERED, Holder(""), BY_RECORD)


def test_while_redis_may_be_an_old_one_nothing_ends_that_cannot_be_compared() -> None:
    assert judged(READY, None, ready=NOW, verified=False) == Miss("vm", READY)
    assert judged(READY, None, ready=NOW, since=NOW - HOUR, verified=False) is None
    assert judged(READY, None, ready=NOW, since=NOW - MINUTE) is None
    assert judged(PENDING, None, ordered=0.0, verified=False) is None
    over: dict[str, Any] = {"checkout": NOW - 2 * HOUR, "lifetime": 1.0}
    assert judged(RUNNING, None, verified=False, **over) == Miss("vm", RUNNING)
    assert isinstance(judged(RUNNING, None, **over), Complete)


def test_a_running_vm_that_was_missing_is_compared_when_it_is_back() -> None:
    taken: dict[str, Any] = {"checkout": NOW - HOUR, "lifetime": 2.0, "checkout_id": "old", "owner": "ann"}
    later = Holder("bob", "new", NOW, NOW + HOUR)
    assert judged(RUNNING, stamped(later), since=NOW, **taken) == Reclaim("vm", RUNNING, later, BY_STAMP)
    mine = Holder("ann", "old", NOW - HOUR, NOW + HOUR)
    assert judged(RUNNING, stamped(mine), since=NOW, **taken) == Welcome("vm", RUNNING)


def test_a_vm_whose_stamp_cannot_be_cleared_is_replaced_after_the_grace() -> None:
    held = stamped(Holder("ann", "id", NOW, NOW + HOUR))
    assert judged(RUNNING, held, unclaimed=True, since=NOW - 9 * MINUTE) == WriteStamp("vm", None)
    assert isinstance(judged(RUNNING, held, unclaimed=True, since=NOW - 10 * MINUTE), Complete)


def test_a_ready_vm_that_was_finished_with_by_its_record_is_replaced() -> None:
    assert isinstance(judged(READY, ready=NOW, checkout=NOW - HOUR, ended=True), Complete)


def test_a_completed_vm_is_destroyed_though_its_stamp_still_names_its_client() -> None:
    assert judged(COMPLETED, stamped(Holder("ann", "id", NOW, NOW + HOUR)), checkout=NOW) == Destroy("vm")


def test_of_two_checkouts_the_later_one_has_a_vm_while_redis_may_be_an_old_one() -> None:
    taken: dict[str, Any] = {"checkout": NOW - HOUR, "lifetime": 2.0, "checkout_id": "old", "owner": "ann"}
    later, earlier = Holder("bob", "new", NOW, NOW + HOUR), Holder("bob", "new", NOW - 2 * HOUR, NOW + HOUR)
    mine = Holder("ann", "old", NOW - HOUR, NOW + HOUR)
    assert judged(RUNNING, stamped(later), verified=False, **taken) == Reclaim("vm", RUNNING, later, BY_STAMP)
    assert judged(RUNNING, stamped(later), **taken) == WriteStamp("vm", mine)
    assert judged(RUNNING, stamped(earlier), verified=False, **taken) == WriteStamp("vm", mine)


@pytest.mark.parametrize("until", [None, NOW + 9 * HOUR])
def test_a_later_end_that_only_the_stamp_knows_holds_while_redis_may_be_an_old_one(until: float | None) -> None:
    taken: dict[str, Any] = {"checkout": NOW - HOUR, "lifetime": 2.0, "checkout_id": "id", "owner": "ann"}
    longer, shorter = Holder("ann", "id", NOW - HOUR, until), Holder("ann", "id", NOW - HOUR, NOW)
    mine = Holder("ann", "id", NOW - HOUR, NOW + HOUR)
    assert judged(RUNNING, stamped(longer), verified=False, **taken) == Reclaim("vm", RUNNING, longer, LONGER)
    assert judged(RUNNING, stamped(longer), **taken) == WriteStamp("vm", mine)
    assert judged(RUNNING, stamped(shorter), verified=False, **taken) == WriteStamp("vm", mine)


def test_a_quarantined_vm_runs_for_the_holder_whose_whole_stamp_comes_to_light() -> None:
    taken: dict[str, Any] = {"checkout": NOW - MINUTE, "lifetime": 2.0, "quarantined": True}
    holder = Holder("ann", "id", NOW - HOUR, NOW + 9 * HOUR)
    assert judged(RUNNING, stamped(holder), **taken) == Reclaim("vm", RUNNING, holder, BY_STAMP)
    assert judged(RUNNING, stamped(Holder("ann")), **taken) is None
    assert judged(RUNNING, stamped(holder), checkout_id="id", ended=True, **taken) is None


def test_a_running_vm_whose_record_was_evicted_is_its_stamp_s_holder_s() -> None:
    holder = Holder("bob", "id", NOW - HOUR, NOW + HOUR)
    assert judged(RUNNING, stamped(holder), checkout=NOW - HOUR) == Reclaim("vm", RUNNING, holder, BY_STAMP)
    earlier = attrs.evolve(holder, since=NOW - 2 * HOUR)
    assert isinstance(judged(RUNNING, stamped(earlier), checkout=NOW - HOUR), WriteStamp)


def test_a_later_end_that_only_the_record_knows_holds_where_the_stamp_is_behind() -> None:
    known: dict[str, Any] = {"since": NOW, "checkout": NOW - HOUR, "lifetime": 9.0, "checkout_id": "id", "owner": "ann"}
    behind = Holder("ann", "id", NOW - HOUR, NOW + HOUR)
    longer = attrs.evolve(behind, until=NOW + 8 * HOUR)
    assert judged(DISCOVERED, stamped(behind), **known) == Reclaim("vm", DISCOVERED, longer, BY_RECORD)
    nameless, unnamed = attrs.evolve(behind, checkout_id=""), attrs.evolve(longer, checkout_id="")
    known |= {"checkout_id": ""}
    assert judged(DISCOVERED, stamped(nameless), **known) == Reclaim("vm", DISCOVERED, unnamed, BY_RECORD)
    other = attrs.evolve(nameless, since=NOW - 60)
    assert judged(DISCOVERED, stamped(other), **known) == Reclaim("vm", DISCOVERED, other, BY_STAMP)
    never = attrs.evolve(behind, until=None)
    assert judged(DISCOVERED, stamped(never), **known) == Reclaim("vm", DISCOVERED, never, BY_STAMP)


def test_a_vm_that_no_client_got_is_cleared_of_its_stamp_before_it_is_ready_again() -> None:
    assert judged(RUNNING, stamped(Holder("ann", "id", NOW, NOW + HOUR)), unclaimed=True) == WriteStamp("vm", None)
    assert judged(RUNNING, UP, unclaimed=True) == WriteStamp("vm", None)
    later = Holder("ann", "id", NOW, NOW + HOUR)
    for stamping, verified in (("id", False), ("another", True)):
        found = judged(RUNNING, stamped(later), verified=verified, unclaimed=True, stamping=stamping)
        assert found == WriteStamp("vm", None)
    found = judged(RUNNING, stamped(later), verified=False, unclaimed=True, stamping="another")
    assert found == Reclaim("vm", RUNNING, later, BY_STAMP), "it went to another client, which Redis lost"
    assert isinstance(judged(RUNNING, None, unclaimed=True), Complete)


def test_a_missing_ready_vm_is_replaced_at_once_unless_many_are_missing() -> None:
    assert judged(READY, None, ready=NOW) == Complete("vm", READY, "is missing from the inventory")
    assert judged(READY, None, ready=NOW, distrusts=True) == Miss("vm", READY)
    assert judged(READY, None, ready=NOW, distrusts=True, since=NOW - 10 * MINUTE + 1) is None
    gone = judged(READY, None, ready=NOW, distrusts=True, since=NOW - 10 * MINUTE)
    assert gone == Complete("vm", READY, "has been missing for 10 minutes")
    assert judged(READY, ready=NOW, since=NOW) == Welcome("vm", READY)
    settled = NOW - CLONE_SETTLES
    assert judged(PENDING, None, ordered=settled - 10 * MINUTE + 1, distrusts=True) is None
    pending = judged(PENDING, None, ordered=settled - 10 * MINUTE, distrusts=True)
    assert pending == Complete("vm", PENDING, "is missing from the inventory")


# Running VMs.


@pytest.mark.parametrize("guest", [UP, attrs.evolve(UP, powered_on=False, hostname=""), None])
def test_a_running_vm_ends_with_its_lifetime_whatever_its_guest_does(guest: Guest | None) -> None:
    terms = ("when it was checked out", "2")
    over = judged(RUNNING, guest, checkout=NOW - 2 * HOUR, lifetime=2.0, since=NOW, terms=terms)
    assert over == Complete("vm", RUNNING, "reached end of TTL after 2 hours", terms)
    assert not isinstance(judged(RUNNING, guest, checkout=NOW - 2 * HOUR + 1, lifetime=2.0), Complete)


def test_a_running_vm_without_a_lifetime_never_ends() -> None:
    assert judged(RUNNING, stamped(Holder("", since=0.0)), checkout=0.0) is None


def test_a_running_vm_does_not_go_stale() -> None:
    assert judged(RUNNING, stamped(Holder("", since=NOW)), checkout=NOW, ready=0.0) is None


def test_a_running_vm_without_a_time_of_checkout_gets_one() -> None:
    assert judged(RUNNING, lifetime=1.0) == Mend("vm", RUNNING)


@pytest.mark.parametrize("meddled", [{"powered_on": False}, {"hostname": "mine"}])
def test_what_a_client_does_with_its_vm_is_its_own_affair(meddled: Any) -> None:
    mine = stamped(Holder("", since=NOW - HOUR, until=NOW + HOUR))
    assert judged(RUNNING, attrs.evolve(mine, **meddled), checkout=NOW - HOUR, lifetime=2.0) is None


def test_a_missing_running_vm_is_noted_then_given_its_grace_then_sought_but_not_completed() -> None:
    taken: dict[str, Any] = {"checkout": NOW - HOUR, "lifetime": 2.0}
    assert judged(RUNNING, None, **taken) == Miss("vm", RUNNING)
    assert judged(RUNNING, None, since=NOW - 10 * MINUTE + 1, **taken) is None
    assert judged(RUNNING, None, since=NOW - 10 * MINUTE, **taken) == Seek("vm")


def test_a_running_vm_that_is_back_starts_anew() -> None:
    assert judged(RUNNING, checkout=NOW, since=NOW - HOUR) == Welcome("vm", RUNNING)


def test_a_running_vm_is_stamped_with_its_owner_once() -> None:
    mine = Holder("ann", "id", NOW, NOW + HOUR)
    taken: dict[str, Any] = {"checkout": NOW, "owner": "ann", "checkout_id": "id", "lifetime": 1.0}
    assert judged(RUNNING, **taken) == WriteStamp("vm", mine)
    assert judged(RUNNING, stamped(mine), **taken) is None
    assert judged(RUNNING, quarantined=True, **taken) is None


def test_a_running_vm_that_we_did_not_make_is_not_stamped() -> None:
    assert judged(RUNNING, attrs.evolve(UP, stamp=None), checkout=NOW, owner="ann") is None


# Failed operations.


@pytest.mark.parametrize(
    ("queue", "guest", "known", "action"),
    [
        (PENDING, UP, {"ordered": NOW}, Probe("vm")),
        (READY, UP, {"ready": NOW, "checked": 0.0}, Check("vm")),
        (RUNNING, UP, {"checkout": NOW, "owner": "ann"}, WriteStamp("vm", Holder("ann", "", NOW))),
        (RUNNING, None, {"checkout": NOW, "since": NOW - HOUR}, Seek("vm")),
        (COMPLETED, UP, {}, Destroy("vm")),
    ],
)
def test_what_failed_at_the_provider_waits_before_it_is_tried_again(
    queue: Queue, guest: Guest | None, known: Any, action: VmAction
) -> None:
    assert judged(queue, guest, retry_at=NOW, **known) == action
    assert judged(queue, guest, retry_at=NOW + 1, **known) is None


def test_what_needs_no_provider_waits_for_nothing() -> None:
    assert why(judged(RUNNING, checkout=0.0, lifetime=1, retry_at=NOW + 1))


# Completed VMs.


@pytest.mark.parametrize("guest", [UP, CLONING, None])
def test_a_completed_vm_is_destroyed_also_when_it_is_not_in_the_inventory(guest: Guest | None) -> None:
    assert judged(COMPLETED, guest) == Destroy("vm")


# Discovered VMs.


def test_an_unknown_vm_is_completed_only_after_its_grace_and_only_when_it_may_be() -> None:
    may = {"may_complete_unknown": True}
    assert judged(DISCOVERED, case=may, since=NOW - 10 * MINUTE + 1) is None
    assert judged(DISCOVERED, since=NOW - 1000 * HOUR) is None
    done = judged(DISCOVERED, case=may, since=NOW - 10 * MINUTE)
    assert done == Complete("vm", DISCOVERED, "has been unknown for 10 minutes")


def test_an_unknown_vm_that_is_gone_is_noted_no_more() -> None:
    assert judged(DISCOVERED, None, since=0.0) == Explain("vm", "is no longer in the inventory")


def test_an_unknown_vm_that_the_original_noted_gets_its_whole_grace() -> None:
    assert judged(DISCOVERED, case={"may_complete_unknown": True}) == Mend("vm", DISCOVERED)


# Times in the future: a clock was set back.


@pytest.mark.parametrize(
    ("queue", "known"),
    [
        (PENDING, {"ordered": NOW + HOUR}),
        (READY, {"ready": NOW + HOUR}),
        (READY, {"ready": NOW + HOUR, "ordered": NOW + HOUR}),
        (RUNNING, {"checkout": NOW + HOUR, "lifetime": 1}),
        (DISCOVERED, {"since": NOW + HOUR}),
    ],
)
def test_what_would_count_from_a_moment_that_lies_ahead_counts_from_now(queue: Queue, known: Any) -> None:
    assert judged(queue, **known) == Mend("vm", queue)


def test_a_ready_vm_that_was_checked_at_a_moment_that_lies_ahead_is_checked() -> None:
    assert judged(READY, ready=NOW - HOUR / 2, checked=NOW + HOUR) == Check("vm")


def test_a_running_vm_that_is_missing_from_a_moment_that_lies_ahead_on_is_missing_from_now_on() -> None:
    assert judged(RUNNING, None, checkout=NOW - 60, lifetime=1, since=NOW + HOUR) == Miss("vm", RUNNING)


def test_a_moment_by_a_clock_that_is_a_little_ahead_is_believed() -> None:
    assert not isinstance(judged(RUNNING, checkout=NOW + CLOCK_TOLERANCE, lifetime=1), Mend)


def test_a_wait_that_is_longer_than_any_is_none() -> None:
    assert judged(COMPLETED, retry_at=NOW + BACKOFF_MOST, failures=20) is None
    assert judged(COMPLETED, retry_at=NOW + HOUR, failures=20) == Destroy("vm")
    assert judged(COMPLETED, retry_at=NOW + BACKOFF_MOST, failures=1) == Destroy("vm")


def test_a_checkout_that_lies_ahead_is_evidence_like_any() -> None:
    action = judged(READY, ready=NOW - 60, checkout=NOW + HOUR, lifetime=1)
    assert isinstance(action, Reclaim)
    assert action.why == BY_RECORD


@pytest.mark.parametrize("verified", [True, False])
def test_a_running_vm_whose_record_was_evicted_is_its_holders_until_its_end(verified: bool) -> None:
    evicted: dict[str, Any] = {"checkout": NOW - HOUR, "lifetime": 0.1, "checkout_id": ""}
    holder = Holder("ann", "id", NOW - HOUR, NOW + HOUR)
    assert judged(RUNNING, stamped(holder), verified=verified, **evicted) == Reclaim("vm", RUNNING, holder, BY_STAMP)
    earlier = Holder("ann", "id", NOW - 2 * HOUR, NOW + HOUR)
    assert isinstance(judged(RUNNING, stamped(earlier), verified=verified, **evicted), Complete)


@pytest.mark.parametrize("queue", [PENDING, READY, DISCOVERED])
def test_a_longer_lifetime_that_is_not_on_the_vm_yet_holds_when_it_runs_again(queue: Queue) -> None:
    known: dict[str, Any] = {"ordered": 0.0, "ready": 0.0, "since": 0.0, "checkout": NOW - HOUR, "owner": "ann"}
    longer, stamp = Holder("ann", "id", NOW - HOUR, NOW + HOUR), Holder("ann", "id", NOW - HOUR, NOW)
    found = judged(queue, stamped(stamp), lifetime=2.0, checkout_id="id", **known)
    assert found == Reclaim("vm", queue, longer, BY_RECORD)
