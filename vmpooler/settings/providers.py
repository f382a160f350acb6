"""The section ``providers``."""

from __future__ import annotations

from typing import Any

import attrs

from vmpooler.settings.field import setting


def percentage(text: str) -> Any:
    """A field that is a share of a hundred; none by default."""
    return setting(text, 0, minimum=0, maximum=100)


@attrs.frozen(kw_only=True)
class Dummy:
    """An entry of ``providers`` of class ``dummy``: a simulated hypervisor, for trying out and for tests."""

    filename: str = setting(
        "The file that the imaginary VMs are remembered in; in memory only when empty.", "", path=True
    )
    createvm_max_time: float = setting("Seconds that a clone takes at the most.", 0, minimum=0)
    createvm_fail_percent: float = percentage("How many clones of a hundred fail.")
    bootvm_max_time: float = setting("Seconds that a guest takes to boot at the most.", 0, minimum=0)
    bootvm_fail_percent: float = percentage("How many guests of a hundred never boot.")
    vmready_fail_percent: float = percentage("How many probes of a hundred find no answer.")
    getvm_poweroff_percent: float = percentage("How many looks at a guest of a hundred find it switched off.")
    getvm_rename_percent: float = percentage("How many looks at a guest of a hundred find another host name.")
    destroyvm_max_time: float = setting("Seconds that a destruction takes at the most.", 0, minimum=0)
    destroyvm_fail_percent: float = percentage("How many destructions of a hundred fail.")
    createdisk_max_time: float = setting("Seconds that an extra disk takes at the most.", 0, minimum=0)
    createdisk_fail_percent: float = percentage("How many extra disks of a hundred fail.")
    createsnapshot_max_time: float = setting("Seconds that a snapshot takes at the most.", 0, minimum=0)
    createsnapshot_fail_percent: float = percentage("How many snapshots of a hundred fail.")
    revertsnapshot_max_time: float = setting("Seconds that a revert takes at the most.", 0, minimum=0)
    revertsnapshot_fail_percent: float = percentage("How many reverts of a hundred fail.")
    tcp_probe: bool = setting("Probe the guests' addresses over TCP for real instead of asking the simulation.", False)


@attrs.frozen(kw_only=True)
class Vsphere:
    """An entry of ``providers`` of class ``vsphere``, or the section ``vsphere`` of old files."""

    server: str = setting("The vCenter: its host name, and :port unless that is 443.", pattern=r"\S+")
    username: str = setting("Who to log in as.")
    password: str = setting("The password to log in with.", "", secret=True)
    ca_file: str = setting("The file of certificates (PEM) to trust instead of the system's.", "", path=True)
    insecure: bool = setting("Do not verify its certificate; anybody on the way can then read the password.", False)
    datacenter: str = setting("The path of the datacenter of its pools; needed where there are several.", "")
    probe: str = setting(
        "Where a guest is probed: at the address that it reports, or at its name.",
        "address",
        choices=("address", "name"),
    )
    timeout: float = setting("Seconds that an answer of the vCenter may take.", 30, minimum=2, maximum=600)
    threads: int = setting("How many calls to the vCenter may be under way at once.", 8, minimum=1, maximum=64)
    max_clones: int = setting("How many clones may be under way at this vCenter at once.", 10, minimum=1)
    max_changes: int = setting(
        "How many VMs may be switched off, given disks or stamps, saved or reverted at once.", 10, minimum=1
    )
    max_destroys: int = setting("How many VMs may be destroyed at once.", 10, minimum=1)
