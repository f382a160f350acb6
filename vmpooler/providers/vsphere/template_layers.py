"""Prepares templates for linked clones: a new layer on every disk lets clones share the layers below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import attrs
from pyVmomi import vim

from vmpooler.deferreds import Slots
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import specs
from vmpooler.providers.vsphere.errors import Doubtful, Failed
from vmpooler.providers.vsphere.executor import Executor
from vmpooler.providers.vsphere.session import CHILDREN, Ref, Session, Spec


@attrs.frozen(eq=False)
class Template:
    """A template that lacks a layer; ``spec`` adds it. ``pool``: its resource pool while it is marked as a VM."""

    ref: Ref
    is_template: bool
    pool: Ref
    spec: Any


class TemplateLayers:
    """Adds the layers, to one template at a time."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lock = Slots()
        self._ready: set[Ref] = set()

    async def add(self, ref: Ref, path: str) -> bool:
        """Add the missing layers; return whether the template lacked one. Raises ProviderError."""
        async with self._lock:
            if ref in self._ready:
                return False
            lacking = await self._executor.read(f"template {path}", lambda session: _lacking(session, ref, path))
            if lacking is not None:
                try:
                    await self._add(lacking, f"the layers of template {path}")
                except Doubtful as error:  # only about the layers: the clone that follows was not ordered
                    raise ProviderError(str(error)) from error
            self._ready.add(ref)
            return lacking is not None

    async def in_folder(self, path: str) -> dict[str, Ref]:
        """Return the VMs and templates in a folder and below it, by path."""
        return await self._executor.read(f"folder {path}", lambda session: dict(_below(session, path)))

    async def _add(self, template: Template, what: str) -> None:
        if template.is_template:
            await self._unmark(template, what)
        try:
            await self._executor.task(what, lambda _: template.ref.ReconfigVM_Task(template.spec))
        finally:
            if template.is_template:
                await self._mark(template, what)

    async def _unmark(self, template: Template, what: str) -> None:
        """Mark the template as a VM. If the outcome is unknown, mark it as a template again and raise Doubtful."""
        try:
            await self._executor.do(what, lambda _: template.ref.MarkAsVirtualMachine(pool=template.pool))
        except Doubtful:
            with suppress(Failed):  # it is still a template
                await self._mark(template, what)
            raise

    async def _mark(self, template: Template, what: str) -> None:
        """Mark the VM as a template."""
        await self._executor.do(what, lambda _: template.ref.MarkAsTemplate())


def _lacking(session: Session, ref: Ref, path: str) -> Template | None:
    wanted = {
        vim.VirtualMachine: ["config.hardware.device", "config.template", "runtime.powerState"],
        vim.ComputeResource: ["resourcePool"],
    }
    up = Spec.TraversalSpec(name="up", type=vim.HostSystem, path="parent", skip=False)
    host = Spec.TraversalSpec(name="host", type=vim.VirtualMachine, path="runtime.host", skip=False, selectSet=[up])
    found = session.read([ref], wanted, [host])
    facts = found.pop(ref, {})
    spec = specs.deltas(facts.get("config.hardware.device", ()))
    if spec is None:
        return None
    if facts.get("runtime.powerState") != "poweredOff":
        raise ProviderError(f"template {path} is not switched off")
    pool = next((each["resourcePool"] for each in found.values() if "resourcePool" in each), None)
    return Template(ref, bool(facts.get("config.template")), pool, spec)


def _below(session: Session, path: str) -> Iterator[tuple[str, Ref]]:
    folder = session.find(path)
    if not isinstance(folder, vim.Folder):
        raise ProviderError(f"there is no folder {path}")
    for ref, facts in session.read([folder], {vim.ManagedEntity: ["name"]}, [CHILDREN]).items():
        if ref == folder:
            continue
        below = f"{path}/{facts['name']}"
        if isinstance(ref, vim.VirtualMachine):
            yield below, ref
        elif isinstance(ref, vim.Folder):
            yield from _below(session, below)
