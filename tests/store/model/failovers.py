"""What processes do when Redis may be a different one than before, and the leadership lease, in the model."""

from collections.abc import Sequence

import attrs

from tests.store.model.books import pool_of
from tests.store.model.clients import ClientTransitions
from tests.store.model.requests import Requests
from vmpooler.domain import times
from vmpooler.domain.admission import FREE
from vmpooler.domain.change import Change
from vmpooler.domain.errors import GivenTwice, NotLeading, VmpoolerError
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.failover.recovery import DEAD_BEFORE, FORGOTTEN_AFTER

BY = "failover"


def losses(mark: str) -> int:
    """Return the number of losses in a mark. A mark is the run id of a Redis and the number of losses."""
    return int(mark.split()[1]) if mark else 0


@attrs.define
class Known:
    """What a process knows of Redis.

    ``mark`` is the mark of the Redis, ``time`` the time of the process's last heartbeat (Redis's clock), ``alive`` the
    processes that were alive then, and ``last`` the number of the last event, counted over all events ever recorded.
    """

    mark: str = ""
    time: int = 0
    alive: set[str] = attrs.field(factory=set)
    last: int = 0


@attrs.define
class FailoverTransitions(ClientTransitions, Requests):
    """Arrivals, heartbeats, replays of recent writes, and the leadership lease.

    ``signs`` maps each process to the time of its last heartbeat (Redis's clock, which no walk changes). ``ids`` are
    the numbers of the events. ``barrier`` is "waits" during the wait for other processes, and "over" when that wait has
    lasted long enough.
    """

    def lacks(self, known: Known) -> bool:
        """Return whether the last event that a process knows was lost. One older than all stored events was trimmed."""
        return bool(known.last) and known.last not in self.ids and (not self.ids or known.last > self.ids[0])

    def unsigned(self, who: str, known: Known) -> bool:
        """Return whether the last heartbeat of a process was lost."""
        if not known.time or self.signs.get(who, 0) >= known.time:
            return False
        return max(self.signs.values(), default=0) - known.time < FORGOTTEN_AFTER

    def arrive(self, who: str, known: Known, run_id: str, elsewhere: bool) -> None:
        """A process arrives at a Redis. ``elsewhere``: another server may have taken over."""
        same = self.primary.startswith(f"{run_id} ")
        less = self.lacks(known) or losses(self.primary) < losses(known.mark)
        less = less or (self.primary == known.mark and self.unsigned(who, known))
        if less or not same:
            self._lost(known, run_id, same, less, elsewhere)
        if known.mark != self.primary:
            known.mark, known.time = self.primary, 0
        known.last = self.ids[-1] if self.ids else 0

    def _lost(self, known: Known, run_id: str, same: bool, less: bool, elsewhere: bool) -> None:
        new = self.primary == known.mark == ""
        under_way = same and losses(self.primary) > losses(known.mark) and bool(self.barrier)
        awaited: set[str] = set()
        self.verified = set()
        if not under_way:
            self.primary = f"{run_id} {max(losses(self.primary), losses(known.mark)) + 1}"
        if not new or self.events or len(self.contents()) > 1:
            self.doubted = self.primary
        if new:
            return
        if not under_way:
            last = max([*self.signs.values(), known.time])
            awaited = {each for each, when in self.signs.items() if when >= last - DEAD_BEFORE}
            self.signs = {}
        awaited |= known.alive - self.signs.keys()
        self.awaited |= awaited
        self.vouched |= awaited if less or elsewhere else set()
        if self.awaited and not under_way:
            self.barrier = "waits"

    def sign(self, who: str, known: Known, time: int, put_away: float, may_lose: bool) -> set[str] | None:
        """Record a heartbeat; return the processes that are awaited, or None if the process must arrive again.

        ``put_away`` is the time at which VMs are quarantined, if any are.
        """
        if self.lacks(known) or self.unsigned(who, known) or self.primary != known.mark:
            return None
        self.signs = {each: when for each, when in self.signs.items() if when > time - FORGOTTEN_AFTER} | {who: time}
        self.awaited.discard(who)
        self.vouched.discard(who)
        missing = {*self.awaited} if self.barrier == "waits" else set()
        if self.barrier and not missing:
            if (lost := self.awaited & self.vouched) and may_lose:
                self._put_away(lost, put_away)
            self.awaited, self.vouched, self.barrier = set(), set(), ""
        known.time, known.alive = time, {*self.signs}
        known.last = self.ids[-1] if self.ids else 0
        return missing

    def _put_away(self, lost: set[str], when: float) -> None:
        why = f"a fail-over or a restart of Redis may have lost its checkout, by {', '.join(sorted(lost))}"
        self.uncertain = why
        with self.at(when):
            for pool in sorted(self.names):
                for vm in [*self.standing(Queue.PENDING, pool), *self.standing(Queue.READY, pool)]:
                    if vm not in self.cloning:
                        self.quarantine(vm, why, BY)

    # Replays of writes that were promised to clients. Redis may still have these writes.

    def restore(self, vm: str, id: str, token: str | None) -> None:
        """Replay a checkout."""
        record, queue = self.records.get(vm, {}), self.queues.get(vm)
        if any(event.get("checkout_id") == id for event in self.histories.get(vm, [])):
            if queue is Queue.RUNNING and record.get("checkout_id") == id and token is not None:
                record.setdefault("token:token", token)
            return
        ended = "completed" in record and record.get("checkout_id") == id
        if ended or queue is Queue.COMPLETED or "destroy" in record:
            return
        before = record.get("checkout", self.text) < self.text
        if queue is Queue.RUNNING and "quarantined" not in record and "unclaimed" not in record and not before:
            raise GivenTwice
        if before:
            for field in ("token:token", "token:user", "lifetime"):
                record.pop(field, None)
        pool = pool_of(vm)
        self.since.pop(vm, None)
        self.cloning.discard(vm)
        self.confirmed.discard(vm)
        self.queues[vm] = Queue.RUNNING
        self.active[vm] = self.text
        for field in ("quarantined", "completed", "unclaimed"):
            record.pop(field, None)
        self.write(vm, checkout=self.text, checkout_id=id, template=pool, pool=pool)
        self.write(vm, lifetime_default=self.default_lifetime)
        self.fading.discard(keys.record(vm))
        user = ""
        if token is not None:
            user = self.tokens.get(token, {}).get("user", "")
            self.write(vm, **{"token:token": token, "token:user": user, "lifetime": self.lifetime})
        self.record_event(What.RESTORED, vm, pool, user or BY, "a fail-over had lost its checkout", checkout_id=id)

    def same_client(self, vm: str) -> None:
        """Raise GivenTwice if another client got the VM since. Nothing is replayed on such a VM."""
        record = self.records.get(vm, {})
        given = times.moment(record.get("checkout", ""))
        if given is not None and given > self.now and "quarantined" not in record:
            raise GivenTwice

    def complete_again(self, vm: str, why: str, by: str) -> None:
        """Replay the end of a VM, whichever queue it is in now."""
        self.same_client(vm)
        for queue in (Queue.RUNNING, Queue.READY, Queue.PENDING, Queue.DISCOVERED):
            self.complete(vm, queue, why, FREE, by)

    def change_again(self, vm: str, change: Change) -> None:
        """Replay a change. Its token is not checked again."""
        event = {"what": str(What.CHANGED), "why": str(change), "when": self.moment}
        if any(event.items() <= entry.items() for entry in self.histories.get(vm, [])):
            return
        self.same_client(vm)
        if vm in self.records:
            self.change(vm, change, FREE)

    def request_again(self, vm: str, kind: Kind, argument: str, unlike: str) -> None:
        """Replay a request, whether or not Redis still has the snapshot that it names."""
        if any(event.get("task", "").endswith(f"-{unlike}") for event in self.histories.get(vm, [])):
            return
        self.same_client(vm)
        if "pool" in self.records.get(vm, {}):
            self.put(vm, kind, argument, unlike, "api")

    def drop_token_again(self, name: str, user: str, own: bool) -> None:
        try:
            self.drop_token(name, user, own)
        except VmpoolerError:
            return  # the token is missing or of another user: a replay reports no error

    # The leadership lease.

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
        """Recount for the last leader; raise NotLeading for any other manager."""
        if mark != f"{self.epoch} {self.leads}".strip():
            raise NotLeading
        return self.recount(pools)
