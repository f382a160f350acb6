"""GET /status, /poolstat, /totalrunning and the dashboard's /dashboard/stats routes."""

import attrs
import pytest

from tests.web.client import until
from tests.web.conftest import PLAIN, POOLS, Serve, Served
from tests.web.test_vm import NO, now
from vmpooler.domain.times import day
from vmpooler.settings import Pool
from vmpooler.web.routes.status import FRESH

BOTH_WAYS = True


@pytest.mark.parametrize("path", ["/status", "/api/v1/status", "/status/", "//status"])
async def test_status_counts_every_pool(serve: Serve, path: str) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1", "d2")
    await served.store.call("SADD", "vmpooler__pending__ubuntu-22.04", "u1", "u2")
    await served.store.call("SADD", "vmpooler__running__ubuntu-22.04", "u3")
    await served.store.call("SET", "vmpooler__tasks__clone", "1")
    await served.store.call("HSET", "vmpooler__lastboot", "debian-12-x86_64", "2024-01-01 00:00:00 +0000")
    await served.store.call("HSET", f"vmpooler__clone__{day(now())}", "debian-12-x86_64:d1", "20.50", "old:o1", "")
    answer = await served.ask("GET", path)
    status = answer.json
    assert answer.status == 200
    assert list(status) == ["boot", "capacity", "clone", "pools", "queue", "status"]
    assert status["pools"]["debian-12-x86_64"] == {
        "ready": 2,
        "running": 0,
        "pending": 0,
        "max": 2,
        "alias": ["debian", "linux"],
        "lastBoot": "2024-01-01 00:00:00 +0000",
    }
    assert status["pools"]["spare-pool"] == {"ready": 0, "running": 0, "pending": 0, "max": 0, "lastBoot": ""}
    assert status["queue"] == {
        "pending": 2,
        "cloning": 1,
        "booting": 1,
        "ready": 2,
        "running": 1,
        "completed": 0,
        "total": 5,
    }
    assert status["clone"]["duration"] == {"average": 20.5, "min": 20.5, "max": 20.5, "total": 20.5}
    assert status["boot"]["count"] == {"total": 0}
    assert status["status"].pop("uptime") >= 0
    assert status["status"] == {"ok": False, "message": "Found 1 empty pools.", "empty": ["ubuntu-22.04"]}


@pytest.mark.parametrize(
    ("view", "members"),
    [
        *[("queue,pools", ["pools", "queue", "status"]), ("boot", ["boot", "status"]), ("%ff,nothing", ["status"])],
        *[("", ["status"]), ("clone&view=capacity", ["capacity", "status"])],
    ],
)
async def test_a_view_shows_what_it_names(serve: Serve, view: str, members: list[str]) -> None:
    answer = await (await serve()).ask("GET", f"/status?view={view}")
    assert list(answer.json) == members


@pytest.mark.parametrize("path", ["/status", "/poolstat?pool=linux", "/totalrunning", "/summary"])
async def test_one_round_trip_is_enough_for_any_number_of_pools(serve: Serve, path: str) -> None:
    served = await serve(attrs.evolve(PLAIN, pools=(*POOLS, *(Pool(name=f"pool-{n}", size=1) for n in range(100)))))
    await served.ask("GET", path)
    await served.ask("POST", "/vm/nothing")  # a POST that may have changed the state discards the cached status
    await served.store.call("CONFIG", "RESETSTAT")
    assert (await served.ask("GET", path)).status == 200
    stats = await served.store.call("INFO", "stats")
    assert "total_reads_processed:2\r\n" in stats, "the request's, and this one"


async def ready(served: Served) -> int:
    """Return the number of ready VMs according to GET /status."""
    return int((await served.ask("GET", "/status")).json["capacity"]["current"])


def test_the_status_is_exact_within_a_second() -> None:
    assert FRESH <= 0.5, "a reading may take as long again"


async def test_what_another_program_changes_shows_soon_without_an_event(serve: Serve) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1")
    assert await ready(served) == 1
    await served.store.call("SADD", "vmpooler__ready__ubuntu-22.04", "u1")

    async def shows() -> bool:
        return await ready(served) == 2

    await until(shows)


