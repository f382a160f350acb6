"""The simulated hypervisor as a provider, and what happens to it behind the service's back."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime

from vmpooler.domain.guest import Guest, Holder, Stamp
from vmpooler.providers.base import Listener, NoAnswer, ProviderError
from vmpooler.providers.dummy.fate import Fate
from vmpooler.providers.dummy.memory import Memory
from vmpooler.providers.dummy.vm import Disk, Vm
from vmpooler.providers.dummy.world import World
from vmpooler.providers.reach import reach
from vmpooler.settings import Dummy, Pool


class DummyProvider:
    """A provider of imaginary VMs.

    ``wall`` is the moment (epoch) at its start; from then on it counts by ``clock``. What was ordered is recorded at
    once with the moment when it is done: it goes on when the caller cancels, when the provider stops (callers then get
    ProviderError) and, with a ``filename``, when the process dies. ``reactor`` is needed for ``tcp_probe`` only. The
    file is not written unless ``may_order`` says so: what is ordered by a process that may not order has never been.
    """

    def __init__(
        self,
        settings: Dummy,
        clock: IReactorTime,
        wall: Callable[[], float],
        chance: random.Random,
        reactor: IReactorTime | None = None,
        may_order: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._fate = Fate(settings, chance)
        self._world = World(clock, wall, Memory(Path(settings.filename), may_order) if settings.filename else None)
        self._reactor = reactor
        self._running = False
        self._outage: str | None = None

    async def prepare(self) -> None:
        """See whether the file can be read, if there is one. Raises ProviderError when it is not ours or cannot."""
        self._world.look()

    async def start(self) -> None:
        """Read the file, if there is one. Raises ProviderError when it is not ours or cannot be read or written."""
        if not self._running:
            self._world.open()
            self._running = True

    async def stop(self) -> None:
        """Write the file; no timer is left. Callers who wait get ProviderError."""
        if self._running:
            self._running = False
            self._world.close()

    def trouble(self) -> str:
        """Why every call fails, if it does."""
        return self._outage or ""

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        """The VMs that were ordered for this pool. Each guest looked at may have been switched off or renamed."""
        self._check()
        now = self._world.now
        seen = [self._looked_at(vm) if vm.up(now) else vm for vm in self._world.vms_of(pool.name)]
        return {vm.name: vm.guest(now) for vm in seen}

    async def find(self, pool: Pool, name: str) -> Guest | None:
        """The VM of that name, whichever pool it was ordered for."""
        self._check()
        vm = self._world.get(name)
        return vm.guest(self._world.now) if vm else None

    async def clone(self, pool: Pool, name: str) -> None:
        """Order a VM. Raises ProviderError when the name is taken or the clone fails, of which nothing is left."""
        self._check()
        if self._world.get(name):
            raise ProviderError(f"there is a VM called {name} already")
        await self._world.add(self._fate.clone(pool.name, name, self._world.number(), self._world.now))

    async def destroy(self, pool: Pool, name: str) -> None:
        """Unmake a VM; its clone, if under way, fails at once. Returns when it is gone, whoever ordered that first."""
        self._check()
        vm = self._world.get(name)
        if vm is None:
            return
        if vm.gone is None:
            settings = self._settings
            what = f"the destruction of {name}"
            seconds = await self._take(settings.destroyvm_max_time, settings.destroyvm_fail_percent, what)
            self._world.doom(vm, self._world.now + seconds)
        await self._world.until_gone(name)

    async def power_on(self, pool: Pool, name: str) -> None:
        """Switch a VM on, at once; its guest boots anew. Raises ProviderError on one without our stamp."""
        self._check()
        vm = self._cloned(name)
        if vm.stamp is None:
            raise ProviderError(f"{name} was not made by this service")
        if not vm.powered_on:
            booted = None if vm.booted is None else self._fate.boot(self._world.now)
            self._world.boot(attrs.evolve(vm, powered_on=True, booted=booted))

    async def probe(self, pool: Pool, guest: Guest) -> None:
        """Ask the guest itself, which answers during an outage too. Raises NoAnswer unless it is up."""
        if not self._running:
            raise ProviderError("the simulated hypervisor is not running")
        if self._fate.strikes(self._settings.vmready_fail_percent):
            raise NoAnswer(f"injected failure: {guest.name} does not answer")
        vm = self._world.get(guest.name)
        if vm is None or not vm.up(self._world.now):
            raise NoAnswer(f"{guest.name} is not up")
        if self._settings.tcp_probe:
            if self._reactor is None:
                raise ProviderError("tcp_probe: needs the reactor")
            await reach(self._reactor, vm.address, pool.probe_port)

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        """Write the holder on a VM. Raises ProviderError on one without our stamp."""
        self._check()
        vm = self._existing(name)
        if vm.stamp is None:
            raise ProviderError(f"{name} was not made by this service")
        self._world.change(attrs.evolve(vm, stamp=attrs.evolve(vm.stamp, holder=holder)))

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        """Attach one more disk of ``size`` GB, unless that of this ``id`` is there already."""
        self._check()
        if id in {disk.id for disk in self._cloned(name).disks}:
            return
        settings = self._settings
        seconds = await self._take(settings.createdisk_max_time, settings.createdisk_fail_percent, f"a disk for {name}")
        vm = self._cloned(name)
        await self._change(attrs.evolve(vm, disks=(*vm.disks, Disk(id, size))), seconds)

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        """Remember the disks as they are under this name, unless it is there already."""
        self._check()
        if snapshot in self._cloned(name).snapshots:
            return
        settings = self._settings
        what = f"snapshot {snapshot} of {name}"
        seconds = await self._take(settings.createsnapshot_max_time, settings.createsnapshot_fail_percent, what)
        vm = self._cloned(name)
        await self._change(attrs.evolve(vm, snapshots={**vm.snapshots, snapshot: vm.disks}), seconds)

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take the disks back to what they were."""
        self._check()
        if snapshot not in self._cloned(name).snapshots:
            raise ProviderError(f"{name} has no snapshot called {snapshot}")
        settings = self._settings
        what = f"the revert of {name} to {snapshot}"
        seconds = await self._take(settings.revertsnapshot_max_time, settings.revertsnapshot_fail_percent, what)
        vm = self._cloned(name)
        await self._change(attrs.evolve(vm, disks=vm.snapshots[snapshot]), seconds)

    def changes(self, listener: Listener) -> None:
        """Have ``listener`` called when a clone ended, a guest came up, a VM went, or an act below changed it."""
        self._world.listeners.append(listener)

    def vms(self) -> Mapping[str, Vm]:
        """Every VM that exists now, by name, disks and snapshots included."""
        return {vm.name: vm for vm in self._world.vms()}

    def vanish(self, name: str) -> None:
        """Somebody else destroys a VM, at once."""
        self._world.remove(self._existing(name), f"{name} has vanished")

    def come_back(self, vm: Vm) -> None:
        """A VM that had vanished is there again, as it was: its host was away."""
        self._meddle(vm)

    def switch_off(self, name: str) -> None:
        """Somebody else switches a VM off."""
        self._meddle(attrs.evolve(self._existing(name), powered_on=False))

    def rename(self, name: str, hostname: str) -> None:
        """A guest calls itself something else."""
        self._meddle(attrs.evolve(self._existing(name), hostname=hostname))

    def plant(self, pool_name: str, name: str, stamped: bool) -> None:
        """A VM that nobody ordered is there and up; with our stamp (an orphan) or without one (a foreign VM)."""
        now = self._world.now
        stamp = Stamp(pool=pool_name, name=name, created=now) if stamped else None
        number = self._world.number()
        self._meddle(Vm(name=name, pool=pool_name, number=number, hostname=name, cloned=now, booted=now, stamp=stamp))

    def outage(self, text: str | None) -> None:
        """The hypervisor fails every new call with this text, until None ends it. What is under way goes on."""
        self._outage = text

    def _check(self) -> None:
        if not self._running:
            raise ProviderError("the simulated hypervisor is not running")
        if self._outage is not None:
            raise ProviderError(self._outage)

    def _existing(self, name: str) -> Vm:
        vm = self._world.get(name)
        if vm is None:
            raise ProviderError(f"there is no VM called {name}")
        return vm

    def _cloned(self, name: str) -> Vm:
        """The VM of that name, at rest: its clone is over and nobody destroys it."""
        vm = self._existing(name)
        if vm.cloning(self._world.now) or vm.gone is not None:
            raise ProviderError(f"{name} is being {'cloned' if vm.gone is None else 'destroyed'}")
        return vm

    async def _take(self, longest: float, percent: float, what: str) -> float:
        """The seconds that something takes. In so many cases of a hundred it fails, after a part of them."""
        seconds = self._fate.duration(longest)
        if self._fate.strikes(percent):
            await self._world.elapse(self._fate.part(seconds))
            raise ProviderError(f"injected failure: {what}")
        return seconds

    async def _change(self, vm: Vm, seconds: float) -> None:
        """Record what was ordered; raises ProviderError when the VM is gone before it is done."""
        self._world.change(vm)
        await self._world.elapse(seconds)
        self._existing(vm.name)

    def _looked_at(self, vm: Vm) -> Vm:
        """The VM of which this look may find that it changed."""
        changed = vm
        if self._fate.strikes(self._settings.getvm_poweroff_percent):
            changed = attrs.evolve(changed, powered_on=False)
        if self._fate.strikes(self._settings.getvm_rename_percent):
            changed = attrs.evolve(changed, hostname=self._fate.other_hostname(vm.name))
        if changed is not vm:
            self._world.change(changed)
        return changed

    def _meddle(self, vm: Vm) -> None:
        self._world.change(vm)
        self._world.tell(vm.pool)
