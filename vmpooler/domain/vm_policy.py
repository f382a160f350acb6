"""Decides what to do with one VM now. Sources of the rules: docs/compatibility.md#queues."""

from typing import Any

import attrs

from vmpooler.domain.actions import (
    Check,
    Complete,
    Destroy,
    Explain,
    Mend,
    Miss,
    PowerOn,
    Probe,
    Reclaim,
    Recover,
    Release,
    Seek,
    Settle,
    StaysOff,
    VmAction,
    Welcome,
    WriteStamp,
)
from vmpooler.domain.backoff import CLOCK_TOLERANCE, backs_off
from vmpooler.domain.evidence import claim, in_doubt_since, recorded
from vmpooler.domain.guest import Guest
from vmpooler.domain.model import Queue, Vm
from vmpooler.domain.names import is_called
from vmpooler.settings import Pool

CLONE_SETTLES = 30.0
"""Seconds after its order in which a clone without an operation in progress may still appear in the inventory.

Also the seconds after the end of its clone, or after it was powered on, in which a VM may still be off: a vCenter
powers it on in a task of its own.
"""


MOMENTS = ("ordered", "ready", "checked", "checkout", "since")
"""The times of a VM that are in the past when they are written."""


@attrs.frozen
class Case:
    """One VM, everything that affects the decision on it, and the current time.

    ``ours``: the guest has a stamp of its own, of this pool. ``verified`` and ``distrusts`` are those of the pool.
    """

    vm: Vm
    guest: Guest | None
    pool: Pool
    now: float
    cloning: bool = False
    grace: float = 600.0
    check_every: float = 900.0
    may_complete_unknown: bool = False
    ours: bool = False
    verified: bool = True
    distrusts: bool = False

    def older(self, moment: float | None, seconds: float) -> bool:
        """Return whether ``moment`` is at least ``seconds`` ago."""
        return moment is not None and self.now - moment >= seconds


def next_action(case: Case) -> VmAction | None:
    """Return the one action for a VM, or None.

    Provider actions are skipped while the VM is backing off. After a failed check only the next check is skipped.
    """
    vm, action = case.vm, _decide(case)
    checks, orders = Probe | Check | PowerOn | Seek, WriteStamp | Destroy
    held_up = checks if vm.doubted is not None else checks | orders
    return None if isinstance(action, held_up) and backs_off(vm.retry_at, vm.failures, case.now) else action


def is_misnamed(guest: Guest, name: str) -> bool:
    """Return whether a guest reports a host name that is not its VM's.

    A guest that reports none may report it later.
    """
    return bool(guest.hostname) and not is_called(guest.hostname, name)


def believed(vm: Vm, now: float) -> Vm:
    """Return the VM without its times in the future.

    Such times exist only if a clock was set back. Each counts as unknown, so that the timer that depends on it starts
    again now, and ends.
    """
    latest = now + CLOCK_TOLERANCE
    ahead = [name for name in MOMENTS if (moment := getattr(vm, name)) is not None and moment > latest]
    unknown: dict[str, Any] = dict.fromkeys(ahead)
    return attrs.evolve(vm, **unknown) if unknown else vm


def _decide(case: Case) -> VmAction | None:
    vm = case.vm
    if vm.also:
        return Settle(vm.name, vm.queue, vm.also)
    if found := claim(vm, case.guest, case.ours, case.verified):
        return Reclaim(vm.name, vm.queue, found.holder, found.why)
    case = attrs.evolve(case, vm=believed(vm, case.now))  # after the claim: a future checkout is still a checkout
    if case.cloning and _clone_is_over(case):
        return Release(vm.name)
    match vm.queue:
        case Queue.PENDING:
            return _pending(case)
        case Queue.READY:
            return _ready(case)
        case Queue.RUNNING:
            return _running(case)
        case Queue.COMPLETED:
            return Destroy(vm.name)
        case Queue.DISCOVERED:
            return _discovered(case)


def _clone_is_over(case: Case) -> bool:
    """Return whether a clone for which this process has no operation has ended.

    A clone that another manager has just ordered may not be in the inventory yet. Therefore a pending VM that is absent
    is not decided here.
    """
    return not case.guest.cloning if case.guest else case.vm.queue is not Queue.PENDING


def _pending(case: Case) -> VmAction | None:
    vm, guest = case.vm, case.guest
    if vm.ordered is None:
        return Mend(vm.name, vm.queue)
    late = case.older(vm.ordered, case.pool.timeout * 60)
    if guest is None and not case.verified:
        return None  # a client may have it; nothing shows that until it is in the inventory again
    settles = CLONE_SETTLES + (case.grace if case.distrusts else 0)
    if guest is None and case.older(vm.ordered, settles):
        return Complete(vm.name, vm.queue, "is missing from the inventory")
    if guest and guest.powered_on and is_called(guest.hostname, vm.name):
        return Probe(vm.name, last=late, since=in_doubt_since(vm, case.now) if late else None)
    if guest and not (late or guest.powered_on or guest.cloning or case.cloning):
        if vm.powered is None and case.older(vm.ordered + vm.clone_seconds, CLONE_SETTLES):
            return PowerOn(vm.name)
        if case.older(vm.powered, CLONE_SETTLES):
            return StaysOff(vm.name, f"is switched off again after it was switched on{_whereabouts(guest, case.now)}")
    if late:
        seen = f"{_pending_trouble(guest)}{_whereabouts(guest, case.now)}"
        return Complete(vm.name, vm.queue, f"marked as 'failed' after {case.pool.timeout:g} minutes: {seen}")
    return None


