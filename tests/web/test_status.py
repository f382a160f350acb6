"""GET /status and GET /healthz."""

import pytest

from tests.web.conftest import Serve
from tests.web.test_vm import now
from vmpooler.domain.times import day


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


async def test_the_health_is_good_and_names_pools_that_wait_for_an_operator(serve: Serve) -> None:
    served = await serve()
    assert (await served.ask("GET", "/healthz")).json == {"ok": True}
    await served.store.call("HSET", "vmpooler__x__flagged", "debian-12-x86_64", "all of it is unknown")
    answer = await served.ask("GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"ok": True, "flagged": {"debian-12-x86_64": "all of it is unknown"}})
