"""What the service asks of a place where VMs live: one protocol, one set of contract tests for all who serve it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from vmpooler.domain.errors import VmpoolerError
from vmpooler.domain.guest import Guest, Holder
from vmpooler.settings import Pool

Listener = Callable[[str], None]
"""Called with the name of a pool whose VMs changed, on the reactor's thread."""


class ProviderError(VmpoolerError):
    """The provider could not do what was asked; the text says which object or setting is at fault."""


class NoAnswer(ProviderError):
    """A guest does not answer; the text says how."""


class Provider(Protocol):
    """A place where VMs live.

    Methods are asynchronous, safe to repeat, and know nothing of Redis or queues. Every failure is a ProviderError.
    To cancel a call ends the wait for it; what was ordered may go on at the provider. Made for one manager's term: once
    stopped it is not used again.
    """

    async def prepare(self) -> None:
        """Be able to start quickly, and touch nothing: another process may give the orders. Raises ProviderError when
        the settings cannot work."""

    async def start(self) -> None:
        """Make ready for use, by this process alone; safe to repeat. Raises ProviderError when the settings cannot
        work; a provider that is merely out of reach starts, and answers with ProviderError until it is back."""

    async def stop(self) -> None:
        """Let go of everything. Work under way at the provider goes on there."""

    def trouble(self) -> str:
        """Why it cannot be used now; empty when it can, as far as is known."""

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        """Every VM of the pool's place, by name, as of a moment after the call. Never a part: what cannot be listed
        whole raises. A clone under way is listed where the provider can tell, whoever ordered it."""

    async def find(self, pool: Pool, name: str) -> Guest | None:
        """The VM of that name anywhere at the provider, also outside its pool's place."""

    async def clone(self, pool: Pool, name: str) -> None:
        """Make a VM, stamped, and switch it on; fires when the clone is done, not when its guest is up."""

    async def destroy(self, pool: Pool, name: str) -> None:
        """Unmake a VM whatever it is doing. One that is already gone counts as destroyed."""

    async def power_on(self, pool: Pool, name: str) -> None:
        """Switch a VM on; returns when it is on, which its guest may not be for long. One that is on counts as done.
        Raises when there is no VM of ours of that name, and with the provider's reason when it stays off."""

    async def probe(self, pool: Pool, guest: Guest) -> None:
        """Return when the guest answers on the pool's ``probe_port``; raise NoAnswer when it does not, in 5 s."""

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        """Write on the VM who has it, None for nobody; done when the inventory shows it. Raises on a VM without our
        stamp."""

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        """Attach one more disk of ``size`` GB. That of the same ``id`` which is already there counts as attached."""

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take a snapshot. One of that name that is already there counts as taken."""

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take the VM back to a snapshot; raises when there is none of that name."""

    def changes(self, listener: Listener) -> None:
        """Have ``listener`` called whenever a VM of a pool appeared, went, booted or changed; a clone that was ordered
        here, when it has ended, well or not."""
