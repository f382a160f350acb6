"""The store against a model of it in plain Python: whatever is done in whatever order, Redis holds what the model says.

After every step the whole of Redis is compared, key by key, with which keys expire, and with the events: exactly those
that the model tells, each once. MODEL_EXAMPLES=5000 in the environment tries that many other walks, by chance.
"""

import json
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.redis_server import RedisServer
from tests.store.contents import NOW
from tests.store.contents import settings as settings_of
from tests.store.direct import Direct, at_once
from tests.store.model import Model
from tests.store.model.books import pool_of
from vmpooler.domain.admission import Admission, Need
from vmpooler.domain.change import Change
from vmpooler.domain.checkout import Catalogue, Given
from vmpooler.domain.errors import VmpoolerError
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind, Task
from vmpooler.settings import Pool
from vmpooler.store import guard, keys
from vmpooler.store.changes import Changes
from vmpooler.store.checkouts import Checkouts, Taken
from vmpooler.store.connection import StoreFault
from vmpooler.store.look import look
from vmpooler.store.queues import Queues
from vmpooler.store.tasks import Tasks
from vmpooler.store.tokens import Tokens
from vmpooler.store.vms import Vms

POOLS = ("debian", "centos", "fedora")
ALIASES = {"debian": ("linux",), "centos": ("rpm", "linux"), "fedora": ("rpm",)}
CATALOGUE = Catalogue(Pool(name=name, size=4, alias=ALIASES[name]) for name in POOLS)
NAMES = tuple(f"{pool}{number}" for pool in POOLS for number in range(6))
OWNERS = {"t-ann": "ann", "t-ann-too": "ann", "t-bob": "bob", "t-unknown": "nobody"}
LIMIT, LIFETIME, TRIES = 2, 12, 3
UNLIKE = "a" * 8

pools = st.sampled_from(POOLS)
seconds = st.none() | st.sampled_from([0.0, 12.5, 100.0])
whys = st.sampled_from(["why", "because"])
subjects = st.sampled_from([keys.CLONES, keys.INVENTORY, "debian0", "centos1"])
tokens = st.sampled_from([*OWNERS])
senders = st.sampled_from([None, "t-ann", "t-bob", *OWNERS])
admissions = st.builds(
    Admission,
    token=senders,
    need=st.sampled_from(Need),
    own=st.booleans(),
)
changes = st.builds(
    Change,
    lifetime=st.none() | st.integers(1, 48),
    tags=st.dictionaries(st.sampled_from(["team", "job:x"]), st.sampled_from(["a", "b", "ü 1.50"]), max_size=2),
)
wishes = st.dictionaries(st.sampled_from([*POOLS, "linux", "rpm"]), st.sampled_from([1, 1, 2, 0]), max_size=3)
arguments = st.sampled_from(["1", "20"])


def standing(*queues: Queue) -> st.SearchStrategy[str]:
    """Mostly a VM that stands in one of these queues, if any does."""

    def those(machine: Any) -> st.SearchStrategy[str]:
        here = [vm for vm in NAMES if machine.model.queues.get(vm) in queues]
        return st.sampled_from(here * 20 + [*NAMES])

    return st.runner().flatmap(those)


def unknown() -> st.SearchStrategy[str]:
    """Mostly a name that no record has, if there is one."""

    def those(machine: Any) -> st.SearchStrategy[str]:
        return st.sampled_from([vm for vm in NAMES if vm not in machine.model.records] * 20 + [*NAMES])

    return st.runner().flatmap(those)


def asked() -> st.SearchStrategy[Task | None]:
    """Something that a client asked for, done already or not."""
    return st.runner().flatmap(lambda machine: st.sampled_from([*machine.tasks.values()] or [None]))


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


def _as_model(key: str, kind: str, value: Any) -> Any:
    """What stands in Redis, as the model has it."""
    match kind:
        case "set":
            return set(value)
        case "list":
            return [json.loads(entry) for entry in value]
        case "zset":
            pairs = dict(_pairs(value))
            return [*pairs] if key == keys.LINE else {name: float(score) for name, score in pairs.items()}
        case "hash" if key.startswith((keys.trouble(""), keys.tasks(""))):
            return {field: json.loads(text) for field, text in _pairs(value)}
        case "hash":
            return dict(_pairs(value))
        case _:
            return value


