"""Operations on existing VMs: find, stamp, power on, add a disk, take a snapshot, revert, migrate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyVmomi import vim

from vmpooler.deferreds import Slots
from vmpooler.domain.guest import Holder
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import operations, specs
from vmpooler.providers.vsphere.clones import Clones
from vmpooler.providers.vsphere.errors import Failed
from vmpooler.providers.vsphere.executor import Executor
from vmpooler.providers.vsphere.inventory_cache import InventoryCache
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.messages import ListedVm
from vmpooler.providers.vsphere.session import Ref
from vmpooler.providers.vsphere.stamp import held, is_ours

UPDATE_TIMEOUT = 30.0
"""Seconds within which the cache must show the effect of an operation on a VM."""


class VsphereVms:
    """VMs by name: the VM in the given folder, else in any watched folder, else anywhere at the vCenter.

    ``slots``: how many VMs may be changed at once.
    """

    def __init__(self, cache: InventoryCache, executor: Executor, clones: Clones, slots: int) -> None:
        self._cache = cache
        self._executor = executor
        self._clones = clones
        self._slots = Slots(slots)

    async def search(self, place: Place, name: str) -> ListedVm | None:
        """Return the VM of that name, or None."""
        known = self._cache.vm(name, place) or self._cache.vm(name)
        return known or await self._executor.read(
            f"the search for {name}", lambda session: operations.search(session, name)
        )

    async def _at_rest(self, place: Place, name: str) -> ListedVm:
        """Return the VM of that name. Raises ProviderError when it does not exist or is still being cloned."""
        if self._clones.order(name) is not None:
            raise ProviderError(f"{name} is being cloned")
        if (vm := await self.search(place, name)) is None:
            raise ProviderError(f"there is no VM called {name}")
        return vm

    async def stamp(self, place: Place, name: str, holder: Holder | None) -> None:
        """Write the holder into the annotation, and return when the cache shows it.

        Raises ProviderError when it does not within ``UPDATE_TIMEOUT`` seconds.
        """
        vm = await self._at_rest(place, name)
        if not is_ours(vm.guest.stamp, name):
            raise ProviderError(f"{name} was not made by this service")
        spec = vim.vm.ConfigSpec(annotation=held(vm.annotation, holder))
        await self.change(f"the stamp of {name}", lambda: vm.ref.ReconfigVM_Task(spec))

        def is_seen() -> bool:
            now = self._cache.vm(name)
            return now is None or (now.guest.stamp is not None and now.guest.stamp.holder == holder)

        if not await self._cache.until(is_seen, UPDATE_TIMEOUT):
            raise ProviderError(f"the stamp of {name} is not seen {UPDATE_TIMEOUT:g} s after it was written")

    async def power_on(self, place: Place, name: str) -> None:
        """Power a VM on, and return when the cache shows it. A VM that is already on counts as done."""
        vm = await self._at_rest(place, name)
        if not is_ours(vm.guest.stamp, name):
            raise ProviderError(f"{name} was not made by this service")
        if vm.guest.powered_on:
            return
        try:
            await self.change(f"the power-on of {name}", lambda: vm.ref.PowerOnVM_Task())
        except Failed as error:
            if not _is_on(error.fault):
                raise

        def is_seen() -> bool:
            now = self._cache.vm(name)
            return now is None or now.guest.powered_on

        await self._cache.until(is_seen, UPDATE_TIMEOUT)

    async def add_disk(self, place: Place, name: str, size: int, id: str) -> None:
        """Attach a disk, unless a disk with this ``id`` is attached. Its file may exist already."""
        vm = await self._at_rest(place, name)
        what = f"a disk for {name}"
        spec = await self._executor.read(what, lambda s: operations.disk_spec(s, vm.ref, name, id, size))
        if spec is None:
            return
        try:
            await self.change(what, lambda: vm.ref.ReconfigVM_Task(spec))
        except Failed as error:
            if not isinstance(error.fault, vim.fault.FileAlreadyExists):
                raise
            await self.change(what, lambda: vm.ref.ReconfigVM_Task(specs.attached(spec)))

    async def snapshot(self, place: Place, name: str, snapshot: str) -> None:
        """Take a snapshot, unless one of that name exists."""
        vm = await self._at_rest(place, name)
        what = f"snapshot {snapshot} of {name}"
        if await self._executor.read(what, lambda s: operations.snapshot(s, vm.ref, snapshot)) is None:
            options = {"name": snapshot, "description": "vmpooler", "memory": True, "quiesce": True}
            await self.change(what, lambda: vm.ref.CreateSnapshot_Task(**options))

    async def revert(self, place: Place, name: str, snapshot: str) -> None:
        """Revert a VM to a snapshot. Raises ProviderError when no snapshot has that name."""
        vm = await self._at_rest(place, name)
        what = f"the revert of {name} to {snapshot}"
        found = await self._executor.read(what, lambda s: operations.snapshot(s, vm.ref, snapshot))
        if found is None:
            raise ProviderError(f"{name} has no snapshot called {snapshot}")
        await self.change(what, lambda: found.RevertToSnapshot_Task())

    async def migrate(self, place: Place, name: str, host: Ref) -> None:
        """Migrate a running VM to a host, unless it is on that host."""
        vm = await self._at_rest(place, name)
        what = f"the migration of {name}"
        if await self._executor.read(what, lambda s: operations.host(s, vm.ref)) != host:
            await self.change(what, lambda: vm.ref.MigrateVM_Task(host=host, priority="defaultPriority"))

    async def change(self, what: str, order: Callable[[], Any]) -> None:
        """Run an operation that changes a VM, when a slot is free."""
        async with self._slots:
            await self._executor.task(what, lambda _: order())


def _is_on(fault: Exception) -> bool:
    """Return whether a power-on failed because the VM was on already."""
    return isinstance(fault, vim.fault.InvalidPowerState) and fault.existingState == "poweredOn"
