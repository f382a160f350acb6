"""What is written on a VM: the original's annotation, and in it the pool and the owner."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from vmpooler.domain.guest import Stamp

FORMAT = "%Y-%m-%d %H:%M:%S UTC"

OPTION = "vmpooler.name"
"""The option of a VM's configuration that has its name: it stays when somebody edits the annotation."""


def annotation(stamp: Stamp, template: str) -> str:
    """The stamp as text."""
    made = datetime.fromtimestamp(stamp.created, UTC).strftime(FORMAT)
    told = {"name": stamp.name, "created_by": "vmpooler", "base_template": template, "creation_timestamp": made}
    return json.dumps({**told, "pool": stamp.pool, "owner": stamp.owner}, indent=1)


def stamp_in(text: str) -> Stamp | None:
    """The stamp in an annotation, ours or the original's; None when there is none."""
    told = _told(text)
    if "name" not in told or "base_template" not in told:
        return None
    pool, name, owner = (str(told.get(key, "")) for key in ("pool", "name", "owner"))
    return Stamp(pool=pool, name=name, created=_seconds(told), owner=owner)


def owned(text: str, owner: str) -> str:
    """The annotation with another owner; all else in it stays."""
    return json.dumps({**_told(text), "owner": owner}, indent=1)


def stamped(pool: str, name: str, now: float, template: str) -> str:
    """The annotation of a VM that is being made."""
    return annotation(Stamp(pool=pool, name=name, created=now), template)


def is_ours(stamp: Stamp | None, name: str) -> bool:
    """Whether a VM of that name bears a stamp of its own, not one copied from the VM that it was cloned from."""
    return stamp is not None and stamp.name == name


def _told(text: str) -> dict[str, object]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):  # anybody may write anything on a VM, such as a thousand brackets
        return {}
    return told if isinstance(told, dict) else {}


def _seconds(told: dict[str, object]) -> float:
    try:
        return datetime.strptime(str(told.get("creation_timestamp")), FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
