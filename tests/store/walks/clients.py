"""The steps of clients, after managers have made VMs for them."""

from collections.abc import Callable
from string import ascii_lowercase

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.store.direct import at_once
from tests.store.model import Model
from tests.store.model.books import pool_of
from tests.store.walks import choices
from tests.store.walks.choices import CATALOGUE, NAMES, OWNERS, POOLS, UNLIKE, asked, standing, whys
from tests.store.walks.compared import outcome
from tests.store.walks.managers import Managers
from vmpooler.domain.admission import Admission
from vmpooler.domain.change import Change
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind, Task
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Given, TakenVm
from vmpooler.store.queries.vms import Vms
from vmpooler.store.stream import BEFORE_ALL


class ClientRules(Managers):
    """The rules for checkouts, tasks, changes and the end of VMs, and for tokens."""

    @initialize(stock=st.integers(1, 3), wish=choices.wishes, token=st.sampled_from([None, "t-ann"]))
    def in_use(self, stock: int, wish: dict[str, int], token: str | None) -> None:
        """Create pools with VMs; a client may have some of them."""
        for name in ("t-ann", "t-bob"):
            self.token_is_made(name)
        for pool in POOLS:
            for number in range(stock):
                self.clone_begins(f"{pool}{number}", 4)
                self.clone_ends(f"{pool}{number}", 10)
                self.vm_is_up(f"{pool}{number}", "10.0.0.1", 20)
        self.client_takes(wish, token)

    @rule(wish=choices.wishes, token=choices.senders)
    def client_takes(self, wish: dict[str, int], token: str | None) -> None:
        wanted, id = CATALOGUE.wanted(wish), f"checkout-{len(self.model.events):05}"
        got = outcome(lambda: at_once(self.checkouts.checkout(wanted, id, token, self.now)))
        if refused := self.model.refusals(wanted, token):
            assert got in refused
            return
        assert isinstance(got, list), f"{got}, although enough VMs are ready"
        given: list[Given] = got
        self.model.checkout(wanted, given, id, token)
        found = at_once(self.checkouts.taken_by([id], BEFORE_ALL))
        assert {*found} == {TakenVm(each.pool, each.vm, id) for each in given}
        self.promise(*(self.restored(each.vm, id, token) for each in given))

    def restored(self, vm: str, id: str, token: str | None) -> Callable[[Model], object]:
        """Return how the model replays a checkout that is made now."""
        then = self.now

        def again(model: Model) -> None:
            with model.at(then):
                model.restore(vm, id, token)

        return again

    @rule(wish=choices.wishes)
    def client_waits(self, wish: dict[str, int]) -> None:
        """A client waits for pools that it found empty; some may have VMs again."""
        pools = sorted({pool for each in CATALOGUE.wanted(wish) for pool in each.pools})
        if pools:
            at_once(self.checkouts.hurry(pools, self.now))
            self.model.hurry(pools)

    @rule(vm=standing(Queue.RUNNING), mine=st.booleans(), why=whys)
    def vm_is_given_back(self, vm: str, mine: bool, why: str) -> None:
        id = self.model.records.get(vm, {}).get("checkout_id", "") if mine else "another"
        done = self.checkouts.give_back(pool_of(vm), vm, id, why, self.now)
        self.same(done, lambda: self.model.give_back(vm, id, why))

    @rule(vm=standing(Queue.RUNNING), admission=choices.admissions)
    def client_is_done(self, vm: str, admission: Admission) -> None:
        done = self.checkouts.complete(pool_of(vm), vm, admission, self.now)
        self.same(done, lambda: self.model.delete(vm, admission))
        self.promise(self.completed(vm, "its client is done with it", "api"))

    @rule(vm=standing(Queue.RUNNING), change=choices.changes, admission=choices.admissions)
    def client_changes(self, vm: str, change: Change, admission: Admission) -> None:
        done = self.changes.make(vm, change, admission, self.now)
        then = self.now
        self.same(done, lambda: self.model.change(vm, change, admission))

        def again(model: Model) -> None:
            with model.at(then):
                model.change_again(vm, change)

        self.promise(again)

    @rule(
        vm=standing(Queue.RUNNING),
        kind=st.sampled_from(Kind),
        argument=choices.arguments,
        admission=choices.admissions,
        ends=st.sampled_from(["not adopted", "adopted", "done", "fails", "given up"]),
    )
    def client_asks(self, vm: str, kind: Kind, argument: str, admission: Admission, ends: str) -> None:
        self.asked = (self.asked + 1) % 25
        done = self.requests.request(vm, kind, argument, admission, self.now)
        then, unlike = self.now, ascii_lowercase[self.asked] * 8
        self.same(done, lambda: self.model.request(vm, kind, argument, unlike, admission))

        def again(model: Model) -> None:
            with model.at(then):
                model.request_again(vm, kind, argument, unlike)

        self.promise(again)
        if ends != "not adopted":
            self.requests_are_adopted({*POOLS})
            task = next((task for task in self.model.books.values() if task.id.endswith(unlike)), None)
            if ends == "done":
                self.task_is_done(task)
            elif ends != "adopted":
                self.task_fails(task, "because", ends == "given up")

    @rule(vm=standing(Queue.RUNNING), kind=st.sampled_from(Kind), argument=choices.arguments)
    def client_of_the_original_asks(self, vm: str, kind: Kind, argument: str) -> None:
        at_once(self.store.call("SADD", keys.intake(kind), f"{vm}:{argument}"))
        self.model.intake[kind].add(f"{vm}:{argument}")

    @rule(there=st.sets(choices.pools, min_size=1))
    def requests_are_adopted(self, there: set[str]) -> None:
        found = at_once(self.work.adopt(sorted(there), self.now))
        assert {*found} == self.model.adopt(sorted(there), UNLIKE)
        self.tasks |= self.model.books

    @rule(task=asked())
    def task_is_done(self, task: Task | None) -> None:
        if task:
            self.same(self.work.finish(pool_of(task.vm), task, self.now), lambda: self.model.finish(task))

    @rule(task=asked(), why=whys, final=st.booleans())
    def task_fails(self, task: Task | None, why: str, final: bool) -> None:
        if task:
            done = self.work.fail(pool_of(task.vm), task, why, self.now, final=final)
            self.same(done, lambda: self.model.fail_task(task, why, final))

    @rule(name=st.sampled_from(["t-ann", "t-ann-too", "t-bob"]))
    def token_is_made(self, name: str) -> None:
        user = OWNERS[name]
        then = self.now
        self.same(self.books.add(name, user, self.now), lambda: self.model.add_token(name, user))

        def again(model: Model) -> None:
            with model.at(then):
                model.add_token(name, user)

        self.promise(again)

    @rule(name=choices.tokens, user=st.sampled_from(["ann", "bob"]), own=st.booleans())
    def token_is_deleted(self, name: str, user: str, own: bool) -> None:
        self.same(self.books.drop(name, user, own), lambda: self.model.drop_token(name, user, own))
        self.promise(lambda model: model.drop_token_again(name, user, own))

    @rule(name=choices.tokens)
    def token_is_shown(self, name: str) -> None:
        self.same(self.books.show(name), lambda: self.model.show_token(name))

    @rule(user=st.sampled_from(["ann", "bob"]))
    def tokens_are_listed(self, user: str) -> None:
        self.same(self.books.of(user), lambda: self.model.tokens_of(user))

    @rule(vm=st.sampled_from(NAMES))
    def vm_is_shown(self, vm: str) -> None:
        vms = Vms(self.store)
        self.same(vms.queue(vm, pool_of(vm)), lambda: self.model.queues.get(vm))
        self.same(vms.record(vm), lambda: self.model.records.get(vm, {}))
