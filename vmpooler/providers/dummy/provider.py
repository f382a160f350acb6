"""The simulated hypervisor as a provider: random failures, and methods that change its VMs from outside the service."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime

from vmpooler.domain.guest import Guest, Holder, Stamp
from vmpooler.providers.base import Listener, NoAnswer, ProviderError
from vmpooler.providers.dummy.settings import Dummy
from vmpooler.providers.dummy.simulation import Disk, SavedState, SimulatedHypervisor, SimulatedVm
from vmpooler.providers.reach import reach
from vmpooler.settings import Pool


class FailureInjection:
    """Draws durations and failures from ``chance``."""

    def __init__(self, settings: Dummy, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance

    def happens(self, percent: float) -> bool:
        """Return True in ``percent`` of 100 cases."""
        return self._chance.random() * 100 < percent

    def duration(self, longest: float) -> float:
        """Return the seconds that an operation takes: between a quarter of ``longest`` and ``longest``."""
        return self._chance.uniform(longest / 4, longest)

    def part(self, duration: float) -> float:
        """Return the seconds after which an operation that would have taken ``duration`` fails."""
        return self._chance.uniform(0, duration)

    def clone(self, pool: str, name: str, number: int, now: float) -> SimulatedVm:
        """Return a VM that is ordered now: when its clone ends and how, and when its guest is up, if ever."""
        settings = self._settings
        fails = self.happens(settings.createvm_fail_percent)
        duration = self.duration(settings.createvm_max_time)
        cloned = now + (self.part(duration) if fails else duration)
        boots = not self.happens(settings.bootvm_fail_percent)
        booted = self.boot(cloned) if boots else None
        return SimulatedVm(
            name=name,
            pool=pool,
            number=number,
            hostname=name,
            cloned=cloned,
            booted=booted,
            stamp=Stamp(pool=pool, name=name, created=now),
            fails=fails,
        )

    def boot(self, on: float) -> float:
        """Return when the guest of a VM that is powered on at the time ``on`` is up."""
        return on + self.duration(self._settings.bootvm_max_time)

    def other_hostname(self, name: str) -> str:
        """Return a host name that differs from the VM's name."""
        return f"{name}-{self._chance.randrange(16**6):06x}"


