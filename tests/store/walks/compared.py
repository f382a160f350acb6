"""The store and its model, side by side."""

import json
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import attrs
from hypothesis.stateful import RuleBasedStateMachine, invariant
from twisted.internet.task import Clock

from tests.store.contents import NOW
from tests.store.contents import settings as settings_of
from tests.store.direct import Direct, at_once
from tests.store.model import Model
from tests.store.walks.choices import LIFETIME, LIMIT, POOLS, TAGS, TRIES
from vmpooler.domain.errors import VmpoolerError
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Task
from vmpooler.settings import Limits
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Checkouts
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.tokens import Tokens
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.failover.recent_writes import Again, RecentWrites
from vmpooler.store.redis.scripts import Script, StoreFault

PLACES: dict[What, Queue | None] = {
    What.CLONE: Queue.PENDING,
    What.READY: Queue.READY,
    What.CHECKOUT: Queue.RUNNING,
    What.RETURNED: Queue.READY,
    What.RESTORED: Queue.RUNNING,
    What.QUARANTINED: Queue.RUNNING,
    What.COMPLETED: Queue.COMPLETED,
    What.DESTROYED: None,
    What.DISCOVERED: Queue.DISCOVERED,
    What.EXPLAINED: None,
}
"""The queue of a VM after each kind of event that moves it."""

EVERYTHING = """
local readers = {string = {'GET'}, hash = {'HGETALL'}, set = {'SMEMBERS'}, list = {'LRANGE', 0, -1},
    zset = {'ZRANGE', 0, -1, 'WITHSCORES'}, stream = {'XRANGE', ARGV[1], '+'}}
local found = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local reader = readers[kind]
  found[i] = {key, kind, redis.call(reader[1], key, unpack(reader, 2)), redis.call('TTL', key)}
end
return found
"""


OVER = 1
"""The end (epoch) of the wait for processes, in walks where that wait is over."""


def _as_model(key: str, kind: str, value: Any) -> Any:
    """Convert a value from Redis to the form that it has in the model."""
    match kind:
        case "set":
            return set(value)
        case "list":
            return [json.loads(entry) for entry in value]
        case "zset":
            return _of_a_line(key, {name: float(score) for name, score in _pairs(value)})
        case "hash" if key.startswith((keys.trouble(""), keys.tasks(""))):
            return {field: json.loads(text) for field, text in _pairs(value)}
        case "hash":
            return dict(_pairs(value))
        case _:
            return ("over" if float(value) == OVER else "waits") if key == keys.BARRIER else value


def _of_a_line(key: str, scores: dict[str, float]) -> Any:
    """Return the order of the pools in the line, or the scores of any other sorted set."""
    return [*scores] if key == keys.LINE else scores


def _pairs(flat: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(flat))[::2]


class Compared(RuleBasedStateMachine):
    """A store and its model: after each step both have the same contents.

    ``seen`` collects the kinds of event that occurred, and the names of the scripts that ran.
    """

    def __init__(self, store: Direct, seen: set[str]) -> None:
        super().__init__()
        self.store, self.seen = store, seen
        at_once(store.call("FLUSHALL"))
        store.ran = self._ran
        self.operator = operator = attrs.evolve(
            settings_of(task_limit=LIMIT, vm_lifetime_auth=LIFETIME, task_tries=TRIES), limits=Limits(tags=TAGS)
        )
        self.model = Model(
            now=NOW,
            names=POOLS,
            limit=LIMIT,
            lifetime=str(LIFETIME),
            default_lifetime=str(operator.general.vm_lifetime),
            tries=TRIES,
            tags=TAGS,
        )
        self.queues = Queues(store, operator)
        self.checkouts = Checkouts(store, operator)
        self.changes = Changes(store, operator)
        self.requests = Tasks(store, operator, lambda some: some[self.asked], "api")
        self.work = Tasks(store, operator, lambda some: some[0], "manager")
        self.books = Tokens(store, POOLS)
        self.tasks: dict[str, Task] = {}
        self.asked = 0
        self.put_away = 0.0
        self.promised: list[Again] = []
        self.kept: list[tuple[Again, Callable[[Model], object]]] = []
        self.compared_events = 0
        self.last = "-"

    def same(self, done: Coroutine[Any, Any, object], said: Callable[[], object]) -> None:
        """Check that store and model return the same, or raise the same kind of error."""
        assert outcome(lambda: at_once(done)) == outcome(said)

    def _ran(self, script: Script, command: Sequence[Any], reply: Any) -> None:
        self.seen.add(script.name)
        if script.name == "put_away":
            self.put_away = float(script.values(command)["now"])
        promises = RecentWrites(Clock())
        promises.ran(script, command, reply)
        self.promised += promises.all().values()

    def promise(self, *kept: Callable[[Model], object]) -> None:
        """Store the writes that the last step promised, if any, and how the model replays them."""
        promised, self.promised = self.promised, []
        if promised:
            self.kept = [*self.kept, *zip(promised, kept, strict=True)][-20:]

    @property
    def now(self) -> float:
        return self.model.now

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        found, expiring = {}, set()
        for key, kind, value, left in at_once(self.store.call("EVAL", EVERYTHING, 0, self.last)):
            if key == keys.EVENTS:
                self._compare_events(value)
                continue
            found[key] = _as_model(key, kind, value)
            expiring |= {key} if left >= 0 else set()
        assert found == self.model.contents()
        assert expiring == self.model.expiring()
        assert self.compared_events == len(self.model.events), "an event is missing"

    def _compare_events(self, entries: list[tuple[str, list[str]]]) -> None:
        """Check that the events since the last comparison are those of the model."""
        events = [dict(_pairs(flat)) for _, flat in entries]
        assert events == self.model.events[self.compared_events :]
        self.compared_events += len(events)
        self.last = f"({entries[-1][0]}" if entries else self.last
        self.seen |= {fields["what"] for fields in events}
        for vm in {fields["vm"] for fields in events} & self.model.records.keys():
            self._replay(vm)

    def _replay(self, vm: str) -> None:
        """Check that the events of a VM, in order, lead to the queue that it is in."""
        events = [Event.of("", fields) for fields in self.model.histories[vm]]
        *_, last = [None, *(PLACES[event.what] for event in events if event and event.what in PLACES)]
        assert last is self.model.queues.get(vm)


def outcome(act: Callable[[], object]) -> object:
    """Return the result, or the class of the VmpoolerError that was raised. A StoreFault is raised again."""
    try:
        return act()
    except StoreFault:
        raise
    except VmpoolerError as no:
        return type(no)
