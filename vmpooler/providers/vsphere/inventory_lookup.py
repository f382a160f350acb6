"""Looks up at a vCenter the objects that the settings name. Functions with a session block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from pyVmomi import vim

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.session import Ref, Session, Spec

Place = tuple[str, str]
"""A folder of VMs: the name of its datacenter (empty if the vCenter has only one), and its path below that."""

LOAD_PER_VM = 0.02
"""The share of a host that is added for each VM placed on it after its load was read."""


@attrs.frozen
class Load:
    """The shares of a host's CPU and memory that are in use, 0 to 1."""

    cpu: float
    memory: float

    @property
    def most(self) -> float:
        """The larger share: the resource that is exhausted first."""
        return max(self.cpu, self.memory)


@attrs.frozen
class Host:
    """A host. ``healthy``: its status is green, it is connected, and it is not in maintenance."""

    name: str
    ref: Any
    healthy: bool
    load: Load


@attrs.frozen(eq=False)
class Cluster:
    """A compute resource: its name, the resource pool of its VMs, and its hosts."""

    name: str
    pool: Ref
    hosts: tuple[Host, ...]

    def choose(self, placed: Mapping[str, int], limit: float) -> Host:
        """Return the least used healthy host.

        ``placed``: the number of VMs ordered on each host since its load was read. ``limit``: the share of CPU or
        memory, 0 to 1, from which a host gets no more VMs; 0 means no limit. Raises ProviderError.
        """
        healthy = [host for host in self.hosts if host.healthy]
        if not healthy:
            count = len(self.hosts)
            raise ProviderError(f"none of the {count} hosts of cluster {self.name} is green and out of maintenance")
        free = [host for host in healthy if not limit or _use(host, placed) < limit]
        if not free:
            raise ProviderError(f"all hosts of cluster {self.name} are used above utilization_limit, {limit:.0%}")
        return min(free, key=lambda host: (_use(host, placed), host.name))


def _use(host: Host, placed: Mapping[str, int]) -> float:
    return host.load.most + LOAD_PER_VM * placed.get(host.name, 0)


@attrs.frozen(eq=False)
class Survey:
    """The clusters and datastores of a datacenter, as of one moment."""

    clusters: tuple[Cluster, ...]
    datastores: dict[str, Ref]

    def cluster(self, name: str) -> Cluster:
        """Return the cluster of that name. Raises ProviderError."""
        for each in self.clusters:
            if each.name == name:
                return each
        raise ProviderError(f"there is no cluster {name}: check clone_target")

    def datastore(self, name: str) -> Ref:
        """Return the datastore of that name. Raises ProviderError."""
        if name not in self.datastores:
            raise ProviderError(f"there is no datastore {name}: check datastore")
        return self.datastores[name]


@attrs.frozen(eq=False)
class TemplateSource:
    """A template, and where its clones are created if the settings name no other place."""

    ref: Ref
    pool: Ref | None
    host: Ref | None


def datacenter(session: Session, name: str) -> str:
    """Return the path of a datacenter: ``name``, or that of the only one. Raises ProviderError."""
    if name:
        return name.strip("/")
    if len(session.datacenters) != 1:
        names = ", ".join(session.datacenters) or "(none)"
        raise ProviderError(f"the vCenter has the datacenters {names}: set datacenter")
    return session.datacenters[0]


def folder_path(session: Session, place: Place) -> str:
    """Return the inventory path of a folder of VMs. Raises ProviderError."""
    name, folder = place
    return f"{datacenter(session, name)}/vm/{folder.strip('/')}".rstrip("/")


def make_folder(session: Session, path: str) -> None:
    """Create the folder of that path and its missing parents. Raises ProviderError."""
    known, missing = path, []
    while (place := session.find(known)) is None:
        known, _, name = known.rpartition("/")
        if not name:
            raise ProviderError(f"there is no datacenter for {path}: check datacenter")
        missing.append(name)
    for name in reversed(missing):
        try:
            place = place.CreateFolder(name)
        except vim.fault.DuplicateName:
            place = session.content.searchIndex.FindChild(place, name)
            if place is None:
                raise ProviderError(f"{name}, a part of {path}, is there and the account may not see it") from None


def source(session: Session, path: str) -> TemplateSource:
    """Return the template with that path. Raises ProviderError."""
    ref = session.find(path)
    if not isinstance(ref, vim.VirtualMachine):
        raise ProviderError(f"there is no template {path}, or the account may not see it: check template")
    facts = session.read([ref], {vim.VirtualMachine: ["resourcePool", "runtime.host"]}).get(ref, {})
    return TemplateSource(ref, facts.get("resourcePool"), facts.get("runtime.host"))


def survey(session: Session, path: str) -> Survey:
    """Return the clusters and datastores of the datacenter with that path.

    Sends one call to find the datacenter and one to read it. Raises ProviderError.
    """
    ref = session.find(path)
    if ref is None:
        raise ProviderError(f"there is no datacenter {path}: check datacenter")
    wanted = {
        vim.Datastore: ["name"],
        vim.ComputeResource: ["name", "resourcePool"],
        vim.HostSystem: [
            "name",
            "parent",
            "overallStatus",
            "runtime.inMaintenanceMode",
            "runtime.connectionState",
            "summary.quickStats.overallCpuUsage",
            "summary.quickStats.overallMemoryUsage",
            "summary.hardware.cpuMhz",
            "summary.hardware.numCpuCores",
            "summary.hardware.memorySize",
        ],
    }
    found = session.read([ref], wanted, list(_down()))
    hosts: dict[Ref, list[Host]] = {}
    clusters, stores = [], {}
    for each, facts in found.items():
        if isinstance(each, vim.HostSystem):
            hosts.setdefault(facts.get("parent"), []).append(_host(each, facts))
    for each, facts in found.items():
        if isinstance(each, vim.Datastore):
            stores[facts["name"]] = each
        elif isinstance(each, vim.ComputeResource):
            clusters.append(Cluster(facts["name"], facts.get("resourcePool"), tuple(hosts.get(each, ()))))
    return Survey(tuple(clusters), stores)


def _down() -> Iterator[Any]:
    """Yield the traversals from a datacenter to its datastores, and through its folders to clusters and hosts."""
    again = Spec.SelectionSpec(name="folders")
    hosts = Spec.TraversalSpec(name="hosts", type=vim.ComputeResource, path="host", skip=False)
    yield Spec.TraversalSpec(name="datastores", type=vim.Datacenter, path="datastore", skip=False)
    folders = Spec.TraversalSpec(name="folders", type=vim.Folder, path="childEntity", skip=False)
    folders.selectSet = [again, hosts]
    yield Spec.TraversalSpec(name="top", type=vim.Datacenter, path="hostFolder", skip=False, selectSet=[folders, hosts])


def _host(ref: Ref, facts: dict[str, Any]) -> Host:
    mhz = facts.get("summary.hardware.cpuMhz", 0) * facts.get("summary.hardware.numCpuCores", 0)
    memory = facts.get("summary.hardware.memorySize", 0) / 1024**2
    return Host(
        name=facts.get("name", ""),
        ref=ref,
        healthy=facts.get("overallStatus") == "green"
        and not facts.get("runtime.inMaintenanceMode")
        and facts.get("runtime.connectionState", "connected") == "connected",
        load=Load(
            cpu=facts.get("summary.quickStats.overallCpuUsage", 0) / mhz if mhz else 0.0,
            memory=facts.get("summary.quickStats.overallMemoryUsage", 0) / memory if memory else 0.0,
        ),
    )
