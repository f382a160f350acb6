"""The steps of managers."""

from collections.abc import Callable, Mapping
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.store.direct import at_once
from tests.store.model import Model
from tests.store.model.books import pool_of
from tests.store.walks import choices
from tests.store.walks.choices import NAMES, POOLS, pools, seconds, standing, subjects, unknown, whys
from tests.store.walks.compared import Compared
from vmpooler.domain.evidence import BY_RECORD, BY_STAMP
from vmpooler.domain.guest import Holder
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Task
from vmpooler.store import keys
from vmpooler.store.commands.registry import Registry
from vmpooler.store.commands.vm_updates import confirm
from vmpooler.store.queries.pool_state import read_state

LOOKED_AT = (Queue.PENDING, Queue.READY)


class Managers(Compared):
    """The rules for the transitions of managers."""

    @rule(vm=unknown(), size=st.sampled_from([2, 3, 6]))
    def clone_begins(self, vm: str, size: int) -> None:
        self.same(self.queues.begin_clone(pool_of(vm), vm, size, self.now), lambda: self.model.begin_clone(vm, size))

    @rule(vm=standing(Queue.PENDING), took=seconds)
    def clone_ends(self, vm: str, took: float | None) -> None:
        self.same(self.queues.end_clone(pool_of(vm), vm, took, self.now), lambda: self.model.end_clone(vm, took))

    @rule(vm=standing(Queue.PENDING), address=st.sampled_from(["", "10.0.0.1"]), took=seconds)
    def vm_is_up(self, vm: str, address: str, took: float | None) -> None:
        done = self.queues.promote(pool_of(vm), vm, address, took, self.now)
        self.same(done, lambda: self.model.promote(vm, address, took))

    @rule(vm=standing(*Queue), guess=st.none() | st.sampled_from(Queue), why=whys)
    def vm_is_finished_with(self, vm: str, guess: Queue | None, why: str) -> None:
        queue = guess or self.model.queues.get(vm, Queue.READY)
        done = self.queues.complete(pool_of(vm), vm, queue, why, self.now)
        self.same(done, lambda: self.model.complete(vm, queue, why))
        self.promise(self.completed(vm, why, "manager"))

    def completed(self, vm: str, why: str, by: str) -> Callable[[Model], object]:
        """Return how the model replays the completion of a VM that is completed now."""
        then = self.now

        def again(model: Model) -> None:
            with model.at(then):
                model.complete_again(vm, why, by)

        return again

    @rule(vm=standing(Queue.RUNNING), longer=st.booleans())
    def lifetime_is_over(self, vm: str, longer: bool) -> None:
        checkout, lifetime = self.model.terms(vm)
        terms = (checkout, f"{lifetime}0" if longer else lifetime)
        done = self.queues.complete(pool_of(vm), vm, Queue.RUNNING, "over", self.now, terms)
        self.same(done, lambda: self.model.complete(vm, Queue.RUNNING, "over", terms=terms))
        self.promise(self.completed(vm, "over", "manager"))

    @rule(vm=standing(Queue.COMPLETED))
    def vm_is_destroyed(self, vm: str) -> None:
        self.same(self.queues.forget(pool_of(vm), vm, 3.5, self.now), lambda: self.model.forget(vm, 3.5))

    @rule(vm=unknown(), stamped=st.booleans())
    def vm_is_discovered(self, vm: str, stamped: bool) -> None:
        done = self.queues.discover(pool_of(vm), vm, stamped, self.now)
        self.same(done, lambda: self.model.discover(vm, stamped))

    @rule(vm=standing(Queue.DISCOVERED), why=whys)
    def unknown_vm_is_gone(self, vm: str, why: str) -> None:
        self.same(self.queues.explain(pool_of(vm), vm, why, self.now), lambda: self.model.explain(vm, why))

    @rule(pool=pools)
    def unknown_vms_are_given_up(self, pool: str) -> None:
        self.same(confirm(self.store, pool), lambda: self.model.standing(Queue.DISCOVERED, pool))
        self.model.confirmed |= {*self.model.standing(Queue.DISCOVERED, pool)}

    @rule(vm=standing(Queue.RUNNING, Queue.READY), guess=st.none() | st.sampled_from(Queue), missing=st.booleans())
    def vm_is_missing_or_back(self, vm: str, guess: Queue | None, missing: bool) -> None:
        queue = guess or self.model.queues.get(vm, Queue.READY)
        if queue in (Queue.READY, Queue.RUNNING):
            done = self.queues.miss(pool_of(vm), vm, queue, missing, self.now)
            self.same(done, lambda: self.model.miss(vm, queue, missing))

    @rule(
        vm=standing(*Queue),
        guess=st.none() | st.sampled_from(Queue),
        holder=choices.holders,
        why=st.sampled_from([BY_STAMP, BY_RECORD]),
    )
    def somebody_has_a_vm(self, vm: str, guess: Queue | None, holder: Holder, why: str) -> None:
        queue = guess or self.model.queues.get(vm, Queue.READY)
        done = self.queues.reclaim(pool_of(vm), vm, queue, holder, why, self.now)
        self.same(done, lambda: self.model.reclaim(vm, queue, holder, why))

    @rule(vm=standing(Queue.RUNNING), mine=st.booleans())
    def holder_is_stamped(self, vm: str, mine: bool) -> None:
        id = self.model.records.get(vm, {}).get("checkout_id", "") if mine else "another"
        self.same(self.queues.stamp(pool_of(vm), vm, id, self.now), lambda: self.model.stamp(vm, id))

    @rule(vm=standing(Queue.RUNNING))
    def stamp_is_cleared(self, vm: str) -> None:
        self.same(self.queues.put_back(pool_of(vm), vm, self.now), lambda: self.model.put_back(vm))

    @rule(vm=standing(*Queue), queue=st.sampled_from(Queue))
    def vm_in_one_queue_is_settled(self, vm: str, queue: Queue) -> None:
        others = [each for each in Queue if each is not queue]
        self.same(self.queues.settle(pool_of(vm), vm, queue, others, self.now), lambda: False)

    @rule(vm=standing(*Queue), guess=st.none() | st.sampled_from(Queue))
    def clock_is_mended(self, vm: str, guess: Queue | None) -> None:
        queue = guess or self.model.queues.get(vm, Queue.READY)
        self.same(self.queues.mend(pool_of(vm), vm, queue, self.now), lambda: self.model.mend(vm, queue))

    @rule(vm=standing(Queue.READY))
    def vm_is_checked(self, vm: str) -> None:
        if vm in self.model.records:
            at_once(self.queues.check(vm, self.now))
            self.model.write(vm, check=self.model.text)

    @rule(vm=standing(*LOOKED_AT), queue=st.sampled_from(LOOKED_AT), why=whys, first=st.booleans())
    def look_at_a_vm_fails(self, vm: str, queue: Queue, why: str, first: bool) -> None:
        done = self.queues.doubt(pool_of(vm), vm, queue, why, self.now, first)
        self.same(done, lambda: self.model.doubt(vm, queue, why, first))

    @rule(pool=pools, subject=subjects, why=whys)
    def something_fails(self, pool: str, subject: str, why: str) -> None:
        pool = pool if subject.startswith(":") else pool_of(subject)
        self.same(self.queues.fail(pool, subject, why, self.now), lambda: self.model.fail(pool, subject, why))

    @rule(pool=pools, subject=subjects)
    def something_works_again(self, pool: str, subject: str) -> None:
        self.same(self.queues.recover(pool, subject, self.now), lambda: self.model.recover(pool, subject))

    @rule(pool=pools, why=st.sampled_from(["", "too many", "still"]))
    def guard_is_raised_or_lowered(self, pool: str, why: str) -> None:
        self.same(self.queues.flag(pool, why, self.now), lambda: self.model.flag(pool, why))

    @rule()
    def empty_marks_follow(self) -> None:
        for pool in POOLS:
            self.same(self.queues.note_empty(pool, self.now), partial(self.model.note_empty, pool))

    @rule(pool=pools)
    def pool_leaves_the_line(self, pool: str) -> None:
        at_once(self.queues.withdraw(pool))
        self.model.withdraw(pool)

    @rule(there=st.sets(pools, min_size=2))
    def manager_starts(self, there: set[str]) -> None:
        self.same(self.queues.recount(sorted(there)), lambda: self.model.recount(sorted(there)))

    @rule(pool=pools)
    def pool_is_drained(self, pool: str) -> None:
        self.same(Registry(self.store).forget(pool), lambda: self.model.forget_pool(pool))

    @rule(pool=pools)
    def manager_looks(self, pool: str) -> None:
        seen = at_once(read_state(self.store, pool, 12))
        here = {vm: queue for vm, queue in self.model.queues.items() if pool_of(vm) == pool}
        assert {vm.name: vm.queue for vm in seen.vms} == here
        assert not any(vm.also for vm in seen.vms)
        assert seen.cloning == {vm for vm in self.model.cloning if pool_of(vm) == pool}
        assert {task.id: task for task in seen.tasks} == self.of_pool(pool)
        assert (seen.flagged, seen.empty) == (pool in self.model.flagged, pool in self.model.empty)
        assert (seen.doubted, seen.verified) == (self.model.doubted, not self.model.doubts(pool))

    def of_pool(self, pool: str) -> Mapping[str, Task]:
        return {id: task for id, task in self.model.books.items() if pool_of(task.vm) == pool}

    @rule(some=st.sampled_from([1, 10, 100]))
    def time_passes(self, some: int) -> None:
        self.model.now += some

    @rule(vm=st.sampled_from(NAMES))
    def record_expires(self, vm: str) -> None:
        for key in {keys.record(vm), keys.history(vm)} & self.model.fading:
            at_once(self.store.call("DEL", key))
        self.model.expire(vm)
