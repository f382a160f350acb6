"""A VM as its provider sees it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Stamp:
    """What a provider wrote on a VM that it made, so that state can be read back from the hypervisor.

    ``pool`` is empty in a stamp of the original's, ``owner`` until the VM is checked out. ``created`` is in seconds
    since the epoch.
    """

    pool: str
    name: str
    created: float
    owner: str = ""


@attrs.frozen
class Guest:
    """A VM in a provider's inventory.

    ``cloning``: its clone is still under way, whoever ordered it. ``hostname`` and ``address`` are what the guest
    itself reports, empty until it has booted. ``stamp`` is None on a VM that this service did not make. ``booted``:
    when it was switched on, in seconds since the epoch, and ``host``: what it runs on, where the provider tells.
    """

    name: str
    cloning: bool = False
    powered_on: bool = True
    hostname: str = ""
    address: str = ""
    stamp: Stamp | None = None
    booted: float | None = None
    host: str = ""
