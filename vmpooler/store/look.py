"""One look at what Redis has of a pool."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs

from vmpooler.domain import lifetime
from vmpooler.domain.model import NOBODY, PRECEDENCE, Queue, Vm
from vmpooler.domain.tasks import Kind, Task
from vmpooler.domain.times import moment
from vmpooler.store import keys
from vmpooler.store.commands import Commands
from vmpooler.store.scripts import load

ORDER = (Queue.PENDING, Queue.READY, Queue.RUNNING, Queue.COMPLETED, Queue.DISCOVERED)
"""The queues in the order of look.lua's reply."""

NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)

Row = Sequence[str]


@attrs.frozen
class Trouble:
    """Something that keeps failing: how often in a row, when (epoch) to try it again, and why it failed last."""

    tries: int = 0
    until: float = 0
    why: str = ""


@attrs.frozen
class Look:
    """What Redis has of a pool. ``cloning``: its VMs whose clone is under way."""

    vms: tuple[Vm, ...]
    troubles: Mapping[str, Trouble]
    confirmed: frozenset[str]
    cloning: frozenset[str]
    flagged: bool
    empty: bool
    waiting: bool
    tasks: tuple[Task, ...]


async def look(connection: Commands, pool: str, default_lifetime: float) -> Look:
    """Look at a pool; ``default_lifetime`` (hours) is that of a VM whose record has none of its own."""
    queues = (keys.queue(queue, pool) for queue in ORDER)
    own = (keys.active(pool), keys.since(pool), keys.trouble(pool), keys.confirmed(pool))
    shared = (keys.CLONING, keys.FLAGGED, keys.empty(pool), keys.LINE, keys.tasks(pool))
    reply = await connection.run(load("look"), (*queues, *own, *shared), (pool, keys.RECORD))
    troubles, confirmed, cloning, flagged, empty, waiting, tasks = reply[5:]
    known = {subject: Trouble(**json.loads(text)) for subject, text in _pairs(troubles).items()}
    return Look(
        vms=_vms(reply[:5], known, default_lifetime),
        troubles=known,
        confirmed=frozenset(confirmed),
        cloning=frozenset(vm for vm, owner in _pairs(cloning).items() if owner == pool),
        flagged=bool(flagged),
        empty=bool(empty),
        waiting=bool(waiting),
        tasks=tuple(task_of(json.loads(text)) for text in tasks),
    )


def _vms(queues: Sequence[Sequence[Row]], troubles: Mapping[str, Trouble], default: float) -> tuple[Vm, ...]:
    """One Vm for each name, in the queue to believe, with the others that it must leave."""
    found: dict[str, list[tuple[Queue, Row]]] = {}
    for queue, rows in zip(ORDER, queues, strict=True):
        for row in rows:
            found.setdefault(row[0], []).append((queue, row))
    return tuple(_vm(places, troubles, default) for places in found.values())


def _vm(places: list[tuple[Queue, Row]], troubles: Mapping[str, Trouble], default: float) -> Vm:
    queue, *others = sorted((queue for queue, _ in places), key=PRECEDENCE.index)
    name, clone, ready, check, checkout, life, user, doubt, power_on, clone_time, active, since = places[0][1]
    trouble = troubles.get(name)
    return Vm(
        name=name,
        queue=queue,
        ordered=moment(clone),
        ready=moment(ready),
        checked=moment(check),
        checkout=began if (began := moment(checkout)) is not None else moment(active),
        lifetime=lifetime.limit(life, default),
        owner=(user or NOBODY) if queue is Queue.RUNNING else "",
        since=float(since) if since else None,
        retry_at=trouble.until if trouble else 0,
        doubted=_number(doubt),
        powered=_number(power_on),
        clone_seconds=_number(clone_time) or 0.0,
        troubled=trouble is not None,
        also=tuple(others),
        terms=(checkout, life),
    )


def _number(text: str) -> float | None:
    """The number that a field has; None for none, or for what is none."""
    return float(text) if NUMBER.fullmatch(text) else None


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(list(pairwise(flat))[::2])


def task_of(known: Mapping[str, Any]) -> Task:
    """A task as it stands in the books of a pool."""
    return Task(**{**known, "kind": Kind(known["kind"])})
