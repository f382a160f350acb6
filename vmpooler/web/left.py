"""What clients and operators are shown of pools that are not configured, or have moved; nothing where there is none."""

from typing import Any

from vmpooler.domain import reports
from vmpooler.store.registry import Leftovers


def left_of(found: Leftovers) -> dict[str, Any]:
    """The members ``draining`` and ``moved``, each where there is something to say."""
    draining = {
        each.pool: reports.left({str(queue): count for queue, count in each.counts.items()}, each.note)
        for each in found.drained
    }
    members = {"draining": draining, "moved": dict(found.moved)}
    return {name: member for name, member in members.items() if member}
