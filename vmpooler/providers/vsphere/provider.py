"""A vCenter as a provider: every method is a coroutine on the reactor; nothing here blocks."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pyVmomi import vim, vmodl
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.guest import Guest
from vmpooler.providers.base import Listener, NoAnswer, ProviderError
from vmpooler.providers.reach import reach
from vmpooler.providers.vsphere import operations, places, specs
from vmpooler.providers.vsphere.calls import Calls
from vmpooler.providers.vsphere.clones import Clones
from vmpooler.providers.vsphere.faults import Failed, Refused, reason
from vmpooler.providers.vsphere.news import Vm
from vmpooler.providers.vsphere.places import Place
from vmpooler.providers.vsphere.stamp import is_ours, owned
from vmpooler.providers.vsphere.targets import Targets
from vmpooler.providers.vsphere.watch import Watch
from vmpooler.settings import General, Pool, Vsphere

T = TypeVar("T")

log = Logger()

START = 10.0
"""Seconds that a start waits for the vCenter; then it goes on without."""

LEAVE = 2.0
"""Seconds that logging out may take."""

SEEN = 30.0
"""Seconds in which what was done to a VM must be seen by the watch."""


class VsphereProvider:
    """The VMs of some pools at one vCenter."""

    def __init__(
        self, settings: Vsphere, general: General, pools: Iterable[Pool], reactor: Any, chance: random.Random
    ) -> None:
        self._settings = settings
        self._general = general
        self._reactor = reactor
        self._listeners: list[Listener] = []
        self._pools: dict[Place, list[str]] = {}
        for pool in pools:
            self._pools.setdefault(self._place(pool), []).append(pool.name)
        self._watch = Watch(settings, list(self._pools), reactor, chance, self._changed)
        self._calls = Calls(self._watch, settings.threads, reactor)
        self._targets = Targets(self._watch, self._calls, reactor, general.utilization_limit / 100)
        self._clones = Clones(self._watch, self._calls, self._targets, settings.max_clones, reactor)
        self._changes = DeferredSemaphore(settings.max_changes)
        self._destroys = DeferredSemaphore(settings.max_destroys)
        self._destructions: dict[str, list[Deferred[None]]] = {}
        self._running = False

    async def start(self) -> None:
        """Connect. Raises ProviderError when the vCenter refuses the login or its certificate is not trusted."""
        self._running = True
        self._calls.start()
        self._watch.start()
        try:
            await self._watch.until(lambda: self._watch.is_begun or self._watch.is_hopeless, START)
        finally:
            if self._watch.is_hopeless:
                await self.stop()
        if (error := self._watch.trouble) is not None and self._watch.is_hopeless:
            raise ProviderError(f"vCenter {self._settings.server}: {reason(error)}")

    async def stop(self) -> None:
        """Log out, and let go of everything."""
        if not self._running:
            return
        self._running = False
        if self._watch.is_begun:
            leaving = Deferred.fromCoroutine(self._calls.do("the logout", lambda session: session.log_out()))
            with suppress(ProviderError, DeferTimeout):  # the vCenter ends the session by itself in half an hour
                await leaving.addTimeout(LEAVE, self._reactor)
        self._watch.stop()
        self._calls.stop()

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        """The VMs in the pool's folder, and those on their way there. See Note [What the inventory is exact of]."""
        place = self._place(pool)
        if not self._watch.is_known(place):
            await self._look_again(place)
        listed = {vm.guest.name: vm.guest for vm in self._watch.vms(place)}
        return {**listed, **{guest.name: guest for guest in self._clones.guests(place)}}

    async def find(self, pool: Pool, name: str) -> Guest | None:
        """The VM of that name, in a watched folder or anywhere else at the vCenter."""
        if (order := self._clones.order(name)) is not None:
            return next(guest for guest in self._clones.guests(order.place) if guest.name == name)
        vm = await self._seek(pool, name)
        return vm.guest if vm else None

    async def clone(self, pool: Pool, name: str) -> None:
        """Make a VM. It goes on when the caller gives up."""
        await self._shielded(self._clone(pool, name))

    async def destroy(self, pool: Pool, name: str) -> None:
        """Unmake a VM of ours. A foreign VM of that name is left alone, unless ``destroy_foreign`` is set: ours is
        then gone. It goes on when the caller gives up."""
        if (waiting := self._destructions.get(name)) is not None:
            wait: Deferred[None] = Deferred()
            waiting.append(wait)
            await wait
        else:
            await self._shielded(self._destroy_once(pool, name))

    async def probe(self, pool: Pool, guest: Guest) -> None:
        """Try the address that the guest reported, or its name. Raises NoAnswer."""
        host = guest.hostname if self._settings.probe == "name" else guest.address
        if not host:
            raise NoAnswer(f"{guest.name} has not reported its {self._settings.probe}")
        await reach(self._reactor, host, pool.probe_port)

    async def stamp_owner(self, pool: Pool, name: str, owner: str) -> None:
        """Write the owner into the annotation."""
        await self._shielded(self._calls.steadily(lambda: self._stamp(pool, name, owner)))

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        """Attach a thin disk in a file of its own, named by ``id``."""
        await self._shielded(self._calls.steadily(lambda: self._add_disk(pool, name, size, id)))

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take a snapshot with memory, quiesced."""
        await self._shielded(self._calls.steadily(lambda: self._snapshot(pool, name, snapshot)))

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take a VM back to the snapshot of that name, wherever it is in the tree."""
        await self._shielded(self._calls.steadily(lambda: self._revert(pool, name, snapshot)))

    def changes(self, listener: Listener) -> None:
        """Have ``listener`` called with each pool whose VMs changed."""
        self._listeners.append(listener)

    def _place(self, pool: Pool) -> Place:
        return pool.datacenter or self._settings.datacenter, pool.folder.strip("/")

    def _changed(self, place: Place) -> None:
        for pool in self._pools.get(place, ()):
            for listener in self._listeners:
                try:
                    listener(pool)
                except Exception:
                    log.failure("a listener failed on a change of pool {pool}", pool=pool)

    def _shielded(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """What the work comes to. To cancel it ends the wait; the work goes on."""
        outcome: Deferred[T] = Deferred()

        def over(result: T | Failure) -> None:
            if not outcome.called:
                outcome.callback(result)
            elif isinstance(result, Failure) and not result.check(ProviderError):
                log.failure("what nobody waits for any more failed", result)

        Deferred.fromCoroutine(work).addBoth(over)
        return outcome

    async def _look_again(self, place: Place) -> None:
        """A folder is not known: it may be there by now, or may be made."""
        begun = self._watch.now
        path = places.folder_path(begun.session, place)
        if self._general.create_folders:
            await self._calls.do(f"folder {path}", lambda session: places.make_folder(session, path))
        elif await self._calls.read(f"folder {path}", lambda session: session.find(path)) is None:
            return
        await self._calls.do(f"folder {path}", lambda _: self._watch.refresh())
        await self._watch.until(lambda: self._watch.now is not begun, SEEN)

    async def _clone(self, pool: Pool, name: str) -> None:
        place = self._place(pool)
        try:
            await self._clones.make(pool, name, place)
        finally:
            self._changed(place)

    async def _seek(self, pool: Pool, name: str) -> Vm | None:
        known = self._watch.vm(name, self._place(pool)) or self._watch.vm(name)
        return known or await self._calls.read(f"the search for {name}", lambda session: operations.seek(session, name))

    async def _at_rest(self, pool: Pool, name: str) -> Vm:
        """The VM of that name, which must be there and not on its way to be."""
        if self._clones.order(name) is not None:
            raise ProviderError(f"{name} is being cloned")
        if (vm := await self._seek(pool, name)) is None:
            raise ProviderError(f"there is no VM called {name}")
        return vm

    async def _destroy_once(self, pool: Pool, name: str) -> None:
        """Destroy a VM for all who ask meanwhile."""
        self._destructions[name] = []
        try:
            if (order := self._clones.order(name)) is not None:
                order.doomed = True
                await order.over()
            async with self._destroys:
                await self._calls.steadily(lambda: self._destroy(pool, name))
        except BaseException as error:
            for wait in self._destructions.pop(name):
                wait.errback(ProviderError(str(error)))
            raise
        for wait in self._destructions.pop(name):
            wait.callback(None)

    async def _destroy(self, pool: Pool, name: str) -> None:
        vm = await self._seek(pool, name)
        if vm is None:
            return
        if not await self._may_destroy(vm, name):
            log.warn("[!] [{pool}] '{vm}' is not destroyed: it was not made by this service", pool=pool.name, vm=name)
            return
        if vm.guest.powered_on:
            await self._switch_off(vm, name)
        try:
            await self._calls.task(f"the destruction of {name}", lambda _: vm.ref.Destroy_Task())
        except Refused as error:
            if not isinstance(error.__cause__, vmodl.fault.ManagedObjectNotFound):
                raise
        except Failed as error:
            if not isinstance(error.fault, vmodl.fault.ManagedObjectNotFound):
                raise
        if not await self._watch.until(lambda: not self._watch.has(vm.ref), SEEN):
            raise ProviderError(f"{name} was destroyed and is still listed")

    async def _switch_off(self, vm: Vm, name: str) -> None:
        async with self._changes:
            try:
                await self._calls.task(f"the power-off of {name}", lambda _: vm.ref.PowerOffVM_Task())
            except Failed as error:
                if not isinstance(error.fault, vim.fault.InvalidPowerState | vmodl.fault.ManagedObjectNotFound):
                    raise

    async def _may_destroy(self, vm: Vm, name: str) -> bool:
        """Whether a VM is ours. One whose annotation was edited still has its name in its configuration."""
        if is_ours(vm.guest.stamp, name) or self._general.destroy_foreign:
            return True
        told = await self._calls.read(f"the configuration of {name}", lambda s: operations.option(s, vm.ref))
        return told == name

    async def _stamp(self, pool: Pool, name: str, owner: str) -> None:
        vm = await self._at_rest(pool, name)
        if not is_ours(vm.guest.stamp, name):
            raise ProviderError(f"{name} was not made by this service")
        spec = vim.vm.ConfigSpec(annotation=owned(vm.annotation, owner))
        await self._change(f"the owner of {name}", lambda: vm.ref.ReconfigVM_Task(spec))

        def is_seen() -> bool:
            now = self._watch.vm(name)
            return now is None or (now.guest.stamp is not None and now.guest.stamp.owner == owner)

        await self._watch.until(is_seen, SEEN)

    async def _add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        vm = await self._at_rest(pool, name)
        what = f"a disk for {name}"
        spec = await self._calls.read(what, lambda s: operations.disk_spec(s, vm.ref, name, id, size))
        if spec is None:
            return
        try:
            await self._change(what, lambda: vm.ref.ReconfigVM_Task(spec))
        except Failed as error:
            if not isinstance(error.fault, vim.fault.FileAlreadyExists):
                raise
            await self._change(what, lambda: vm.ref.ReconfigVM_Task(specs.attached(spec)))

    async def _snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        vm = await self._at_rest(pool, name)
        what = f"snapshot {snapshot} of {name}"
        if await self._calls.read(what, lambda s: operations.snapshot(s, vm.ref, snapshot)) is None:
            told = {"name": snapshot, "description": "vmpooler", "memory": True, "quiesce": True}
            await self._change(what, lambda: vm.ref.CreateSnapshot_Task(**told))

    async def _revert(self, pool: Pool, name: str, snapshot: str) -> None:
        vm = await self._at_rest(pool, name)
        what = f"the revert of {name} to {snapshot}"
        found = await self._calls.read(what, lambda s: operations.snapshot(s, vm.ref, snapshot))
        if found is None:
            raise ProviderError(f"{name} has no snapshot called {snapshot}")
        await self._change(what, lambda: found.RevertToSnapshot_Task())

    async def _change(self, what: str, order: Callable[[], Any]) -> None:
        """Have a VM changed, in its turn."""
        async with self._changes:
            await self._calls.task(what, lambda _: order())