class DummyProvider:
    """A provider of simulated VMs.

    ``wall`` returns the time (epoch) at its start; from then on it counts by ``clock``. An order is recorded at once,
    with the time at which it is done. The operation continues when the caller cancels, when the provider stops (waiting
    callers then get ProviderError) and, with a ``filename``, when the process dies. ``reactor`` is needed for
    ``tcp_probe`` only. The file is not written unless ``may_order`` returns True: orders of a process that may not
    order are not stored, as if they had never been sent.
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
        self._injection = FailureInjection(settings, chance)
        memory = SavedState(Path(settings.filename), may_order) if settings.filename else None
        self._simulation = SimulatedHypervisor(clock, wall, memory)
        self._reactor = reactor
        self._running = False
        self._outage: str | None = None

    async def prepare(self) -> None:
        """Check that the file, if configured, can be read.

        Raises ProviderError when it cannot be read or is not a file of this simulator.
        """
        self._simulation.check_memory()

    async def start(self) -> None:
        """Read the file, if configured.

        Raises ProviderError when it is not a file of this simulator, or cannot be read or written.
        """
        if not self._running:
            self._simulation.open()
            self._running = True

    async def stop(self) -> None:
        """Write pending changes to the file and cancel all timers. Waiting callers get ProviderError."""
        if self._running:
            self._running = False
            self._simulation.close()

    def trouble(self) -> str:
        """Return why every call fails; empty when calls work."""
        return self._outage or ""

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        """Return the VMs that were ordered for this pool.

        Each call powers off or renames some of the booted VMs, by the settings ``getvm_poweroff_percent`` and
        ``getvm_rename_percent``.
        """
        self._check()
        now = self._simulation.now
        seen = [self._with_injected_changes(vm) if vm.up(now) else vm for vm in self._simulation.vms_of(pool.name)]
        return {vm.name: vm.guest(now) for vm in seen}

    async def find(self, pool: Pool, name: str) -> Guest | None:
        """Return the VM of that name, no matter for which pool it was ordered."""
        self._check()
        vm = self._simulation.get(name)
        return vm.guest(self._simulation.now) if vm else None

    async def clone(self, pool: Pool, name: str) -> None:
        """Order a VM.

        Raises ProviderError when the name is in use or the clone fails; a failed clone leaves nothing.
        """
        self._check()
        if self._simulation.get(name):
            raise ProviderError(f"there is a VM called {name} already")
        number, now = self._simulation.number(), self._simulation.now
        await self._simulation.add(self._injection.clone(pool.name, name, number, now))

    async def destroy(self, pool: Pool, name: str) -> None:
        """Destroy a VM; its clone, if in progress, fails at once.

        Returns when the VM is gone, also when another caller ordered the destruction first.
        """
        self._check()
        vm = self._simulation.get(name)
        if vm is None:
            return
        if vm.gone is None:
            settings = self._settings
            what = f"the destruction of {name}"
            seconds = await self._take(settings.destroyvm_max_time, settings.destroyvm_fail_percent, what)
            self._simulation.mark_destroyed(vm, self._simulation.now + seconds)
        await self._simulation.until_gone(name)

    async def power_on(self, pool: Pool, name: str) -> None:
        """Power a VM on, at once; its guest boots again.

        Raises ProviderError on a VM without a stamp of this service.
        """
        self._check()
        vm = self._cloned(name)
        if vm.stamp is None:
            raise ProviderError(f"{name} was not made by this service")
        if not vm.powered_on:
            booted = None if vm.booted is None else self._injection.boot(self._simulation.now)
            self._simulation.boot(attrs.evolve(vm, powered_on=True, booted=booted))

    async def probe(self, pool: Pool, guest: Guest) -> None:
        """Probe the guest itself, which answers during an outage too. Raises NoAnswer unless it is up."""
        if not self._running:
            raise ProviderError("the simulated hypervisor is not running")
        if self._injection.happens(self._settings.vmready_fail_percent):
            raise NoAnswer(f"injected failure: {guest.name} does not answer")
        vm = self._simulation.get(guest.name)
        if vm is None or not vm.up(self._simulation.now):
            raise NoAnswer(f"{guest.name} is not up")
        if self._settings.tcp_probe:
            if self._reactor is None:
                raise ProviderError("tcp_probe: needs the reactor")
            await reach(self._reactor, vm.address, pool.probe_port)

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        """Write the holder on a VM. Raises ProviderError on a VM without a stamp of this service."""
        self._check()
        vm = self._existing(name)
        if vm.stamp is None:
            raise ProviderError(f"{name} was not made by this service")
        self._simulation.change(attrs.evolve(vm, stamp=attrs.evolve(vm.stamp, holder=holder)))

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        """Attach an extra disk of ``size`` GB, unless a disk with this ``id`` exists already."""
        self._check()
        if id in {disk.id for disk in self._cloned(name).disks}:
            return
        settings = self._settings
        seconds = await self._take(settings.createdisk_max_time, settings.createdisk_fail_percent, f"a disk for {name}")
        vm = self._cloned(name)
        await self._change(attrs.evolve(vm, disks=(*vm.disks, Disk(id, size))), seconds)

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        """Record the current disks under this name, unless the snapshot exists already."""
        self._check()
        if snapshot in self._cloned(name).snapshots:
            return
        settings = self._settings
        what = f"snapshot {snapshot} of {name}"
        seconds = await self._take(settings.createsnapshot_max_time, settings.createsnapshot_fail_percent, what)
        vm = self._cloned(name)
        await self._change(attrs.evolve(vm, snapshots={**vm.snapshots, snapshot: vm.disks}), seconds)

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        """Restore the disks that the snapshot recorded. Raises ProviderError when no snapshot has that name."""
        self._check()
        if snapshot not in self._cloned(name).snapshots:
            raise ProviderError(f"{name} has no snapshot called {snapshot}")
        settings = self._settings
        what = f"the revert of {name} to {snapshot}"
        seconds = await self._take(settings.revertsnapshot_max_time, settings.revertsnapshot_fail_percent, what)
        vm = self._cloned(name)
        await self._change(attrs.evolve(vm, disks=vm.snapshots[snapshot]), seconds)

    def changes(self, listener: Listener) -> None:
        """Call ``listener`` when a clone ends, a guest comes up, a VM disappears, or a method below changes a VM."""
        self._simulation.listeners.append(listener)

    def vms(self) -> Mapping[str, SimulatedVm]:
        """Return every VM that exists now, by name, with its disks and snapshots."""
        return {vm.name: vm for vm in self._simulation.vms()}

    def vanish(self, name: str) -> None:
        """Destroy a VM at once, as if another party had done it."""
        self._simulation.remove(self._existing(name), f"{name} has vanished")

    def come_back(self, vm: SimulatedVm) -> None:
        """Restore a VM that had vanished, unchanged, as if its host had been unreachable."""
        self._change_from_outside(vm)

    def switch_off(self, name: str) -> None:
        """Power a VM off, as if another party had done it."""
        self._change_from_outside(attrs.evolve(self._existing(name), powered_on=False))

    def rename(self, name: str, hostname: str) -> None:
        """Change the host name that a guest reports."""
        self._change_from_outside(attrs.evolve(self._existing(name), hostname=hostname))

    def plant(self, pool_name: str, name: str, stamped: bool) -> None:
        """Add a VM that the service did not order and that is up.

        ``stamped``: with a stamp of this service (an orphan), otherwise without a stamp (a foreign VM).
        """
        now = self._simulation.now
        stamp = Stamp(pool=pool_name, name=name, created=now) if stamped else None
        number = self._simulation.number()
        self._change_from_outside(
            SimulatedVm(name=name, pool=pool_name, number=number, hostname=name, cloned=now, booted=now, stamp=stamp)
        )

    def outage(self, text: str | None) -> None:
        """Make every new call fail with this text, until called with None. Operations in progress continue."""
        self._outage = text

    def _check(self) -> None:
        if not self._running:
            raise ProviderError("the simulated hypervisor is not running")
        if self._outage is not None:
            raise ProviderError(self._outage)

    def _existing(self, name: str) -> SimulatedVm:
        vm = self._simulation.get(name)
        if vm is None:
            raise ProviderError(f"there is no VM called {name}")
        return vm

    def _cloned(self, name: str) -> SimulatedVm:
        """Return the VM of that name, which must exist and be neither being cloned nor being destroyed."""
        vm = self._existing(name)
        if vm.cloning(self._simulation.now) or vm.gone is not None:
            raise ProviderError(f"{name} is being {'cloned' if vm.gone is None else 'destroyed'}")
        return vm

    async def _take(self, longest: float, percent: float, what: str) -> float:
        """Return the seconds that an operation takes.

        In ``percent`` of 100 cases, wait for a part of that time and raise ProviderError.
        """
        seconds = self._injection.duration(longest)
        if self._injection.happens(percent):
            await self._simulation.elapse(self._injection.part(seconds))
            raise ProviderError(f"injected failure: {what}")
        return seconds

    async def _change(self, vm: SimulatedVm, seconds: float) -> None:
        """Record an ordered change and wait ``seconds``.

        Raises ProviderError when the VM is gone before the change is done.
        """
        self._simulation.change(vm)
        await self._simulation.elapse(seconds)
        self._existing(vm.name)

    def _with_injected_changes(self, vm: SimulatedVm) -> SimulatedVm:
        """Return the VM, which this inventory may have powered off or renamed."""
        changed = vm
        if self._injection.happens(self._settings.getvm_poweroff_percent):
            changed = attrs.evolve(changed, powered_on=False)
        if self._injection.happens(self._settings.getvm_rename_percent):
            changed = attrs.evolve(changed, hostname=self._injection.other_hostname(vm.name))
        if changed is not vm:
            self._simulation.change(changed)
        return changed

    def _change_from_outside(self, vm: SimulatedVm) -> None:
        self._simulation.change(vm)
        self._simulation.notify(vm.pool)
