"""What one look at a pool saw."""

from collections.abc import Mapping
from enum import StrEnum

import attrs

from vmpooler.domain.guest import Guest
from vmpooler.domain.tasks import Task

NOBODY = "anonymous"
"""The owner of a VM that was checked out without a token."""


class Queue(StrEnum):
    """Where a VM stands; the value is what its Redis key says."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    DISCOVERED = "discovered"


PRECEDENCE = (Queue.RUNNING, Queue.READY, Queue.PENDING, Queue.COMPLETED, Queue.DISCOVERED)
"""Which queue is believed of a VM that stands in several, as only a crash of the original can leave it: the one in
which it is safest from being destroyed in use."""


@attrs.frozen
class Vm:
    """A VM as Redis has it. Moments are in seconds since the epoch, None where they are not known.

    ``ordered`` is when its clone was, ``checked`` when it was last found well as a ready VM. ``lifetime`` is in
    hours, None for never. ``since`` is when it was first found missing (a ready or running VM) or unknown (a discovered
    one) without a break. ``retry_at`` is when what failed at the provider may be tried again, and ``troubled`` whether
    something failed that has not worked since. ``doubted`` is when the first look at it failed since the last that did
    not. ``powered`` is when it was switched on because it was off after its clone, which took ``clone_seconds``.
    ``also`` names the queues it must leave. ``terms`` are on what it is held: ``checkout`` and ``lifetime`` as the
    record has them.

    ``checkout_id`` is the id of its last checkout. ``ended``: that checkout has ended, for the VM was completed.
    ``unclaimed``: its client never got it; the VM goes back to ready once its stamp is clear. ``stamping`` is the
    checkout whose holder was, or is being, written on the VM. ``quarantined``: nobody knows who has it.
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
    troubled: bool = False
    also: tuple[Queue, ...] = ()
    terms: tuple[str, str] = ("", "")
    checkout_id: str = ""
    ended: bool = False
    unclaimed: bool = False
    stamping: str = ""
    quarantined: bool = False


@attrs.frozen
class PoolState:
    """A pool at one moment: its VMs in Redis, the provider's inventory, and what is in flight.

    ``busy``: VMs that this process has work in flight for. ``cloning``: VMs of this pool whose clone Redis counts as
    under way. ``clone_failures`` and ``clones_after``: how often in a row clones failed, and when to try again.
    ``power_fails``: VMs could not be switched on after their clone, and none has become ready since.
    ``witnesses``: how many ready VMs should be looked at early, of those that were not since ``witnesses_since``.
    ``confirmed``: unknown VMs that an operator gave up. ``waiting``: the pool stands in line for a clone.
    ``tasks``: what clients asked to be done to its VMs. ``verified``: the VMs were compared with the provider since
    this Redis came; while they were not, none is given. ``distrusts``: it is noted that too many VMs are missing.
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
