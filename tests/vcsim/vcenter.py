"""The actions and views of an administrator of the simulated vCenter, as blocking calls."""

import ssl
from typing import Any

from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

from tests.vcsim.simulator import PASSWORD, USER, Simulator

VERSION = "vim.version.version11"


class Vcenter:
    """A separate connection for the administrator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        context = ssl._create_unverified_context() if simulator.tls else None  # noqa: S323 - the simulator runs on this machine
        port = simulator.port if simulator.tls else -simulator.port
        self._stub = SoapStubAdapter(
            host=simulator.host, port=port, version=VERSION, sslContext=context, httpConnectionTimeout=20
        )
        self.content: Any = vim.ServiceInstance("ServiceInstance", self._stub).RetrieveContent()
        manager: Any = self.content.sessionManager
        manager.Login(USER, PASSWORD, None)

    def close(self) -> None:
        """Close all connections."""
        self._stub.DropConnections()

    def prepare(self, template: str, *folders: str) -> None:
        """Turn the only existing VM into the template of that path, and create these folders."""
        folder, _, name = template.rpartition("/")
        (vm,) = self.vms("")
        self.ask(vm.PowerOffVM_Task())
        self.ask(self.folder(folder).MoveIntoFolder_Task([vm]))
        self.ask(vm.Rename_Task(name))
        for each in folders:
            self.folder(each)

    def folder(self, path: str) -> Any:
        """Return the folder of VMs with that path. It is created if it does not exist."""
        place = self.find("")
        for part in filter(None, path.split("/")):
            place = self.content.searchIndex.FindChild(place, part) or place.CreateFolder(part)
        return place

    def find(self, path: str) -> Any:
        """Return the VM or folder with that path, or None."""
        return self.content.searchIndex.FindByInventoryPath(f"DC0/vm/{path}".rstrip("/"))

    def vms(self, path: str) -> list[Any]:
        """Return the VMs in a folder."""
        return [each for each in self._children(path) if isinstance(each, vim.VirtualMachine)]

    def names(self, path: str) -> list[str]:
        """Return the names of the VMs in a folder, sorted."""
        return sorted(name for each, name in self._children(path).items() if isinstance(each, vim.VirtualMachine))

    def make(self, template: str, folder: str, name: str, annotation: str = "") -> Any:
        """Create a VM that the service did not order, switched on, and return it."""
        (pool,) = (self.content.searchIndex.FindByInventoryPath("DC0/host/DC0_C0/Resources"),)
        config = vim.vm.ConfigSpec(annotation=annotation) if annotation else None
        spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(pool=pool), powerOn=True, template=False, config=config)
        return self.ask(self.find(template).CloneVM_Task(folder=self.find(folder), name=name, spec=spec))

    def destroy(self, path: str) -> None:
        """Switch a VM off and destroy it."""
        vm = self.find(path)
        self.ask(vm.PowerOffVM_Task())
        self.ask(vm.Destroy_Task())

    def switch_off(self, path: str) -> None:
        """Switch a VM off."""
        self.ask(self.find(path).PowerOffVM_Task())

    def disks(self, path: str) -> list[int]:
        """Return the sizes in GB of the disks of a VM, without the first."""
        devices = self.find(path).config.hardware.device
        sizes = [each.capacityInKB for each in devices if isinstance(each, vim.vm.device.VirtualDisk)]
        return [size // 1024**2 for size in sizes[1:]]

    def end_sessions(self) -> None:
        """End every session except this one."""
        manager = self.content.sessionManager
        for session in manager.sessionList:
            try:
                manager.TerminateSession([session.key])
            except vmodl.MethodFault:
                continue  # this connection's session

    def ask(self, task: Any) -> Any:
        """Wait for a task and return its result. Raises the error with which it failed."""
        collector: Any = self.content.propertyCollector
        spec = vmodl.query.PropertyCollector
        wanted = spec.FilterSpec(
            objectSet=[spec.ObjectSpec(obj=task)],
            propSet=[spec.PropertySpec(type=vim.Task, pathSet=["info.state", "info.error", "info.result"])],
        )
        while True:
            (found,) = collector.RetrievePropertiesEx([wanted], spec.RetrieveOptions()).objects
            facts = {each.name: each.val for each in found.propSet}
            if facts["info.state"] == "error":
                raise facts["info.error"]
            if facts["info.state"] == "success":
                return facts.get("info.result")

    def _children(self, path: str) -> dict[Any, str]:
        """Return the objects in a folder with their names, read in one call."""
        spec = vmodl.query.PropertyCollector
        through = spec.TraversalSpec(name="child", path="childEntity", skip=False, type=vim.Folder)
        wanted = spec.FilterSpec(
            objectSet=[spec.ObjectSpec(obj=self.find(path), skip=True, selectSet=[through])],
            propSet=[spec.PropertySpec(type=vim.ManagedEntity, pathSet=["name"])],
        )
        collector: Any = self.content.propertyCollector
        found = collector.RetrievePropertiesEx([wanted], spec.RetrieveOptions())
        return {each.obj: each.propSet[0].val for each in found.objects if each.propSet} if found else {}
