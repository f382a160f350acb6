"""The JSON of a VM: for clients that hold it, and for the dashboard."""

import math
from collections.abc import Mapping
from typing import Any

from vmpooler.domain import times
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.domain.times import HOUR

SECRET = "token:token"  # noqa: S105 - the name of a field
"""The field of a record that is never returned."""


def report(record: Mapping[str, str], default_lifetime: float, now: float) -> dict[str, Any]:
    """Return the report of a VM from its record. ``default_lifetime`` is in hours.

    Source: docs/compatibility.md#vm-record.
    """
    stored = record.get("lifetime", "")
    default = times.lifetime_given(record.get("lifetime_default", ""), default_lifetime)
    shown: dict[str, Any] = {
        "template": record.get("template", record.get("pool")),
        # Clients divide by it: a fraction of an hour counts as one hour.
        "lifetime": math.ceil(times.lifetime(stored, default)),
        **_running(record, times.lifetime_limit(stored, default), now),
        "state": _state(record),
    }
    if tags := tagged(record):
        shown["tags"] = tags
    if snapshots := _named(record, "snapshot:"):
        shown["snapshots"] = list(snapshots)
    if disks := record.get("disk"):
        shown["disk"] = disks.split(":")
    if why := record.get("quarantined"):
        shown["quarantined"] = why
    if failures := _named(record, "failed:"):
        shown["failures"] = list(failures.values())
    return shown


def details(known: Mapping[str, str], queue: Queue | None, default_lifetime: float, now: float) -> dict[str, Any]:
    """Return the details of a VM from its record. ``default_lifetime`` is in hours."""
    default = times.lifetime_given(known.get("lifetime_default", ""), default_lifetime)
    limit = times.lifetime_limit(known.get("lifetime", ""), default)
    ends = times.lifetime_end(times.moment(known.get("checkout", "")), limit) if queue is Queue.RUNNING else None
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
        "snapshots": list(_named(known, "snapshot:")),
        "record": {field: value for field, value in known.items() if field != SECRET},
    }


def tagged(known: Mapping[str, str]) -> dict[str, str]:
    """Return the tags in a record."""
    return _named(known, "tag:")


def _state(record: Mapping[str, str]) -> str:
    for field, state in (("destroy", "destroyed"), ("checkout", "running"), ("check", "ready")):
        if record.get(field):
            return state
    return "pending"


def _running(record: Mapping[str, str], limit: float | None, now: float) -> dict[str, Any]:
    """Return how long a VM has been out of its pool and, if it still is, how long it will be. ``limit`` is in hours."""
    start = times.moment(record.get("checkout", ""))
    destroyed = record.get("destroy")
    end = times.moment(destroyed) if destroyed else now
    if start is None or end is None:
        return {}
    known: dict[str, Any] = {"running": round(max(0.0, end - start) / HOUR, 2)}
    if destroyed:
        return known
    due = times.lifetime_end(start, limit)
    if due is None:
        return {**known, "start_time": times.rfc3339(start)}
    remaining = round((due - now) / HOUR, 2)
    return {**known, "remaining": remaining, "start_time": times.rfc3339(start), "end_time": times.rfc3339(due)}


def _named(record: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {field.removeprefix(prefix): value for field, value in record.items() if field.startswith(prefix)}
