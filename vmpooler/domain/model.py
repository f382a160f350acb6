"""The state of a pool, as one read of Redis and the provider's inventory returns it."""

from collections.abc import Mapping
from enum import StrEnum

import attrs

from vmpooler.domain.guest import Guest
from vmpooler.domain.tasks import Task

NOBODY = "anonymous"
"""The owner of a VM that was checked out without a token."""


class Queue(StrEnum):
    """The queue that a VM is in. The value is the name in its Redis key."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    DISCOVERED = "discovered"


PRECEDENCE = (Queue.RUNNING, Queue.READY, Queue.PENDING, Queue.COMPLETED, Queue.DISCOVERED)
"""Order of precedence for a VM that is in several queues, which only a crash of Ruby vmpooler can cause.

The first queue is the one in which the VM is safest from destruction while in use.
"""


@attrs.frozen
class Vm:
    """A VM as Redis has it. Times are in seconds since the epoch, None if they are not known.

    - ``ordered``: when its clone was ordered.
    - ``checked``: when it last passed a check as a ready VM.
    - ``lifetime``: in hours, None for no limit.
    - ``since``: since when, without a break, it is missing (a ready or running VM) or unknown (a discovered VM).
    - ``retry_at``: when an operation that failed at the provider may be retried.
    - ``failures``: how often in a row an operation failed, and has not succeeded since.
    - ``doubted``: when a check of it first failed since the last successful check.
    - ``powered``: when it was powered on because it was off after its clone, which took ``clone_seconds``.
    - ``also``: the other queues, which it must leave.
    - ``terms``: ``checkout`` and ``lifetime`` as text, as the record has them.
    - ``checkout_id``: the id of its last checkout.
    - ``ended``: that checkout has ended, because the VM was completed.
    - ``unclaimed``: its client never got it; the VM returns to ready once its stamp is clear.
    - ``stamping``: the checkout whose holder was written, or is being written, on the VM.
    - ``quarantined``: who has it is unknown.
    """

    name: str
    queue: Queue
    ordered: float | None = None
    ready: float | None = None
    checked: float | None = None
    checkout: float | None = None
    lifetime: float | None = None
    owner: str = ""
    since: float | None = None
    retry_at: float = 0
    doubted: float | None = None
    powered: float | None = None
    clone_seconds: float = 0
    failures: int = 0
    also: tuple[Queue, ...] = ()
    terms: tuple[str, str] = ("", "")
    checkout_id: str = ""
    ended: bool = False
    unclaimed: bool = False
    stamping: str = ""
    quarantined: bool = False


@attrs.frozen
class PoolState:
    """A pool at one moment: its VMs in Redis, the provider's inventory, and the operations in progress.

    - ``busy``: VMs for which this process has an operation in progress.
    - ``cloning``: VMs of this pool whose clone Redis counts as in progress.
    - ``clone_failures``, ``clones_after``: how often in a row clones failed, and when to retry.
    - ``power_fails``: VMs could not be powered on after their clone, and none has become ready since.
    - ``witnesses``: how many ready VMs to check early, of those that were not checked since ``witnesses_since``.
    - ``confirmed``: unknown VMs that an operator confirmed; the mass guard does not keep these.
    - ``waiting``: the pool is in the queue for clones.
    - ``tasks``: what clients requested for its VMs.
    - ``verified``: the VMs were compared with the provider since this Redis came; until then none is handed out.
    - ``distrusts``: Redis has a note that too many VMs are missing.
    """

    vms: tuple[Vm, ...] = ()
    inventory: Mapping[str, Guest] = attrs.field(factory=dict)
    busy: frozenset[str] = frozenset()
    cloning: frozenset[str] = frozenset()
    clone_failures: int = 0
    clones_after: float = 0
    power_fails: bool = False
    witnesses: int = 0
    witnesses_since: float = 0
    confirmed: frozenset[str] = frozenset()
    flagged: bool = False
    empty: bool = False
    waiting: bool = False
    tasks: tuple[Task, ...] = ()
    verified: bool = True
    distrusts: bool = False
