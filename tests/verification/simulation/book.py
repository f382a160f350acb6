"""Reads the contents of Redis after every command that may have changed them, and the events of the changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Protocol

import attrs

from tests.verification.proof.invariants import ONE_EVENT
from tests.verification.simulation.redis import LEFT, TIME, Command, LockStep, at
from tests.verification.simulation.simulation import Simulation
from vmpooler.domain.events import Event
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.redis.protocol import ServerError
from vmpooler.store.redis.scripts import script
from vmpooler.store.stored import paired
from vmpooler.store.stream import order

READS = frozenset({"PING", "GET", "XRANGE", "XREVRANGE", "XREAD", "HGETALL", "LRANGE", "XLEN", "HGET"})
"""Commands that change nothing."""

READ_SCRIPTS = frozenset(
    {"pool_state", "counts", "overview", "sizes", "samples", "sample", "where", "tags", "days", "token"}
) | {
    "arrive",
    "present",
    "verify",
    "find_pools",
    "leftovers",
    "remember_pools",
}
"""Scripts that change nothing. Some write notes that do not matter here."""

LEASES = frozenset({"take_lease", "keep_lease", "drop_lease"})
"""Scripts that change only the lease. It expires by the clock of the schedule, not by the clock of Redis."""

QUEUES = tuple(Queue)

OBSERVE = script(
    "observe",
    """-- What stands where, and what happened.
-- keys: events cloning tasks_clone places...
-- args: sets last
--   sets: how many of the places are queues; the others are hashes of withheld VMs
--   last: the last event that is known
local reply = {redis.call('XRANGE', events, '(' .. last, '+'), redis.call('HGETALL', cloning),
  redis.call('GET', tasks_clone) or '0'}
for i, place in ipairs(places) do
  reply[3 + i] = redis.call(i <= tonumber(sets) and 'SMEMBERS' or 'HKEYS', place)