async def test_what_another_process_changes_shows_soon(serve: Serve) -> None:
    served, other = await serve(), await serve()
    await served.have("debian-12-x86_64", "d1")
    assert await ready(served) == 1
    assert (await other.ask("POST", "/vm/debian")).status == 200

    async def shows() -> bool:
        return await ready(served) == 0

    await until(shows)


async def test_what_a_request_changes_shows_at_once(serve: Serve) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1", "d2")
    assert await ready(served) == 2
    await served.ask("POST", "/vm/debian")
    status = (await served.ask("GET", "/status")).json
    assert (status["queue"]["ready"], status["queue"]["running"]) == (1, 1)
    vm = (await served.queue("running", "debian-12-x86_64")).pop()
    await served.ask("DELETE", f"/vm/{vm}")
    assert (await served.ask("GET", "/status?view=queue")).json["queue"]["running"] == 0


async def stocked(serve: Serve) -> Served:
    served = await serve()
    await served.have("debian-12-x86_64", "d1", "d2")
    await served.store.call("SADD", "vmpooler__running__debian-12-x86_64", "d3")
    await served.store.call("SADD", "vmpooler__running__ubuntu-22.04", "u1", "u2")
    return served


DEBIAN = {"debian-12-x86_64": {"max": 2, "alias": ["debian", "linux"], "ready": 2}}
UBUNTU = {"ubuntu-22.04": {"max": 2, "alias": ["linux"], "ready": 0}}


@pytest.mark.parametrize(
    ("query", "pools"),
    [
        ("?pool=debian-12-x86_64", DEBIAN),
        ("?pool=debian", DEBIAN),
        ("?pool=spare-pool,nothing", {"spare-pool": {"max": 0, "ready": 0}}),
        ("?pool=ubuntu-22.04,debian", DEBIAN | UBUNTU),
        ("?pool=linux", DEBIAN | UBUNTU),
        ("?pool=linux&pool=debian", DEBIAN),
        ("?pool=", {}),
        ("?pool=%ff%00,nothing", {}),
        ("", {}),
    ],
)
async def test_the_stock_of_some_pools_is_returned(serve: Serve, query: str, pools: dict[str, object]) -> None:
    served = await stocked(serve)
    for path in ("/poolstat", "/api/v1/poolstat/"):
        answer = await served.ask("GET", path + query)
        assert (answer.status, answer.json) == (200, {"pools": pools})


@pytest.mark.parametrize("path", ["/totalrunning", "/api/v1/totalrunning"])
async def test_all_that_runs_is_counted(serve: Serve, path: str) -> None:
    assert (await (await stocked(serve)).ask("GET", path)).json == {"running": 3}


async def test_the_dashboard_reads_how_full_each_pool_is(serve: Serve) -> None:
    served = await stocked(serve)
    path = "/dashboard/stats/vmpooler/pool"
    assert (await served.ask("GET", path)).json == {
        "debian-12-x86_64": {"size": 2, "ready": 2},
        "ubuntu-22.04": {"size": 2, "ready": 0},
        "spare-pool": {"size": 0, "ready": 0},
    }
    found = (await served.ask("GET", f"{path}?history=1")).json
    assert found["debian-12-x86_64"] == {"size": 2, "ready": 2, "history": [2]}


async def test_the_dashboard_reads_what_runs_of_each_family_of_pools(serve: Serve) -> None:
    pools = [Pool(name=name, size=1) for name in ("debian-12-x86_64", "debian-11", "plain")]
    served = await serve(attrs.evolve(PLAIN, pools=tuple(pools)))
    for pool, vms in zip(pools, ("ab", "c", "d"), strict=True):
        await served.store.call("SADD", f"vmpooler__running__{pool.name}", *vms)
    for query in ("", "?history=1"):
        answer = await served.ask("GET", f"/dashboard/stats/vmpooler/running{query}")
        assert answer.json == {"debian": {"running": 3}, "": {"running": 1}}


async def test_the_dashboard_is_not_below_the_prefix_of_the_api(serve: Serve) -> None:
    answer = await (await serve()).ask("GET", "/api/v1/dashboard/stats/vmpooler/pool")
    assert (answer.status, answer.text) == (404, NO)
