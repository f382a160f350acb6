"""Reads Redis from outside, blocking, over a socket that only a kill or a stop of Redis affects."""

import socket
from collections.abc import Iterator
from typing import Any

import hiredis

from vmpooler.domain.events import Event
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.stored import paired

MOMENT = """
local found = {}
for _, key in ipairs(KEYS) do found[#found + 1] = redis.call('SMEMBERS', key) end
local last = redis.call('XREVRANGE', ARGV[1], '+', '-', 'COUNT', 1)
return {found, redis.call('HKEYS', ARGV[2]), redis.call('GET', ARGV[3]) or '0', last[1] and last[1][1] or '0-0',
        redis.call('SMEMBERS', ARGV[4])}
"""
"""Reads the state of all pools at one moment. It returns the members of every queue, the clones in flight, their
number, the last event, and the pools whose VMs were compared with the vCenter since this Redis started."""

PAGE = 5000


class RedisReader:
    """Opens one connection for each read. Raises OSError when Redis is away."""

    def __init__(self, path: str, seconds: float = 5.0) -> None:
        self._path, self._seconds = path, seconds

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send some commands and return the replies."""
        reader = hiredis.Reader(encoding="utf-8", errors="surrogateescape")
        replies: list[Any] = []
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(self._seconds)
            wire.connect(self._path)
            wire.sendall(b"".join(hiredis.pack_command((*command,)) for command in commands))
            while len(replies) < len(commands):
                if not (data := wire.recv(1 << 16)):
                    raise ConnectionResetError("Redis hung up")
                reader.feed(data)
                while (reply := reader.gets()) is not False:
                    if isinstance(reply, hiredis.ReplyError):
                        raise ConnectionRefusedError(str(reply))
                    replies.append(reply)
        return replies

    def moment(self, pools: list[str]) -> tuple[dict[tuple[str, Queue], set[str]], set[str], int, str, set[str]]:
        """Return the state of all pools at one moment. It consists of every queue, the clones in flight, the number of
        clones that Ruby vmpooler counts, the id of the last event, and the pools that VMs are given from."""
        places = [(pool, queue) for pool in pools for queue in Queue]
        names = [keys.queue(queue, pool) for pool, queue in places]
        marks = (keys.EVENTS, keys.CLONING, keys.TASKS_CLONE, keys.VERIFIED)
        ((queues, cloning, count, last, verified),) = self.ask(("EVAL", MOMENT, len(names), *names, *marks))
        members = dict(zip(places, map(set, queues), strict=True))
        return members, set(cloning), int(count), last, set(verified)

    def events(self) -> Iterator[Event]:
        """Yield all events of the stream, the oldest first."""
        start = "-"
        while page := self.ask(("XRANGE", keys.EVENTS, start, "+", "COUNT", PAGE))[0]:
            for id, flat in page:
                if event := Event.of(id, paired(flat)):
                    yield event
            start = f"({page[-1][0]}"

    def leader(self) -> str:
        """Return epoch and name of the leading manager; empty for none."""
        return self.ask(("GET", keys.LEASE))[0] or ""

    def open_tasks(self, pools: list[str]) -> frozenset[str]:
        """Return the ids of the tasks that are neither done nor given up."""
        books = self.ask(*(("HKEYS", keys.tasks(pool)) for pool in pools))
        intakes = self.ask(*(("SMEMBERS", keys.intake(kind)) for kind in Kind))
        return frozenset(each.rpartition(":")[2] for found in (*books, *intakes) for each in found)

    def records(self, vms: list[str]) -> dict[str, dict[str, str]]:
        """Return the record of each VM."""
        found = self.ask(*(("HGETALL", keys.record(vm)) for vm in vms))
        return {vm: paired(flat) for vm, flat in zip(vms, found, strict=True)}

    def histories(self, vms: list[str]) -> dict[str, list[str]]:
        """Return the history of each VM, as JSON."""
        return dict(zip(vms, self.ask(*(("LRANGE", keys.history(vm), 0, -1) for vm in vms)), strict=True))
