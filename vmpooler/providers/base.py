"""The protocol of a provider (a place where VMs live). One set of contract tests covers every implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from vmpooler.domain.errors import VmpoolerError
from vmpooler.domain.guest import Guest, Holder
from vmpooler.settings import Pool

Listener = Callable[[str], None]
"""Called with the name of a pool whose VMs changed, on the reactor's thread."""


class ProviderError(VmpoolerError):
    """The provider could not carry out a request; the text names the object or setting at fault."""


class NoAnswer(ProviderError):
    """A guest does not answer; the text contains the reason."""


class Provider(Protocol):
    """A place where VMs live.

    Methods are asynchronous and safe to repeat, and they do not use Redis or queues. Every failure is a ProviderError.
    Cancelling a call ends only the wait for it: an operation that was ordered may continue at the provider. An instance
    serves one leadership term of a manager: after :meth:`stop` it is not used again.
    """

    async def prepare(self) -> None:
        """Prepare for a quick start, without any change at the provider: another process may be the leader.

        Raises ProviderError when the settings cannot work.
        """

    async def start(self) -> None:
        """Make the provider ready for use by this process alone.

        Safe to repeat. Raises ProviderError when the settings cannot work. A provider that is merely unreachable
        starts; its calls raise ProviderError until it is reachable again.
        """

    async def stop(self) -> None:
        """Release all resources. Operations in progress at the provider continue there."""

    def trouble(self) -> str:
        """Return why the provider cannot be used now; empty when, as far as is known, it can be used."""

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        """Return every VM in the pool's place, by name, as of a moment after the call.

        The result is never partial: the call raises when the complete list cannot be read. A clone in progress is
        included where the provider can detect it, no matter which process ordered it.
        """

    async def find(self, pool: Pool, name: str) -> Guest | None:
        """Return the VM of that name from anywhere at the provider, also from outside its pool's place, or None."""

    async def clone(self, pool: Pool, name: str) -> None:
        """Create a stamped VM and power it on. Returns when the clone is complete, not when its guest is up."""

    async def destroy(self, pool: Pool, name: str) -> None:
        """Destroy a VM, whatever its state. A VM that is already gone counts as destroyed."""

    async def power_on(self, pool: Pool, name: str) -> None:
        """Power a VM on.

        Returns when the VM is on; its guest may need much longer to boot. A VM that is already on counts as done.
        Raises when no VM of this service has that name, and with the provider's reason when the VM stays off.
        """

    async def probe(self, pool: Pool, guest: Guest) -> None:
        """Return when the guest answers on the pool's ``probe_port``.

        Raises NoAnswer when it does not answer within 5 s.
        """

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        """Write the holder of a VM on the VM; None means no holder.

        Returns when the inventory shows the new holder. Raises on a VM without a stamp of this service.
        """

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        """Attach an extra disk of ``size`` GB. A disk with the same ``id`` that exists already counts as attached."""

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take a snapshot. A snapshot of that name that exists already counts as taken."""

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        """Revert the VM to a snapshot. Raises when no snapshot has that name."""

    def changes(self, listener: Listener) -> None:
        """Call ``listener`` whenever a VM of a pool appears, disappears, boots or changes.

        It is also called when a clone that was ordered through this provider ends, whether it succeeded or failed.
        """
