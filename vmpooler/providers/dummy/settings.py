"""The settings of the simulated hypervisor."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from vmpooler.settings import ProviderSettings, setting


def percentage(text: str) -> Any:
    """A field that is a share of a hundred; none by default."""
    return setting(text, 0, minimum=0, maximum=100)


@attrs.frozen(kw_only=True)
class Dummy(ProviderSettings):
    """An entry of ``providers`` of class ``dummy``: a simulated hypervisor, for trying out and for tests."""

    kind: ClassVar[str] = "dummy"
    by_folder: ClassVar[bool] = False

    filename: str = setting(
        "The file that the imaginary VMs are remembered in; in memory only when empty.", "", path=True
    )
    createvm_max_time: float = setting("Seconds that a clone takes at the most.", 0, minimum=0)
    createvm_fail_percent: float = percentage("How many clones of a hundred fail.")
    bootvm_max_time: float = setting("Seconds that a guest takes to boot at the most.", 0, minimum=0)
    bootvm_fail_percent: float = percentage("How many guests of a hundred never boot.")
    vmready_fail_percent: float = percentage("How many probes of a hundred find no answer.")
    getvm_poweroff_percent: float = percentage("Percent of booted VMs that a read of the inventory powers off.")
    getvm_rename_percent: float = percentage("Percent of booted VMs that a read of the inventory gives another name.")
    destroyvm_max_time: float = setting("Seconds that a destruction takes at the most.", 0, minimum=0)
    destroyvm_fail_percent: float = percentage("How many destructions of a hundred fail.")
    createdisk_max_time: float = setting("Seconds that an extra disk takes at the most.", 0, minimum=0)
    createdisk_fail_percent: float = percentage("How many extra disks of a hundred fail.")
    createsnapshot_max_time: float = setting("Seconds that a snapshot takes at the most.", 0, minimum=0)
    createsnapshot_fail_percent: float = percentage("How many snapshots of a hundred fail.")
    revertsnapshot_max_time: float = setting("Seconds that a revert takes at the most.", 0, minimum=0)
    revertsnapshot_fail_percent: float = percentage("How many reverts of a hundred fail.")
    tcp_probe: bool = setting("Probe the guests' addresses over TCP for real instead of asking the simulation.", False)

    @property
    def at(self) -> str:
        """The file."""
        return self.filename
