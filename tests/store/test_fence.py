"""No command of a manager changes anything once another manager leads: every script is tested."""

import json
import random
from collections.abc import Awaitable, Callable

import attrs
import pytest
from twisted.internet.task import Clock

from tests.store.contents import (
    NOW,
    POOL,
    checkouts_of,
    contents,
    make_completed,
    make_ready,
    make_running,
    queues_of,
    settings,
)
from tests.store.test_scripts import NAMES
from vmpooler.domain.admission import FREE
from vmpooler.domain.errors import NotLeading
from vmpooler.domain.estate import PoolMemory
from vmpooler.domain.guest import Holder
from vmpooler.domain.history import MINUTES
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind, Task
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Wanted
from vmpooler.store.commands.registry import Registry, leader_and_leftovers, leftovers
from vmpooler.store.commands.samples import Samples, SamplesTaken
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.failover.lease import Lease
from vmpooler.store.queries import stats
from vmpooler.store.queries.pool_state import read_state
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import RedisCommands, fenced, load

MEMORY = PoolMemory(Pool(name="old", size=0, provider="dummy"), "dummy")

TASK = Task("1", Kind.DISK, "running", "8", 0, 0)


@attrs.frozen
class FencedParts:
    """The parts of the store that a manager uses."""

    store: RedisCommands
    queues: Queues
    tasks: Tasks
    samples: Samples
    registry: Registry


Deed = Callable[[FencedParts], Awaitable[object]]

CHANGES: dict[str, Deed] = {
    "adopt": lambda me: me.tasks.adopt([POOL], NOW),
    "begin_clone": lambda me: me.queues.begin_clone(POOL, "new", 99, NOW),
    "command": lambda me: me.queues.check("ready", NOW + 1),
    "complete": lambda me: me.queues.complete(POOL, "ready", Queue.READY, "why", NOW),
    "discover": lambda me: me.queues.discover(POOL, "alien", False, NOW),
    "doubt": lambda me: me.queues.doubt(POOL, "ready", Queue.READY, "why", NOW, first=True),
    "empty": lambda me: me.queues.note_empty("centos", NOW),
    "end_clone": lambda me: me.queues.end_clone(POOL, "pending", 1, NOW),
    "explain": lambda me: me.queues.explain(POOL, "found", "why", NOW),
    "fail": lambda me: me.queues.fail(POOL, "ready", "why", NOW),
    "fail_task": lambda me: me.tasks.fail(POOL, TASK, "why", NOW),
    "finish_task": lambda me: me.tasks.finish(POOL, TASK, NOW),
    "flag": lambda me: me.queues.flag(POOL, "why", NOW),
    "forget": lambda me: me.queues.forget(POOL, "completed", 1, NOW),
    "pool_state": lambda me: read_state(me.store, POOL, 24),
    "mend": lambda me: me.queues.mend(POOL, "ready", Queue.READY, NOW + 1),
    "miss": lambda me: me.queues.miss(POOL, "running", Queue.RUNNING, True, NOW),
    "promote": lambda me: me.queues.promote(POOL, "pending", "", 1, NOW),
    "put_back": lambda me: me.queues.put_back(POOL, "unclaimed", NOW),
    "reclaim": lambda me: me.queues.reclaim(POOL, "ready", Queue.READY, Holder("ann", "id", NOW, NOW), "why", NOW),
    "recount": lambda me: me.queues.recount([]),
    "recover": lambda me: me.queues.recover(POOL, keys.CLONES, NOW),
    "sample": lambda me: me.samples.write(MINUTES, 1, {POOL: bytes(8)}, SamplesTaken(NOW, "1-0")),
    "remember_pools": lambda me: me.registry.write([MEMORY], {"old": "why"}, {}),
    "forget_pool": lambda me: me.registry.forget("gone"),
    "settle": lambda me: me.queues.settle(POOL, "twice", Queue.RUNNING, [Queue.PENDING], NOW),
    "stamp": lambda me: me.queues.stamp(POOL, "running", "id", NOW),
    "verify": lambda me: me.queues.verify(POOL, "this Redis"),
}
"""The changes of a manager, by script. Each one changes something in the data that :func:`everything` creates."""

READS: dict[str, Deed] = {
    "find_pools": lambda me: me.registry.find("0"),
    "leader": lambda me: leader_and_leftovers(me.store),
    "leftovers": lambda me: leftovers(me.store),
    "of_others": lambda me: me.registry.of_others(POOL, ["centos"], ["running"]),
    "samples": lambda me: me.samples.read(MINUTES, 0, 1, [POOL]),
    "sizes": lambda me: stats.sizes(me.store, Queue.READY, [POOL]),
}

CLIENTS = {
    *(
        "add_token",
        "change",
        "checkout",
        "counts",
        "days",
        "drop_token",
        "hurry",
        "keep_sums",
        "give_back",
        "overview",
        "rate",
    ),
    *("request", "tags", "token", "tokens", "where"),
}
"""The scripts that run only for clients of the API."""