def _pairs(flat: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(flat))[::2]


class Machine(RuleBasedStateMachine):
    """Whoever uses a store, in any order. ``seen`` gathers the kinds of event that there were."""

    def __init__(self, store: Direct, seen: set[str]) -> None:
        super().__init__()
        self.store, self.seen = store, seen
        at_once(store.call("FLUSHALL"))
        operator = settings_of(task_limit=LIMIT, vm_lifetime_auth=LIFETIME, task_tries=TRIES)
        self.model = Model(now=NOW, names=POOLS, limit=LIMIT, lifetime=str(LIFETIME), tries=TRIES)
        self.queues = Queues(store, operator)
        self.checkouts = Checkouts(store, operator)
        self.changes = Changes(store, operator)
        self.requests = Tasks(store, operator, lambda some: some[0], "api")
        self.work = Tasks(store, operator, lambda some: some[0], "manager")
        self.books = Tokens(store, POOLS)
        self.tasks: dict[str, Task] = {}
        self.heard = 0
        self.last = "-"

    def same(self, done: Coroutine[Any, Any, object], said: Callable[[], object]) -> None:
        """Store and model answer alike, or refuse alike."""
        assert _outcome(lambda: at_once(done)) == _outcome(said)

    @property
    def now(self) -> float:
        return self.model.now

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        found, expiring = {}, set()
        for key, kind, value, left in at_once(self.store.call("EVAL", EVERYTHING, 0, self.last)):
            if key == keys.EVENTS:
                self._hear(value)
                continue
            found[key] = _as_model(key, kind, value)
            expiring |= {key} if left >= 0 else set()
        assert found == self.model.contents()
        assert expiring == self.model.expiring()
        assert self.heard == len(self.model.events), "an event is missing"

    def _hear(self, entries: list[tuple[str, list[str]]]) -> None:
        """The events since the last look are those that the model tells."""
        told = [dict(_pairs(flat)) for _, flat in entries]
        assert told == self.model.events[self.heard :]
        self.heard += len(told)
        self.last = f"({entries[-1][0]}" if entries else self.last
        self.seen |= {fields["what"] for fields in told}
        for vm in {fields["vm"] for fields in told} & self.model.records.keys():
            self._replay(vm)

    def _replay(self, vm: str) -> None:
        """The events of a VM, one after the other, lead to where it stands."""
        events = [Event.of("", fields) for fields in self.model.histories[vm]]
        *_, last = [None, *(PLACES[event.what] for event in events if event and event.what in PLACES)]
        assert last is self.model.queues.get(vm)

    # How it begins.

    @initialize(stock=st.integers(1, 3), wish=wishes, token=st.sampled_from([None, "t-ann"]))
    def in_use(self, stock: int, wish: dict[str, int], token: str | None) -> None:
        """Pools with VMs, of which a client may have some."""
        for name in ("t-ann", "t-bob"):
            self.token_is_made(name)
        for pool in POOLS:
            for number in range(stock):
                self.clone_begins(f"{pool}{number}", 4)
                self.clone_ends(f"{pool}{number}", 10)
                self.vm_is_up(f"{pool}{number}", "10.0.0.1", 20)
        self.client_takes(wish, token)

    # The manager.

    @rule(vm=unknown(), size=st.sampled_from([2, 3, 6]))
    def clone_begins(self, vm: str, size: int) -> None:
        self.same(self.queues.begin_clone(pool_of(vm), vm, size, self.now), lambda: self.model.begin_clone(vm, size))

    @rule(vm=standing(Queue.PENDING), took=seconds)
    def clone_ends(self, vm: str, took: float | None) -> None:
        self.same(self.queues.end_clone(pool_of(vm), vm, took, self.now), lambda: self.model.end_clone(vm, took))

    @rule(vm=standing(Queue.PENDING), address=st.sampled_from(["", "10.0.0.1"]), took=seconds)
    def vm_is_up(self, vm: str, address: str, took: float | None) -> None:
        done = self.queues.promote(pool_of(vm), vm, address, took, self.now)
        self.same(done, lambda: self.model.promote(vm, address, took))

    @rule(vm=standing(*Queue), guess=st.none() | st.sampled_from(Queue), why=whys)
    def vm_is_finished_with(self, vm: str, guess: Queue | None, why: str) -> None:
        queue = guess or self.model.queues.get(vm, Queue.READY)
        done = self.queues.complete(pool_of(vm), vm, queue, why, self.now)
        self.same(done, lambda: self.model.complete(vm, queue, why))

    @rule(vm=standing(Queue.RUNNING), longer=st.booleans())
    def lifetime_is_over(self, vm: str, longer: bool) -> None:
        checkout, lifetime = self.model.terms(vm)
        terms = (checkout, f"{lifetime}0" if longer else lifetime)
        done = self.queues.complete(pool_of(vm), vm, Queue.RUNNING, "over", self.now, terms)
        self.same(done, lambda: self.model.complete(vm, Queue.RUNNING, "over", terms=terms))

    @rule(vm=standing(Queue.COMPLETED))
    def vm_is_destroyed(self, vm: str) -> None:
        self.same(self.queues.forget(pool_of(vm), vm, 3.5, self.now), lambda: self.model.forget(vm, 3.5))

    @rule(vm=unknown(), stamped=st.booleans())
    def vm_is_discovered(self, vm: str, stamped: bool) -> None:
        done = self.queues.discover(pool_of(vm), vm, stamped, self.now)
        self.same(done, lambda: self.model.discover(vm, stamped))

    @rule(vm=standing(Queue.DISCOVERED), why=whys)
    def unknown_vm_is_gone(self, vm: str, why: str) -> None:
        self.same(self.queues.explain(pool_of(vm), vm, why, self.now), lambda: self.model.explain(vm, why))

    @rule(pool=pools)
    def unknown_vms_are_given_up(self, pool: str) -> None:
        self.same(guard.confirm(self.store, pool), lambda: self.model.standing(Queue.DISCOVERED, pool))
        self.model.confirmed |= {*self.model.standing(Queue.DISCOVERED, pool)}

    @rule(vm=standing(Queue.RUNNING), missing=st.booleans())
    def vm_is_missing_or_back(self, vm: str, missing: bool) -> None:
        self.same(self.queues.miss(pool_of(vm), vm, missing, self.now), lambda: self.model.miss(vm, missing))

    @rule(vm=standing(*Queue), queue=st.sampled_from(Queue))
    def vm_in_one_queue_is_settled(self, vm: str, queue: Queue) -> None:
        others = [each for each in Queue if each is not queue]
        self.same(self.queues.settle(pool_of(vm), vm, queue, others, self.now), lambda: False)

    @rule(vm=standing(*Queue), guess=st.none() | st.sampled_from(Queue))
    def clock_is_mended(self, vm: str, guess: Queue | None) -> None:
        queue = guess or self.model.queues.get(vm, Queue.READY)
        self.same(self.queues.mend(pool_of(vm), vm, queue, self.now), lambda: self.model.mend(vm, queue))

    @rule(vm=standing(Queue.READY))
    def vm_is_checked(self, vm: str) -> None:
        if vm in self.model.records:
            at_once(self.queues.check(vm, self.now))
            self.model.write(vm, check=self.model.text)

    @rule(pool=pools, subject=subjects, why=whys)
    def something_fails(self, pool: str, subject: str, why: str) -> None:
        pool = pool if subject.startswith(":") else pool_of(subject)
        self.same(self.queues.fail(pool, subject, why, self.now), lambda: self.model.fail(pool, subject, why))

    @rule(pool=pools, subject=subjects)
    def something_works_again(self, pool: str, subject: str) -> None:
        self.same(self.queues.recover(pool, subject, self.now), lambda: self.model.recover(pool, subject))

    @rule(pool=pools, why=st.sampled_from(["", "too many", "still"]))
    def guard_is_raised_or_lowered(self, pool: str, why: str) -> None:
        self.same(self.queues.flag(pool, why, self.now), lambda: self.model.flag(pool, why))

    @rule()
    def empty_marks_follow(self) -> None:
        for pool in POOLS:
            self.same(self.queues.note_empty(pool, self.now), partial(self.model.note_empty, pool))

    @rule(pool=pools)
    def pool_leaves_the_line(self, pool: str) -> None:
        at_once(self.queues.withdraw(pool))
        self.model.line = [each for each in self.model.line if each != pool]

    @rule(there=st.sets(pools, min_size=2))
    def manager_starts(self, there: set[str]) -> None:
        self.same(self.queues.recount(sorted(there)), lambda: self.model.recount(sorted(there)))

    @rule(pool=pools)
    def manager_looks(self, pool: str) -> None:
        seen = at_once(look(self.store, pool, 12))
        here = {vm: queue for vm, queue in self.model.queues.items() if pool_of(vm) == pool}
        assert {vm.name: vm.queue for vm in seen.vms} == here
        assert not any(vm.also for vm in seen.vms)
        assert seen.cloning == {vm for vm in self.model.cloning if pool_of(vm) == pool}
        assert {task.id: task for task in seen.tasks} == self.of_pool(pool)
        assert (seen.flagged, seen.empty) == (pool in self.model.flagged, pool in self.model.empty)

    def of_pool(self, pool: str) -> Mapping[str, Task]:
        return {id: task for id, task in self.model.books.items() if pool_of(task.vm) == pool}

    # Clients.

    @rule(wish=wishes, token=senders)
    def client_takes(self, wish: dict[str, int], token: str | None) -> None:
        wanted, id = CATALOGUE.wanted(wish), f"checkout-{len(self.model.events)}"
        got = _outcome(lambda: at_once(self.checkouts.checkout(wanted, id, token, self.now)))
        refused = _outcome(lambda: self.model.refuse(wanted, token))
        if refused is not None:
            assert got is refused
            return
        assert isinstance(got, list), f"{got}, although enough VMs are ready"
        given: list[Given] = got
        self.model.checkout(wanted, given, id, token)
        found = at_once(self.checkouts.taken_by([id], self.now))
        assert {*found} == {Taken(each.pool, each.vm, id) for each in given}

    @rule(vm=standing(Queue.RUNNING), mine=st.booleans(), why=whys)
    def vm_is_given_back(self, vm: str, mine: bool, why: str) -> None:
        id = self.model.records.get(vm, {}).get("checkout_id", "") if mine else "another"
        done = self.checkouts.give_back(pool_of(vm), vm, id, why, self.now)
        self.same(done, lambda: self.model.give_back(vm, id, why))

    @rule(vm=standing(Queue.RUNNING), admission=admissions)
    def client_is_done(self, vm: str, admission: Admission) -> None:
        done = self.checkouts.complete(pool_of(vm), vm, admission, self.now)
        self.same(done, lambda: self.model.delete(vm, admission))

    @rule(vm=standing(Queue.RUNNING), change=changes, admission=admissions)
    def client_changes(self, vm: str, change: Change, admission: Admission) -> None:
        done = self.changes.make(vm, change, admission, self.now)
        self.same(done, lambda: self.model.change(vm, change, admission))

    @rule(
        vm=standing(Queue.RUNNING),
        kind=st.sampled_from(Kind),
        argument=arguments,
        admission=admissions,
        heard=st.booleans(),
    )
    def client_asks(self, vm: str, kind: Kind, argument: str, admission: Admission, heard: bool) -> None:
        done = self.requests.request(vm, kind, argument, admission, self.now)
        self.same(done, lambda: self.model.request(vm, kind, argument, UNLIKE, admission))
        if heard:
            self.requests_are_adopted({*POOLS})

    @rule(vm=standing(Queue.RUNNING), kind=st.sampled_from(Kind), argument=arguments)
    def client_of_the_original_asks(self, vm: str, kind: Kind, argument: str) -> None:
        at_once(self.store.call("SADD", keys.intake(kind), f"{vm}:{argument}"))
        self.model.intake[kind].add(f"{vm}:{argument}")

    @rule(there=st.sets(pools, min_size=1))
    def requests_are_adopted(self, there: set[str]) -> None:
        found = at_once(self.work.adopt(sorted(there), self.now))
        assert {*found} == self.model.adopt(sorted(there), UNLIKE)
        self.tasks |= self.model.books

    @rule(task=asked())
    def task_is_done(self, task: Task | None) -> None:
        if task:
            self.same(self.work.finish(pool_of(task.vm), task, self.now), lambda: self.model.finish(task))

    @rule(task=asked(), why=whys, final=st.booleans())
    def task_fails(self, task: Task | None, why: str, final: bool) -> None:
        if task:
            done = self.work.fail(pool_of(task.vm), task, why, self.now, final=final)
            self.same(done, lambda: self.model.fail_task(task, why, final))

    # Tokens.

    @rule(name=st.sampled_from(["t-ann", "t-ann-too", "t-bob"]))
    def token_is_made(self, name: str) -> None:
        user = OWNERS[name]
        self.same(self.books.add(name, user, self.now), lambda: self.model.add_token(name, user))

    @rule(name=tokens, user=st.sampled_from(["ann", "bob"]), own=st.booleans())
    def token_is_deleted(self, name: str, user: str, own: bool) -> None:
        self.same(self.books.drop(name, user, own), lambda: self.model.drop_token(name, user, own))

    @rule(name=tokens)
    def token_is_shown(self, name: str) -> None:
        self.same(self.books.show(name), lambda: self.model.show_token(name))

    @rule(user=st.sampled_from(["ann", "bob"]))
    def tokens_are_listed(self, user: str) -> None:
        self.same(self.books.of(user), lambda: self.model.tokens_of(user))

    @rule(vm=st.sampled_from(NAMES))
    def vm_is_shown(self, vm: str) -> None:
        vms = Vms(self.store)
        self.same(vms.queue(vm, pool_of(vm)), lambda: self.model.queues.get(vm))
        self.same(vms.record(vm), lambda: self.model.records.get(vm, {}))

    # Time.

    @rule(some=st.sampled_from([1, 10, 100]))
    def time_passes(self, some: int) -> None:
        self.model.now += some

    @rule(vm=st.sampled_from(NAMES))
    def record_expires(self, vm: str) -> None:
        for key in {keys.record(vm), keys.history(vm)} & self.model.fading:
            at_once(self.store.call("DEL", key))
        self.model.expire(vm)


