"""Stores where the VMs of each pool are, so that a pool that is no longer configured can be drained.

See domain/estate.py. The leader writes this at the start of its term. Next to it, Redis has texts for people about the
pools that are drained and the pools that have moved; every process reads these.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from twisted.logger import Logger

from vmpooler.domain.estate import PoolMemory, of_json, to_json
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.redis.scripts import RedisCommands, load
from vmpooler.store.stored import paired

log = Logger()

BATCH = 10_000
"""Number of keys per step of a search; one step keeps Redis busy for some milliseconds."""


NOTES = {"draining": keys.DRAINING, "moved": keys.MOVED}
"""The keys of the texts for people."""


@attrs.frozen
class Drained:
    """A pool that is not configured: a text for people about its VMs, and the number of VMs in each queue."""

    pool: str
    note: str
    counts: Mapping[Queue, int]

    @property
    def text(self) -> str:
        """The note and the counts as one sentence."""
        some = ", ".join(f"{count} {queue}" for queue, count in self.counts.items() if count)
        return f"{self.note} ({some or 'none is left'})"


@attrs.frozen
class Leftovers:
    """The drained pools, and for each moved pool a text for people about its VMs at the former location."""

    drained: tuple[Drained, ...] = ()
    moved: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def notes(self) -> Mapping[str, dict[str, str]]:
        """The extra member of a pool's row, by pool: ``draining`` or ``moved``, with the text."""
        said = {pool: {"moved": note} for pool, note in self.moved.items()}
        return said | {each.pool: {"draining": each.note} for each in self.drained}


async def leftovers(connection: RedisCommands) -> Leftovers:
    """Return what the leader recorded about pools that are not configured or have moved. Raises StoreAway."""
    return leftovers_of(await connection.run(load("leftovers"), **NOTES, queues=tuple(Queue)))


async def leader_and_leftovers(connection: RedisCommands) -> tuple[str, Leftovers]:
    """Return epoch and name of the leader (empty for none), and the leftovers, in one round trip. Raises StoreAway."""
    leader, *left = await connection.run(load("leader"), **NOTES, lease=keys.LEASE, queues=tuple(Queue))
    return leader or "", leftovers_of(left)


def leftovers_of(reply: Sequence[Any]) -> Leftovers:
    """Build the leftovers from a script's reply."""
    rows, moved = reply
    drained = (Drained(pool, note, dict(zip(Queue, counts, strict=True))) for pool, note, counts in rows)
    return Leftovers(tuple(drained), paired(moved))


class Registry:
    """Reads and writes the remembered pools. Every method raises StoreAway when Redis is unavailable."""

    def __init__(self, connection: RedisCommands) -> None:
        self._connection = connection

    async def read(self) -> dict[str, PoolMemory | None]:
        """Return what is remembered, by pool; None for an unreadable entry, which is logged."""
        flat = await self._connection.call("HGETALL", keys.POOLS)
        return {name: _memory(name, text) for name, text in paired(flat).items()}

    async def recall(self, name: str) -> PoolMemory | None:
        """Return what is remembered of one pool; None when the entry is absent or unreadable."""
        text = await self._connection.call("HGET", keys.POOLS, name)
        return _memory(name, text) if text else None

    async def standing(self, pool: str) -> frozenset[str]:
        """Return the VMs that are in any queue of a pool."""
        return frozenset(await self._connection.call("SUNION", *(keys.queue(queue, pool) for queue in Queue)))

    async def write(
        self, memories: Iterable[PoolMemory], draining: Mapping[str, str] | None, moved: Mapping[str, str] | None
    ) -> None:
        """Store pools, and replace the texts about drained and moved pools; None leaves these texts unchanged."""
        known = {memory.pool.name: json.dumps(to_json(memory)) for memory in memories}
        text = json.dumps({"pools": known, "draining": draining, "moved": moved})
        await self._connection.run(load("remember_pools"), pools=keys.POOLS, **NOTES, text=text)

    async def note(self, pool: str, note: str) -> None:
        """Record that one more pool is drained."""
        await self._connection.call("HSET", keys.DRAINING, pool, note)

    async def note_moved(self, pool: str, note: str) -> None:
        """Record which VMs of a configured pool are at a former location; an empty ``note`` removes the entry."""
        if note:
            await self._connection.call("HSET", keys.MOVED, pool, note)
        else:
            await self._connection.call("HDEL", keys.MOVED, pool)

    async def forget(self, pool: str) -> bool:
        """Forget a pool that has no VMs. Returns False, and changes nothing, when it has VMs."""
        own = (keys.active(pool), keys.since(pool), keys.trouble(pool), keys.confirmed(pool), keys.tasks(pool))
        return bool(
            await self._connection.run(
                load("forget_pool"),
                **{queue.value: keys.queue(queue, pool) for queue in Queue},
                **NOTES,
                pools=keys.POOLS,
                flagged=keys.FLAGGED,
                lastboot=keys.LASTBOOT,
                line=keys.LINE,
                line_asked=keys.LINE_ASKED,
                wanted=keys.WANTED,
                verified=keys.VERIFIED,
                own=(*own, keys.BOOKED + pool, keys.empty(pool)),
                pool=pool,
            )
        )

    async def find(self, cursor: str) -> tuple[str, list[str]]:
        """Run one step of a search through all keys for pools with VMs; start with the cursor ``0``.

        Returns the next cursor, ``0`` at the end, and pool names, which may repeat those of earlier steps.
        """
        prefixes = [keys.queue(queue, "") for queue in Queue]
        cursor, *names = await self._connection.run(load("find_pools"), cursor=cursor, batch=BATCH, prefixes=prefixes)
        return cursor, names

    async def of_others(self, pool: str, near: Sequence[str], vms: Sequence[str]) -> frozenset[str]:
        """Return those of the VMs that are in a queue of another pool: the pool that their record names, or a pool in
        ``near``."""
        standing = (Queue.PENDING, Queue.READY, Queue.RUNNING, Queue.COMPLETED)
        prefixes = json.dumps([keys.queue(queue, "") for queue in standing])
        found = await self._connection.run(
            load("of_others"), asking=pool, queue_prefixes=prefixes, nearby=json.dumps(list(near)), vms=vms
        )
        return frozenset(found)


def _memory(name: str, text: str) -> PoolMemory | None:
    try:
        return of_json(name, json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        log.warn("[!] [{pool}] what Redis remembers of this pool cannot be read: {why}", pool=name, why=error)
        return None
