"""Reads the state of one pool from Redis in one round trip."""

from collections.abc import Mapping, Sequence

import attrs

from vmpooler.domain.model import NOBODY, PRECEDENCE, Queue, Vm
from vmpooler.domain.tasks import Task
from vmpooler.domain.times import lifetime_given, lifetime_limit, moment
from vmpooler.store import keys
from vmpooler.store.redis.scripts import RedisCommands, load
from vmpooler.store.stored import number, paired, read

ORDER = (Queue.PENDING, Queue.READY, Queue.RUNNING, Queue.COMPLETED, Queue.DISCOVERED)
"""The queues in the order of pool_state.lua's reply."""

Row = Sequence[str]

NOTHING_MORE = ("",) * 9
"""The values for a row without the optional fields."""


@attrs.frozen
class Trouble:
    """A repeated failure: number of failures in a row, time of the next try (epoch), and reason of the last failure."""

    tries: int = 0
    until: float = 0
    why: str = ""


@attrs.frozen
class StoredPool:
    """The state of a pool in Redis.

    ``cloning``: its VMs whose clone is in flight. ``waiting``: the pool is in the clone queue. ``unreadable``: troubles
    and tasks that another version wrote in a form that this version cannot read. ``doubted``: the mark of a Redis that
    may lack writes, empty for none. ``verified``: the pool was compared with the provider since that mark was set, or
    ``doubted`` is empty.
    """

    vms: tuple[Vm, ...]
    troubles: Mapping[str, Trouble]
    confirmed: frozenset[str]
    cloning: frozenset[str]
    flagged: bool
    empty: bool
    waiting: bool
    tasks: tuple[Task, ...]
    unreadable: tuple[str, ...] = ()
    doubted: str = ""
    verified: bool = True


async def read_state(connection: RedisCommands, pool: str, default_lifetime: float) -> StoredPool:
    """Read the state of a pool. ``default_lifetime`` (hours) applies to a VM whose record has no lifetime."""
    reply = await connection.run(
        load("pool_state"),
        **{queue.value: keys.queue(queue, pool) for queue in ORDER},
        active=keys.active(pool),
        since=keys.since(pool),
        trouble=keys.trouble(pool),
        confirmed=keys.confirmed(pool),
        cloning=keys.CLONING,
        flagged=keys.FLAGGED,
        empty=keys.empty(pool),
        line=keys.LINE,
        tasks=keys.tasks(pool),
        doubted=keys.DOUBTED,
        verified=keys.VERIFIED,
        pool=pool,
    )
    troubles, confirmed, cloning, flagged, empty, waiting, tasks, doubted, verified = reply[5:]
    found = {subject: read(text, Trouble) for subject, text in paired(troubles).items()}
    known = {subject: trouble for subject, trouble in found.items() if trouble is not None}
    asked = [(text, read(text, Task)) for text in tasks]
    return StoredPool(
        vms=_vms(reply[:5], known, default_lifetime),
        troubles=known,
        confirmed=frozenset(confirmed),
        cloning=frozenset(vm for vm, owner in paired(cloning).items() if owner == pool),
        flagged=bool(flagged),
        empty=bool(empty),
        waiting=bool(waiting),
        tasks=tuple(task for _, task in asked if task is not None),
        unreadable=(*sorted(found.keys() - known.keys()), *(text for text, task in asked if task is None)),
        doubted=doubted,
        verified=not doubted or bool(verified),
    )


def _vms(queues: Sequence[Sequence[Row]], troubles: Mapping[str, Trouble], default: float) -> tuple[Vm, ...]:
    """Return one Vm for each name, in the queue with precedence; ``also`` lists the queues that it must leave."""
    found: dict[str, list[tuple[Queue, Row]]] = {}
    for queue, rows in zip(ORDER, queues, strict=True):
        for row in rows:
            found.setdefault(row[0], []).append((queue, row))
    return tuple(_vm(places, troubles, default) for places in found.values())


def _vm(places: list[tuple[Queue, Row]], troubles: Mapping[str, Trouble], default: float) -> Vm:
    queue, *others = sorted((queue for queue, _ in places), key=PRECEDENCE.index)
    name, clone, ready, check, checkout, life, user, active, since, *more = places[0][1]
    checkout_id, given, ended, unclaimed, stamping, quarantined, doubt, power_on, clone_time = more or NOTHING_MORE
    trouble = troubles.get(name)
    held = queue is Queue.RUNNING or (bool(checkout) and not ended)
    return Vm(
        name=name,
        queue=queue,
        ordered=moment(clone),
        ready=moment(ready),
        checked=moment(check),
        checkout=_checkout(checkout, active),
        lifetime=lifetime_limit(life, lifetime_given(given, default)),
        owner=(user or NOBODY) if held else "",
        since=number(since),
        retry_at=trouble.until if trouble else 0,
        doubted=number(doubt),
        powered=number(power_on),
        clone_seconds=number(clone_time) or 0.0,
        failures=max(trouble.tries, 1) if trouble else 0,
        also=tuple(others),
        terms=(checkout, life),
        checkout_id=checkout_id,
        ended=bool(ended),
        unclaimed=bool(unclaimed),
        stamping=stamping,
        quarantined=bool(quarantined),
    )


def _checkout(stored: str, active: str) -> float | None:
    """Return the time of a VM's checkout: from its record, else from its history (``@`` and an epoch), else from the
    pool's hash of checkout times."""
    found = number(stored[1:]) if stored.startswith("@") else moment(stored)
    return found if found is not None else moment(active)