end
return reply""",
)

Place = tuple[str, Queue]
"""A pool and a queue in it."""


@attrs.frozen
class Sight:
    """The contents of Redis at one moment. ``places`` maps each VM to all places where it stands.

    ``withheld``: the VMs that are not given to clients, because they are missing or may still be in use.
    """

    places: Mapping[str, Sequence[Place]]
    withheld: frozenset[str]
    cloning: frozenset[str]
    counted: int

    def standing(self, pool: str, queue: Queue) -> list[str]:
        """Return the VMs that stand in a queue."""
        return [vm for vm, places in self.places.items() if (pool, queue) in places]


NOTHING = Sight({}, frozenset(), frozenset(), 0)


@attrs.frozen
class RedisBackup:
    """State that the saved database does not contain: time of saving, id of the last event, end of the lease."""

    when: float
    newest: str
    leased_until: float


class ChangeObserver(Protocol):
    """Checks what the book reads from Redis."""

    def lost(self, since: float, events: Sequence[Event], after: Sight, back: float) -> None:
        """Redis has lost these events and everything since ``since``. It now holds ``after``, and answers again at
        ``back``."""

    def changed(self, before: Sight, events: Sequence[Event], after: Sight, who: str, behalf: Any) -> None:
        """A command was executed. Raises Violation."""

    def dropped(self, what: str, of: str, after: Sight) -> None:
        """A key vanished."""

    def checked_out(self, before: Sight, command: Command, reply: Any, behalf: Any) -> None:
        """A checkout was answered. Raises Violation."""


class Book:
    """Executes commands and passes every change to the watcher."""

    def __init__(self, simulation: Simulation, redis: LockStep, watcher: ChangeObserver) -> None:
        self.simulation = simulation
        self.redis = redis
        self.sight = NOTHING
        self.events: list[Event] = []
        self._watcher = watcher
        self._leased_until = 0.0
        self._run_id = 1
        self.epoch = ""
        self._led: dict[str, bool] = {}
        queues = [(pool.name, queue) for pool in simulation.settings.pools for queue in QUEUES]
        self._queues = queues
        places = [keys.queue(queue, pool) for pool, queue in queues]
        withheld = [keys.since(pool.name) for pool in simulation.settings.pools]
        touched = [keys.EVENTS, keys.CLONING, keys.TASKS_CLONE, *places, *withheld]
        self._observe: Command = ("EVALSHA", OBSERVE.sha, len(touched), *touched, len(queues))
        redis.learn(OBSERVE)
        redis.empty(simulation.time.now)
        self.newest = "0-0"

    def carry_out(self, who: str, command: Command, behalf: Any) -> Any:
        """Execute a command and return the reply of Redis."""
        name = self.redis.named(command)
        self.simulation.counts["commands"] += 1
        if name in LEASES:
            return self._lease(who, name, command)
        if command[0] in OF_THE_SERVER:
            reply = OF_THE_SERVER[str(command[0])](self, command)
            self.simulation.note(who, "asks", command, reply)
            return reply
        if name in READS or name in READ_SCRIPTS:
            reply = self.redis.ask(self._clock(), at(self.simulation.time.now), _unblocked(command))[2]
            self._stay_behind_the_fence(command, reply)
            self.simulation.note(who, "asks", command, reply)
            return reply
        before = self.sight
        _, _, reply, seen = self.redis.ask(
            self._clock(), at(self.simulation.time.now), command, (*self._observe, self.newest)
        )
        self.simulation.note(who, "commands", command, reply)
        self._stay_behind_the_fence(command, reply)
        if isinstance(seen, ServerError):
            raise seen
        self._see(who, behalf, seen)
        if name == "checkout":
            self._watcher.checked_out(before, command, reply, behalf)
        return reply

    def save(self) -> RedisBackup:
        """Make a backup."""
        self.redis.save()
        return RedisBackup(self.simulation.time.now, self.newest, self._leased_until)

    def put_back(self, backup: RedisBackup, back: float) -> None:
        """Restart Redis with the contents of the backup. It answers again at ``back``."""
        self.redis.put_back()
        self._run_id += 1
        self.newest, self._leased_until = backup.newest, backup.leased_until
        self.epoch = self.redis.ask(("GET", keys.EPOCH))[0] or ""
        kept = [event for event in self.events if order(event.id) <= order(backup.newest)]
        lost = self.events[len(kept) :]
        self.events = kept
        seen = self.redis.ask(self._clock(), at(self.simulation.time.now), (*self._observe, self.newest))[2]
        self.sight = self._sight(seen)
        self._watcher.lost(backup.when, lost, self.sight, back)

    def drop(self, what: str, of: str) -> None:
        """Delete a key: the record or the history of a VM, or the running queue of a pool."""
        names: dict[str, Callable[[str], str]] = {
            "record": keys.record,
            "history": keys.history,
            "running": partial(keys.queue, Queue.RUNNING),
        }
        key = names[what](of)
        self.simulation.note("fault", "drops", key)
        if what == "record":
            self.redis.ask(("DEL", key), ("DEL", keys.history(of)))
        else:
            self.redis.ask(("DEL", key))
        self.sight = self._sight(self.redis.ask((*self._observe, self.newest))[0])
        self._watcher.dropped(what, of, self.sight)

    def _lease(self, who: str, name: str, command: Command) -> Any:
        """Run a lease script. The lease expires at a moment by the clock of the simulated Redis."""
        now = self.simulation.redis_now
        if now >= self._leased_until:
            self.redis.ask(("DEL", keys.LEASE))
        self.redis.ask(("SET", LEFT, max(1, int((self._leased_until - now) * 1000))))
        reply = self.redis.ask(command)[0]
        holds = int(command[6]) / 1000 if name != "drop_lease" else 0.0
        if reply == 1 or (name == "take_lease" and (not reply[1] or reply[2])):
            self._leased_until = now + holds
        if name == "take_lease" and not self._led.get(reply[0]):
            self._led[reply[0]] = True
            self.simulation.counts["terms"] += 1
        self.epoch = self.redis.ask(("GET", keys.EPOCH))[0] or ""
        self.simulation.note(who, "asks for the lease", command, reply)
        return reply

    def _stay_behind_the_fence(self, command: Command, reply: Any) -> None:
        """Check that a command of a manager is executed only while that manager is the last one that took the lease."""
        if command[0] == "EVALSHA" and command[1] in self.redis.fenced and not str(reply).startswith("NOTLEADING"):
            finding = f"a command passed the fence of {self.epoch}: {command}"
            self.simulation.tally.hold(ONE_EVENT, command[3 + int(command[2])] == self.epoch, lambda: finding)

    def _clock(self) -> Command:
        return ("SET", TIME, int(self.simulation.redis_now))

    def _time(self, command: Command) -> list[str]:
        whole = int(self.simulation.redis_now)
        return [str(whole), str(int((self.simulation.redis_now - whole) * 1e6))]

    def _info(self, command: Command) -> str:
        return f"redis_version:7.0.0\r\nrun_id:{self._run_id:040d}\r\naof_enabled:0\r\n"

    def _scan(self, command: Command) -> list[Any]:
        """Return all keys at once, in an order that is the same in each replay."""
        return ["0", sorted(self.redis.ask(("KEYS", command[command.index("MATCH") + 1]))[0])]

    def _see(self, who: str, behalf: Any, seen: Any) -> None:
        entries = seen[0]
        events = [_event(entry) for entry in entries]
        if entries:
            self.newest = entries[-1][0]
        before, self.sight = self.sight, self._sight(seen)
        self.events += events
        self._watcher.changed(before, events, self.sight, who, behalf)

    def _sight(self, seen: Any) -> Sight:
        _, cloning, counted, *members = seen
        places: dict[str, list[Place]] = {}
        count = len(self._queues)
        for place, vms in zip(self._queues, members[:count], strict=True):
            for vm in vms:
                places.setdefault(vm, []).append(place)
        withheld = frozenset(chain.from_iterable(members[count:]))
        return Sight(places, withheld, frozenset(cloning[::2]), int(counted))


OF_THE_SERVER: Mapping[str, Callable[[Book, Command], Any]] = {
    "TIME": Book._time,
    "INFO": Book._info,
    "SCAN": Book._scan,
}
"""Commands whose reply differs in each replay when Redis itself replies."""


def _unblocked(command: Command) -> Command:
    if "BLOCK" not in command[:4]:
        return command
    block = list(command).index("BLOCK")
    return (*command[:block], *command[block + 2 :])


def _event(entry: Any) -> Event:
    id, flat = entry
    event = Event.of(id, paired(flat))
    if event is None:
        raise ValueError(f"no event of ours: {entry}")
    return event
