"""What happened: one event for each transition, written by the same script that made it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import attrs


class What(StrEnum):
    """The kinds of event. The comment says what ``why`` holds, where it holds something."""

    CLONE = "clone"  # a clone was ordered
    CLONED = "cloned"  # it is done, after ``seconds``
    READY = "ready"  # pending -> ready, ``seconds`` after its order
    CHECKOUT = "checkout"  # ready -> running; by: the user, as far as known
    UNCLAIMED = "unclaimed"  # its client never got it: why; it goes back to ready when its stamp is clear
    RETURNED = "returned"  # running -> ready: why its client never got it
    RESTORED = "restored"  # any queue -> running: Redis had lost its checkout: how that is known, if by the VM's stamp
    # or record; by: the user, as far as known
    QUARANTINED = (
        "quarantined"  # ready, pending or none -> running: why a client may have it though Redis does not know
    )
    COMPLETED = "completed"  # ``queue`` -> completed: why
    DESTROYED = "destroyed"  # gone, after ``seconds``
    DISCOVERED = "discovered"  # in the inventory, in no queue
    EXPLAINED = "explained"  # discovered no more: why
    MISSING = "missing"  # a ready or running VM is not in the inventory
    FOUND = "found"  # it is back
    SETTLED = "settled"  # it stood in several queues: which it left
    CHANGED = "changed"  # its lifetime or tags were set: to what
    REQUESTED = "requested"  # a client asks for ``kind`` with ``argument``; ``task`` is its id
    DONE = "done"  # that was done
    DELAYED = "delayed"  # it did not work: why; ``tries`` so far, next after ``seconds``
    GAVE_UP = "gave_up"  # it did not work and is not tried any more: why
    FAILED = "failed"  # what was tried (``subject``) did not work: why; ``tries`` in a row, next after ``seconds``
    RECOVERED = "recovered"  # ``subject`` works again
    FLAGGED = "flagged"  # the mass guard holds: why
    UNFLAGGED = "unflagged"
    EMPTY = "empty"  # the pool has no ready VM
    FILLED = "filled"  # it has one again


@attrs.frozen
class Event:
    """One event. ``when`` is in seconds since the epoch; ``id`` is the stream's, and grows.

    ``by`` is who made it happen: ``manager``, ``api`` or a user. ``more`` has what only some kinds have, as text.
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
        """An event from the fields of a stream's entry; None for an entry of a kind that this version lacks."""
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
