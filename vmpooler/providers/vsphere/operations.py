"""What is done to one VM with calls that block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyVmomi import vim

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import specs
from vmpooler.providers.vsphere.news import VM_PROPERTIES, Vm, vm_of
from vmpooler.providers.vsphere.session import Ref, Session
from vmpooler.providers.vsphere.stamp import OPTION


def seek(session: Session, name: str) -> Vm | None:
    """The VM of that name anywhere at the vCenter, or None. Two calls and two more, the second for all VMs' names."""
    manager = session.content.viewManager
    view = manager.CreateContainerView(session.content.rootFolder, [vim.VirtualMachine], True)
    try:
        through = specs.through_view("ContainerView")
        found = session.read([view], {vim.VirtualMachine: ["name"]}, [through])
    finally:
        view.DestroyView()
    for ref, facts in found.items():
        if facts.get("name") == name:
            return look(session, ref)
    return None


def look(session: Session, vm: Ref) -> Vm | None:
    """A VM as it is now."""
    facts = session.read([vm], {vim.VirtualMachine: VM_PROPERTIES}).get(vm, {})
    return vm_of(vm, facts, session.host_name)


def option(session: Session, vm: Ref) -> str:
    """The name that this service gave a VM, as its configuration has it; empty for a foreign one."""
    facts = session.read([vm], {vim.VirtualMachine: ["config.extraConfig"]}).get(vm, {})
    return next((str(each.value) for each in facts.get("config.extraConfig", ()) if each.key == OPTION), "")


def host(session: Session, vm: Ref) -> Ref | None:
    """The host that a VM is on."""
    found: Ref | None = session.read([vm], {vim.VirtualMachine: ["runtime.host"]}).get(vm, {}).get("runtime.host")
    return found


def disk_spec(session: Session, vm: Ref, name: str, id: str, size: int) -> Any | None:
    """What adds a disk, or None when it is there."""
    facts = session.read([vm], {vim.VirtualMachine: ["config.hardware.device", "config.files.vmPathName"]}).get(vm, {})
    if "config.files.vmPathName" not in facts:
        raise ProviderError(f"the configuration of {name} cannot be read")
    folder = facts["config.files.vmPathName"].rpartition("/")[0]
    return specs.add_disk(facts.get("config.hardware.device", ()), folder, name, id, size)


def snapshot(session: Session, vm: Ref, name: str) -> Ref | None:
    """A VM's snapshot of that name, wherever it is in the tree; the last of several."""
    facts = session.read([vm], {vim.VirtualMachine: ["snapshot"]}).get(vm, {})
    tree = facts.get("snapshot")
    return _in_tree(tree.rootSnapshotList if tree else (), name)


def _in_tree(trees: Iterable[Any], name: str) -> Ref | None:
    found = None
    for tree in trees:
        if tree.name == name:
            found = tree.snapshot
        found = _in_tree(tree.childSnapshotList or (), name) or found
    return found
