"""GET and DELETE /vm/:host."""

from typing import Any

import pytest

from tests.web.conftest import POOLS, WITH_AUTH, WITH_DOMAIN, Serve, Served
from vmpooler.domain.times import text
from vmpooler.settings import General, Settings

BOTH_WAYS = True

NO = '{\n  "ok": false\n}'
HOST = "pre-fix1"


def now() -> float:
    from twisted.internet import reactor

    clock: Any = reactor
    return float(clock.seconds())


async def write(served: Served, **fields: str) -> None:
    flat = [part for name, value in fields.items() for part in (name.replace("__", ":"), value)]
    await served.store.call("HSET", f"vmpooler__vm__{HOST}", "template", POOLS[0].name, *flat)


async def taken(serve: Serve, settings: Settings = WITH_AUTH, **fields: str) -> Served:
    served = await serve(settings)
    await write(served, **fields)
    await served.store.call("SADD", f"vmpooler__running__{POOLS[0].name}", HOST)
    return served


@pytest.mark.parametrize("host", [HOST, f"{HOST}.example.com", f"{HOST}.elsewhere", f"{HOST}/"])
async def test_a_vm_is_returned_under_its_short_name(serve: Serve, host: str) -> None:
    served = await serve(WITH_DOMAIN)
    await write(served, check="x", ip="192.0.2.1")
    for path in (f"/vm/{host}", f"/api/v1/vm/{host}", f"//vm/{host}"):
        answer = await served.ask("GET", path)
        assert answer.json == {
            "ok": True,
            HOST: {
                "template": "debian-12-x86_64",
                "lifetime": 24,
                "state": "ready",
                "ip": "192.0.2.1",
                "domain": "example.com",
            },
        }


async def test_a_running_vm_has_its_times_its_tags_snapshots_and_disks(serve: Serve) -> None:
    served = await serve(Settings(pools=POOLS, general=General(vm_lifetime=12)))
    start = int(now()) - 5400
    tags = {"tag__roles": "agent, master", "tag__url": "https://ci/a?b=c", "snapshot__abc": "2024-01-01 00:00:00 +0000"}
    await write(served, checkout=text(start), disk="+8gb:+16gb", ip="192.0.2.1", **tags)
    vm = (await served.ask("GET", f"/vm/{HOST}")).json[HOST]
    assert vm["state"] == "running"
    assert vm["running"] == 1.5
    assert vm["remaining"] == 10.5
    assert vm["start_time"].endswith("+00:00")
    assert vm["tags"] == {"roles": "agent, master", "url": "https://ci/a?b=c"}
    assert vm["snapshots"] == ["abc"]
    assert vm["disk"] == ["+8gb", "+16gb"]
    assert "domain" not in vm


async def test_an_address_that_is_not_stored_is_looked_up(serve: Serve) -> None:
    served = await serve()
    await served.store.call("HSET", "vmpooler__vm__known-host", "template", "a-b")
    assert (await served.ask("GET", "/vm/known-host")).json["known-host"]["ip"] == "192.0.2.7"


async def test_an_address_that_nobody_knows_is_empty_after_a_second(serve: Serve) -> None:
    served = await serve()
    await write(served)
    start = now()
    assert (await served.ask("GET", f"/vm/{HOST}")).json[HOST]["ip"] == ""
    assert now() - start < 8


async def test_what_is_no_utf8_in_a_record_is_returned_all_the_same(serve: Serve) -> None:
    served = await serve()
    await write(served, ip="192.0.2.1", tag__a="\udcff")
    assert (await served.ask("GET", f"/vm/{HOST}")).json[HOST]["tags"] == {"a": "?"}


async def test_an_unknown_vm_is_404(serve: Serve) -> None:
    served = await serve()
    for method in ("GET", "DELETE"):
        answer = await served.ask(method, "/vm/nothing")
        assert (answer.status, answer.text) == (404, NO)


async def test_delete_completes_a_running_vm_once(serve: Serve) -> None:
    served = await taken(serve)
    answer = await served.ask("DELETE", f"/vm/{HOST}.example.com", headers={"Content-Length": "0"})
    assert (answer.status, answer.json) == (200, {"ok": True})
    assert await served.queue("running", POOLS[0].name) == set()
    assert await served.queue("completed", POOLS[0].name) == {HOST}
    assert await served.events() == [("completed", HOST)]
    answer = await served.ask("DELETE", f"/vm/{HOST}")
    assert (answer.status, answer.text) == (404, NO)


async def test_the_state_stays_running_until_a_deleted_vm_is_destroyed(serve: Serve) -> None:
    served = await taken(serve, checkout=text(now()), ip="192.0.2.1")
    await served.ask("DELETE", f"/vm/{HOST}")
    assert (await served.ask("GET", f"/vm/{HOST}")).json[HOST]["state"] == "running"


async def test_a_ready_vm_cannot_be_deleted(serve: Serve) -> None:
    served = await serve()
    await served.have(POOLS[0].name, HOST)
    assert (await served.ask("DELETE", f"/vm/{HOST}")).status == 404
    assert await served.queue("ready", POOLS[0].name) == {HOST}


async def test_a_vm_whose_pool_nobody_knows_cannot_be_deleted(serve: Serve) -> None:
    served = await serve()
    await served.store.call("HSET", f"vmpooler__vm__{HOST}", "checkout", text(now()))
    assert (await served.ask("DELETE", f"/vm/{HOST}")).status == 404


@pytest.mark.parametrize("headers", [{}, {"X-AUTH-TOKEN": "unknown"}, {"X-AUTH-TOKEN": ""}])
async def test_a_vm_taken_with_a_token_needs_one_that_is_known(serve: Serve, headers: dict[str, str]) -> None:
    served = await taken(serve, token__token="mine")
    answer = await served.ask("DELETE", f"/vm/{HOST}", headers=headers)
    assert (answer.status, answer.text) == (401, NO)
    assert answer.headers["www-authenticate"] == 'Basic realm="Authentication required"'
    assert await served.queue("running", POOLS[0].name) == {HOST}


async def test_any_known_token_deletes_any_vm(serve: Serve) -> None:
    served = await taken(serve, token__token="mine")
    await served.store.call("HSET", "vmpooler__token__other", "user", "jdoe")
    assert (await served.ask("DELETE", f"/vm/{HOST}", headers={"X-AUTH-TOKEN": "other"})).status == 200


async def test_a_vm_taken_without_a_token_is_deleted_by_anyone(serve: Serve) -> None:
    served = await taken(serve)
    assert (await served.ask("DELETE", f"/vm/{HOST}", headers={"X-AUTH-TOKEN": "unknown"})).status == 200


async def test_without_authentication_a_token_of_old_protects_nothing(serve: Serve) -> None:
    served = await taken(serve, Settings(pools=POOLS), token__token="mine")
    assert (await served.ask("DELETE", f"/vm/{HOST}")).status == 200