def _pending_trouble(guest: Guest | None) -> str:
    if guest is None:
        return "it is not in the inventory"
    if guest.cloning:
        return "its clone has not ended"
    if not guest.powered_on:
        return "it is switched off"
    return f"its host name is '{guest.hostname}'" if guest.hostname else "its guest has not reported a host name"


def _whereabouts(guest: Guest | None, now: float) -> str:
    """Return where to look for the cause: the host, and since when the VM is powered on."""
    since = guest.booted if guest else None
    host = f"on {guest.host}" if guest and guest.host else ""
    facts = ", ".join(
        filter(None, [host, "" if since is None else f"switched on {(now - since) / 60:.0f} minutes ago"])
    )
    return f" ({facts})" if facts else ""


def _ready(case: Case) -> VmAction | None:
    vm, guest, pool = case.vm, case.guest, case.pool
    fresh = vm.ready if vm.ready is not None else vm.ordered
    if fresh is None:
        return Mend(vm.name, vm.queue)
    if guest is None:
        return _missing_ready(case)
    if vm.since is not None:
        return Welcome(vm.name, vm.queue)
    if vm.ended:
        return Complete(vm.name, vm.queue, "has a record by which it was finished with")
    why = None
    if pool.ready_ttl and case.older(fresh, pool.ready_ttl * 60):
        why = f"reached end of TTL after {pool.ready_ttl:g} minutes"
    elif not guest.powered_on:
        why = "appears to be powered off"
    if why:
        return Complete(vm.name, vm.queue, why)
    checked = vm.checked if vm.checked is not None else fresh
    since = in_doubt_since(vm, case.now)
    due = since is not None or is_misnamed(guest, vm.name) or case.older(checked, case.check_every)
    return Check(vm.name, since) if due else None


def _missing_ready(case: Case) -> VmAction | None:
    """Replace a ready VM that is missing.

    If too many VMs are missing at once, the provider may be wrong; while the pool is not verified, a client may have
    the VM. In both cases it is not handed out, and is replaced once it has been missing for the grace without a break.
    """
    vm = case.vm
    if vm.since is None:
        if case.distrusts or not case.verified:
            return Miss(vm.name, vm.queue)
        return Complete(vm.name, vm.queue, "is missing from the inventory")
    if case.verified and case.older(vm.since, case.grace):
        return Complete(vm.name, vm.queue, f"has been missing for {case.grace / 60:g} minutes")
    return None


def _running(case: Case) -> VmAction | None:
    vm, guest = case.vm, case.guest
    if vm.unclaimed:
        if guest is None:
            return Complete(vm.name, vm.queue, "its client never got it, and it is missing from the inventory")
        if case.older(vm.since, case.grace):
            return Complete(vm.name, vm.queue, "its client never got it, and its stamp could not be cleared")
        return WriteStamp(vm.name, None)
    if vm.checkout is None:
        return Mend(vm.name, vm.queue)
    known = guest is not None or case.verified  # otherwise its stamp may have a later end
    if known and vm.lifetime is not None and case.older(vm.checkout, vm.lifetime * 3600):
        return Complete(vm.name, vm.queue, f"reached end of TTL after {vm.lifetime:g} hours", vm.terms)
    if guest is None:
        if vm.since is None:
            return Miss(vm.name, vm.queue)
        return Seek(vm.name) if case.older(vm.since, case.grace) else None
    if vm.since is not None:
        return Welcome(vm.name, vm.queue)
    return _stamp(case)


def _stamp(case: Case) -> VmAction | None:
    """Update the stamp to match the record.

    The stamp on a quarantined VM is the last evidence, and is left unchanged.
    """
    vm, stamp, holder = case.vm, case.guest.stamp if case.guest else None, recorded(case.vm)
    if case.ours and stamp is not None and holder is not None and stamp.holder != holder:
        return WriteStamp(vm.name, holder)
    return Recover(vm.name) if vm.doubted is not None else None


def _discovered(case: Case) -> VmAction | None:
    vm = case.vm
    if case.guest is None:
        return Explain(vm.name, "is no longer in the inventory")
    if vm.since is None:
        return Mend(vm.name, vm.queue)
    if case.may_complete_unknown and case.older(vm.since, case.grace):
        return Complete(vm.name, vm.queue, f"has been unknown for {case.grace / 60:g} minutes")
    return None
