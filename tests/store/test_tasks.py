"""Tasks of clients in the store: their events, and what remains of them."""

import pytest

from tests.store.contents import DATA_TTL, NOW, POOL, contents, events, history, make_running, queues_of, settings
from vmpooler.domain.admission import FREE
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind, Task
from vmpooler.store import keys
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.queries.pool_state import read_state
from vmpooler.store.redis.client import Connection


@pytest.fixture
def tasks(store: Connection) -> Tasks:
    return Tasks(store, settings(task_tries=2), lambda some: some[0], "manager")


async def a_disk(store: Connection, tasks: Tasks) -> Task:
    """Return a disk task that a client requested and a manager adopted."""
    await make_running(store, "vm")
    await tasks.request("vm", Kind.DISK, "8", FREE, NOW)
    assert await tasks.adopt([POOL], NOW) == [POOL]
    (task,) = (await read_state(store, POOL, 1)).tasks
    return task


async def test_a_task_that_fails_is_one_event_the_same_in_the_stream_and_in_the_vms_history(
    store: Connection, tasks: Tasks
) -> None:
    task = await a_disk(store, tasks)
    more = {"task": task.id, "kind": "disk", "argument": "8"}
    for what, own in ((What.DELAYED, {"tries": "1", "seconds": "1"}), (What.GAVE_UP, {"tries": "2"})):
        before = len(await events(store))
        await tasks.fail(POOL, task, "full", NOW)
        (event,) = (await events(store))[before:]
        assert event == {
            "what": what,
            "pool": POOL,
            "vm": "vm",
            "when": f"{NOW:.3f}",
            "by": "manager",
            "why": "full",
            **more,
            **own,
        }
        assert (await history(store))[-1] == event
        assert Event.of("1-0", event) is not None
    await tasks.fail(POOL, task, "full", NOW)
    assert (await events(store))[-1] == event


async def test_two_equal_requests_stay_two(store: Connection, tasks: Tasks) -> None:
    await make_running(store, "vm")
    for _ in range(2):
        await tasks.request("vm", Kind.DISK, "8", FREE, NOW)
    await tasks.adopt([POOL], NOW)
    assert [task.argument for task in (await read_state(store, POOL, 1)).tasks] == ["8", "8"]


async def test_what_is_done_when_the_vms_record_is_gone_begins_no_new_one(store: Connection, tasks: Tasks) -> None:
    task = await a_disk(store, tasks)
    queues = queues_of(store)
    await queues.complete(POOL, "vm", Queue.RUNNING, "why", NOW)
    await queues.forget(POOL, "vm", 1, NOW)
    assert 0 < await store.call("TTL", keys.record("vm")) <= DATA_TTL
    await store.call("DEL", keys.record("vm"))
    assert await tasks.finish(POOL, task, NOW)
    assert keys.record("vm") not in await contents(store)
