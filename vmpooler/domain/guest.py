"""A VM as its provider reports it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Holder:
    """Who has a VM: the second record of a checkout, beside the one in Redis.

    ``checkout_id`` is empty if it is not known: in the stamps of early versions, and for checkouts of Ruby vmpooler.
    ``since`` and ``until`` are in whole seconds since the epoch. ``until`` is None for a VM without an end; the end is
    not known either if ``since`` is None.
    """

    owner: str
    checkout_id: str = ""
    since: float | None = None
    until: float | None = None


@attrs.frozen
class Stamp:
    """The data that a provider wrote on a VM that it made, so that state can be read back from the hypervisor.

    ``pool`` is empty in a stamp of Ruby vmpooler. ``holder`` is None while no client has the VM. ``created`` is in
    seconds since the epoch.
    """

    pool: str
    name: str
    created: float
    holder: Holder | None = None


@attrs.frozen
class Guest:
    """A VM in a provider's inventory.

    ``cloning``: its clone is still in progress, from any source. ``hostname`` and ``address`` are what the guest itself
    reports, empty until it has booted. ``stamp`` is None on a VM that this service did not make. ``booted`` is when it
    was powered on, in seconds since the epoch, and ``host`` is where it runs, if the provider reports these.
    """

    name: str
    cloning: bool = False
    powered_on: bool = True
    hostname: str = ""
    address: str = ""
    stamp: Stamp | None = None
    booted: float | None = None
    host: str = ""
