"""The file in which a simulated hypervisor remembers its VMs, so that they outlive the process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import cattrs

from vmpooler.providers.base import ProviderError
from vmpooler.providers.dummy.vm import Vm

MARK = "simulated hypervisor of vmpooler, version"
VERSION = 1

_converter = cattrs.Converter()
"""Members that this version does not know are ignored: a newer one may have written them."""


class Memory:
    """The VMs as text, one a line of a JSON file.

    The lines are kept, so that a change costs the encoding of one VM and not of all. A file is replaced whole: a
    process that is killed at any moment leaves the old one or the new one. Only one process may use it at a time: the
    one that is told by ``ours``, asked at the last moment.
    """

    def __init__(self, path: Path, ours: Callable[[], bool] = lambda: True) -> None:
        self._path = path
        self._ours = ours
        self._lines: dict[str, str] = {}

    def read(self) -> list[Vm]:
        """The VMs remembered: none when there is no file. Raises ProviderError on a file that is not ours."""
        try:
            vms = self._decoded(self._path.read_bytes())
        except FileNotFoundError:
            vms = []
        except OSError as error:
            raise ProviderError(f"{self._path}: cannot be read: {error.strerror}") from error
        self._lines = {vm.name: _line(vm) for vm in vms}
        return vms

    def keep(self, vm: Vm) -> None:
        """Remember this VM, or what has become of it."""
        self._lines[vm.name] = _line(vm)

    def drop(self, name: str) -> None:
        """Forget a VM."""
        self._lines.pop(name, None)

    def write(self) -> bool:
        """Bring the file up to date; False while it is not ours to write. Raises ProviderError when it cannot be."""
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            draft.write_text(_file(self._lines.values()))
            if ours := self._ours():
                draft.replace(self._path)
            else:
                draft.unlink()
        except OSError as error:
            raise ProviderError(f"{self._path}: cannot be written: {error.strerror}") from error
        return ours

    def _decoded(self, content: bytes) -> list[Vm]:
        try:
            document = json.loads(content)
            if document[MARK] != VERSION:
                raise ValueError(document[MARK])
            return _converter.structure(document["vms"], list[Vm])
        except (ValueError, LookupError, TypeError, cattrs.BaseValidationError) as error:
            cure = "move it away or set another filename"
            raise ProviderError(f"{self._path}: not the VMs of a simulated hypervisor; {cure}") from error


def _line(vm: Vm) -> str:
    return json.dumps(_converter.unstructure(vm))


def _file(lines: Iterable[str]) -> str:
    return f'{{"{MARK}": {VERSION}, "vms": [\n' + ",\n".join(lines) + "\n]}\n"
