"""The file in which a simulated hypervisor stores its VMs, so that they survive the process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import cattrs

from vmpooler.providers.base import ProviderError
from vmpooler.providers.dummy.vm import SimulatedVm

MARK = "simulated hypervisor of vmpooler, version"
VERSION = 1

_converter = cattrs.Converter()
"""Ignores members that this version does not know: a newer version may have written them."""


class SavedState:
    """The VMs as text: a JSON file with one VM per line.

    The encoded lines are cached, so that a change costs the encoding of one VM and not of all. The file is replaced as
    a whole: if the process is killed at any moment, the file is either the old one or the new one. Only one process may
    use the file at a time: the one for which ``may_write`` returns True. ``may_write`` is called immediately before the
    replacement.
    """

    def __init__(self, path: Path, may_write: Callable[[], bool] = lambda: True) -> None:
        self._path = path
        self._may_write = may_write
        self._lines: dict[str, str] = {}

    def read(self) -> list[SimulatedVm]:
        """Return the stored VMs, or none when the file does not exist.

        Raises ProviderError when the file cannot be read or is not a file of this simulator.
        """
        try:
            vms = self._decoded(self._path.read_bytes())
        except FileNotFoundError:
            vms = []
        except OSError as error:
            raise ProviderError(f"{self._path}: cannot be read: {error.strerror}") from error
        self._lines = {vm.name: _line(vm) for vm in vms}
        return vms

    def keep(self, vm: SimulatedVm) -> None:
        """Add this VM or replace its line; :meth:`write` writes the file."""
        self._lines[vm.name] = _line(vm)

    def drop(self, name: str) -> None:
        """Remove a VM; :meth:`write` writes the file."""
        self._lines.pop(name, None)

    def write(self) -> bool:
        """Write the file; return False if ``may_write`` returns False. Raises ProviderError if it cannot be written."""
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            draft.write_text(_file(self._lines.values()))
            if may_write := self._may_write():
                draft.replace(self._path)
            else:
                draft.unlink()
        except OSError as error:
            raise ProviderError(f"{self._path}: cannot be written: {error.strerror}") from error
        return may_write

    def _decoded(self, content: bytes) -> list[SimulatedVm]:
        try:
            document = json.loads(content)
            if document[MARK] != VERSION:
                raise ValueError(document[MARK])
            return _converter.structure(document["vms"], list[SimulatedVm])
        except (ValueError, LookupError, TypeError, cattrs.BaseValidationError) as error:
            cure = "move it away or set another filename"
            raise ProviderError(f"{self._path}: not the VMs of a simulated hypervisor; {cure}") from error


def _line(vm: SimulatedVm) -> str:
    return json.dumps(_converter.unstructure(vm))


def _file(lines: Iterable[str]) -> str:
    return f'{{"{MARK}": {VERSION}, "vms": [\n' + ",\n".join(lines) + "\n]}\n"
