"""What Redis holds, looked at after every command that may have changed it, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs

from tests.simulation.redis import Command, LockStep, at
from tests.simulation.stage import Stage
from vmpooler.domain.events import Event
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.scripts import Script
from vmpooler.store.wire import ServerError, Value

READS = frozenset({"GET", "XRANGE", "XREVRANGE", "XREAD", "HGETALL", "LRANGE", "XLEN", "HGET"})
"""Commands after which nothing can have changed."""

LOOKS = frozenset({"look", "counts", "overview", "sizes", "samples", "sample", "where", "tags", "days", "token"})
"""The same of scripts; some write notes that are of no account here."""

LEASES = frozenset({"take_lease", "keep_lease", "drop_lease"})
"""Scripts that change the lease alone. It runs out by the clock of the schedule, not by that of Redis."""

YEARS = 10**12
"""In milliseconds."""

QUEUES = tuple(Queue)

OBSERVE = Script(
    "observe",
    """-- What stands where, and what happened.
-- KEYS the stream, clones under way, their number, then queues; ARGV[1] the last event that is known.
local reply = {redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+'), redis.call('HGETALL', KEYS[2]),
  redis.call('GET', KEYS[3]) or '0'}
for i = 4, #KEYS do reply[i] = redis.call('SMEMBERS', KEYS[i]) end
return reply""",
)

Place = tuple[str, Queue]
"""A pool, and the queue in it."""


@attrs.frozen
class Sight:
    """What Redis holds at one moment. ``places``: the VMs with everywhere that they stand."""

    places: Mapping[str, Sequence[Place]]
    cloning: frozenset[str]
    counted: int

    def standing(self, pool: str, queue: Queue) -> list[str]:
        """The VMs that stand in a queue."""
        return [vm for vm, places in self.places.items() if (pool, queue) in places]


NOTHING = Sight({}, frozenset(), 0)


class Watcher(Protocol):
    """Who judges what is seen."""

    def changed(self, before: Sight, events: Sequence[Event], after: Sight, who: str, behalf: Any) -> None:
        """A command was carried out. Raises Violation."""

    def checked_out(self, before: Sight, command: Command, reply: Any, behalf: Any) -> None:
        """A checkout was answered. Raises Violation."""


class Book:
    """Carries out commands, and has every change looked at."""

    def __init__(self, stage: Stage, redis: LockStep, watcher: Watcher) -> None:
        self.stage = stage
        self.redis = redis
        self.sight = NOTHING
        self.events: list[Event] = []
        self._watcher = watcher
        self._leased_until = 0.0
        self._led: dict[str, bool] = {}
        queues = [(pool.name, queue) for pool in stage.settings.pools for queue in QUEUES]
        self._queues = queues
        touched = [keys.EVENTS, keys.CLONING, keys.TASKS_CLONE, *(keys.queue(queue, pool) for pool, queue in queues)]
        self._observe: Command = ("EVALSHA", OBSERVE.sha, len(touched), *touched)
        redis.learn(OBSERVE)
        redis.empty(stage.time.now)
        self.newest = "0-0"

    def carry_out(self, who: str, command: Command, behalf: Any) -> Any:
        """The reply of Redis to a command."""
        name = self.redis.named(command)
        self.stage.counts["commands"] += 1
        if name in LEASES:
            return self._lease(who, name, list(command))
        if name in READS or name in LOOKS:
            reply = self.redis.ask(_unblocked(command))[0]
            self.stage.note(who, "asks", command, reply)
            return reply
        before = self.sight
        _, reply, seen = self.redis.ask(at(self.stage.time.now), command, (*self._observe, self.newest))
        self.stage.note(who, "commands", command, reply)
        if isinstance(seen, ServerError):
            raise seen
        self._see(who, behalf, seen)
        if name == "checkout":
            self._watcher.checked_out(before, command, reply, behalf)
        return reply

    def _lease(self, who: str, name: str, command: list[Value]) -> Any:
        """What is said of the lease, which holds until a moment of the schedule's own."""
        now = self.stage.time.now
        if now >= self._leased_until:
            self.redis.ask(("DEL", keys.LEASE))
        if name != "drop_lease":
            holds, command[6] = int(command[6]) / 1000, YEARS
        reply = self.redis.ask(command)[0]
        if reply == 1 or (name == "take_lease" and not reply[1]):
            self._leased_until = now + holds if name != "drop_lease" else now
        elif name == "take_lease":
            reply[1] = max(1, int((self._leased_until - now) * 1000))
        if name == "take_lease" and not self._led.get(reply[0]):
            self._led[reply[0]] = True
            self.stage.counts["terms"] += 1
        self.stage.note(who, "asks for the lease", command, reply)
        return reply

    def _see(self, who: str, behalf: Any, seen: Any) -> None:
        entries, cloning, counted, *members = seen
        events = [_event(entry) for entry in entries]
        if entries:
            self.newest = entries[-1][0]
        places: dict[str, list[Place]] = {}
        for place, vms in zip(self._queues, members, strict=True):
            for vm in vms:
                places.setdefault(vm, []).append(place)
        before, self.sight = self.sight, Sight(places, frozenset(cloning[::2]), int(counted))
        self.events += events
        self._watcher.changed(before, events, self.sight, who, behalf)


def _unblocked(command: Command) -> Command:
    if "BLOCK" not in command[:4]:
        return command
    block = list(command).index("BLOCK")
    return (*command[:block], *command[block + 2 :])


def _event(entry: Any) -> Event:
    id, flat = entry
    event = Event.of(id, dict(zip(flat[::2], flat[1::2], strict=True)))
    if event is None:
        raise ValueError(f"no event of ours: {entry}")
    return event
