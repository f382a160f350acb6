"""Events: each transition writes one, in the same script that makes the transition."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import attrs


class What(StrEnum):
    """The kinds of event. The comments describe each kind, and the content of ``why`` where it is set."""

    CLONE = "clone"  # a clone was ordered
    CLONED = "cloned"  # the clone has ended, after ``seconds``
    READY = "ready"  # pending -> ready, ``seconds`` after its clone was ordered
    CHECKOUT = "checkout"  # ready -> running; by: the user, if known
    UNCLAIMED = "unclaimed"  # its client never got it: why; it returns to ready when its stamp is cleared
    RETURNED = "returned"  # running -> ready: why its client never got it
    RESTORED = "restored"  # any queue -> running, Redis had lost its checkout: the evidence, if it is the VM's stamp or
    # record; by: the user, if known
    QUARANTINED = (
        "quarantined"  # ready, pending or none -> running: why a client may have it though Redis has no checkout
    )
    COMPLETED = "completed"  # ``queue`` -> completed: why
    DESTROYED = "destroyed"  # was destroyed, which took ``seconds``
    DISCOVERED = "discovered"  # is in the inventory and in no queue
    EXPLAINED = "explained"  # is not discovered any more: why
    MISSING = "missing"  # a ready or running VM is not in the inventory
    FOUND = "found"  # is in the inventory again
    SETTLED = "settled"  # was in several queues: the queues that it left
    CHANGED = "changed"  # its lifetime or tags were set: the new values
    REQUESTED = "requested"  # a client requested task ``kind`` with ``argument``; ``task`` is its id
    DONE = "done"  # the task was done
    DELAYED = "delayed"  # the task failed: why; ``tries`` so far, the next after ``seconds``
    GAVE_UP = "gave_up"  # the task failed and is not retried: why
    FAILED = "failed"  # an operation on ``subject`` failed: why; ``tries`` in a row, the next after ``seconds``
    RECOVERED = "recovered"  # ``subject`` works again
    FLAGGED = "flagged"  # the mass guard holds: why
    UNFLAGGED = "unflagged"
    EMPTY = "empty"  # the pool has no ready VM
    FILLED = "filled"  # the pool has a ready VM again


@attrs.frozen
class Event:
    """One event. ``when`` is in seconds since the epoch; ``id`` is the stream's id, and increases.

    ``by`` is the source of the event: ``manager``, ``api`` or a user. ``more`` has the fields that only some kinds
    have, as text.
    """

    id: str
    what: What
    pool: str
    vm: str
    when: float
    by: str
    why: str = ""
    more: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, id: str, fields: Mapping[str, str]) -> Self | None:
        """Return an event from the fields of a stream entry.

        None if this version does not know the kind, or a field is missing.
        """
        rest = dict(fields)
        try:
            return cls(
                id=id,
                what=What(rest.pop("what")),
                pool=rest.pop("pool"),
                vm=rest.pop("vm"),
                when=float(rest.pop("when")),
                by=rest.pop("by"),
                why=rest.pop("why", ""),
                more=rest,
            )
        except (KeyError, ValueError):
            return None
