"""Decides who has a VM from two sources: its record in Redis and its stamp at the provider.

Note [Two witnesses]

Redis records who has which VM, and can be wrong: a backup was restored, a failover or a full disk lost the last writes,
a key was evicted. The stamp at the provider contains the same data and does not share these failures. The rule: **a VM
that a client may have according to either source is never handed out, and is never destroyed except at its end or on
its client's request.**

- A checkout is recorded in Redis first. The manager then writes its id, its time and its end on the VM, and again when
  the client changes the lifetime.
- A VM returns to ready only when its stamp is clear. So a stamp with a holder on a VM that Redis has in ready, pending
  or discovered contradicts Redis, and the stamp is right: Redis lost the checkout. The same applies to a record with a
  checkout that has no end, on a VM that is not running.
- Such a VM moves to running: for its holder if the checkout and its time are known, else quarantined, which means
  running and unassigned. It ends at the end in the stamp, else after the lifetime in the settings.
- For a VM that is running in Redis, the newer checkout is right while the pool is not verified: the store may be an old
  one. Once the pool is verified, Redis is right, and the stamp is rewritten. Redis has no data on the holder of a
  quarantined VM: a complete stamp is right at any time. The same applies if the record of a running VM was evicted. On
  a VM that waits for its stamp to be cleared, a stamp that names another checkout is of a later one, which Redis lost.

A stamp is written after the response to the checkout was sent. A checkout that Redis loses before its stamp was written
has no second source; docs/proof.md names the remaining risk.
"""

import attrs

from vmpooler.domain.guest import Guest, Holder
from vmpooler.domain.model import Queue, Vm
from vmpooler.domain.times import HOUR

BY_STAMP = "its stamp names a checkout that Redis does not have"
BY_RECORD = "its record has a checkout without an end"
LONGER = "its stamp names a later end"


@attrs.frozen
class Claim:
    """A client has a VM: the holder, and the source that shows it (``why``)."""

    holder: Holder
    why: str


def recorded(vm: Vm) -> Holder | None:
    """Return who has a VM according to its record; None if no client has. Redis knows no holder of a quarantined VM."""
    if vm.checkout is None or vm.ended or vm.quarantined:
        return None
    until = None if vm.lifetime is None else float(int(vm.checkout + vm.lifetime * HOUR))
    return Holder(vm.owner, vm.checkout_id, float(int(vm.checkout)), until)


def claim(vm: Vm, guest: Guest | None, ours: bool, verified: bool) -> Claim | None:
    """Return the claim on a VM that contradicts its queue; None if no claim does.

    ``ours``: the guest has a stamp of its own, of this pool. ``verified``: Redis is known to be complete.
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
        sure = verified and not vm.quarantined and vm.since is None  # a VM that was missing is not compared yet
        return None if sure else _newer(stamped, known)
    known = recorded(vm)
    if known is None and stamped is None and vm.quarantined and not vm.ended:
        return Claim(Holder(vm.owner), BY_RECORD)
    if stamped is not None and known is not None and _ends_later(known, stamped):
        return Claim(known, BY_RECORD)  # the stamp follows a change of the lifetime a little later
    if stamped is not None and (known is None or (stamped.since or 0) >= (known.since or 0)):
        return Claim(stamped, BY_STAMP)
    return Claim(known, BY_RECORD) if known is not None else None


def _is_unknown(vm: Vm, stamped: Holder) -> bool:
    """Return whether the stamp of a completed VM names a checkout that its record does not have.

    Redis completed the VM because it lacked that checkout. ``stamping`` names a checkout whose client never got the VM.
    """
    if not stamped.checkout_id or stamped.since is None or stamped.checkout_id in (vm.checkout_id, vm.stamping):
        return False
    return vm.checkout is None or stamped.since > vm.checkout


def _has_ended(vm: Vm, holder: Holder | None) -> bool:
    """Return whether the checkout in a stamp has ended according to the record: the VM was completed since."""
    return holder is None or (vm.ended and holder.checkout_id in ("", vm.checkout_id))


def _ends_later(known: Holder, stamped: Holder) -> bool:
    """Return whether the record has a later end for the checkout that the stamp names."""
    if known.checkout_id != stamped.checkout_id or stamped.until is None:
        return False
    if not known.checkout_id and known.since != stamped.since:  # the record was evicted before the stamp was written
        return False
    return known.until is None or known.until > stamped.until


def _is_evicted(known: Holder, stamped: Holder) -> bool:
    """Return whether the record of a running VM lacks the checkout in its stamp, and has no later one."""
    return not known.checkout_id and bool(stamped.checkout_id) and (stamped.since or 0) >= (known.since or 0)


def _newer(stamped: Holder, known: Holder | None) -> Claim | None:
    """Return the claim of a stamp on a running VM that its record contradicts.

    The stamp must be of a later checkout, or of the same checkout with a later end; else the result is None.
    """
    if stamped.since is None:
        return None
    if known is None or (stamped.checkout_id != known.checkout_id and stamped.since > (known.since or 0)):
        return Claim(stamped, BY_STAMP)
    if stamped.checkout_id == known.checkout_id and known.until is not None:
        later = stamped.until is None or stamped.until > known.until
        return Claim(stamped, LONGER) if later else None
    return None
