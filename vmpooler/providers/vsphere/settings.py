"""The settings of a vCenter."""

from __future__ import annotations

from typing import ClassVar

import attrs

from vmpooler.settings import ProviderSettings, setting


@attrs.frozen(kw_only=True)
class Vsphere(ProviderSettings):
    """An entry of ``providers`` of class ``vsphere``, or the section ``vsphere`` of old files."""

    kind: ClassVar[str] = "vsphere"

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

    @property
    def at(self) -> str:
        """The vCenter."""
        return self.server

    @property
    def clone_limit(self) -> int:
        """The limit of this vCenter."""
        return self.max_clones
