"""GET /dashboard/pools/:pool and /dashboard/vms/:vm: all details of a pool and of a VM."""

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.web.conftest import POOLS, WITH_AUTH, Serve
from vmpooler.domain import times
from vmpooler.domain.admission import FREE
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.queries.pool_state import read_state

DEBIAN = POOLS[0].name
SECRET = "abcdefghijklmnopqrstuvwxyz012345"


async def test_a_pool_has_its_settings_its_vms_by_queue_and_its_events(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    queues, now = Queues(served.store, WITH_AUTH), reactor.seconds()
    await served.store.call("HSET", keys.token(SECRET), "user", "ann")
    for vm, ago in (("first", 100), ("second", 50)):
        await queues.begin_clone(DEBIAN, vm, 10, now - ago)
        await queues.promote(DEBIAN, vm, "", 9, now - ago + 9)
    await queues.begin_clone(DEBIAN, "third", 10, now - 5)
    await queues.begin_clone(POOLS[1].name, "other", 10, now - 5)
    given = (await served.ask("POST", f"/vm/{DEBIAN}", headers={"X-AUTH-TOKEN": SECRET})).json[DEBIAN]["hostname"]
    await served.store.call("HSET", keys.record(given), "tag:project", "<script>alert(1)</script>", "lifetime", "2")
    await queues.miss(DEBIAN, given, Queue.RUNNING, True, now)
    answer = await served.ask("GET", f"/dashboard/pools/{DEBIAN}")
    found = answer.json
    assert found["pool"]["name"] == found["settings"]["name"] == DEBIAN
    assert (found["settings"]["size"], found["settings"]["timeout"]) == (2, 15)
    assert found["counts"] == {"pending": 1, "ready": 1, "running": 1, "completed": 0, "discovered": 0}
    (pending,), (ready,), (running,) = (found["queues"][queue] for queue in ("pending", "ready", "running"))
    assert {given, ready["name"]} == {"first", "second"}
    assert pending["name"] == "third"
    assert 4 < pending["age"] == pending["since"] < 10
    assert ready["owner"] is ready["remaining"] is None
    assert (running["owner"], running["missing"]) == ("ann", True)
    assert running["tags"] == {"project": "<script>alert(1)</script>"}
    assert 7190 < running["remaining"] <= 7200
    assert 49 < running["age"] < 110 > running["since"]
    whats = ["clone", "ready", "clone", "ready", "clone", "checkout", "missing"]
    assert [event["what"] for event in found["events"]] == whats
    assert SECRET not in answer.text


async def test_vms_stand_in_the_order_in_which_they_came(serve: Serve) -> None:
    served = await serve()
    now = reactor.seconds()
    for vm, ago in (("b", 30), ("a", 20), ("c", 10)):
        await served.have(DEBIAN, vm)
        await served.store.call("HSET", keys.record(vm), "ready", times.text(now - ago))
    found = (await served.ask("GET", f"/dashboard/pools/{DEBIAN}")).json
    assert [vm["name"] for vm in found["queues"]["ready"]] == ["b", "a", "c"]


async def test_a_vm_has_its_whole_life_and_not_its_token(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    queues, now = Queues(served.store, WITH_AUTH), reactor.seconds()
    await served.store.call("HSET", keys.token(SECRET), "user", "ann")
    await queues.begin_clone(DEBIAN, "vm1", 10, now - 60)
    await queues.end_clone(DEBIAN, "vm1", 9, now - 50)
    await queues.promote(DEBIAN, "vm1", "192.0.2.9", 30, now - 30)
    await served.ask("POST", f"/vm/{DEBIAN}", headers={"X-AUTH-TOKEN": SECRET})
    await served.store.call("HSET", keys.record("vm1"), "tag:a", "b", "snapshot:before", "then")
    tasks = Tasks(served.store, WITH_AUTH, lambda some: some[0], "manager")
    for size in ("8", "16"):
        await tasks.request("vm1", Kind.DISK, size, FREE, now)
    await tasks.adopt([DEBIAN], now)
    for task in sorted((await read_state(served.store, DEBIAN, 1)).tasks, key=lambda task: task.id):
        await tasks.finish(DEBIAN, task, now)
    answer = await served.ask("GET", "/dashboard/vms/vm1.example.com")
    found = answer.json
    assert (found["name"], found["pool"], found["queue"], found["state"]) == ("vm1", DEBIAN, "running", "running")
    assert (found["owner"], found["ip"], found["tags"]) == ("ann", "192.0.2.9", {"a": "b"})
    assert (found["disk"], found["snapshots"]) == (["+8gb", "+16gb"], ["before"])
    assert abs(found["ends"] - found["now"] - found["remaining"]) < 0.1
    assert found["lifetime"] * 3600 - 5 < found["remaining"] <= found["lifetime"] * 3600
    whats = ["clone", "cloned", "ready", "checkout", *2 * ["requested"], *2 * ["done"]]
    assert [event["what"] for event in found["timeline"]] == whats
    assert "id" not in found["timeline"][0]
    assert found["timeline"][1]["more"] == {"seconds": "9.00"}
    assert found["record"]["token:user"] == "ann"
    assert SECRET not in answer.text
    await queues.complete(DEBIAN, "vm1", Queue.RUNNING, "is finished with", now)
    await queues.forget(DEBIAN, "vm1", 2, now)
    gone = (await served.ask("GET", "/dashboard/vms/vm1")).json
    assert (gone["queue"], gone["state"], gone["remaining"], gone["ends"]) == (None, "destroyed", None, None)
    assert [event["what"] for event in gone["timeline"]][-2:] == ["completed", "destroyed"]


async def test_what_nobody_knows_is_404(serve: Serve) -> None:
    served = await serve()
    for path in ("/dashboard/pools/nothing", "/dashboard/pools/debian", "/dashboard/vms/nothing"):
        answer = await served.ask("GET", path)
        assert (answer.status, answer.json) == (404, {"ok": False})


async def test_a_vm_that_is_destroyed_while_it_is_read_is_completed_or_destroyed(serve: Serve) -> None:
    served = await serve()
    queues, now = Queues(served.store, WITH_AUTH), reactor.seconds()
    states = set()
    for number in range(30):
        vm = f"vm{number}"
        await served.have(DEBIAN, vm)
        await queues.complete(DEBIAN, vm, Queue.READY, "is old", now)
        asked = [Deferred.fromCoroutine(served.ask("GET", f"/dashboard/vms/{vm}")) for _ in range(6)]
        await deferLater(reactor, number * 1e-4)  # so that it is destroyed at one moment or another of a read
        await queues.forget(DEBIAN, vm, 1, now)
        states |= {(await each).json["state"] for each in asked}
    assert states == {"completed", "destroyed"}
