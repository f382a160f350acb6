"""What the Redis of a service holds, and when its pools are full."""

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

clock: Any = reactor


class Books(ABC):
    """Reads behind the back of a service, in the Redis behind ``redis_socket``."""

    redis_socket: Path | str

    @property
    def redis_settings(self) -> Redis:
        """How to reach it."""
        return Redis(socket=str(self.redis_socket))

    @abstractmethod
    def request(self, method: str, path: str) -> Any:
        """One request to the API."""

    async def redis(self, *command: str | int) -> Any:
        """The reply to one command."""
        connection = Connection(self.redis_settings, reactor, size=1, quiet=True)
        connection.start()
        try:
            await connection.wait_ready(10)
            return await connection.call(*command)
        finally:
            await connection.close()

    async def queue(self, queue: Queue, pool: str) -> set[str]:
        """The VMs that stand in a queue."""
        return set(await self.redis("SMEMBERS", keys.queue(queue, pool)))

    async def everywhere(self, pools: Iterable[str]) -> dict[str, list[Queue]]:
        """Every VM of these pools, and the queues that it stands in."""
        found: dict[str, list[Queue]] = {}
        for pool in pools:
            for queue in Queue:
                for vm in await self.queue(queue, pool):
                    found.setdefault(vm, []).append(queue)
        return found

    async def events(self) -> list[Event]:
        """All events of the stream, the oldest first."""
        entries = await self.redis("XRANGE", keys.EVENTS, "-", "+")
        found = [Event.of(id, dict(zip(flat[::2], flat[1::2], strict=True))) for id, flat in entries]
        return [event for event in found if event is not None]

    async def full(self, seconds: float = 60.0) -> None:
        """Return when every pool is at size and is given, and nothing is under way."""
        end = time.monotonic() + seconds
        while not (self._is_full(status := self.request("GET", "/status")) and await self._is_compared(status)):
            assert time.monotonic() < end, f"not full within {seconds:g} s: {status.body}"
            await deferLater(clock, 0.05)

    async def _is_compared(self, status: Any) -> bool:
        """Whether the pools were compared with their provider since Redis was started."""
        if not await self.redis("EXISTS", keys.DOUBTED):
            return True
        return {*status.body["pools"]} <= {*await self.redis("SMEMBERS", keys.VERIFIED)}

    @staticmethod
    def _is_full(status: Any) -> bool:
        if status.status != 200:
            return False
        at_size = all(pool["ready"] == pool["max"] for pool in status.body["pools"].values())
        return at_size and not any(status.body["queue"][queue] for queue in ("pending", "cloning", "completed"))
