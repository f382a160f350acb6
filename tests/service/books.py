"""Reads the Redis of a service directly, and waits until its pools are full."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from vmpooler.domain.events import Event
from vmpooler.domain.model import Queue
from vmpooler.settings import Redis
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.store.stored import paired

clock: Any = reactor


class Books(ABC):
    """Reads the Redis behind ``redis_socket`` directly, without the API of the service."""

    redis_socket: Path | str

    @property
    def redis_settings(self) -> Redis:
        """The settings that connect to this Redis."""
        return Redis(socket=str(self.redis_socket))

    @abstractmethod
    def request(self, method: str, path: str) -> Any:
        """Send one request to the API, and return the response."""

    async def redis(self, *command: str | int) -> Any:
        """Send one command to Redis over a new connection, and return the reply."""
        connection = Connection(self.redis_settings, reactor, size=1, quiet=True)
        connection.start()
        try:
            await connection.wait_ready(10)
            return await connection.call(*command)
        finally:
            await connection.close()

    async def queue(self, queue: Queue, pool: str) -> set[str]:
        """Return the VMs in a queue."""
        return set(await self.redis("SMEMBERS", keys.queue(queue, pool)))

    async def everywhere(self, pools: Iterable[str]) -> dict[str, list[Queue]]:
        """Return every VM of these pools, with the queues that contain it."""
        found: dict[str, list[Queue]] = {}
        for pool in pools:
            for queue in Queue:
                for vm in await self.queue(queue, pool):
                    found.setdefault(vm, []).append(queue)
        return found

    async def events(self) -> list[Event]:
        """Return all events of the stream, oldest first."""
        entries = await self.redis("XRANGE", keys.EVENTS, "-", "+")
        found = [Event.of(id, paired(flat)) for id, flat in entries]
        return [event for event in found if event is not None]

    async def full(self, seconds: float = 60.0) -> None:
        """Return when every pool is full and gives VMs, and no VM is pending, cloning or completed.

        Raises AssertionError after ``seconds``.
        """
        end = time.monotonic() + seconds
        while not (self._is_full(status := self.request("GET", "/status")) and await self._is_compared(status)):
            assert time.monotonic() < end, f"not full within {seconds:g} s: {status.body}"
            await deferLater(clock, 0.05)

    async def _is_compared(self, status: Any) -> bool:
        """Return whether Redis is not marked as one that may lack writes, or all pools were verified since the mark."""
        if not await self.redis("EXISTS", keys.DOUBTED):
            return True
        return {*status.body["pools"]} <= {*await self.redis("SMEMBERS", keys.VERIFIED)}

    @staticmethod
    def _is_full(status: Any) -> bool:
        if status.status != 200:
            return False
        at_size = all(pool["ready"] == pool["max"] for pool in status.body["pools"].values())
        return at_size and not any(status.body["queue"][queue] for queue in ("pending", "cloning", "completed"))
