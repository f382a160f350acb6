"""The writes that a process promised to clients, and how it replays them to a Redis that has lost them."""

from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from tests.store.contents import (
    DATA_TTL,
    NOW,
    checkouts_of,
    contents,
    hash_of,
    make_completed,
    make_ready,
    make_running,
    members,
    queues_of,
    settings,
    standing,
)
from vmpooler.domain.admission import FREE
from vmpooler.domain.change import Change
from vmpooler.domain.errors import StoreAway
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import OF_A_CHECKOUT, Wanted
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.vm_updates import Changes, confirm
from vmpooler.store.failover import recovery
from vmpooler.store.failover.recent_writes import REMEMBERED_SECONDS
from vmpooler.store.failover.recovery import Failover
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script


class RecordedProcess(Failover):
    """A process, its commands to Redis, and its clock.

    Scripts and commands in ``failing`` fail as if Redis were unavailable. ``done`` are the scripts that ran.
    """

    def __init__(self, store: Connection) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        super().__init__(settings(), "one", self.clock)
        self._store = store
        self.failing: set[str] = set()
        self.done: list[str] = []
        self.connection: Any = self

    async def call(self, *command: Any) -> Any:
        self._fail(str(command[0]))
        return await self._store.call(*command)

    async def run(self, script: Script, /, **values: Any) -> Any:
        self._fail(script.name)
        reply = await self._store.run(script, **values)
        self.done.append(script.name)
        self.ran(script, script.command(values), reply)
        return reply

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise StoreAway("Redis is away")

    async def gives(self, vm: str, checkout_id: str = "first") -> None:
        """Give a VM to a client."""
        await make_ready(self.connection, vm)
        wanted = [Wanted("debian", 1, ("debian",))]
        (given,) = await checkouts_of(self.connection).checkout(wanted, checkout_id, None, NOW)
        assert given.vm == vm

    async def comes(self) -> None:
        """Arrive at the current Redis."""
        await self.arrive(self.connection, lambda _: None)


@pytest.fixture
def process(store: Connection) -> RecordedProcess:
    return RecordedProcess(store)


async def test_a_redis_that_goes_away_while_writes_are_replayed_gets_them_the_next_time(
    store: Connection, process: RecordedProcess
) -> None:
    await process.gives("vm")
    await store.call("FLUSHALL")
    await make_ready(store, "vm")
    process.failing = {"restore"}
    with pytest.raises(StoreAway):
        await process.comes()
    assert await standing(store) == [Queue.READY]
    process.failing.clear()
    await process.comes()
    assert await standing(store) == [Queue.RUNNING]


async def test_a_promise_that_cannot_be_kept_is_not_the_last_that_is_said_again(
    store: Connection, process: RecordedProcess
) -> None:
    for vm in ("one", "other"):
        await process.gives(vm, f"first {vm}")
    await store.call("FLUSHALL")
    await make_ready(store, "one")
    await checkouts_of(store).checkout([Wanted("debian", 1, ("debian",))], "another's", None, NOW)
    await make_ready(store, "other")
    await process.comes()
    assert (await hash_of(store, keys.record("one")))["checkout_id"] == "another's"
    assert (await hash_of(store, keys.record("other"))).get("checkout_id") == "first other"


async def test_what_one_client_did_is_not_redone_to_a_vm_that_another_got_since(
    store: Connection, process: RecordedProcess
) -> None:
    for vm in ("deleted", "changed"):
        await process.gives(vm)
        if vm == "changed":
            await Changes(process.connection, settings()).make(vm, Change(1, {}), FREE, NOW + 1)
            tasks = Tasks(process.connection, settings(), lambda some: some[0], "api")
            await tasks.request(vm, Kind.DISK, "8", FREE, NOW + 1)
        else:
            await checkouts_of(process.connection).complete("debian", vm, FREE, NOW + 1)
    await store.call("FLUSHALL")
    await make_running(store, "deleted", "changed", now=NOW + 10)
    before = await contents(store)
    await process.comes()
    after = await contents(store)
    assert {key: after[key] for key in before} == before
    assert not any(key.startswith("vmpooler__tasks__") for key in after.keys() - before.keys())


async def test_a_process_shows_signs_of_life_again_when_redis_is_back(
    store: Connection, process: RecordedProcess
) -> None:
    await process.comes()
    process.failing = {"PING", "present"}
    process.start(process.connection, lambda _: None)
    process.clock.advance(recovery.HEARTBEAT_INTERVAL)
    process.failing.clear()
    process.done.clear()
    process.clock.advance(recovery.HEARTBEAT_INTERVAL)
    real: Any = reactor
    end = real.seconds() + 5
    while "present" not in process.done and real.seconds() < end:
        await deferLater(reactor, 0.01)
    assert "present" in process.done
    await process.leave()
    assert await store.call("ZCARD", keys.PROCESSES) == 0


async def test_what_was_promised_long_ago_is_not_said_again(store: Connection, process: RecordedProcess) -> None:
    await process.gives("old")
    process.clock.advance(REMEMBERED_SECONDS + 1)
    await process.gives("new")
    await store.call("FLUSHALL")
    await make_ready(store, "old", "new")
    await process.comes()
    assert await members(store, Queue.RUNNING) == {"new"}


async def test_a_vm_that_was_destroyed_meanwhile_is_not_brought_back(
    store: Connection, process: RecordedProcess
) -> None:
    await process.gives("vm")
    await store.call("FLUSHALL")
    await make_completed(store, "vm")
    await queues_of(store).forget("debian", "vm", 1, NOW)
    await process.comes()
    assert await standing(store) == []
    assert "checkout" not in await hash_of(store, keys.record("vm"))


async def test_a_restored_vm_is_not_given_up_any_more(store: Connection, process: RecordedProcess) -> None:
    await process.gives("vm")
    await store.call("FLUSHALL")
    assert await queues_of(store).discover("debian", "vm", True, NOW)
    assert await confirm(store, "debian") == ["vm"]
    await process.comes()
    assert await standing(store) == [Queue.RUNNING]
    assert await store.call("EXISTS", keys.confirmed("debian")) == 0


async def test_a_vm_that_waits_for_its_stamp_in_the_redis_of_before_is_restored(
    store: Connection, process: RecordedProcess
) -> None:
    """The earlier client never got the VM. It returned to ready, and another client got it: Redis lost both steps."""
    await process.gives("vm")
    await store.call("FLUSHALL")
    await make_running(store, "vm")
    await store.call("HDEL", keys.record("vm"), *OF_A_CHECKOUT)
    await store.call("HSET", keys.record("vm"), "unclaimed", "its client hung up", "stamping", "id")
    await process.comes()
    assert await standing(store) == [Queue.RUNNING]
    record = await hash_of(store, keys.record("vm"))
    assert record["checkout_id"]
    assert "unclaimed" not in record


async def test_a_restored_vm_keeps_its_record_for_as_long_as_it_runs(
    store: Connection, process: RecordedProcess
) -> None:
    await process.gives("vm")
    await store.call("FLUSHALL")
    await store.call("HSET", keys.record("vm"), "template", "debian")
    assert await queues_of(store).discover("debian", "vm", False, NOW)
    assert await queues_of(store).explain("debian", "vm", "it is gone", NOW)
    assert 0 < await store.call("TTL", keys.record("vm")) <= DATA_TTL
    await process.comes()
    assert await standing(store) == [Queue.RUNNING]
    assert await store.call("TTL", keys.record("vm")) == -1
