"""What processes do to a Redis that may be another than before, and about the lease, in the model."""

from collections.abc import Sequence

import attrs

from tests.store.model.books import pool_of
from tests.store.model.clients import Clients
from tests.store.model.requests import Requests
from vmpooler.domain.admission import FREE
from vmpooler.domain.change import Change
from vmpooler.domain.errors import GivenTwice, NotLeading, VmpoolerError
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.failover import DEAD, FORGOTTEN

BY = "failover"


@attrs.define
class Failovers(Clients, Requests):
    """Arrivals and signs of life, and promises that are said again.

    ``silent``: the processes, and about how many seconds ago each showed a sign of life by Redis's clock, which no
    walk turns. ``barrier`` is "waits" while processes are waited for, "over" when they were for long enough.
    """

    def arrive(self, redis: str) -> None:
        """A process has come to a Redis."""
        known, self.primary = self.primary, redis
        if known in ("", redis) or not self.silent:
            return
        last = min(self.silent.values())
        self.awaited |= {who for who, seconds in self.silent.items() if seconds <= last + DEAD}
        self.barrier = "waits"
        self.silent = {}

    def present(self, who: str, may_lose: bool) -> set[str]:
        """A sign of life; who is waited for."""
        self.silent = {other: age for other, age in self.silent.items() if age < FORGOTTEN} | {who: 0}
        self.awaited.discard(who)
        if self.barrier == "waits" and self.awaited:
            return {*self.awaited}
        missing, self.awaited = (self.awaited, set()) if self.barrier else (set(), self.awaited)
        self.barrier = ""
        if missing and may_lose:
            self.uncertain = f"a fail-over may have lost its checkout, by {', '.join(sorted(missing))}"
            for pool in self.names:
                for vm in [*self.standing(Queue.PENDING, pool), *self.standing(Queue.READY, pool)]:
                    if vm not in self.cloning:
                        self.quarantine(vm, self.uncertain, BY)
        return set()

    # What clients were told of, said again. Redis may know it.

    def restore(self, vm: str, id: str, token: str | None) -> None:
        """A checkout."""
        record, queue = self.records.get(vm, {}), self.queues.get(vm)
        known = any(told.get("checkout_id") == id for told in self.histories.get(vm, []))
        if known or queue is Queue.COMPLETED or "destroy" in record:
            return
        if queue is Queue.RUNNING and "quarantined" not in record:
            raise GivenTwice
        pool = pool_of(vm)
        self.since.pop(vm, None)
        self.cloning.discard(vm)
        self.queues[vm] = Queue.RUNNING
        self.active[vm] = self.text
        record.pop("quarantined", None)
        self.write(vm, checkout=self.text, checkout_id=id, template=pool, pool=pool)
        self.fading.discard(keys.record(vm))
        user = ""
        if token is not None:
            user = self.tokens.get(token, {}).get("user", "")
            self.write(vm, **{"token:token": token, "token:user": user, "lifetime": self.lifetime})
        self.tell(What.RESTORED, vm, pool, user or BY, checkout_id=id)

    def complete_again(self, vm: str, why: str, by: str) -> None:
        """The end of a VM, wherever it stands now."""
        for queue in (Queue.RUNNING, Queue.READY, Queue.PENDING, Queue.DISCOVERED):
            self.complete(vm, queue, why, FREE, by)

    def change_again(self, vm: str, change: Change) -> None:
        """A change, of which nobody needs to show a token any more."""
        told = {"what": str(What.CHANGED), "why": str(change), "when": self.moment}
        known = any(told.items() <= entry.items() for entry in self.histories.get(vm, []))
        if not known and vm in self.records:
            self.change(vm, change, FREE)

    def request_again(self, vm: str, kind: Kind, argument: str, unlike: str) -> None:
        """A request, whether or not Redis still knows the snapshot that it names."""
        if any(told.get("task", "").endswith(f"-{unlike}") for told in self.histories.get(vm, [])):
            return
        if "pool" in self.records.get(vm, {}):
            self.put(vm, kind, argument, unlike, "api")

    def drop_token_again(self, name: str, user: str, own: bool) -> None:
        try:
            self.drop_token(name, user, own)
        except VmpoolerError:
            return  # there is none, or another's: nobody is refused any more

    # The lease.

    def take_lease(self, name: str) -> bool:
        if self.lease and self.lease.partition(" ")[2] != name:
            return False
        self.epoch += 1
        self.leads = name
        self.lease = f"{self.epoch} {name}"
        return True

    def keep_lease(self, mark: str) -> bool:
        if mark != f"{self.epoch} {self.leads}".strip():
            return False
        self.lease = mark
        return True

    def drop_lease(self, mark: str) -> None:
        if mark == f"{self.epoch} {self.leads}":
            self.lease = self.leads = ""

    def pass_fence(self, mark: str, pools: Sequence[str]) -> int:
        """Whoever led last may recount; nobody else changes anything."""
        if mark != f"{self.epoch} {self.leads}".strip():
            raise NotLeading
        return self.recount(pools)
