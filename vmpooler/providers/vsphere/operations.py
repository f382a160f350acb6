"""Blocking calls that read one VM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyVmomi import vim

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import specs
from vmpooler.providers.vsphere.messages import VM_PROPERTIES, ListedVm, vm_of
from vmpooler.providers.vsphere.session import Ref, Session
from vmpooler.providers.vsphere.stamp import OPTION


def search(session: Session, name: str) -> ListedVm | None:
    """Return the VM of that name from anywhere at the vCenter, or None.

    Sends three calls, and a fourth if the VM is found; the second call reads the names of all VMs.
    """
    manager = session.content.viewManager
    view = manager.CreateContainerView(session.content.rootFolder, [vim.VirtualMachine], True)
    try:
        through = specs.through_view("ContainerView")
        found = session.read([view], {vim.VirtualMachine: ["name"]}, [through])
    finally:
        view.DestroyView()
    for ref, facts in found.items():
        if facts.get("name") == name:
            return read_vm(session, ref)
    return None


def read_vm(session: Session, vm: Ref) -> ListedVm | None:
    """Return a VM as it is now."""
    facts = session.read([vm], {vim.VirtualMachine: VM_PROPERTIES}).get(vm, {})
    return vm_of(vm, facts, session.host_name)


def option(session: Session, vm: Ref) -> str:
    """Return the name that this service gave a VM, from the VM's configuration; empty for a foreign VM."""
    facts = session.read([vm], {vim.VirtualMachine: ["config.extraConfig"]}).get(vm, {})
    return next((str(each.value) for each in facts.get("config.extraConfig", ()) if each.key == OPTION), "")


def host(session: Session, vm: Ref) -> Ref | None:
    """Return the host on which a VM is."""
    found: Ref | None = session.read([vm], {vim.VirtualMachine: ["runtime.host"]}).get(vm, {}).get("runtime.host")
    return found


def disk_spec(session: Session, vm: Ref, name: str, id: str, size: int) -> Any | None:
    """Return the specification that adds a disk, or None when the disk exists. Raises ProviderError."""
    facts = session.read([vm], {vim.VirtualMachine: ["config.hardware.device", "config.files.vmPathName"]}).get(vm, {})
    if "config.files.vmPathName" not in facts:
        raise ProviderError(f"the configuration of {name} cannot be read")
    folder = facts["config.files.vmPathName"].rpartition("/")[0]
    return specs.add_disk(facts.get("config.hardware.device", ()), folder, name, id, size)


def snapshot(session: Session, vm: Ref, name: str) -> Ref | None:
    """Return a VM's snapshot of that name, from anywhere in the tree; the last one if several have that name."""
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
