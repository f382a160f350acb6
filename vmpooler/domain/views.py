"""Builds the JSON of a pool's details and of a VM's details: see docs/events.md."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from vmpooler.domain import lifetime
from vmpooler.domain.model import NOBODY, Queue, Vm
from vmpooler.domain.reports import END_OF_TIME, HOUR
from vmpooler.domain.times import moment
from vmpooler.settings import Pool

SHOWN_MOST = 500
"""Maximum number of VMs listed for a queue."""

ORDER = (Queue.PENDING, Queue.READY, Queue.RUNNING, Queue.COMPLETED, Queue.DISCOVERED)

SECRET = "token:token"  # noqa: S105 - the field that has one
"""The field of a record that is never returned."""

Tags = Mapping[str, Mapping[str, str]]


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


def record(known: Mapping[str, str], queue: Queue | None, default_lifetime: float, now: float) -> dict[str, Any]:
    """Return the details of a VM from its record. ``default_lifetime`` is in hours."""
    default = lifetime.given(known.get("lifetime_default", ""), default_lifetime)
    limit = lifetime.limit(known.get("lifetime", ""), default)
    ends = _ends(moment(known.get("checkout", "")), limit) if queue is Queue.RUNNING else None
    return {
        "pool": known.get("pool") or known.get("template"),
        "queue": queue,
        "state": queue or ("destroyed" if known.get("destroy") else None),
        "owner": (known.get("token:user") or NOBODY) if known.get("checkout") else None,
        "ip": known.get("ip") or None,
        "tags": tagged(known),
        "lifetime": limit,
        "remaining": None if ends is None else round(ends - now, 1),
        "ends": ends,
        "disk": known["disk"].split(":") if known.get("disk") else [],
        "snapshots": [field.removeprefix("snapshot:") for field in known if field.startswith("snapshot:")],
        "record": {field: value for field, value in known.items() if field != SECRET},
    }


def tagged(known: Mapping[str, str]) -> dict[str, str]:
    """Return the tags in a record."""
    return {field.removeprefix("tag:"): value for field, value in known.items() if field.startswith("tag:")}


def _vm(vm: Vm, tags: Tags, now: float) -> dict[str, Any]:
    running = vm.queue is Queue.RUNNING
    since, ends = entered(vm), _ends(vm.checkout, vm.lifetime) if running else None
    return {
        "name": vm.name,
        "age": None if vm.ordered is None else round(now - vm.ordered, 1),
        "since": None if since is None else round(now - since, 1),
        "owner": vm.owner or None,
        "tags": tags.get(vm.name, {}),
        "remaining": None if ends is None else round(ends - now, 1),
        "missing": vm.queue in (Queue.READY, Queue.RUNNING) and vm.since is not None and not vm.unclaimed,
    }


def _ends(checkout: float | None, limit: float | None) -> float | None:
    """Return when a running VM will be completed; None if never."""
    return None if checkout is None or limit is None else min(checkout + limit * HOUR, END_OF_TIME)