LEASES = {"take_lease", "keep_lease", "drop_lease"}

ARRIVALS = {"arrive", "peers", "present", "put_away", "restore"}
"""The scripts that any process runs, leader or not: when it arrives at another Redis, or while it is alive."""


async def everything(store: Connection) -> None:
    """Create a VM in every queue, a VM in two queues, and work of every kind."""
    queues = queues_of(store)
    await make_completed(store, "completed")
    await make_running(store, "running", "twice", "of-the-original")
    await store.call("SADD", keys.queue(Queue.PENDING, POOL), "twice")
    await make_running(store, "unclaimed")
    await store.call("HSET", keys.record("unclaimed"), "unclaimed", "why")
    await store.call("SET", keys.DOUBTED, "this Redis")
    await store.call("DEL", keys.BOOKED + POOL)
    await store.call("HSET", keys.record("of-the-original"), "token:token", "secret")
    await make_ready(store, "ready")
    assert await queues.begin_clone(POOL, "pending", 99, NOW) == "ok"
    assert await queues.discover(POOL, "found", True, NOW)
    await queues.fail(POOL, keys.CLONES, "why", NOW)
    tasks = Tasks(store, settings(), random.Random(1).choice, "api")
    await store.call("HSET", keys.tasks(POOL), TASK.id, json.dumps(attrs.asdict(TASK)))
    await tasks.request("running", Kind.DISK, "8", FREE, NOW)
    await store.call("HSET", keys.POOLS, "gone", "{}")


async def manager(store: Connection, name: str) -> FencedParts:
    """Return a manager that leads from now on, whichever manager led before."""
    lease = Lease(store, Clock(), name, alone=True)
    assert await lease.take()
    behind = lease.fence(lambda: None)
    chance = random.Random(2).choice
    requests = Tasks(behind, settings(), chance, "manager")
    return FencedParts(behind, Queues(behind, settings()), requests, Samples(behind), Registry(behind))


def test_every_script_is_known_to_be_a_managers_or_a_clients() -> None:
    assert {*CHANGES, *READS, *CLIENTS, *LEASES, *ARRIVALS} == set(NAMES)
    assert CLIENTS.isdisjoint({*CHANGES, *READS})


@pytest.mark.parametrize("script", CHANGES)
async def test_a_manager_that_leads_changes_something_by_it(store: Connection, script: str) -> None:
    await everything(store)
    leader = await manager(store, "leader")
    before = await contents(store)
    await CHANGES[script](leader)
    assert await contents(store) != before


@pytest.mark.parametrize("script", [*CHANGES, *READS])
async def test_one_that_led_before_is_refused_and_changes_nothing(store: Connection, script: str) -> None:
    await everything(store)
    old = await manager(store, "old")
    await manager(store, "new")
    before = await contents(store)
    with pytest.raises(NotLeading):
        await (CHANGES | READS)[script](old)
    assert await contents(store) == before


async def test_one_that_has_dropped_its_lease_is_refused_though_nobody_else_leads(store: Connection) -> None:
    lease = Lease(store, Clock(), "a")
    assert await lease.take()
    behind = lease.fence(lambda: None)
    assert await behind.call("SET", "x", "1") == "OK"
    await lease.drop()
    with pytest.raises(NotLeading):
        await behind.call("SET", "x", "2")
    assert await store.call("GET", "x") == "1"


async def test_a_manager_that_is_refused_reports_it_at_once(store: Connection) -> None:
    refusals: list[bool] = []
    lease = Lease(store, Clock(), "a")
    assert await lease.take()
    behind = lease.fence(lambda: refusals.append(True))
    await behind.call("GET", "x")
    assert refusals == []
    await manager(store, "new")
    with pytest.raises(NotLeading):
        await behind.call("GET", "x")
    assert refusals == [True]


async def test_a_reply_is_the_same_behind_the_fence(store: Connection) -> None:
    leader = await manager(store, "leader")
    await store.call("RPUSH", "list", "a", "1.50", "\udcff")
    await store.call("XADD", "stream", "1-1", "a", "b")
    for command in (
        ("GET", "nothing"),
        ("LRANGE", "list", 0, -1),
        ("XREVRANGE", "stream", "+", "-", "COUNT", 1),
        ("STRLEN", "nothing"),
        ("PING",),
    ):
        assert await leader.store.call(*command) == await store.call(*command)


def test_what_clients_have_done_is_not_behind_the_fence_and_costs_what_it_did() -> None:
    for name in CLIENTS:
        assert keys.EPOCH not in load(name).source
        assert "NOTLEADING" not in load(name).source
        assert "NOTLEADING" in fenced(load(name)).source


async def test_a_client_needs_no_lease_and_is_not_kept_out_by_one(store: Connection) -> None:
    await make_ready(store, "a", "b")
    await manager(store, "leader")
    assert await checkouts_of(store).checkout([Wanted(POOL, 2, (POOL,))], "id", None, NOW)
    await checkouts_of(store).complete(POOL, "a", FREE, NOW)
