"""The transitions that the manager causes, in the model."""

from collections.abc import Collection, Sequence

import attrs

from tests.store.model.books import Books, pool_of
from vmpooler.domain import times
from vmpooler.domain.admission import FREE, Admission
from vmpooler.domain.backoff import MAX_CHECK_DELAY, SECOND_CHECK_DELAY
from vmpooler.domain.events import What
from vmpooler.domain.evidence import BY_RECORD
from vmpooler.domain.guest import Holder
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.store import keys
from vmpooler.store.commands.transitions import PASSED_OVER, PRIORITY_SECONDS


@attrs.define
class ManagerTransitions(Books):
    """Transitions of VMs and pools; each returns what the store should return."""

    def begin_clone(self, vm: str, size: int) -> str:
        pool = pool_of(vm)
        if vm in self.records or vm in self.queues:
            return "taken"
        if len(self.standing(Queue.PENDING, pool)) + len(self.standing(Queue.READY, pool)) >= size:
            return "full"
        if pool in self.asked:
            self.asked[pool] = self.now
        for late in [pool for pool, when in self.asked.items() if when <= self.now - PASSED_OVER]:
            self.out_of_line(late)
        urgent = self.wanted.get(pool, 0) > self.now - PRIORITY_SECONDS and not self.standing(Queue.READY, pool)
        before = self.line.index(pool) if pool in self.line else len(self.urgent if urgent else self.line)
        if self.limit - len(self.cloning) <= before:
            if pool not in self.line:
                self.into_line(pool, urgent)
            self.asked[pool] = self.now
            return "limit"
        self.out_of_line(pool)
        self.queues[vm] = Queue.PENDING
        self.write(vm, clone=self.text, template=pool, pool=pool)
        self.cloning.add(vm)
        self.counted = True
        self.record_event(What.CLONE, vm, pool)
        return "ok"

    def into_line(self, pool: str, urgent: bool) -> None:
        """Put a pool at the end of the line, or behind the last pool in it that clients wait for."""
        self.withdraw(pool)
        self.line.insert(len(self.urgent if urgent else self.line), pool)
        self.urgent |= {pool} if urgent else set()

    def withdraw(self, pool: str) -> None:
        self.line = [each for each in self.line if each != pool]
        self.urgent.discard(pool)

    def out_of_line(self, pool: str) -> None:
        self.withdraw(pool)
        self.asked.pop(pool, None)

    def hurry(self, pools: Collection[str]) -> None:
        """Clients found these pools empty. Pools that have ready VMs now are skipped."""
        for pool in pools:
            if not self.standing(Queue.READY, pool):
                self.wanted[pool] = self.now
                if pool in self.line and pool not in self.urgent:
                    self.into_line(pool, urgent=True)

    def end_clone(self, vm: str, seconds: float | None) -> bool:
        if vm not in self.cloning:
            return False
        self.cloning.remove(vm)
        if seconds is not None:
            took = f"{seconds:.2f}"
            self.write(vm, clone_time=took)
            self.note(keys.clone_times(times.day(self.now)), f"{pool_of(vm)}:{vm}", took)
            self.record_event(What.CLONED, vm, pool_of(vm), seconds=took)
            self.recover(pool_of(vm), keys.CLONES)
        return True

    def promote(self, vm: str, address: str, seconds: float | None) -> bool:
        if not self.leave(vm, Queue.PENDING, Queue.READY):
            return False
        pool, took = pool_of(vm), "" if seconds is None else f"{seconds:.2f}"
        self.write(vm, ready=self.text, check=self.text, template=pool, pool=pool)
        if address:
            self.write(vm, ip=address)
        self.lastboot[pool] = self.text
        self.cloning.discard(vm)
        if took:
            self.note(keys.boot_times(times.day(self.now)), f"{pool}:{vm}", took)
        self.record_event(What.READY, vm, pool, seconds=took)
        return True

    def complete(
        self,
        vm: str,
        queue: Queue,
        why: str,
        admission: Admission = FREE,
        by: str = "manager",
        terms: tuple[str, str] | None = None,
    ) -> bool:
        who = self.admit(vm, admission, by)
        if self.queues.get(vm) is not queue or terms not in (None, self.terms(vm)):
            return False
        self.leave(vm, queue, Queue.COMPLETED)
        self.cloning.discard(vm)
        if queue is Queue.RUNNING:
            self.write(vm, completed=self.text)
        self.record_event(What.COMPLETED, vm, pool_of(vm), who, why, queue=queue)
        return True

    def terms(self, vm: str) -> tuple[str, str]:
        """Return the terms of a checkout: its time and the lifetime."""
        record = self.records.get(vm, {})
        return record.get("checkout", ""), record.get("lifetime", "")

    def forget(self, vm: str, seconds: float) -> bool:
        if not self.leave(vm, Queue.COMPLETED, None):
            return False
        pool = pool_of(vm)
        self.write(vm, destroy=self.text, template=pool, pool=pool)
        self.fading.add(keys.record(vm))
        self.troubles.pop((pool, vm), None)
        self.confirmed.discard(vm)
        self.record_event(What.DESTROYED, vm, pool, seconds=f"{seconds:.2f}")
        return True

    def discover(self, vm: str, stamped: bool) -> bool:
        if vm in self.queues:
            return False
        record = self.records.get(vm, {})
        held = "checkout" in record and not {"completed", "destroy"} & record.keys()
        if stamped and self.uncertain and not held:
            self.quarantine(vm, self.uncertain, "manager")
            return True
        self.queues[vm] = Queue.DISCOVERED
        self.since[vm] = self.moment
        self.record_event(What.DISCOVERED, vm, pool_of(vm), stamped=str(int(stamped)))
        return True

    def quarantine(self, vm: str, why: str, by: str) -> None:
        """Quarantine a VM that a client may have: it is running and unassigned."""
        pool = pool_of(vm)
        self.queues[vm] = Queue.RUNNING
        self.active[vm] = self.text
        self.fading.discard(keys.record(vm))
        for field in ("lifetime", "token:token", "token:user"):
            self.records.setdefault(vm, {}).pop(field, None)
        self.write(vm, checkout=self.text, quarantined=why, template=pool, pool=pool)
        self.write(vm, lifetime_default=self.default_lifetime)
        self.record_event(What.QUARANTINED, vm, pool, by, why)

    def explain(self, vm: str, why: str) -> bool:
        if not self.leave(vm, Queue.DISCOVERED, None):
            return False
        self.confirmed.discard(vm)
        if vm in self.records:
            self.fading.add(keys.record(vm))
        self.record_event(What.EXPLAINED, vm, pool_of(vm), why=why)
        return True

    def reclaim(self, vm: str, queue: Queue, holder: Holder, why: str) -> bool:
        """Move a VM that a client has from a queue to running; quarantine it if its checkout time is unknown."""
        if not self.leave(vm, queue, Queue.RUNNING):
            return False
        pool, record = pool_of(vm), self.records.setdefault(vm, {})
        self.cloning.discard(vm)
        self.confirmed.discard(vm)
        self.fading.discard(keys.record(vm))
        dropped = ["unclaimed", "quarantined", "completed", "destroy"]
        known = "checkout_id" in record
        if known and record["checkout_id"] != holder.checkout_id:
            dropped += ["token:token", "token:user", "lifetime"]
        for field in dropped:
            record.pop(field, None)
        if holder.since is None:
            self.quarantine(vm, why, "manager")
            return True
        self.active[vm] = times.text(holder.since)
        self.write(vm, checkout=times.text(holder.since), template=pool, pool=pool)
        if holder.checkout_id:
            self.write(vm, checkout_id=holder.checkout_id, stamping=holder.checkout_id)
        named = holder.owner != NOBODY
        if named:
            self.write(vm, **{"token:user": holder.owner})
        if why != BY_RECORD:
            if known or not self._asked_for_more(record.get("lifetime", ""), holder):
                record.pop("lifetime", None)
            self.write(vm, lifetime_default="0" if holder.until is None else repr((holder.until - holder.since) / 3600))
        who = holder.owner if named else "manager"
        self.record_event(What.RESTORED, vm, pool, who, why, checkout_id=holder.checkout_id)
        return True

    def _asked_for_more(self, lifetime: str, holder: Holder) -> bool:
        """Return whether a lifetime in hours ends later than the end in the stamp."""
        if not lifetime or holder.until is None:
            return lifetime == "0"
        assert holder.since is not None
        return lifetime == "0" or int(lifetime) > (holder.until - holder.since) / 3600

    def stamp(self, vm: str, id: str) -> bool:
        record = self.records.get(vm, {})
        if self.queues.get(vm) is not Queue.RUNNING or "unclaimed" in record or record.get("checkout_id", "") != id:
            return False
        self.write(vm, stamping=id or "-")
        return True

    def put_back(self, vm: str) -> bool:
        why = self.records.get(vm, {}).get("unclaimed")
        if why is None or not self.leave(vm, Queue.RUNNING, Queue.READY):
            return False
        self.records[vm].pop("unclaimed")
        self.records[vm].pop("stamping", None)
        self.record_event(What.RETURNED, vm, pool_of(vm), why=why)
        return True

    def miss(self, vm: str, queue: Queue, missing: bool) -> bool:
        if self.queues.get(vm) is not queue or missing is (vm in self.since):
            return False
        if missing:
            self.since[vm] = self.moment
        else:
            del self.since[vm]
        self.record_event(What.MISSING if missing else What.FOUND, vm, pool_of(vm))
        return True

    def mend(self, vm: str, queue: Queue) -> bool:
        if self.queues.get(vm) is not queue:
            return False
        if queue is Queue.DISCOVERED:
            self.since[vm] = self.moment
        elif queue is Queue.RUNNING:
            self.write(vm, checkout=self.text)
            self.active[vm] = self.text
        else:
            self.write(vm, **{"ready" if queue is Queue.READY else "clone": self.text})
        return True

    def fail(self, pool: str, subject: str, why: str) -> float:
        return self._fail(pool, subject, why, 1, 300)

    def doubt(self, vm: str, queue: Queue, why: str, first: bool) -> bool:
        if vm not in self.standing(queue, pool_of(vm)):
            return False
        if first:
            self.write(vm, doubt=f"{self.now:.3f}")
        self._fail(pool_of(vm), vm, why, int(SECOND_CHECK_DELAY), int(MAX_CHECK_DELAY))
        return True

    def _fail(self, pool: str, subject: str, why: str, least: int, most: int) -> float:
        trouble = self.troubles.setdefault((pool, subject), {"tries": 0, "until": 0})
        if trouble["until"] > self.now:
            return float(trouble["until"] - self.now)
        tries = trouble["tries"] + 1
        wait: int = min(most, least * 2 ** (tries - 1))
        trouble.update(tries=tries, until=self.now + wait, why=why)
        vm = "" if subject.startswith(":") else subject
        self.record_event(What.FAILED, vm, pool, why=why, subject=subject, tries=str(tries), seconds=str(wait))
        return wait

    def recover(self, pool: str, subject: str) -> bool:
        vm = "" if subject.startswith(":") else subject
        if vm in self.records:
            self.records[vm].pop("doubt", None)
        if self.troubles.pop((pool, subject), None) is None:
            return False
        self.record_event(What.RECOVERED, vm, pool, subject=subject)
        return True

    def flag(self, pool: str, why: str) -> bool:
        before = self.flagged.pop(pool, "")
        if why:
            self.flagged[pool] = why
        if bool(before) is bool(why):
            return False
        self.record_event(What.FLAGGED if why else What.UNFLAGGED, "", pool, why=why)
        return True

    def note_empty(self, pool: str) -> bool:
        empty = not self.standing(Queue.READY, pool)
        if empty is (pool in self.empty):
            return False
        self.empty ^= {pool}
        self.record_event(What.EMPTY if empty else What.FILLED, "", pool)
        return True

    def recount(self, pools: Sequence[str]) -> int:
        dropped = {vm for vm in self.cloning if pool_of(vm) not in pools}
        self.cloning -= dropped
        self.counted = True
        for pool in [pool for pool in self.line if pool not in pools]:
            self.out_of_line(pool)
        return len(dropped)

    def verify(self, pool: str, doubted: str) -> bool:
        if not self.doubted or doubted != self.doubted:
            return False
        self.verified.add(pool)
        return True

    def forget_pool(self, pool: str) -> bool:
        if any(pool_of(vm) == pool for vm in self.queues):
            return False
        self.out_of_line(pool)
        for named in (self.wanted, self.flagged, self.lastboot):
            named.pop(pool, None)
        self.verified.discard(pool)
        self.empty.discard(pool)
        self.troubles = {key: why for key, why in self.troubles.items() if key[0] != pool}
        self.confirmed = {vm for vm in self.confirmed if pool_of(vm) != pool}
        self.books = {id: task for id, task in self.books.items() if pool_of(task.vm) != pool}
        return True

    # Time.

    def expire(self, vm: str) -> None:
        """Expire the record and the history of a VM, if they are to expire."""
        if keys.record(vm) in self.fading:
            del self.records[vm]
        if keys.history(vm) in self.fading:
            del self.histories[vm]
        self.fading -= {keys.record(vm), keys.history(vm)}
