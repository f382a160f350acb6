"""The actions that a plan can contain: frozen, comparable, without methods."""

import attrs

from vmpooler.domain.guest import Holder
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Task


@attrs.frozen
class Clone:
    """Order ``count`` clones, as far as the clone limit allows.

    ``beside``: the number of withheld ready VMs, which do not count towards the pool's size.
    """

    count: int
    beside: int = 0


@attrs.frozen
class Release:
    """Stop counting a clone as in progress: no operation waits for it any more."""

    vm: str


@attrs.frozen
class Probe:
    """Probe a pending VM, and move it to ready if it answers.

    ``last``: the pool's timeout has passed. A VM that does not answer is then completed, unless ``since`` is None: then
    this is the first failed check after the timeout.
    """

    vm: str
    last: bool = False
    since: float | None = None


@attrs.frozen
class Check:
    """Check that a ready VM still answers, and under its own name.

    ``since``: when a check of it first failed, without a successful check since. The VM is completed if this check
    fails too.
    """

    vm: str
    since: float | None = None


@attrs.frozen
class PowerOn:
    """Have the provider power on a pending VM. Complete the VM if that fails."""

    vm: str


@attrs.frozen
class StaysOff:
    """Complete a pending VM that is powered off again, and back off the clones of its pool."""

    vm: str
    why: str


@attrs.frozen
class Recover:
    """Clear the recorded failure of a VM's check, because the VM is in use."""

    vm: str


@attrs.frozen
class Complete:
    """Complete a VM that is in ``queue``.

    With ``terms``, complete it only while its record still has this checkout and this lifetime.
    """

    vm: str
    queue: Queue
    why: str
    terms: tuple[str, str] | None = None


@attrs.frozen
class Destroy:
    """Have the provider destroy a completed VM, then delete its state."""

    vm: str


@attrs.frozen
class Discover:
    """Record a VM that is in the inventory and in no queue."""

    vm: str
    stamped: bool


@attrs.frozen
class Explain:
    """Remove the record of an unknown VM that is not unknown any more."""

    vm: str
    why: str


@attrs.frozen
class Reclaim:
    """Move a VM from ``queue`` to running: it belongs to ``holder`` according to its stamp or its record (``why``)."""

    vm: str
    queue: Queue
    holder: Holder
    why: str


@attrs.frozen
class Miss:
    """Record that a VM is missing from the inventory. A ready VM is not handed out meanwhile."""

    vm: str
    queue: Queue


@attrs.frozen
class Welcome:
    """Record that a missing VM is in the inventory again."""

    vm: str
    queue: Queue


@attrs.frozen
class Seek:
    """Search the whole provider for a running VM that is missing, and record where it is.

    The VM is not completed because it is absent.
    """

    vm: str


@attrs.frozen
class Mend:
    """Fill in a timestamp that a VM's record lacks. The timer that depends on it starts now."""

    vm: str
    queue: Queue


@attrs.frozen
class Settle:
    """Remove a VM that is in several queues from all queues but one."""

    vm: str
    queue: Queue
    others: tuple[Queue, ...]


@attrs.frozen
class WriteStamp:
    """Have the provider write the VM's holder on it. With None, clear the stamp; the VM then returns to ready."""

    vm: str
    holder: Holder | None


@attrs.frozen
class RunTask:
    """Run a task that a client requested."""

    vm: str
    task: Task


@attrs.frozen
class DropTask:
    """Drop a task that a client requested, because it can never be done."""

    task: Task
    why: str


@attrs.frozen
class Flag:
    """Report that too many VMs of a pool are unknown at once for any of them to be completed."""

    why: str


@attrs.frozen
class Unflag:
    """Report that the mass guard of the pool does not hold any more."""


@attrs.frozen
class NoteEmpty:
    """Report that a pool has run out of ready VMs, or that it has some again."""

    empty: bool


@attrs.frozen
class NoteMissing:
    """Record that too many VMs of a pool are missing at once, so that their absence is not trusted.

    An empty ``why`` ends this.
    """

    why: str


@attrs.frozen
class Verify:
    """Record that all VMs of a pool were compared with the provider: they may be handed out again."""


@attrs.frozen
class Withdraw:
    """Remove the pool from the queue for clones."""


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
