"""One imaginary VM: a record of what was ordered and when it will have happened."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from vmpooler.domain.guest import Guest, Stamp


@attrs.frozen
class Disk:
    """An extra disk: the id of the request that it came with, and its size in GB."""

    id: str
    size: int


@attrs.frozen(kw_only=True)
class Vm:
    """What a VM is at a moment follows from this record and the moment: nothing has to happen in between.

    Moments are in seconds since the epoch. ``number`` is its own at the hypervisor. ``cloned``: when its clone ends,
    well or (``fails``) leaving nothing. ``booted``: when its guest is up; None if it never will be. ``gone``: when its
    destruction, once ordered, is done. ``hostname`` is what the guest calls itself. ``disks`` are the extra
    ones; ``snapshots`` has the disks of those moments.
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
        """Its own loopback address, from 127.1.0.1 on: something can listen there."""
        high, low = divmod(self.number, 254)
        return f"127.{1 + high // 256 % 254}.{high % 256}.{1 + low}"

    @property
    def moments(self) -> tuple[float, ...]:
        """When it turns into something else, in order."""
        if self.gone is not None:
            return (self.gone,)
        if self.fails or self.booted is None:
            return (self.cloned,)
        return (self.cloned, self.booted)

    def exists(self, now: float) -> bool:
        """Neither destroyed nor left over from a failed clone."""
        end = self.cloned if self.fails else self.gone
        return end is None or now < end

    def cloning(self, now: float) -> bool:
        """Its clone is under way."""
        return self.gone is None and now < self.cloned

    def up(self, now: float) -> bool:
        """Its guest has booted and nobody has switched it off or destroys it."""
        return self.powered_on and self.gone is None and self.booted is not None and now >= self.booted

    def guest(self, now: float) -> Guest:
        """What an inventory says of it."""
        on = self.powered_on and self.gone is None and not self.cloning(now)
        guest = Guest(self.name, cloning=self.cloning(now), powered_on=on, stamp=self.stamp)
        return attrs.evolve(guest, hostname=self.hostname, address=self.address) if self.up(now) else guest
