"""The data of the model, and the contents that Redis should have accordingly."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs

from vmpooler.domain import times
from vmpooler.domain.admission import Admission, Need
from vmpooler.domain.errors import NotYours, TokenNeeded
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind, Task
from vmpooler.store import keys

Fields = dict[str, str]


def pool_of(vm: str) -> str:
    """Return the pool that a VM belongs to: its name without the digits at its end."""
    return vm.rstrip("0123456789")


@attrs.define
class Books:
    """The expected contents of a Redis that no other program writes to.

    ``now`` is the current time, and ``names`` are the pools. The fields from ``limit`` to ``tags`` are settings.
    ``fading`` are the keys that expire. A VM is in one queue or in none; the model has no VM in several queues.
    """

    now: float
    names: tuple[str, ...]
    limit: int
    lifetime: str
    default_lifetime: str
    tries: int
    tags: int
    queues: dict[str, Queue] = attrs.field(factory=dict)
    records: dict[str, Fields] = attrs.field(factory=dict)
    histories: dict[str, list[Fields]] = attrs.field(factory=dict)
    fading: set[str] = attrs.field(factory=set)
    events: list[Fields] = attrs.field(factory=list)
    cloning: set[str] = attrs.field(factory=set)
    counted: bool = False
    line: list[str] = attrs.field(factory=list)
    urgent: set[str] = attrs.field(factory=set)
    wanted: dict[str, float] = attrs.field(factory=dict)
    asked: dict[str, float] = attrs.field(factory=dict)
    active: Fields = attrs.field(factory=dict)
    since: Fields = attrs.field(factory=dict)
    confirmed: set[str] = attrs.field(factory=set)
    troubles: dict[tuple[str, str], dict[str, Any]] = attrs.field(factory=dict)
    flagged: Fields = attrs.field(factory=dict)
    empty: set[str] = attrs.field(factory=set)
    lastboot: Fields = attrs.field(factory=dict)
    days: dict[str, Fields] = attrs.field(factory=dict)
    tokens: dict[str, Fields] = attrs.field(factory=dict)
    listed: dict[str, set[str]] = attrs.field(factory=dict)
    intake: dict[Kind, set[str]] = attrs.field(factory=lambda: {kind: set() for kind in Kind})
    number: int = 0
    books: dict[str, Task] = attrs.field(factory=dict)
    serial: int = 0
    ids: list[int] = attrs.field(factory=list)
    primary: str = ""
    signs: dict[str, int] = attrs.field(factory=dict)
    awaited: set[str] = attrs.field(factory=set)
    vouched: set[str] = attrs.field(factory=set)
    verified: set[str] = attrs.field(factory=set)
    doubted: str = ""
    barrier: str = ""
    uncertain: str = ""
    epoch: int = 0
    leads: str = ""
    lease: str = ""

    # What the model contains.

    def standing(self, queue: Queue, pool: str = "") -> list[str]:
        """Return the VMs in a queue, of one pool or of all pools."""
        return sorted(vm for vm, at in self.queues.items() if at is queue and pool in ("", pool_of(vm)))

    @property
    def text(self) -> str:
        """The current time in the format of records."""
        return times.text(self.now)

    @property
    def moment(self) -> str:
        """The current time in the format of events."""
        return f"{self.now:.3f}"

    @contextmanager
    def at(self, moment: float) -> Iterator[None]:
        """Set the current time to another one within a ``with`` block."""
        now, self.now = self.now, moment
        try:
            yield
        finally:
            self.now = now

    # Parts of transitions.

    def record_event(self, what: What, vm: str, pool: str, by: str = "manager", why: str = "", **more: str) -> None:
        """Append an event to the stream, and to the VM's history if the event has a VM."""
        fields = {"what": str(what), "pool": pool, "vm": vm, "when": self.moment, "by": by, **more}
        self.events.append({**fields, "why": why} if why else fields)
        self.serial += 1
        self.ids.append(self.serial)
        if vm:
            self.histories.setdefault(vm, []).append(self.events[-1])
            lasting = vm in self.records and keys.record(vm) not in self.fading
            (self.fading.discard if lasting else self.fading.add)(keys.history(vm))

    def write(self, vm: str, **fields: str) -> None:
        """Set fields of a VM's record."""
        self.records.setdefault(vm, {}).update(fields)

    def note(self, key: str, field: str, value: str) -> None:
        """Set a field of a day's figures."""
        self.days.setdefault(key, {})[field] = value
        self.fading.add(key)

    def leave(self, vm: str, queue: Queue, to: Queue | None) -> bool:
        """Move a VM from a queue to another queue or to none; return whether it was in the first one."""
        if self.queues.get(vm) is not queue:
            return False
        if to is None:
            del self.queues[vm]
        else:
            self.queues[vm] = to
        self.active.pop(vm, None)
        self.since.pop(vm, None)
        return True

    def use(self, token: str) -> str:
        """Record that a token was used; return its user."""
        self.tokens[token]["last"] = self.text
        user = self.tokens[token]["user"]
        if user in self.listed:
            self.listed[user].add(token)
        return user

    def admit(self, vm: str, admission: Admission, by: str) -> str:
        """Check the token; return who the event records as the originator. Raises TokenNeeded or NotYours."""
        held = self.records.get(vm, {})
        bound = "token:token" in held or bool(held.get("token:user"))
        if admission.need is Need.NEVER:
            return by
        if admission.token not in self.tokens:
            if bound or admission.need is Need.ALWAYS:
                raise TokenNeeded
            return by
        assert admission.token is not None
        theirs = bound and held.get("token:token") != admission.token
        if admission.own and theirs and held["token:user"] != self.tokens[admission.token]["user"]:
            raise NotYours
        return self.use(admission.token)

    # The whole contents.

    def expiring(self) -> set[str]:
        """Return the keys that expire."""
        brief = {keys.WANTED: self.wanted, keys.UNCERTAIN: self.uncertain, keys.LEASE: self.lease}
        return self.fading | {keys.tokens(user) for user in self.listed} | {key for key, held in brief.items() if held}

    def contents(self) -> Mapping[str, Any]:
        """Return every key of Redis except the event stream, with its value."""
        found: dict[str, Any] = {keys.record(vm): fields for vm, fields in self.records.items()}
        found |= {keys.history(vm): events for vm, events in self.histories.items()}
        found |= {keys.token(name): known for name, known in self.tokens.items()}
        found |= {keys.tokens(user): names for user, names in self.listed.items()}
        found |= {keys.intake(kind): requests for kind, requests in self.intake.items()}
        found |= {keys.TASK_NUMBER: str(self.number) if self.number else ""}
        found |= {keys.TASKS_CLONE: str(len(self.cloning)) if self.counted else ""}
        found |= {keys.CLONING: {vm: pool_of(vm) for vm in self.cloning}, keys.LASTBOOT: self.lastboot}
        found |= {keys.LINE: self.line, keys.LINE_ASKED: self.asked, keys.FLAGGED: self.flagged, **self.days}
        found |= {keys.WANTED: self.wanted, keys.PROCESSES: self.signs}
        found |= {keys.AWAITED: self.awaited, keys.VOUCHED: self.vouched, keys.VERIFIED: self.verified}
        found |= {keys.PRIMARY: self.primary, keys.BARRIER: self.barrier, keys.UNCERTAIN: self.uncertain}
        found |= {keys.DOUBTED: self.doubted}
        found |= {keys.LEASE: self.lease, keys.EPOCH: f"{self.epoch} {self.leads}".strip() if self.epoch else ""}
        for name in self.names:
            found |= self.of_a_pool(name)
        for vm in self.standing(Queue.RUNNING):
            if token := self.records[vm].get("token:token"):
                found.setdefault(keys.HELD + token, {})[vm] = pool_of(vm)
        return {key: value for key, value in found.items() if value}

    def of_a_pool(self, pool: str) -> Mapping[str, Any]:
        """Return the keys of one pool, with their values."""
        found: dict[str, Any] = {keys.queue(queue, pool): set(self.standing(queue, pool)) for queue in Queue}
        found[keys.BOOKED + pool] = found[keys.queue(Queue.RUNNING, pool)]
        found[keys.active(pool)] = {vm: when for vm, when in self.active.items() if pool_of(vm) == pool}
        found[keys.since(pool)] = {vm: when for vm, when in self.since.items() if pool_of(vm) == pool}
        found[keys.confirmed(pool)] = {vm for vm in self.confirmed if pool_of(vm) == pool}
        found[keys.trouble(pool)] = {what: why for (of, what), why in self.troubles.items() if of == pool}
        found[keys.tasks(pool)] = {
            id: attrs.asdict(task) for id, task in self.books.items() if pool_of(task.vm) == pool
        }
        found[keys.empty(pool)] = "true" if pool in self.empty else ""
        return found
