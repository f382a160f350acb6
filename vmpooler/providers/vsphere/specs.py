"""Builds the specifications of clones and disks that are sent to a vCenter. Sends no calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyVmomi import vim

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.session import Ref, Spec
from vmpooler.providers.vsphere.stamp import OPTION

RESERVED_UNIT = 7
"""The unit number that a SCSI controller itself uses."""

UNITS, BUSES = 16, 4

LINKED = "moveChildMostDiskBacking"
"""Only the newest layer of a disk is new, and the rest is shared: the clone is small and takes seconds."""


def clone(
    *, name: str, annotation: str, linked: bool, pool: Ref, host: Ref | None = None, datastore: Ref | None = None
) -> Any:
    """Return the specification of a clone with ``annotation``.

    The VM is powered on, and its guest can read its name from ``guestinfo.hostname``.
    """
    location = vim.vm.RelocateSpec(pool=pool, host=host, datastore=datastore)
    if linked:
        location.diskMoveType = LINKED
    options = [vim.option.OptionValue(key=key, value=name) for key in ("guestinfo.hostname", OPTION)]
    config = vim.vm.ConfigSpec(annotation=annotation, extraConfig=options)
    return vim.vm.CloneSpec(location=location, powerOn=True, template=False, config=config)


def add_disk(devices: Sequence[Any], folder: str, name: str, id: str, size: int) -> Any | None:
    """Return the specification that adds a thin disk of ``size`` GB; None when its file is attached already.

    The disk's file has ``id`` in its name. ``folder`` is that of the VM, such as ``[store] vm``. Raises
    ProviderError when no controller has a free unit.
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
    """Change the specification for a disk whose file exists already, and return it."""
    spec.deviceChange[-1].fileOperation = None
    return spec


def deltas(devices: Sequence[Any]) -> Any | None:
    """Return the specification that adds a layer to every disk without one; None if every disk has one.

    Linked clones then share the layers below.
    """
    changes = [change for device in devices if _is_flat(device) for change in _layered(device)]
    return vim.vm.ConfigSpec(deviceChange=changes) if changes else None


def through_view(kind: str) -> Any:
    """Return the traversal from a view to its objects."""
    return Spec.TraversalSpec(name="view", path="view", skip=False, type=getattr(vim.view, kind))


def _free_unit(devices: Sequence[Any]) -> tuple[list[Any], int, int]:
    """Return the devices to add first, if any; the key of a SCSI controller; and its first free unit."""
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
    """Yield the removal of a disk, and the addition of a layer on top of that disk."""
    store = disk.backing.fileName.partition("]")[0] + "]"
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=store, diskMode=disk.backing.diskMode or "persistent", parent=disk.backing
    )
    same = {name: getattr(disk, name) for name in ("key", "controllerKey", "unitNumber", "capacityInKB")}
    yield vim.vm.device.VirtualDeviceSpec(operation="remove", device=disk)
    layer = vim.vm.device.VirtualDisk(**same, backing=backing)
    yield vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=layer)


def _files(device: Any) -> Iterable[str]:
    """Yield the files of a disk: that of the newest layer first, then those below."""
    backing = getattr(device, "backing", None)
    while backing is not None and getattr(backing, "fileName", None):
        yield backing.fileName
        backing = getattr(backing, "parent", None)


def _stem(file: str) -> str:
    """Return the name of a disk's file without the number of a snapshot's layer."""
    return re.sub(r"(-\d{6})?\.vmdk$", "", file.rpartition("/")[2])


def _safe(id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", id)
