"""Compares the store with a model in plain Python: after any operations in any order, both have the same contents.

After every step the whole of Redis is compared: every key, which keys expire, and the events, which must be exactly
those of the model, each once. With MODEL_EXAMPLES=5000 in the environment, 5000 random walks run instead of the same
few, and a walk that fails is made as short as possible.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.redis_server import RedisServer
from tests.store.contents import NOW
from tests.store.direct import Direct
from tests.store.model.books import pool_of
from tests.store.walks.choices import PROCESSES
from tests.store.walks.failovers import FailoverRules
from vmpooler.domain.admission import FREE, Admission, Need
from vmpooler.domain.change import Change
from vmpooler.domain.events import What
from vmpooler.domain.evidence import BY_STAMP
from vmpooler.domain.guest import Holder
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.redis import scripts

USUAL = {
    *(What.CLONE, What.CLONED, What.READY, What.CHECKOUT, What.COMPLETED, What.DESTROYED, What.DISCOVERED),
    *(What.CHANGED, What.REQUESTED, What.DONE, What.RESTORED),
}
"""The kinds of event that even a few walks always produce."""

ELSEWHERE = {
    *("counts", "days", "overview", "samples", "sizes", "tags"),  # only read; other tests check their results
    *("find_pools", "leader", "leftovers", "of_others", "where"),  # only read
    *("keep_sums", "rate", "sample"),  # write keys of their own, which no other script reads
    *("peers", "remember_pools"),  # write data that is only displayed, or read when a manager starts to lead
    "command",  # any command, behind the fence
}
"""The scripts that no walk runs."""

TRANSITIONS = {path.stem for path in Path(scripts.__file__).with_name("lua").glob("[!_]*.lua")} - ELSEWHERE


@pytest.fixture
def direct(redis_server: RedisServer) -> Iterator[Direct]:
    connection = Direct(redis_server.settings)
    yield connection
    connection.hang_up()


def test_whatever_is_done_redis_holds_what_the_model_says_and_one_event_for_each_transition(direct: Direct) -> None:
    many = os.environ.get("MODEL_EXAMPLES")
    seen: set[str] = set()

    class Walk(FailoverRules):
        def __init__(self) -> None:
            super().__init__(direct, seen)

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=int(many or 100),
            stateful_step_count=70,
            derandomize=many is None,
            phases=[Phase.generate, *([Phase.shrink] if many else [])],
            database=None,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
    assert seen >= USUAL, "the walks were too short to mean anything"


class Tour(FailoverRules):
    """A walk with given steps."""

    def go(self, rule: Callable[..., object], *args: object) -> None:
        """Run one step, then compare the store with the model."""
        rule(*args)
        self.redis_holds_what_the_model_says()

    def one(self, pool: str, queue: Queue = Queue.RUNNING) -> str:
        """Return the first VM in a queue of a pool."""
        return self.model.standing(queue, pool)[0]


@pytest.fixture
def tour(direct: Direct) -> Tour:
    """A walk that starts with three processes and three VMs a pool: all are ready, except two that a client has."""
    tour = Tour(direct, set())
    tour.go(tour.processes_arrive)
    tour.go(tour.in_use, 3, {"debian": 2}, "t-ann")
    return tour


def tour_of_stamps(tour: Tour, vm: str, other: str) -> None:
    """Two VMs of debian that a client has get stamps, are returned, and are claimed."""
    go = tour.go
    for mine in (False, True):
        go(tour.holder_is_stamped, other, mine)
    go(tour.stamp_is_cleared, other)
    go(tour.vm_is_given_back, other, True, "why")
    go(tour.holder_is_stamped, other, True)
    go(tour.stamp_is_cleared, other)
    go(tour.client_takes, {"debian": 2}, "t-ann")
    for mine in (False, True):
        go(tour.vm_is_given_back, vm, mine, "why")
    for first in (True, False):
        go(tour.look_at_a_vm_fails, vm, Queue.READY, "why", first)
    go(tour.somebody_has_a_vm, vm, None, Holder("ann", "of-a-stamp", NOW, NOW + 1800), BY_STAMP)
    go(tour.client_changes, tour.one("centos", Queue.READY), Change(5, {}), FREE)
    go(tour.somebody_has_a_vm, tour.one("centos", Queue.READY), None, Holder(NOBODY), BY_STAMP)
    go(tour.vm_is_given_back, vm, True, "why")
    go(tour.stamp_is_cleared, vm)


def tour_of_verification(tour: Tour) -> None:
    """Pools are compared with the provider after a loss, and one pool is drained."""
    go = tour.go
    go(tour.client_takes, {"debian": 1}, None)
    for late in (True, False):
        go(tour.pool_is_compared_with_the_provider, "debian", late)
    go(tour.manager_looks, "debian")
    go(tour.client_takes, {"debian": 1, "fedora": 1}, None)
    go(tour.client_takes, {"debian": 1}, None)
    go(tour.pool_is_drained, "debian")
    for vm in [*tour.model.queues]:
        if pool_of(vm) == "debian":
            go(tour.vm_is_finished_with, vm, None, "why")
            go(tour.vm_is_destroyed, vm)
    go(tour.pool_is_drained, "debian")


def test_a_tour_of_all_scripts_comes_upon_every_kind_of_event(tour: Tour) -> None:
    go, one = tour.go, tour.one
    go(tour.backup_is_made)
    vm, other = tour.model.standing(Queue.RUNNING, "debian")
    go(tour.client_changes, vm, Change(5, {"team": "a", "third": "b"}), FREE)
    go(tour.client_changes, vm, Change(7, {"job:x": "c"}), FREE)
    for kind, ends in ((Kind.SNAPSHOT, "done"), (Kind.REVERT, "fails"), (Kind.DISK, "given up"), (Kind.DISK, "done")):
        go(tour.client_asks, vm, kind, "1", FREE, ends)
    go(tour.client_of_the_original_asks, other, Kind.DISK, "20")
    go(tour.requests_are_adopted, {"centos"})
    go(tour.requests_are_adopted, {"debian"})
    for missing in (True, True, False):
        go(tour.vm_is_missing_or_back, vm, None, missing)
    go(tour.clock_is_mended, vm, Queue.RUNNING)
    for queue in (Queue.RUNNING, Queue.READY):
        go(tour.vm_in_one_queue_is_settled, vm, queue)
    tour_of_stamps(tour, vm, other)
    go(tour.lifetime_is_over, other, True)
    go(tour.lifetime_is_over, other, False)
    go(tour.vm_is_destroyed, other)
    go(tour.record_expires, other)
    go(tour.client_takes, {"fedora": 3}, None)
    go(tour.empty_marks_follow)
    go(tour.client_is_done, one("fedora"), FREE)
    for name in ("fedora3", "fedora4", "fedora5"):
        go(tour.clone_begins, name, 6)
    go(tour.clone_begins, "centos4", 6)
    go(tour.client_waits, {"fedora": 1, "centos": 1})
    go(tour.client_takes, {"debian": 2, "centos": 3}, "t-bob")
    go(tour.clone_begins, "debian5", 6)
    go(tour.client_waits, {"debian": 1, "fedora": 1})
    for subject in (keys.CLONES, keys.INVENTORY, "debian1"):
        go(tour.something_fails, "fedora", subject, "why")
    go(tour.something_works_again, "fedora", keys.INVENTORY)
    for name in ("fedora3", "fedora4"):
        go(tour.clone_ends, name, 10)
        go(tour.vm_is_up, name, "10.0.0.1", 20)
    go(tour.manager_starts, {"debian", "fedora"})
    go(tour.pool_leaves_the_line, "debian")
    go(tour.empty_marks_follow)
    go(tour.vm_is_discovered, "centos5", True)
    go(tour.clock_is_mended, "centos5", Queue.DISCOVERED)
    go(tour.unknown_vms_are_given_up, "centos")
    go(tour.unknown_vm_is_gone, "centos5", "why")
    for why in ("too many", "still", ""):
        go(tour.guard_is_raised_or_lowered, "centos", why)
    go(tour.token_is_shown, "t-bob")
    go(tour.tokens_are_listed, "bob")
    go(tour.token_is_deleted, "t-bob", "ann", True)
    go(tour.token_is_deleted, "t-bob", "bob", True)
    go(tour.manager_looks, "debian")
    go(tour.vm_is_shown, one("debian"))
    for step in (tour.manager_wants_to_lead, tour.manager_acts_behind_the_fence, tour.manager_leads_on):
        go(step, "a")
        go(step, "b")
    go(tour.lease_runs_out)
    go(tour.manager_leads_on, "a")
    go(tour.manager_leads_no_more, "a")
    for step in (tour.manager_wants_to_lead, tour.manager_acts_behind_the_fence):
        go(step, "b")
    go(tour.manager_leads_no_more, "a")
    go(tour.process_beats, "one")
    go(tour.redis_fails_over, "one", 3, False)
    tour_of_verification(tour)
    assert tour.seen >= TRANSITIONS, "a script is part of no walk, and not named as one that needs none"
    assert tour.seen >= {*What} - {What.SETTLED}, "a VM in two queues cannot be said in the model"


def test_whatever_a_redis_forgot_is_said_again_and_the_rest_is_out_of_reach(tour: Tour) -> None:
    go, given = tour.go, tour.model.standing(Queue.RUNNING, "debian")
    go(tour.client_takes, {"centos": 1}, None)
    go(tour.client_changes, given[0], Change(5, {"team": "a"}), FREE)
    go(tour.client_asks, given[0], Kind.SNAPSHOT, "1", FREE, "done")
    go(tour.client_asks, given[0], Kind.REVERT, "1", FREE, "not adopted")
    go(tour.vm_is_finished_with, tour.one("fedora", Queue.READY), Queue.READY, "why")
    go(tour.client_is_done, given[1], FREE)
    go(tour.token_is_deleted, "t-bob", "bob", True)
    go(tour.client_changes, given[0], Change(7, {"third": "b"}), Admission("t-ann", Need.ALWAYS, own=True))
    go(tour.token_is_deleted, "t-ann", "ann", True)
    promised = range(len(tour.kept))
    for which in promised:
        go(tour.promise_is_kept, which)
    go(tour.process_falls_silent, "two")
    go(tour.process_arrives, "one", True)
    go(tour.process_beats, "one")
    go(tour.process_beats, "three")
    tour.kept.reverse()
    go(tour.backup_is_put_back)
    for who in PROCESSES:
        go(tour.process_beats, who)
        go(tour.process_arrives, who, False)
    go(tour.in_use, 3, {}, None)
    go(tour.token_is_deleted, "t-ann", "ann", True)
    go(tour.clone_begins, "debian4", 6)
    go(tour.process_beats, "two")
    go(tour.process_ends, "two")
    go(tour.pool_is_compared_with_the_provider, "debian", False)
    for who in ("one", "three"):
        go(tour.process_arrives, who, True)
    go(tour.process_falls_silent, "three")
    for which in promised:
        go(tour.promise_is_kept, which)
    go(tour.vm_is_destroyed, tour.one("", Queue.COMPLETED))
    gone = tour.model.events[-1]["vm"]
    go(tour.process_arrives, "one", True)
    go(tour.wait_is_over)
    go(tour.process_beats, "one")
    assert tour.model.uncertain
    go(tour.vm_is_discovered, "fedora5", True)
    go(tour.vm_is_discovered, "fedora4", False)
    go(tour.vm_is_discovered, "fedora4", True)
    go(tour.vm_is_discovered, gone, True)
    go(tour.client_is_done, tour.one("centos"), FREE)
    go(tour.nothing_is_uncertain_any_more)
    go(tour.vm_is_discovered, "centos5", True)


def test_a_checkout_is_not_said_again_where_its_end_or_another_is_known(tour: Tour) -> None:
    go = tour.go
    go(tour.backup_is_put_back)
    go(tour.in_use, 1, {"debian": 1, "centos": 1, "fedora": 1}, "t-ann")
    vms = tour.model.standing(Queue.RUNNING)
    said, tour.kept = [tour.kept[number] for number in (-3, -2, -1)], []
    go(tour.backup_is_put_back)
    go(tour.in_use, 1, {}, None)
    go(tour.vm_is_finished_with, vms[0], Queue.READY, "why")
    go(tour.client_takes, {pool_of(vms[1]): 1}, None)
    go(tour.vm_is_finished_with, vms[2], Queue.READY, "why")
    go(tour.vm_is_destroyed, vms[2])
    before = dict(tour.model.queues)
    tour.kept = said
    for which in range(3):
        go(tour.promise_is_kept, which)
    assert tour.model.queues == before
