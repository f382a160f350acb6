"""One simulated VM: a record of what was ordered and when it takes effect."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from vmpooler.domain.guest import Guest, Stamp


@attrs.frozen
class Disk:
    """An extra disk: the id of the request that added it, and its size in GB."""

    id: str
    size: int


@attrs.frozen(kw_only=True)
class SimulatedVm:
    """A VM whose state at any time follows from this record and the time alone: nothing has to run in between.

    Times are in seconds since the epoch. ``number`` is unique at the hypervisor. ``cloned``: when its clone ends, with
    success or (``fails``) without a VM. ``booted``: when its guest is up; None if it never comes up. ``gone``: when its
    destruction, once ordered, is done. ``hostname`` is the host name that the guest reports. ``disks`` are the extra
    disks; ``snapshots`` contains the disks at the time of each snapshot, by the snapshot's name.
    """

    name: str
    pool: str
    number: int
    hostname: str
    cloned: float
    booted: float | None
    stamp: Stamp | None = None
    fails: bool = False
    gone: float | None = None
    powered_on: bool = True
    disks: tuple[Disk, ...] = ()
    snapshots: Mapping[str, tuple[Disk, ...]] = attrs.field(factory=dict)

    @property
    def address(self) -> str:
        """Its own loopback address, 127.1.0.1 for number 0 and so on: a program can listen on it."""
        high, low = divmod(self.number, 254)
        return f"127.{1 + high // 256 % 254}.{high % 256}.{1 + low}"

    @property
    def moments(self) -> tuple[float, ...]:
        """The times at which its state changes, in order."""
        if self.gone is not None:
            return (self.gone,)
        if self.fails or self.booted is None:
            return (self.cloned,)
        return (self.cloned, self.booted)

    def exists(self, now: float) -> bool:
        """Return whether it exists: it is not destroyed, and its clone has not failed."""
        end = self.cloned if self.fails else self.gone
        return end is None or now < end

    def cloning(self, now: float) -> bool:
        """Return whether its clone is in progress."""
        return self.gone is None and now < self.cloned

    def up(self, now: float) -> bool:
        """Return whether its guest has booted and the VM is neither powered off nor being destroyed."""
        return self.powered_on and self.gone is None and self.booted is not None and now >= self.booted

    def guest(self, now: float) -> Guest:
        """Return the VM as an inventory lists it."""
        on = self.powered_on and self.gone is None and not self.cloning(now)
        guest = Guest(self.name, cloning=self.cloning(now), powered_on=on, stamp=self.stamp)
        return attrs.evolve(guest, hostname=self.hostname, address=self.address) if self.up(now) else guest
