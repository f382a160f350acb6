"""What the rooms of the store need of a connection: to send a command, and to run a script."""

from collections.abc import Sequence
from typing import Any, Protocol

from vmpooler.store.scripts import Script
from vmpooler.store.wire import Value


class Commands(Protocol):
    """A connection to Redis, or what stands before one. Everything raises StoreAway when Redis is."""

    async def call(self, *command: Value) -> Any:
        """The reply to one command."""

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Value], /) -> Any:
        """What the script returns."""
