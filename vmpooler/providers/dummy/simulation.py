"""The simulated hypervisor: its VMs, their changes over time, and the file in which they survive the process."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path

import attrs
import cattrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.deferreds import Signal
from vmpooler.domain.guest import Guest, Stamp
from vmpooler.providers.base import Listener, ProviderError

log = Logger()

MARK = "simulated hypervisor of vmpooler, version"
VERSION = 1

_converter = cattrs.Converter()
"""Ignores members that this version does not know: a newer version may have written them."""

WRITE_RETRY_DELAY = 0.1
"""Seconds until the next attempt to write the memory while another process owns the file."""


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


class SavedState:
    """The VMs as text: a JSON file with one VM per line.

    The encoded lines are cached, so that a change costs the encoding of one VM and not of all. The file is replaced as
    a whole: if the process is killed at any moment, the file is either the old one or the new one. Only one process may
    use the file at a time: the one for which ``may_write`` returns True. ``may_write`` is called immediately before the
    replacement.
    """

    def __init__(self, path: Path, may_write: Callable[[], bool] = lambda: True) -> None:
        self._path = path
        self._may_write = may_write
        self._lines: dict[str, str] = {}

    def read(self) -> list[SimulatedVm]:
        """Return the stored VMs, or none when the file does not exist.

        Raises ProviderError when the file cannot be read or is not a file of this simulator.
        """
        try:
            vms = self._decoded(self._path.read_bytes())
        except FileNotFoundError:
            vms = []
        except OSError as error:
            raise ProviderError(f"{self._path}: cannot be read: {error.strerror}") from error
        self._lines = {vm.name: _line(vm) for vm in vms}
        return vms

    def keep(self, vm: SimulatedVm) -> None:
        """Add this VM or replace its line; :meth:`write` writes the file."""
        self._lines[vm.name] = _line(vm)

    def drop(self, name: str) -> None:
        """Remove a VM; :meth:`write` writes the file."""
        self._lines.pop(name, None)

    def write(self) -> bool:
        """Write the file; return False if ``may_write`` returns False. Raises ProviderError if it cannot be written."""
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            draft.write_text(_file(self._lines.values()))
            if may_write := self._may_write():
                draft.replace(self._path)
            else:
                draft.unlink()
        except OSError as error:
            raise ProviderError(f"{self._path}: cannot be written: {error.strerror}") from error
        return may_write

    def _decoded(self, content: bytes) -> list[SimulatedVm]:
        try:
            document = json.loads(content)
            if document[MARK] != VERSION:
                raise ValueError(document[MARK])
            return _converter.structure(document["vms"], list[SimulatedVm])
        except (ValueError, LookupError, TypeError, cattrs.BaseValidationError) as error:
            cure = "move it away or set another filename"
            raise ProviderError(f"{self._path}: not the VMs of a simulated hypervisor; {cure}") from error


def _line(vm: SimulatedVm) -> str:
    return json.dumps(_converter.unstructure(vm))


def _file(lines: Iterable[str]) -> str:
    return f'{{"{MARK}": {VERSION}, "vms": [\n' + ",\n".join(lines) + "\n]}\n"


class Waits:
    """Deferreds, by the event that they wait for. Cancelling a Deferred ends that wait and nothing else."""

    def __init__(self) -> None:
        self._signals: dict[Hashable, Signal[None]] = {}

    def until(self, what: Hashable) -> Deferred[None]:
        """Return a Deferred that fires when the event happens, or fails when the event fails."""
        return self._signals.setdefault(what, Signal()).wait()

    def done(self, what: Hashable, error: Exception | None = None) -> None:
        """Fire every Deferred that waits for the event, or fail it with ``error``."""
        if (signal := self._signals.pop(what, None)) is not None:
            signal.send(None if error is None else Failure(error))

    def fail_all(self, error: Exception) -> None:
        """Fail every Deferred with ``error``, whatever it waits for."""
        for what in list(self._signals):
            self.done(what, error)


class SimulatedHypervisor:
    """The VMs by name; without a ``memory`` they exist only as long as this object.

    The hypervisor has its own clock. When the world is opened, the clock is set to ``wall`` (epoch), or to the latest
    creation time of a VM in the memory if that is later. From then on it counts by ``clock``.
    """

    def __init__(self, clock: IReactorTime, wall: Callable[[], float], memory: SavedState | None) -> None:
        self.listeners: list[Listener] = []
        self._clock = clock
        self._wall = wall
        self._offset = wall() - clock.seconds()
        self._memory = memory
        self._vms: dict[str, SimulatedVm] = {}
        self._of_pool: defaultdict[str, dict[str, SimulatedVm]] = defaultdict(dict)
        self._numbers = 0
        self._waits = Waits()
        self._timers: dict[str, IDelayedCall] = {}
        self._writing: IDelayedCall | None = None

    def check_memory(self) -> None:
        """Check that the memory can be read. Raises ProviderError when it cannot."""
        if self._memory:
            self._memory.read()

    def open(self) -> None:
        """Continue from the state in the memory. Raises ProviderError when the memory cannot be read and written."""
        self._offset = self._wall() - self._clock.seconds()
        if self._memory:
            self._vms.clear()
            self._of_pool.clear()
            for vm in self._memory.read():
                self._put(vm)
            self._memory.write()
        orders = (vm.stamp.created for vm in self._vms.values() if vm.stamp)
        self._offset += max(0.0, max(orders, default=0.0) - self.now)
        self._numbers = max((vm.number for vm in self._vms.values()), default=0)
        for vm in list(self._vms.values()):
            self._schedule(vm, (moment for moment in vm.moments if moment > self.now))
            self.get(vm.name)

    def close(self) -> None:
        """Write pending changes, cancel all timers and fail all waits."""
        self._waits.fail_all(ProviderError("the simulated hypervisor was stopped; what is under way there goes on"))
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._writing:
            self._writing.cancel()
            self._write(closing=True)

    @property
    def now(self) -> float:
        """The current time of the hypervisor, in seconds since the epoch."""
        return self._clock.seconds() + self._offset

    def vms(self) -> list[SimulatedVm]:
        """Return every VM that exists now."""
        now = self.now
        return [vm for vm in self._vms.values() if vm.exists(now)]

    def vms_of(self, pool: str) -> list[SimulatedVm]:
        """Return the VMs that were ordered for this pool; the cost does not depend on other pools."""
        now = self.now
        return [vm for vm in self._of_pool[pool].values() if vm.exists(now)]

    def get(self, name: str) -> SimulatedVm | None:
        """Return the VM of that name, or None if it does not exist now."""
        vm = self._vms.get(name)
        if vm and not vm.exists(self.now):
            self._advance(name)
            return None
        return vm

    def number(self) -> int:
        """Return a number that no VM has."""
        self._numbers += 1
        return self._numbers

    def add(self, vm: SimulatedVm) -> Deferred[None]:
        """Add a new VM; the Deferred fires when its clone is done, or fails when the clone fails."""
        self.change(vm)
        self._schedule(vm, vm.moments)
        return self._waits.until(("clone", vm.name))

    def change(self, vm: SimulatedVm) -> None:
        """Replace the record of the VM.

        Its timer stays: a caller that changes the times of the record calls ``_schedule`` too.
        """
        self._put(vm)
        if self._memory:
            self._memory.keep(vm)
        self._remember()

    def boot(self, vm: SimulatedVm) -> None:
        """Record that a cloned VM was powered on and is booting."""
        self.change(vm)
        self._schedule(vm, (moment for moment in vm.moments if moment > self.now))
        self.notify(vm.pool)

    def mark_destroyed(self, vm: SimulatedVm, gone: float) -> None:
        """Record that the VM is being destroyed: a clone in progress fails, and the VM is gone at the time ``gone``."""
        destroyed = attrs.evolve(vm, gone=gone, fails=False)
        self.change(destroyed)
        self._schedule(destroyed, destroyed.moments)
        self._waits.done(("clone", vm.name), ProviderError(f"{vm.name} was destroyed while it was being cloned"))

    def until_gone(self, name: str) -> Deferred[None]:
        """Return a Deferred that fires when that VM, which must exist, is gone."""
        return self._waits.until(("end", name))

    def remove(self, vm: SimulatedVm, why: str) -> None:
        """Remove the VM; a clone in progress fails with the reason ``why``."""
        del self._vms[vm.name], self._of_pool[vm.pool][vm.name]
        self._unschedule(vm.name)
        if self._memory:
            self._memory.drop(vm.name)
        self._remember()
        self._waits.done(("clone", vm.name), ProviderError(why))
        self._waits.done(("end", vm.name))
        self.notify(vm.pool)

    async def elapse(self, seconds: float) -> None:
        """Wait for that many seconds; 0 means one turn of the reactor."""
        end = object()
        timer = self._clock.callLater(seconds, self._waits.done, end)
        try:
            await self._waits.until(end)
        finally:
            self._waits.done(end)
            if timer.active():
                timer.cancel()

    def notify(self, pool: str) -> None:
        """Notify the listeners that VMs of this pool changed."""
        for listener in self.listeners:
            try:
                listener(pool)
            except Exception:
                log.failure("a listener failed on a change of pool {pool}", pool=pool)

    def _put(self, vm: SimulatedVm) -> None:
        self._vms[vm.name] = self._of_pool[vm.pool][vm.name] = vm

    def _advance(self, name: str) -> None:
        """Process a time at which the state of this VM changes."""
        self._unschedule(name)
        vm, now = self._vms[name], self.now
        if not vm.exists(now):
            self.remove(vm, f"injected failure: the clone of {name} failed")
            return
        if not vm.cloning(now):
            self._waits.done(("clone", name))
        self._schedule(vm, (moment for moment in vm.moments if moment > now))
        self.notify(vm.pool)

    def _schedule(self, vm: SimulatedVm, moments: Iterable[float]) -> None:
        self._unschedule(vm.name)
        first = min(moments, default=None)
        if first is not None:
            self._timers[vm.name] = self._clock.callLater(max(0, first - self.now), self._advance, vm.name)

    def _unschedule(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer and timer.active():
            timer.cancel()

    def _remember(self) -> None:
        """Schedule a write of the memory for the next turn of the reactor, once for all changes of this turn."""
        if self._memory and not self._writing:
            self._writing = self._clock.callLater(0, self._write)

    def _write(self, closing: bool = False) -> None:
        self._writing = None
        try:
            if self._memory and not self._memory.write() and not closing:
                self._writing = self._clock.callLater(WRITE_RETRY_DELAY, self._write)
        except ProviderError:
            log.failure("imaginary VMs are not remembered until the next change")
