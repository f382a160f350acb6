"""The connection interface that the modules of the store use: send a command, and run a script."""

from collections.abc import Sequence
from typing import Any, Protocol

from vmpooler.store.redis.protocol import Value
from vmpooler.store.redis.scripts import Script


class Commands(Protocol):
    """A connection to Redis, or a wrapper around one. All methods raise StoreAway when Redis is unavailable."""

    async def call(self, *command: Value) -> Any:
        """Send one command and return its reply."""

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Value], /) -> Any:
        """Run a script and return its result."""
