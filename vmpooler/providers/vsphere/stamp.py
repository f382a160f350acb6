"""The stamp on a VM: the annotation format of Ruby vmpooler, extended by the pool and the holder."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from vmpooler.domain.guest import Holder, Stamp

FORMAT = "%Y-%m-%d %H:%M:%S UTC"

END_OF_TIME = 253402300799.0
"""The last second of the year 9999."""

OPTION = "vmpooler.name"
"""The option in a VM's configuration that contains its name. It remains when the annotation is edited."""


def annotation(stamp: Stamp, template: str) -> str:
    """Return the stamp as text."""
    made = datetime.fromtimestamp(stamp.created, UTC).strftime(FORMAT)
    known = {"name": stamp.name, "created_by": "vmpooler", "base_template": template, "creation_timestamp": made}
    return json.dumps({**known, "pool": stamp.pool, **_members(stamp.holder)}, indent=1)


def stamp_in(text: str) -> Stamp | None:
    """Return the stamp in an annotation of this service or of Ruby vmpooler; None when it contains no stamp."""
    document = _document(text)
    if "name" not in document or "base_template" not in document:
        return None
    pool, name = (str(document.get(key, "")) for key in ("pool", "name"))
    return Stamp(pool=pool, name=name, created=_seconds(document), holder=_holder(document))


def held(text: str, holder: Holder | None) -> str:
    """Return the annotation with another holder; its other members stay the same."""
    return json.dumps({**_document(text), **_members(holder)}, indent=1)


def stamped(pool: str, name: str, now: float, template: str) -> str:
    """Return the annotation of a VM that is being cloned."""
    return annotation(Stamp(pool=pool, name=name, created=now), template)


def is_ours(stamp: Stamp | None, name: str) -> bool:
    """Return whether a VM of that name has its own stamp, not one copied from the VM that it was cloned from."""
    return stamp is not None and stamp.name == name


def _members(holder: Holder | None) -> dict[str, object]:
    """Return the holder as members of the annotation."""
    if holder is None:
        return {"owner": "", "checkout_id": "", "checkout": None, "end": None}
    whole = {"checkout": holder.since, "end": holder.until}
    return {"owner": holder.owner, "checkout_id": holder.checkout_id, **whole}


def _holder(document: dict[str, object]) -> Holder | None:
    """Return the holder in the annotation, or None. A value that is not a valid time counts as not known."""
    owner, checkout_id = (str(document.get(key) or "") for key in ("owner", "checkout_id"))
    since, until = (_moment(document.get(key)) for key in ("checkout", "end"))
    return Holder(owner, checkout_id, since, until) if owner or checkout_id or since is not None else None


def _moment(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < END_OF_TIME
    return float(value) if known and isinstance(value, int | float) else None


def _document(text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # an annotation may contain any text, such as a thousand brackets
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(document: dict[str, object]) -> float:
    try:
        return datetime.strptime(str(document.get("creation_timestamp")), FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
