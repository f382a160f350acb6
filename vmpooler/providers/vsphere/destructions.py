"""Destructions in progress. Foreign VMs are never destroyed, unless the settings allow it."""

from __future__ import annotations

from pyVmomi import vim, vmodl
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.deferreds import Signal, Slots
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import operations
from vmpooler.providers.vsphere.clones import Clones
from vmpooler.providers.vsphere.errors import Failed, Refused
from vmpooler.providers.vsphere.executor import Executor
from vmpooler.providers.vsphere.inventory_cache import InventoryCache
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.messages import ListedVm
from vmpooler.providers.vsphere.stamp import is_ours
from vmpooler.providers.vsphere.vms import UPDATE_TIMEOUT, VsphereVms

log = Logger()


class Destructions:
    """Destroys VMs. ``slots``: how many at once; ``foreign_too``: also the foreign VMs in a pool's folder."""

    def __init__(
        self,
        cache: InventoryCache,
        executor: Executor,
        clones: Clones,
        vms: VsphereVms,
        slots: int,
        foreign_too: bool,
    ) -> None:
        self._cache = cache
        self._executor = executor
        self._clones = clones
        self._vms = vms
        self._slots = Slots(slots)
        self._foreign_too = foreign_too
        self._ends: dict[str, Signal[None]] = {}

    async def destroy(self, place: Place, name: str, pool: str) -> None:
        """Destroy a VM of this service, once for all concurrent callers.

        A VM that is already gone counts as destroyed. The stamp of a VM outside the watched folders must contain the
        name of its pool too. Raises ProviderError.
        """
        if (ended := self._ends.get(name)) is not None:
            await ended.wait()
            return
        self._ends[name] = Signal()
        try:
            if (order := self._clones.order(name)) is not None:
                order.unwanted = True
                await order.ended.wait()
            async with self._slots:
                await self._executor.steadily(lambda: self._destroy(place, name, pool))
        except BaseException as error:
            self._ends.pop(name).send(Failure(ProviderError(str(error))))
            raise
        self._ends.pop(name).send(None)

    async def _destroy(self, place: Place, name: str, pool: str) -> None:
        vm = await self._vms.search(place, name)
        if vm is None:
            return
        if not await self._may_destroy(vm, place, name, pool):
            log.warn("[!] '{vm}' is not destroyed: it was not made by this service", vm=name)
            return
        if vm.guest.powered_on:
            await self._switch_off(vm, name)
        try:
            await self._executor.task(f"the destruction of {name}", lambda _: vm.ref.Destroy_Task())
        except Refused as error:
            if not isinstance(error.__cause__, vmodl.fault.ManagedObjectNotFound):
                raise
        except Failed as error:
            if not isinstance(error.fault, vmodl.fault.ManagedObjectNotFound):
                raise
        if not await self._cache.until(lambda: not self._cache.has(vm.ref), UPDATE_TIMEOUT):
            raise ProviderError(f"{name} was destroyed and is still listed")

    async def _switch_off(self, vm: ListedVm, name: str) -> None:
        try:
            await self._vms.change(f"the power-off of {name}", lambda: vm.ref.PowerOffVM_Task())
        except Failed as error:
            if not isinstance(error.fault, vim.fault.InvalidPowerState | vmodl.fault.ManagedObjectNotFound):
                raise

    async def _may_destroy(self, vm: ListedVm, place: Place, name: str, pool: str) -> bool:
        """Return whether a VM was made by this service, or is foreign and in a folder whose foreign VMs are destroyed.

        If the annotation of a VM of this service was edited, its configuration still contains its name. Outside the
        watched folders, another service may have made a VM of the same name, so the pool must match too.
        """
        if not self._cache.has(vm.ref):
            stamp = vm.guest.stamp
            return stamp is not None and (stamp.name, stamp.pool) == (name, pool)
        if is_ours(vm.guest.stamp, name) or (self._foreign_too and self._cache.vm(name, place) is vm):
            return True
        name_given = await self._executor.read(f"the configuration of {name}", lambda s: operations.option(s, vm.ref))
        return name_given == name
