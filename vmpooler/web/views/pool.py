"""The JSON of pools for the dashboard: rows, details, and pools that are not configured. See docs/events.md."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from vmpooler.domain import times
from vmpooler.domain.counts import Standing
from vmpooler.domain.model import Queue, Vm
from vmpooler.domain.times import END_OF_TIME
from vmpooler.settings import Pool
from vmpooler.store.commands.registry import Leftovers

FAILING_MOST = 5
"""Maximum number of failing subjects in a row."""

SUBJECTS = {
    ":clone": "clone",
    ":inventory": "inventory",
    ":missing": "missing VMs",
    ":answers": "answers",
    ":power": "power",
}
"""Subjects other than VMs that can fail, as words."""

SHOWN_MOST = 500
"""Maximum number of VMs listed for a queue."""

ORDER = (Queue.PENDING, Queue.READY, Queue.RUNNING, Queue.COMPLETED, Queue.DISCOVERED)

Tags = Mapping[str, Mapping[str, str]]


def platform(pool: str) -> str:
    """Return the family of a pool: what precedes the first hyphen of its name."""
    return pool.partition("-")[0]


def row(pool: Pool, standing: Standing) -> dict[str, Any]:
    """Return the JSON row of a pool."""
    worst = sorted(standing.failing, key=lambda each: (-each.tries, each.subject))[:FAILING_MOST]
    return {
        "name": pool.name,
        "alias": list(pool.alias),
        "platform": platform(pool.name),
        "size": pool.size,
        "ready": standing.ready,
        "pending": standing.pending,
        "cloning": min(standing.cloning, standing.pending),
        "running": standing.running,
        "completed": standing.completed,
        "empty": bool(pool.size) and not standing.ready,
        "flagged": standing.flagged or None,
        "failing": [attrs.asdict(each) | {"subject": SUBJECTS.get(each.subject, each.subject)} for each in worst],
        "last_boot": times.moment(standing.last_boot),
    }


def left_of(found: Leftovers) -> dict[str, Any]:
    """Return the members ``draining`` and ``moved``, each only when it is not empty."""
    draining = {
        each.pool: {"message": each.note, **{str(queue): count for queue, count in each.counts.items()}}
        for each in found.drained
    }
    members = {"draining": draining, "moved": dict(found.moved)}
    return {name: member for name, member in members.items() if member}


def settings(pool: Pool) -> dict[str, Any]:
    """Return the settings of a pool."""
    return attrs.asdict(pool) | {"alias": list(pool.alias)}


def by_queue(vms: Iterable[Vm]) -> dict[Queue, list[Vm]]:
    """Return VMs by queue, in the order in which they entered it."""
    found: dict[Queue, list[Vm]] = {queue: [] for queue in ORDER}
    for vm in sorted(vms, key=lambda vm: (entered(vm) or END_OF_TIME, vm.name)):
        found[vm.queue].append(vm)
    return found


def queues(found: Mapping[Queue, Sequence[Vm]], tags: Tags, now: float) -> dict[str, Any]:
    """Return the number of VMs in each queue, and the first VMs of each."""
    shown = {str(queue): [_vm(vm, tags, now) for vm in vms[:SHOWN_MOST]] for queue, vms in found.items()}
    return {"counts": {str(queue): len(vms) for queue, vms in found.items()}, "queues": shown}


def entered(vm: Vm) -> float | None:
    """Return when a VM entered its queue, if known."""
    known = {Queue.PENDING: vm.ordered, Queue.READY: vm.ready, Queue.RUNNING: vm.checkout, Queue.DISCOVERED: vm.since}
    return known.get(vm.queue)


def _vm(vm: Vm, tags: Tags, now: float) -> dict[str, Any]:
    running = vm.queue is Queue.RUNNING
    since, ends = entered(vm), times.lifetime_end(vm.checkout, vm.lifetime) if running else None
    return {
        "name": vm.name,
        "age": None if vm.ordered is None else round(now - vm.ordered, 1),
        "since": None if since is None else round(now - since, 1),
        "owner": vm.owner or None,
        "tags": tags.get(vm.name, {}),
        "remaining": None if ends is None else round(ends - now, 1),
        "missing": vm.queue in (Queue.READY, Queue.RUNNING) and vm.since is not None and not vm.unclaimed,
    }
