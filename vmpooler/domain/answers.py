"""Whether guests that do not answer are believed to be dead: a provider's guests are judged together."""

# Note [When a look that failed is believed]
# One look is not believed where the fault may lie between this service and the guest. That holds for a ready VM that
# does not answer or whose guest reports another host name (a guest may report another name while it asks for its
# address), and for a pending VM whose time is up (it may have had a single probe, where the manager was away).
#
# - The first look that fails is remembered in the VM's record (`doubt`), so that it outlives a change of managers. The
#   VM is completed when a later look fails too, SECOND_LOOK seconds after at the least, and none between them
#   succeeded. A row of looks that was broken off begins anew: a look that failed is no evidence any more when the next
#   one is overdue by ROW_ENDS seconds.
# - Where most guests of a provider do not answer in the same moments, the network is at fault and not the VMs. "Most"
#   are LEAST guests at the least, and more than those that answered since the first look at the VM failed. No VM is
#   completed then. To hear the guests that are well, too, ready VMs that are not in doubt are looked at early: as many
#   as are in doubt, LEAST at the least. Where fewer than LEAST guests are in doubt, the second look decides alone: a
#   pool of one VM and a provider of two replace what died.
# - The guard ends when as many guests answer as do not. It is bounded in time as well: a VM whose looks have failed
#   for the whole grace (`discovered_grace`), without one that succeeded, is completed whatever the others do. So a
#   provider whose VMs have all died is full again, and a network that is away for longer costs the ready VMs.
#
# One look is enough where the provider states a fact of its own: that a ready VM is switched off, that a clone has
# ended, that a name is nowhere (`find`). Ages (`ready_ttl`, `timeout`, lifetimes) are facts of the clock. A VM that is
# off after its clone is given CLONE_SETTLES seconds: a vCenter switches a VM on after the clone has ended.

from collections.abc import Mapping

import attrs

from vmpooler.domain.pace import SECOND_LOOK

LEAST = 3
"""Guests in doubt from which on a provider's network is suspected."""

RECENT = 60.0
"""Seconds that an answer is evidence for the network: those in doubt are looked at twice as often."""

ROW_ENDS = 120.0
"""Seconds after the moment for the next look at which a row of failed looks is broken off."""


SAID_AFTER = 2 * SECOND_LOOK
"""Seconds after the first look that failed when the second has ended: a network that is back by then is no news."""


@attrs.define(eq=False)
class Answers:
    """What the guests of one provider answered lately, shared by its pools. Moments are in seconds since the epoch.

    ``longest``: seconds for which the guard may keep a VM whose looks fail.
    """

    longest: float
    _in_doubt: dict[str, dict[str, float]] = attrs.field(factory=dict)
    _answered: dict[str, float] = attrs.field(factory=dict)
    _asked: set[str] = attrs.field(factory=set)

    def restate(self, pool: str, in_doubt: Mapping[str, float]) -> None:
        """The VMs of a pool that are in doubt, with when their first look failed: all of them, as Redis has them."""
        self._in_doubt[pool] = dict(in_doubt)

    def ask(self, vm: str) -> None:
        """A look at a VM begins."""
        self._asked.add(vm)

    def drop(self, vm: str) -> None:
        """It has ended, or it is not known how it did."""
        self._asked.discard(vm)

    def answered(self, pool: str, vm: str, now: float) -> None:
        """It succeeded."""
        self._in_doubt.get(pool, {}).pop(vm, None)
        if self.in_doubt or self._asked:
            self._answered = {name: when for name, when in self._answered.items() if 0 <= now - when <= RECENT}
            self._answered[vm] = now

    def failed(self, pool: str, vm: str, since: float) -> None:
        """It failed; the first look of the row did at the moment ``since``."""
        self._answered.pop(vm, None)
        self._in_doubt.setdefault(pool, {})[vm] = since

    @property
    def in_doubt(self) -> int:
        """How many VMs are in doubt."""
        return sum(len(vms) for vms in self._in_doubt.values())

    def _answering(self, since: float, now: float) -> int:
        return sum(since <= when and now - when <= RECENT for when in self._answered.values())

    def believes(self, since: float, now: float) -> bool:
        """Whether a VM that failed its looks, from ``since`` on, is to be given up."""
        return not self._suspects(since, now) or now - since >= self.longest

    def _suspects(self, since: float, now: float) -> bool:
        return self.in_doubt >= LEAST and self.in_doubt > self._answering(since, now)

    def wanted(self, now: float) -> tuple[int, float]:
        """How many more ready VMs should be looked at early, and since when they must not have been."""
        if not (moments := self._moments()):
            return 0, now
        since = max(*moments, now - RECENT)
        doubtful = {vm for vms in self._in_doubt.values() for vm in vms}
        heard = self._answering(since, now) + len(self._asked - doubtful)
        return max(0, max(LEAST, len(moments)) - heard), since

    def guards(self, pool: str, now: float) -> str:
        """Why VMs of this pool are kept though they fail their looks; empty where they are not, or not yet for long."""
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
        """The same of any pool."""
        return next(filter(None, (self.guards(pool, now) for pool in self._in_doubt)), "")

    def _moments(self) -> list[float]:
        return [since for vms in self._in_doubt.values() for since in vms.values()]