PLACES = {
    What.CLONE: Queue.PENDING,
    What.READY: Queue.READY,
    What.CHECKOUT: Queue.RUNNING,
    What.RETURNED: Queue.READY,
    What.COMPLETED: Queue.COMPLETED,
    What.DESTROYED: None,
    What.DISCOVERED: Queue.DISCOVERED,
    What.EXPLAINED: None,
}

USUAL = {*PLACES, What.CLONED, What.CHANGED, What.REQUESTED, What.MISSING, What.FAILED} - {What.EXPLAINED}


def _outcome(act: Callable[[], object]) -> object:
    """What it returns, or the kind of error that says no."""
    try:
        return act()
    except StoreFault:
        raise
    except VmpoolerError as no:
        return type(no)


@pytest.fixture
def direct(redis_server: RedisServer) -> Iterator[Direct]:
    connection = Direct(redis_server.settings)
    yield connection
    connection.hang_up()


def test_whatever_is_done_redis_holds_what_the_model_says_and_tells_each_transition_once(direct: Direct) -> None:
    many = os.environ.get("MODEL_EXAMPLES")
    seen: set[str] = set()

    class Walk(Machine):
        def __init__(self) -> None:
            super().__init__(direct, seen)

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=int(many or 100),
            stateful_step_count=70,
            derandomize=many is None,
            phases=[Phase.generate, *([Phase.shrink] if many else [])],
            database=None,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
    assert seen >= USUAL, "the walks were too short to mean anything"
