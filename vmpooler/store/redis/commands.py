"""The connection interface that the modules of the store use: send a command, and run a script."""

from typing import Any, Protocol

from vmpooler.store.redis.protocol import Value
from vmpooler.store.redis.scripts import Given, Script


class Commands(Protocol):
    """A connection to Redis, or a wrapper around one. All methods raise StoreAway when Redis is unavailable."""

    async def call(self, *command: Value) -> Any:
        """Send one command and return its reply."""

    async def run(self, script: Script, /, **values: Given) -> Any:
        """Run a script with these keys and arguments, and return its result."""
