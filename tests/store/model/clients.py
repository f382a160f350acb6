"""The transitions that clients cause, in the model."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations

import attrs

from tests.store.model.books import pool_of
from tests.store.model.manager import ManagerTransitions
from vmpooler.domain import times
from vmpooler.domain.admission import Admission
from vmpooler.domain.change import Change
from vmpooler.domain.errors import NoSuchVm, PoolEmpty, StoreAway, TokenNeeded, Unfit, VmpoolerError
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import OF_A_CHECKOUT, Given, Wanted


def in_pools(few: Iterable[Wanted], stock: Callable[[str], int]) -> int:
    """Return the number of VMs in all pools that may serve these entries."""
    return sum(map(stock, set(chain.from_iterable(each.pools for each in few))))


@attrs.define
class ClientTransitions(ManagerTransitions):
    """Transitions of VMs that clients have, request or change."""

    def can_be_served(self, wanted: Sequence[Wanted], stock: Callable[[str], int]) -> bool:
        """Return whether all entries can be served: no group of entries requests more VMs than its pools have."""
        some = chain.from_iterable(combinations(wanted, count) for count in range(1, len(wanted) + 1))
        return all(sum(each.count for each in few) <= in_pools(few, stock) for few in some)

    def ready_in(self, pool: str) -> int:
        return sum(self.clear(vm) for vm in self.standing(Queue.READY, pool))

    def sure_in(self, pool: str) -> int:
        return 0 if self.doubts(pool) else self.ready_in(pool)

    def doubts(self, pool: str) -> bool:
        """Return whether a pool has not been compared with its provider since Redis may have lost data."""
        return bool(self.doubted) and pool not in self.verified

    def clear(self, vm: str) -> bool:
        """Return whether a ready VM is not missing, and no client has it."""
        return vm not in self.since and "checkout" not in self.records.get(vm, {})

    def refusals(self, wanted: Sequence[Wanted], token: str | None) -> set[type[VmpoolerError]]:
        """Return the errors that a checkout may raise. If the set is empty, the checkout must succeed.

        If the entries cannot all be served, Redis chooses which of them it reports.
        """
        if token is not None and token not in self.tokens:
            return {TokenNeeded}
        if self.can_be_served(wanted, self.sure_in):
            return set()
        # The script counts ready VMs before it checks which of them are clear. Between the two, either error is right.
        compared = self.can_be_served(wanted, self.ready_in)
        refused = self.doubted and self.can_be_served(wanted, lambda pool: len(self.standing(Queue.READY, pool)))
        return {StoreAway} if compared else {StoreAway, PoolEmpty} if refused else {PoolEmpty}

    def checkout(self, wanted: Sequence[Wanted], given: Sequence[Given], id: str, token: str | None) -> None:
        """Apply a checkout. Redis chooses which VMs of a pool are given; check that the choice is valid."""
        pools = {each.name: each.pools for each in wanted}
        got = {name: sum(each.name == name for each in given) for name in pools}
        assert got == {each.name: each.count for each in wanted}
        user = self.use(token) if token is not None else ""
        for name, pool, vm in map(attrs.astuple, given):
            assert pool == pool_of(vm)
            assert pool in pools[name]
            assert not self.doubts(pool), f"{pool} was not compared with its provider"
            assert self.clear(vm), f"{vm} is missing, or somebody has it"
            assert self.leave(vm, Queue.READY, Queue.RUNNING), f"{vm} was not ready"
            self.write(vm, checkout=self.text, checkout_id=id, template=pool, pool=pool)
            self.write(vm, lifetime_default=self.default_lifetime)
            if token is not None:
                self.write(vm, **{"token:token": token, "token:user": user, "lifetime": self.lifetime})
            self.active[vm] = self.text
            self.record_event(What.CHECKOUT, vm, pool, user or "anonymous", checkout_id=id)

    def give_back(self, vm: str, id: str, why: str) -> bool:
        mine = self.records.get(vm, {}).get("checkout_id") == id
        stamped = "stamping" in self.records.get(vm, {})
        if not mine or not self.leave(vm, Queue.RUNNING, Queue.RUNNING if stamped else Queue.READY):
            return False
        for field in OF_A_CHECKOUT:
            self.records[vm].pop(field, None)
        if stamped:
            self.write(vm, unclaimed=why)
            self.since[vm] = self.moment
        self.record_event(What.UNCLAIMED if stamped else What.RETURNED, vm, pool_of(vm), "api", why)
        return True

    def delete(self, vm: str, admission: Admission) -> None:
        if not self.complete(vm, Queue.RUNNING, "its client is done with it", admission, "api"):
            raise NoSuchVm

    def change(self, vm: str, change: Change, admission: Admission) -> None:
        if vm not in self.records:
            raise NoSuchVm
        who = self.admit(vm, admission, "api")
        there = {field.removeprefix("tag:") for field in self.records[vm] if field.startswith("tag:")}
        if change.tags.keys() - there and len(change.tags.keys() | there) > self.tags:
            raise Unfit([])
        if change.lifetime is not None:
            self.write(vm, lifetime=str(change.lifetime))
        for name, value in change.tags.items():
            self.write(vm, **{f"tag:{name}": value})
            self.note(keys.tag_values(times.day(self.now)), f"{vm}:{name}", value)
        if change != Change():
            self.record_event(What.CHANGED, vm, self.records[vm].get("pool", ""), who, str(change))
