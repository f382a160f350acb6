"""Decides whether guests that do not answer count as dead. All guests of one provider are judged together."""

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

from collections.abc import Mapping

import attrs

from vmpooler.domain.backoff import SECOND_CHECK_DELAY

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
