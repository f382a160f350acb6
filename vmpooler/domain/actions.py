"""What a plan can ask for: frozen, comparable, without methods."""

import attrs

from vmpooler.domain.guest import Holder
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Task


@attrs.frozen
class Clone:
    """Order so many clones, as far as the limit allows, ``beside`` so many ready VMs that are withheld."""

    count: int
    beside: int = 0


@attrs.frozen
class Release:
    """Stop counting a clone as under way: nobody is waiting for it any more."""

    vm: str


@attrs.frozen
class Probe:
    """See whether a pending VM answers, and make it ready. When it does not and has no time left, complete it, unless
    ``since`` is None: then it was the first look after its time was up."""

    vm: str
    last: bool = False
    since: float | None = None


@attrs.frozen
class Check:
    """See whether a ready VM still answers, under its name. ``since``: when a look at it failed first, without one that
    succeeded since; it is completed when this one fails too."""

    vm: str
    since: float | None = None


@attrs.frozen
class PowerOn:
    """Have the provider switch a pending VM on; complete it when that fails."""

    vm: str


@attrs.frozen
class StaysOff:
    """Complete a pending VM that is off again, and slow down the clones of its pool."""

    vm: str
    why: str


@attrs.frozen
class Recover:
    """Stop noting that a look at a VM failed: it is in use."""

    vm: str


@attrs.frozen
class Complete:
    """Finish with a VM that stands in ``queue``; with ``terms``, only while it is held on these."""

    vm: str
    queue: Queue
    why: str
    terms: tuple[str, str] | None = None


@attrs.frozen
class Destroy:
    """Have the provider destroy a completed VM, then forget it."""

    vm: str


@attrs.frozen
class Discover:
    """Note a VM that is in the inventory and in no queue."""

    vm: str
    stamped: bool


@attrs.frozen
class Explain:
    """Stop noting a VM that is unknown no more."""

    vm: str
    why: str


@attrs.frozen
class Reclaim:
    """Move a VM from ``queue`` to running: ``holder`` has it, as the stamp or the record says (``why``)."""

    vm: str
    queue: Queue
    holder: Holder
    why: str


@attrs.frozen
class Miss:
    """Note that a VM is missing from the inventory. A ready one is not given to anybody meanwhile."""

    vm: str
    queue: Queue


@attrs.frozen
class Welcome:
    """Note that a VM that was missing is back."""

    vm: str
    queue: Queue


@attrs.frozen
class Seek:
    """Search the provider for a running VM that is missing, and note where it is. Its absence ends nothing."""

    vm: str


@attrs.frozen
class Mend:
    """Fill in a moment that a VM's record lacks: the clock of a timer starts now."""

    vm: str
    queue: Queue


@attrs.frozen
class Settle:
    """Take a VM that stands in several queues out of all but one."""

    vm: str
    queue: Queue
    others: tuple[Queue, ...]


@attrs.frozen
class WriteStamp:
    """Have the provider write on a VM who has it. None: nobody; the VM then goes back to ready."""

    vm: str
    holder: Holder | None


@attrs.frozen
class RunTask:
    """Do what a client asked for."""

    vm: str
    task: Task


@attrs.frozen
class DropTask:
    """Give up what a client asked for: it can never be done."""

    task: Task
    why: str


@attrs.frozen
class Flag:
    """Tell that too much of a pool is unknown at once for any of it to be completed."""

    why: str


@attrs.frozen
class Unflag:
    """Tell that the pool can be explained again."""


@attrs.frozen
class NoteEmpty:
    """Tell that a pool has run out of ready VMs, or has some again."""

    empty: bool


@attrs.frozen
class NoteMissing:
    """Note that too many VMs of a pool are missing at once for their absence to be believed, or (empty ``why``) that
    this is over."""

    why: str


@attrs.frozen
class Verify:
    """Note that all VMs of a pool were compared with the provider: they may be given again."""


@attrs.frozen
class Withdraw:
    """Leave the line for a clone."""


VmAction = (
    Release
    | Probe
    | Check
    | PowerOn
    | StaysOff
    | Recover
    | Complete
    | Reclaim
    | Destroy
    | Discover
    | Explain
    | Miss
    | Welcome
    | Seek
    | Mend
    | Settle
    | WriteStamp
    | RunTask
)
Action = VmAction | Clone | DropTask | Flag | Unflag | NoteEmpty | NoteMissing | Verify | Withdraw
