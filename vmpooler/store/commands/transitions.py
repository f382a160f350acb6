"""Transitions of VMs between queues: one script makes one transition, and one method runs it.

Methods of Queues return whether the transition happened; those of Transitions return the code of the script. A VM that
has moved on in the meantime is not changed. Times are in seconds since the epoch. Every method raises StoreAway when
Redis is unavailable. The scripts share ``_prelude.lua``, and its function ``refusal`` checks a client's authorization.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import attrs

from vmpooler.domain import times
from vmpooler.domain.admission import FREE, Admission
from vmpooler.domain.backoff import BACKOFF_FIRST, BACKOFF_MOST, MAX_CHECK_DELAY, SECOND_CHECK_DELAY
from vmpooler.domain.errors import NoSuchVm, NotYours, PoolGone, TokenNeeded
from vmpooler.domain.estate import REFUSED
from vmpooler.domain.evidence import BY_RECORD
from vmpooler.domain.guest import Holder
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.domain.times import DAY, HOUR
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.redis.scripts import Argument, RedisCommands, load
from vmpooler.store.stored import paired

PASSED_OVER = 75.0
"""Seconds after which a pool that has not asked again loses its place in the clone queue."""

PRIORITY_SECONDS = 60.0
"""Seconds after a client found a pool empty in which its clones have priority over clones that only refill pools."""

CLONES = {"cloning": keys.CLONING, "tasks_clone": keys.TASKS_CLONE}
"""The keys of the clones in flight."""

CloneStart = Literal["ok", "full", "limit", "taken"]


@attrs.frozen
class Transitions:
    """Runs scripts that write events. The stream keeps about ``kept`` events; ``by`` is the author that events name."""

    connection: RedisCommands
    kept: int
    by: str

    async def run(self, script: str, pool: str, vm: str, now: float, /, **own: Argument) -> Any:
        """Run a script for a VM of a pool (either may be empty) at ``now`` (epoch), and return its result.

        ``own``: the keys and arguments that are not those of the prelude.
        """
        return await self.connection.run(
            load(script), events=keys.EVENTS, now=f"{now:.3f}", kept=self.kept, by=self.by, pool=pool, vm=vm, **own
        )

    async def complete(
        self,
        pool: str,
        vm: str,
        queue: Queue,
        why: str,
        now: float,
        admission: Admission = FREE,
        terms: tuple[str, str] | None = None,
    ) -> int:
        """``queue`` -> completed, if the admission allows it. Returns 1, or another return code of complete.lua."""
        answer: int = await self.run(
            "complete",
            pool,
            vm,
            now,
            **shown(admission),
            **CLONES,
            queue=keys.queue(queue, pool),
            completed=keys.queue(Queue.COMPLETED, pool),
            active=keys.active(pool),
            since=keys.since(pool),
            now_text=times.text(now),
            queue_name=queue,
            why=why,
            terms=terms or (),
        )
        return answer


class Queues:
    """Every transition that the manager makes.

    ``by``: the author that events name. ``limit``: returns the maximum number of clones in flight; without it, the
    setting ``task_limit`` applies.
    """

    def __init__(
        self, connection: RedisCommands, settings: Settings, by: str = "manager", limit: Callable[[], int] | None = None
    ) -> None:
        self._connection = connection
        self._limit = limit or (lambda: settings.general.task_limit)
        self._data_ttl = int(settings.redis.data_ttl * 3600)
        self._daily_ttl = settings.general.daily_retention * DAY
        self._lifetime = settings.general.vm_lifetime
        self._transitions = Transitions(connection, settings.general.events_max, by)

    async def begin_clone(self, pool: str, vm: str, size: int, now: float) -> CloneStart:
        """none -> pending, if the pool is below ``size`` and it is its turn to clone.

        Pools that clients found empty come first. Returns ``ok``, ``full`` (the pool), ``limit`` (wait for the turn) or
        ``taken`` (the name).
        """
        answer = await self._transitions.run(
            "begin_clone",
            pool,
            vm,
            now,
            **CLONES,
            line=keys.LINE,
            line_asked=keys.LINE_ASKED,
            wanted=keys.WANTED,
            pending=keys.queue(Queue.PENDING, pool),
            ready=keys.queue(Queue.READY, pool),
            others=[keys.queue(queue, pool) for queue in (Queue.RUNNING, Queue.COMPLETED, Queue.DISCOVERED)],
            now_text=times.text(now),
            size=size,
            limit=self._limit(),
            passed_over=PASSED_OVER,
            priority_seconds=PRIORITY_SECONDS,
        )
        return cast(CloneStart, answer)

    async def end_clone(self, pool: str, vm: str, seconds: float | None, now: float) -> bool:
        """Record that the clone finished after ``seconds``; None: the manager stopped waiting for it."""
        return await self._did(
            "end_clone",
            pool,
            vm,
            now,
            **CLONES,
            clone_times=keys.clone_times(times.day(now)),
            trouble=keys.trouble(pool),
            seconds=_seconds(seconds),
            keep=self._daily_ttl,
        )

    async def cloning(self, pool: str) -> list[str]:
        """Return the VMs of a pool whose clones count as in flight."""
        flat = await self._connection.call("HGETALL", keys.CLONING)
        return [vm for vm, owner in paired(flat).items() if owner == pool]

    async def promote(self, pool: str, vm: str, address: str, seconds: float | None, now: float) -> bool:
        """pending -> ready, ``seconds`` after the clone was ordered; None: unknown."""
        return await self._did(
            "promote",
            pool,
            vm,
            now,
            **CLONES,
            pending=keys.queue(Queue.PENDING, pool),
            ready=keys.queue(Queue.READY, pool),
            boot_times=keys.boot_times(times.day(now)),
            lastboot=keys.LASTBOOT,
            now_text=times.text(now),
            address=address,
            seconds=_seconds(seconds),
            keep=self._daily_ttl,
        )

    async def complete(
        self, pool: str, vm: str, queue: Queue, why: str, now: float, terms: tuple[str, str] | None = None
    ) -> bool:
        """``queue`` -> completed.

        With ``terms``, only while the checkout time and lifetime in the record still equal them: the client may have
        extended the lifetime in the meantime, or another client may have the VM now.
        """
        return await self._transitions.complete(pool, vm, queue, why, now, terms=terms) == 1

    async def forget(self, pool: str, vm: str, seconds: float, now: float) -> bool:
        """completed -> none, ``seconds`` after the destruction of the VM was ordered."""
        return await self._did(
            "forget",
            pool,
            vm,
            now,
            completed=keys.queue(Queue.COMPLETED, pool),
            trouble=keys.trouble(pool),
            confirmed=keys.confirmed(pool),
            active=keys.active(pool),
            now_text=times.text(now),
            seconds=_seconds(seconds),
            keep=self._data_ttl,
        )

    async def discover(self, pool: str, vm: str, stamped: bool, now: float) -> bool:
        """none -> discovered; or none -> running (quarantined), soon after a failover that may have lost its checkout.

        ``stamped``: the VM has our stamp; other VMs are not quarantined.
        """
        return await self._did(
            "discover",
            pool,
            vm,
            now,
            discovered=keys.queue(Queue.DISCOVERED, pool),
            since=keys.since(pool),
            uncertain=keys.UNCERTAIN,
            others=[keys.queue(queue, pool) for queue in Queue if queue is not Queue.DISCOVERED],
            stamped=int(stamped),
            now_text=times.text(now),
            hours=self._lifetime,
        )

    async def explain(self, pool: str, vm: str, why: str, now: float) -> bool:
        """discovered -> none: the VM is gone, or it belongs to another pool."""
        return await self._did(
            "explain",
            pool,
            vm,
            now,
            discovered=keys.queue(Queue.DISCOVERED, pool),
            since=keys.since(pool),
            confirmed=keys.confirmed(pool),
            why=why,
            keep=self._data_ttl,
        )

    async def reclaim(self, pool: str, vm: str, queue: Queue, holder: Holder, why: str, now: float) -> bool:
        """``queue`` -> running for the VM's holder; quarantined if the time of the checkout is unknown."""
        checked_out, hours = "", str(self._lifetime)
        if holder.since is not None:
            checked_out = times.text(holder.since)
            hours = "" if why == BY_RECORD else _hours(holder.since, holder.until)
        return await self._did(
            "reclaim",
            pool,
            vm,
            now,
            **CLONES,
            queue=keys.queue(queue, pool),
            running=keys.queue(Queue.RUNNING, pool),
            active=keys.active(pool),
            since=keys.since(pool),
            confirmed=keys.confirmed(pool),
            now_text=times.text(now),
            why=why,
            checked_out=checked_out,
            checkout_id=holder.checkout_id,
            user="" if holder.owner == NOBODY else holder.owner,
            lifetime=hours,
        )

    async def stamp(self, pool: str, vm: str, checkout_id: str, now: float) -> bool:
        """Record that the holder of this checkout is about to be written to the VM's stamp."""
        return await self._did("stamp", pool, vm, now, running=keys.queue(Queue.RUNNING, pool), checkout_id=checkout_id)

    async def put_back(self, pool: str, vm: str, now: float) -> bool:
        """running -> ready, for a VM that its client never got, after its stamp was cleared."""
        queues = {"running": keys.queue(Queue.RUNNING, pool), "ready": keys.queue(Queue.READY, pool)}
        return await self._did("put_back", pool, vm, now, **queues, since=keys.since(pool))

    async def verify(self, pool: str, doubted: str) -> bool:
        """Record that the VMs of a pool were compared with the provider; ``doubted`` is the mark of the Redis compared.

        Returns False when the mark has changed since.
        """
        marks = {"doubted": keys.DOUBTED, "verified": keys.VERIFIED}
        return bool(await self._connection.run(load("verify"), **marks, pool=pool, mark=doubted))

    async def miss(self, pool: str, vm: str, queue: Queue, missing: bool, now: float) -> bool:
        """Record that a VM is missing from the inventory, or that it is back."""
        touched = {"queue": keys.queue(queue, pool), "since": keys.since(pool)}
        return await self._did("miss", pool, vm, now, **touched, missing=int(missing))

    async def settle(self, pool: str, vm: str, queue: Queue, others: Sequence[Queue], now: float) -> bool:
        """Remove a VM from the ``others``, so that it is only in ``queue``."""
        return await self._did(
            "settle",
            pool,
            vm,
            now,
            queue=keys.queue(queue, pool),
            since=keys.since(pool),
            others=[keys.queue(other, pool) for other in others],
            other_names=", ".join(others),
        )

    async def mend(self, pool: str, vm: str, queue: Queue, now: float) -> bool:
        """Set the start time of a VM's timer to now, when the stored one is absent or unreadable."""
        done = await self._connection.run(
            load("mend"),
            record=keys.record(vm),
            active=keys.active(pool),
            since=keys.since(pool),
            queue=keys.queue(queue, pool),
            vm=vm,
            queue_name=queue,
            now_text=times.text(now),
            now=f"{now:.3f}",
        )
        return bool(done)

    async def check(self, vm: str, now: float) -> None:
        """Record that a check found a ready VM healthy."""
        await self._connection.call("HSET", keys.record(vm), "check", times.text(now))

    async def fail(self, pool: str, subject: str, why: str, now: float) -> float:
        """Record a failure of ``subject`` (a VM, or a subject in ``keys``); return the seconds to back off."""
        seconds = await self._transitions.run(
            "fail",
            pool,
            _vm(subject),
            now,
            trouble=keys.trouble(pool),
            subject=subject,
            why=why,
            first_wait=BACKOFF_FIRST,
            longest=BACKOFF_MOST,
        )
        return float(seconds)

    async def doubt(self, pool: str, vm: str, queue: Queue, why: str, now: float, first: bool) -> bool:
        """Record a failed check of a VM, and when the next one is due. ``first``: it is the first failure in a row."""
        return await self._did(
            "doubt",
            pool,
            vm,
            now,
            queue=keys.queue(queue, pool),
            trouble=keys.trouble(pool),
            why=why,
            first=int(first),
            first_wait=SECOND_CHECK_DELAY,
            longest=MAX_CHECK_DELAY,
        )

    async def note_power(self, vm: str, now: float | None) -> None:
        """Record when a VM is powered on; None: the attempt failed, so it may be repeated later."""
        field = (keys.record(vm), "power_on")
        await self._connection.call(*(("HDEL", *field) if now is None else ("HSET", *field, f"{now:.3f}")))

    async def recover(self, pool: str, subject: str, now: float) -> bool:
        """Record that ``subject`` works again, and clear the failed checks of a VM.

        Returns False when no failure was recorded.
        """
        return await self._did("recover", pool, _vm(subject), now, trouble=keys.trouble(pool), subject=subject)

    async def flag(self, pool: str, why: str, now: float) -> bool:
        """Record that the mass guard is active for ``why``; with an empty ``why``, that it is not active."""
        return await self._did("flag", pool, "", now, flagged=keys.FLAGGED, why=why)

    async def note_empty(self, pool: str, now: float) -> bool:
        """Record whether the pool has a ready VM."""
        return await self._did("empty", pool, "", now, ready=keys.queue(Queue.READY, pool), empty=keys.empty(pool))

    async def withdraw(self, pool: str) -> None:
        """Remove the pool from the clone queue."""
        await self._connection.call("ZREM", keys.LINE, pool)

    async def recount(self, pools: Sequence[str]) -> int:
        """Drop the clones in flight, and the places in the clone queue, of all pools except these.

        Returns the number of dropped clones.
        """
        dropped: int = await self._connection.run(
            load("recount"), **CLONES, line=keys.LINE, line_asked=keys.LINE_ASKED, pools=pools
        )
        return dropped

    async def _did(self, script: str, pool: str, vm: str, now: float, /, **own: Argument) -> bool:
        return bool(await self._transitions.run(script, pool, vm, now, **own))


def shown(admission: Admission) -> dict[str, str]:
    """Return the key and the arguments of ``refusal`` that describe an admission.

    They are the key of the client's token, when a token is needed, and "1" for own VMs only.
    """
    return {"token": keys.token(admission.token or ""), "need": admission.need, "own": "1" if admission.own else ""}


def admitted(answer: int, vm: str) -> None:
    """Raise the error that a script's return code stands for; return when the code reports success.

    Raises PoolGone for -4, NotYours for -2, TokenNeeded for -1, NoSuchVm for 0.
    """
    match answer:
        case -4:
            raise PoolGone(f"{vm}: {REFUSED}")
        case -2:
            raise NotYours(f"{vm} was checked out by another user")
        case -1:
            raise TokenNeeded(f"{vm}: a known token is needed")
        case 0:
            raise NoSuchVm(f"{vm} is not known, or not where this can be done")


def _hours(since: float, until: float | None) -> str:
    """Return the hours from a checkout to its end; 0 for a VM without an end."""
    return "0" if until is None else repr((until - since) / HOUR)


def _vm(subject: str) -> str:
    """Return the VM that a trouble concerns; empty when the subject is not a VM."""
    return "" if subject.startswith(":") else subject


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{max(0.0, seconds):.2f}"
