"""Decides which evidence about VMs is believed: who has a VM, and whether a guest that does not answer is dead.

Note [Two sources]

The holder of a VM is known from two sources: its record in Redis and its stamp at the provider. Redis can be wrong: a
backup was restored, a failover or a full disk lost the last writes, a key was evicted. The stamp contains the same data
and does not share these failures. The rule: **a VM that a client may have according to either source is never handed
out, and is never destroyed except at its end or on its client's request.**

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

from collections.abc import Mapping

import attrs

from vmpooler.domain.backoff import SECOND_CHECK_DELAY
from vmpooler.domain.guest import Guest, Holder
from vmpooler.domain.model import Queue, Vm
from vmpooler.domain.times import HOUR

BY_STAMP = "its stamp names a checkout that Redis does not have"
BY_RECORD = "its record has a checkout without an end"
LONGER = "its stamp names a later end"

# Note [When a failed check is believed]
# One failed check of a guest is not trusted where the fault may lie between this service and the guest. This applies to
# a ready VM that does not answer or whose guest reports another host name (a guest may report another name while it
# requests its address), and to a pending VM whose timeout has passed (it may have had a single probe, if the manager
# was away).
#
# - The first failed check is stored in the VM's record (`doubt`), so that it survives a change of managers. The VM is
#   completed when a later check fails too, at least SECOND_CHECK_DELAY seconds after the first, and no check between
#   them succeeded. A run of failed checks that was interrupted starts again: a failed check is no evidence any more
#   when the next one is ROW_ENDS seconds overdue.
# - If most guests of a provider do not answer at the same time, the network is at fault and not the VMs. "Most" is at
#   least LEAST guests, and more than the guests that answered since the first failed check of the VM. No VM is
#   completed then. To sample the healthy guests too, ready VMs that are not in doubt are checked early: as many as are
#   in doubt, and at least LEAST. If fewer than LEAST guests are in doubt, the second check alone decides: a pool of one
#   VM and a provider of two replace dead VMs.
# - The guard ends when as many guests answer as do not. It is also bounded in time: a VM whose checks have failed for
#   the whole grace (`discovered_grace`), without a successful one, is completed whatever the other guests do. So a
#   provider whose VMs have all died fills up again, and a network outage longer than the grace costs the ready VMs.
#
# One check is enough where the provider states a fact of its own: a ready VM is powered off, a clone has ended, a name
# does not exist (`find`). Ages (`ready_ttl`, `timeout`, lifetimes) are facts of the clock. A VM that is off after its
# clone gets CLONE_SETTLES seconds: a vCenter powers a VM on after the clone has ended.

LEAST = 3
"""Number of guests in doubt from which the provider's network is suspected."""

ANSWER_IS_RECENT = 60.0
"""Seconds for which an answer counts as evidence that the network works. VMs in doubt are checked twice as often."""

ROW_ENDS = 120.0
"""Seconds after the due time of the next check at which a run of failed checks counts as interrupted."""

SAID_AFTER = 2 * SECOND_CHECK_DELAY
"""Seconds after the first failed check by which the second has ended.

A network that works again by then is not reported.
"""


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


def in_doubt_since(vm: Vm, now: float) -> float | None:
    """Return when a check of a VM first failed without a successful check since.

    None if no check failed, or if the run of failed checks was interrupted. See Note [When a failed check is believed].
    """
    if vm.doubted is None or not vm.doubted <= now <= vm.retry_at + ROW_ENDS:
        return None
    well = max(filter(None, (vm.ordered, vm.ready, vm.checked)), default=0.0)
    return vm.doubted if vm.doubted > well else None


@attrs.define(eq=False)
class Answers:
    """Recent answers of the guests of one provider, shared by its pools. Times are in seconds since the epoch.

    ``longest``: seconds for which the guard may keep a VM whose checks fail.
    """

    longest: float
    _in_doubt: dict[str, dict[str, float]] = attrs.field(factory=dict)
    _answered: dict[str, float] = attrs.field(factory=dict)
    _asked: set[str] = attrs.field(factory=set)

    def restate(self, pool: str, in_doubt: Mapping[str, float]) -> None:
        """Replace the VMs of a pool that are in doubt.

        ``in_doubt`` has all of them as Redis has them, each with the time of its first failed check.
        """
        self._in_doubt[pool] = dict(in_doubt)

    def ask(self, vm: str) -> None:
        """Record that a check of a VM starts."""
        self._asked.add(vm)

    def drop(self, vm: str) -> None:
        """Record that a check of a VM has ended, or that its outcome is unknown."""
        self._asked.discard(vm)

    def answered(self, pool: str, vm: str, now: float) -> None:
        """Record that a check of a VM succeeded."""
        self._in_doubt.get(pool, {}).pop(vm, None)
        if self.in_doubt or self._asked:
            self._answered = {
                name: when for name, when in self._answered.items() if 0 <= now - when <= ANSWER_IS_RECENT
            }
            self._answered[vm] = now

    def failed(self, pool: str, vm: str, since: float) -> None:
        """Record that a check of a VM failed. ``since`` is when the first check of this run failed."""
        self._answered.pop(vm, None)
        self._in_doubt.setdefault(pool, {})[vm] = since

    @property
    def in_doubt(self) -> int:
        """The number of VMs in doubt."""
        return sum(len(vms) for vms in self._in_doubt.values())

    def _answering(self, since: float, now: float) -> int:
        return sum(since <= when and now - when <= ANSWER_IS_RECENT for when in self._answered.values())

    def believes(self, since: float, now: float) -> bool:
        """Return whether a VM whose checks have failed since ``since`` is to be completed."""
        return not self._suspects(since, now) or now - since >= self.longest

    def _suspects(self, since: float, now: float) -> bool:
        return self.in_doubt >= LEAST and self.in_doubt > self._answering(since, now)

    def wanted(self, now: float) -> tuple[int, float]:
        """Return how many more ready VMs to check early, and a time since which they must not have been checked."""
        if not (moments := self._moments()):
            return 0, now
        since = max(*moments, now - ANSWER_IS_RECENT)
        doubtful = {vm for vms in self._in_doubt.values() for vm in vms}
        known = self._answering(since, now) + len(self._asked - doubtful)
        return max(0, max(LEAST, len(moments)) - known), since

    def guards(self, pool: str, now: float) -> str:
        """Return why VMs of this pool are kept though their checks fail.

        Empty if they are not kept, or only for a short time so far.
        """
        since = min(self._in_doubt.get(pool, {}).values(), default=now)
        if now - since < SAID_AFTER or not self._suspects(since, now):
            return ""
        answering = self._answering(since, now)
        share = f"{self.in_doubt} of {self.in_doubt + answering} guests"
        return (
            f"{share} of the provider that were probed lately do not answer: "
            f"none is given up before others answer again, or for {self.longest / 60:g} minutes"
        )

    def trouble(self, now: float) -> str:
        """Return the text of :meth:`guards` for the first pool that has one, else an empty text."""
        return next(filter(None, (self.guards(pool, now) for pool in self._in_doubt)), "")

    def _moments(self) -> list[float]:
        return [since for vms in self._in_doubt.values() for since in vms.values()]
