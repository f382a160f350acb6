"""Members of replies about pools that are not configured, or have moved."""

from typing import Any

from vmpooler.domain import reports
from vmpooler.store.commands.registry import Leftovers


def left_of(found: Leftovers) -> dict[str, Any]:
    """Return the members ``draining`` and ``moved``, each only when it is not empty."""
    draining = {
        each.pool: reports.left({str(queue): count for queue, count in each.counts.items()}, each.note)
        for each in found.drained
    }
    members = {"draining": draining, "moved": dict(found.moved)}
    return {name: member for name, member in members.items() if member}
