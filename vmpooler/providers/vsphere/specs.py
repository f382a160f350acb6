"""What is sent to a vCenter: the specifications of clones and disks. They talk to nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyVmomi import vim

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.session import Ref, Spec
from vmpooler.providers.vsphere.stamp import OPTION

RESERVED_UNIT = 7
"""The unit number of a SCSI controller itself."""

UNITS, BUSES = 16, 4

LINKED = "moveChildMostDiskBacking"
"""Only the newest layer of the template's disks is new, the rest is shared: made in seconds, and small."""


def clone(
    *, name: str, annotation: str, linked: bool, pool: Ref, host: Ref | None = None, datastore: Ref | None = None
) -> Any:
    """A clone that bears ``annotation``, tells its guest its name, and is switched on."""
    location = vim.vm.RelocateSpec(pool=pool, host=host, datastore=datastore)
    if linked:
        location.diskMoveType = LINKED
    options = [vim.option.OptionValue(key=key, value=name) for key in ("guestinfo.hostname", OPTION)]
    config = vim.vm.ConfigSpec(annotation=annotation, extraConfig=options)
    return vim.vm.CloneSpec(location=location, powerOn=True, template=False, config=config)


def add_disk(devices: Sequence[Any], folder: str, name: str, id: str, size: int) -> Any | None:
    """One more thin disk of ``size`` GB in a file that has ``id`` in its name; None when it is there already.

    ``folder`` is that of the VM, such as ``[store] vm``. Raises ProviderError when no controller has a free unit.
    """
    file = f"{folder}/{name}-{_safe(id)}-extra.vmdk"
    if any(_stem(file) == _stem(each) for device in devices for each in _files(device)):
        return None
    changes, controller, unit = _free_unit(devices)
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=file, diskMode="persistent", thinProvisioned=True)
    disk = vim.vm.device.VirtualDisk(
        key=-1, controllerKey=controller, unitNumber=unit, capacityInKB=size * 1024**2, backing=backing
    )
    added = vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=disk)
    return vim.vm.ConfigSpec(deviceChange=[*changes, added])


def attached(spec: Any) -> Any:
    """The same, for a disk whose file is there already."""
    spec.deviceChange[-1].fileOperation = None
    return spec


def deltas(devices: Sequence[Any]) -> Any | None:
    """A layer on top of every disk that has none, so that linked clones share what is below; None if all have one."""
    changes = [change for device in devices if _is_flat(device) for change in _layered(device)]
    return vim.vm.ConfigSpec(deviceChange=changes) if changes else None


def through_view(kind: str) -> Any:
    """From a view to what it shows."""
    return Spec.TraversalSpec(name="view", path="view", skip=False, type=getattr(vim.view, kind))


def _free_unit(devices: Sequence[Any]) -> tuple[list[Any], int, int]:
    """What must be added first, if anything; the key of a SCSI controller and its first free unit."""
    controllers = [each for each in devices if isinstance(each, vim.vm.device.VirtualSCSIController)]
    for controller in controllers:
        taken = {RESERVED_UNIT, *(each.unitNumber for each in devices if each.controllerKey == controller.key)}
        if free := [unit for unit in range(UNITS) if unit not in taken]:
            return [], controller.key, free[0]
    buses = {each.busNumber for each in controllers}
    bus = next((bus for bus in range(BUSES) if bus not in buses), None)
    if bus is None:
        raise ProviderError("none of its controllers has room for another disk")
    kind = type(controllers[0]) if controllers else vim.vm.device.ParaVirtualSCSIController
    controller = kind(key=-101, busNumber=bus, sharedBus="noSharing")
    return [vim.vm.device.VirtualDeviceSpec(operation="add", device=controller)], -101, 0


def _is_flat(device: Any) -> bool:
    return isinstance(device, vim.vm.device.VirtualDisk) and getattr(device.backing, "parent", None) is None


def _layered(disk: Any) -> Iterator[Any]:
    """A disk taken out, and put back on top of itself."""
    store = disk.backing.fileName.partition("]")[0] + "]"
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=store, diskMode=disk.backing.diskMode or "persistent", parent=disk.backing
    )
    same = {name: getattr(disk, name) for name in ("key", "controllerKey", "unitNumber", "capacityInKB")}
    yield vim.vm.device.VirtualDeviceSpec(operation="remove", device=disk)
    layer = vim.vm.device.VirtualDisk(**same, backing=backing)
    yield vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=layer)


def _files(device: Any) -> Iterable[str]:
    """The files of a disk: the newest layer's and those below."""
    backing = getattr(device, "backing", None)
    while backing is not None and getattr(backing, "fileName", None):
        yield backing.fileName
        backing = getattr(backing, "parent", None)


def _stem(file: str) -> str:
    """A disk's file without the number of a snapshot's layer."""
    return re.sub(r"(-\d{6})?\.vmdk$", "", file.rpartition("/")[2])


def _safe(id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", id)
