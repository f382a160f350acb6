"""Who has a VM, by every witness: its record in Redis and its stamp at the provider.

Note [Two witnesses]

Redis says who has which VM, and can be wrong: a backup was put back, a fail-over or a full disk lost the last writes, a
key was evicted. The stamp at the provider says the same and does not share that fate. The rule: **a VM that anybody
may have by either witness is never given and never destroyed for any reason but its end or its client's wish.**

- A checkout is recorded in Redis first. The manager then writes its id, its moment and its end on the VM, and again
  when the client changes the lifetime.
- A VM goes back to ready only when its stamp is clear. So a stamp with a holder on a VM that Redis has in ready,
  pending or discovered contradicts Redis, and the stamp is right: Redis lost the checkout. The same holds for a record
  with a checkout that has no end, on a VM that is not running.
- Such a VM goes to running: for its holder where checkout and moment are known, else quarantined, which is running for
  nobody. It ends at the end that the stamp names, else after the lifetime that the settings say.
- On a VM that is running in Redis the newer checkout is right while the pool is not verified: the store may be an old
  one. Once the pool is verified, Redis is right, and the stamp is written anew. Of a quarantined VM Redis knows
  nothing: a stamp that is whole is right at any time. So it is where the record of a running VM was evicted. On a VM
  that waits for its stamp to be cleared, a stamp that names another checkout is of a later one, which Redis lost.

A stamp is written after the checkout was answered. A checkout that Redis loses before its stamp was written has no
second witness; docs/proof.md names what is left.
"""

import attrs

from vmpooler.domain.guest import Guest, Holder
from vmpooler.domain.model import Queue, Vm

HOUR = 3600.0

BY_STAMP = "its stamp names a checkout that Redis does not have"
BY_RECORD = "its record has a checkout without an end"
LONGER = "its stamp names a later end"


@attrs.frozen
class Claim:
    """Somebody has a VM: who, and by which witness (``why``)."""

    holder: Holder
    why: str


def recorded(vm: Vm) -> Holder | None:
    """Who has a VM by its record; None for nobody. A quarantined VM is held by nobody that Redis knows."""
    if vm.checkout is None or vm.ended or vm.quarantined:
        return None
    until = None if vm.lifetime is None else float(int(vm.checkout + vm.lifetime * HOUR))
    return Holder(vm.owner, vm.checkout_id, float(int(vm.checkout)), until)


def claim(vm: Vm, guest: Guest | None, ours: bool, verified: bool) -> Claim | None:
    """The claim on a VM that its queue contradicts; None when there is none.

    ``ours``: the guest bears a stamp of its own, of this pool. ``verified``: Redis is known to be complete.
    """
    stamped = guest.stamp.holder if guest and guest.stamp and ours and not _has_ended(vm, guest.stamp.holder) else None
    if vm.queue is Queue.COMPLETED:
        return Claim(stamped, BY_STAMP) if stamped is not None and _is_unknown(vm, stamped) else None
    if vm.queue is Queue.RUNNING:
        if stamped is None:
            return None
        if vm.unclaimed:
            lost = not verified and stamped.checkout_id and vm.stamping not in ("", stamped.checkout_id)
            return Claim(stamped, BY_STAMP) if lost else None
        known = recorded(vm)
        if known is not None and _is_evicted(known, stamped):
            return Claim(stamped, BY_STAMP)
        sure = verified and not vm.quarantined and vm.since is None  # one that was missing was not compared yet
        return None if sure else _newer(stamped, known)
    known = recorded(vm)
    if known is None and stamped is None and vm.quarantined and not vm.ended:
        return Claim(Holder(vm.owner), BY_RECORD)
    if stamped is not None and known is not None and _ends_later(known, stamped):
        return Claim(known, BY_RECORD)  # a change of the lifetime is written on the VM a little later
    if stamped is not None and (known is None or (stamped.since or 0) >= (known.since or 0)):
        return Claim(stamped, BY_STAMP)
    return Claim(known, BY_RECORD) if known is not None else None


def _is_unknown(vm: Vm, stamped: Holder) -> bool:
    """Whether a completed VM was taken, by its stamp, in a checkout that its record does not name: Redis completed it
    for want of that. A checkout whose client never got the VM is named by ``stamping``."""
    if not stamped.checkout_id or stamped.since is None or stamped.checkout_id in (vm.checkout_id, vm.stamping):
        return False
    return vm.checkout is None or stamped.since > vm.checkout


def _has_ended(vm: Vm, holder: Holder | None) -> bool:
    """Whether the checkout that a stamp names has ended by the record: the VM was completed since."""
    return holder is None or (vm.ended and holder.checkout_id in ("", vm.checkout_id))


def _ends_later(known: Holder, stamped: Holder) -> bool:
    """Whether the record gives the checkout that a stamp names more time."""
    if known.checkout_id != stamped.checkout_id or stamped.until is None:
        return False
    if not known.checkout_id and known.since != stamped.since:  # the record was evicted before it was on the VM
        return False
    return known.until is None or known.until > stamped.until


def _is_evicted(known: Holder, stamped: Holder) -> bool:
    """Whether the record of a running VM lacks the checkout that its stamp names, and does not name a later one."""
    return not known.checkout_id and bool(stamped.checkout_id) and (stamped.since or 0) >= (known.since or 0)


def _newer(stamped: Holder, known: Holder | None) -> Claim | None:
    """The claim of a stamp on a running VM that the record contradicts, where the stamp is of a later checkout, or of
    the same with a later end."""
    if stamped.since is None:
        return None
    if known is None or (stamped.checkout_id != known.checkout_id and stamped.since > (known.since or 0)):
        return Claim(stamped, BY_STAMP)
    if stamped.checkout_id == known.checkout_id and known.until is not None:
        later = stamped.until is None or stamped.until > known.until
        return Claim(stamped, LONGER) if later else None
    return None
