"""What Redis remembers of pools, so that one that is not configured any more can be drained: see domain/estate.py.

The leader writes it at the start of its term. Beside it stands, for people, which pools are drained and which have
moved: every process reads that.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from twisted.logger import Logger

from vmpooler.domain.estate import Memory, of_json, to_json
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands import Commands
from vmpooler.store.scripts import load

log = Logger()

BATCH = 10_000
"""Keys that one step of a search looks through, which keeps Redis busy for some milliseconds."""


@attrs.frozen
class Drained:
    """A pool that is not configured: what happens to its VMs, for people, and how many there are in each queue."""

    pool: str
    note: str
    counts: Mapping[Queue, int]

    @property
    def text(self) -> str:
        """All of it in one sentence."""
        some = ", ".join(f"{count} {queue}" for queue, count in self.counts.items() if count)
        return f"{self.note} ({some or 'none is left'})"


@attrs.frozen
class Leftovers:
    """The pools that are drained, and for configured pools what stands at a former place, for people."""

    drained: tuple[Drained, ...] = ()
    moved: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def notes(self) -> Mapping[str, dict[str, str]]:
        """What a pool's row has beside the others: ``draining`` or ``moved``, and the text."""
        said = {pool: {"moved": note} for pool, note in self.moved.items()}
        return said | {each.pool: {"draining": each.note} for each in self.drained}


async def leftovers(connection: Commands) -> Leftovers:
    """What the leader says of pools that are not configured, or have moved. Raises StoreAway."""
    return leftovers_of(await connection.run(load("leftovers"), (keys.DRAINING, keys.MOVED), tuple(Queue)))


async def leader_and_leftovers(connection: Commands) -> tuple[str, Leftovers]:
    """Epoch and name of the manager that leads, empty for none; and what it says, in one round trip."""
    leader, *left = await connection.run(load("leader"), (keys.DRAINING, keys.MOVED, keys.LEASE), tuple(Queue))
    return leader or "", leftovers_of(left)


def leftovers_of(reply: Sequence[Any]) -> Leftovers:
    """The same, of what a script says."""
    rows, moved = reply
    drained = (Drained(pool, note, dict(zip(Queue, counts, strict=True))) for pool, note, counts in rows)
    return Leftovers(tuple(drained), dict(zip(moved[::2], moved[1::2], strict=True)))


class Registry:
    """Reads and writes what is remembered. Every method raises StoreAway when Redis is."""

    def __init__(self, connection: Commands) -> None:
        self._connection = connection

    async def read(self) -> dict[str, Memory | None]:
        """What is remembered, by pool; None where that cannot be read, which is logged."""
        flat = await self._connection.call("HGETALL", keys.POOLS)
        return {name: _memory(name, text) for name, text in zip(flat[::2], flat[1::2], strict=True)}

    async def recall(self, name: str) -> Memory | None:
        """What is remembered of one pool."""
        text = await self._connection.call("HGET", keys.POOLS, name)
        return _memory(name, text) if text else None

    async def standing(self, pool: str) -> frozenset[str]:
        """The VMs that stand in any queue of a pool."""
        return frozenset(await self._connection.call("SUNION", *(keys.queue(queue, pool) for queue in Queue)))

    async def write(
        self, memories: Iterable[Memory], draining: Mapping[str, str] | None, moved: Mapping[str, str] | None
    ) -> None:
        """Remember pools, and say which are drained and which have moved, instead of what was said before; None leaves
        that as it is."""
        known = {memory.pool.name: json.dumps(to_json(memory)) for memory in memories}
        said = {"pools": known, "draining": draining, "moved": moved}
        touched = (keys.POOLS, keys.DRAINING, keys.MOVED)
        await self._connection.run(load("remember_pools"), touched, (json.dumps(said),))

    async def note(self, pool: str, note: str) -> None:
        """Say of one more pool that it is drained."""
        await self._connection.call("HSET", keys.DRAINING, pool, note)

    async def note_moved(self, pool: str, note: str) -> None:
        """Say what stands at a former place of a configured pool; nothing when ``note`` is empty."""
        if note:
            await self._connection.call("HSET", keys.MOVED, pool, note)
        else:
            await self._connection.call("HDEL", keys.MOVED, pool)

    async def forget(self, pool: str) -> bool:
        """Forget a pool that has no VM: False when it has."""
        books = (keys.active(pool), keys.since(pool), keys.trouble(pool), keys.confirmed(pool), keys.tasks(pool))
        hashes = (keys.POOLS, keys.DRAINING, keys.MOVED, keys.FLAGGED, keys.LASTBOOT)
        lines = (keys.LINE, keys.LINE_ASKED, keys.WANTED)
        queues = tuple(keys.queue(queue, pool) for queue in Queue)
        touched = (*queues, *hashes, *lines, keys.VERIFIED, *books, keys.BOOKED + pool, keys.empty(pool))
        return bool(await self._connection.run(load("forget_pool"), touched, (pool,)))

    async def find(self, cursor: str) -> tuple[str, list[str]]:
        """The next step of a search for pools with VMs through all keys, from ``0`` on: where to go on, ``0`` at the
        end, and names, some of them again."""
        prefixes = [keys.queue(queue, "") for queue in Queue]
        cursor, *names = await self._connection.run(load("find_pools"), (), (cursor, BATCH, *prefixes))
        return cursor, names

    async def of_others(self, pool: str, near: Sequence[str], vms: Sequence[str]) -> frozenset[str]:
        """Those of some VMs that stand in a queue of another pool: the one that their record names, or one of those
        ``near``."""
        standing = (Queue.PENDING, Queue.READY, Queue.RUNNING, Queue.COMPLETED)
        args = (pool, json.dumps([keys.queue(queue, "") for queue in standing]), json.dumps(list(near)), *vms)
        return frozenset(await self._connection.run(load("of_others"), (), args))


def _memory(name: str, text: str) -> Memory | None:
    try:
        return of_json(name, json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        log.warn("[!] [{pool}] what Redis remembers of this pool cannot be read: {why}", pool=name, why=error)
        return None
