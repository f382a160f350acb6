"""Disks, snapshots and reverts, as clients request them. Source: docs/compatibility.md#client-traps."""

import pytest

from tests.web.conftest import WITH_AUTH, Serve, Served

UNKNOWN = {"X-AUTH-TOKEN": "unknown"}
KNOWN = {"X-AUTH-TOKEN": "known"}


async def a_vm(served: Served, vm: str = "vm-1") -> str:
    await served.have("debian-12-x86_64", vm)
    await served.store.call("HSET", "vmpooler__token__known", "user", "ann")
    return vm


async def intake(served: Served, kind: str) -> list[list[str]]:
    """Return the entries of Ruby vmpooler's task set, split at the colons."""
    return sorted(each.split(":") for each in await served.store.call("SMEMBERS", f"vmpooler__tasks__{kind}"))


@pytest.mark.parametrize("path", ["/api/v1/vm/{}/disk/8", "//api//v1//vm//{}.example.com//disk/8/", "/vm/{}/disk/008"])
async def test_a_disk_is_accepted_and_waits_where_the_original_looks(serve: Serve, path: str) -> None:
    served = await serve()
    vm = await a_vm(served)
    answer = await served.ask("POST", path.format(vm))
    assert (answer.status, answer.json) == (202, {"ok": True, vm: {"disk": "+8gb"}})
    ((name, size, id),) = await intake(served, "disk")
    assert (name, size) == (vm, "8")
    assert id


async def test_two_equal_disks_are_two_requests(serve: Serve) -> None:
    served = await serve()
    vm = await a_vm(served)
    for _ in range(2):
        await served.ask("POST", f"/vm/{vm}/disk/8")
    assert [each[:2] for each in await intake(served, "disk")] == [[vm, "8"]] * 2
    assert (await served.events())[-2:] == [("requested", vm)] * 2


@pytest.mark.parametrize("size", ["0", "-1", "8abc", "abc", "1.5", "%20", "99999999999999999999", "٣", "8:9", "+8"])
async def test_a_size_that_is_none_is_404_and_asks_for_nothing(serve: Serve, size: str) -> None:
    from urllib.parse import quote

    served = await serve()
    vm = await a_vm(served)
    answer = await served.ask("POST", f"/vm/{vm}/disk/{quote(size, safe='%:+')}")
    assert (answer.status, answer.json) == (404, {"ok": False})
    assert await intake(served, "disk") == []


async def test_a_snapshot_is_given_a_name_and_can_be_gone_back_to_when_it_is_there(serve: Serve) -> None:
    served = await serve()
    vm = await a_vm(served)
    answer = await served.ask("POST", f"/vm/{vm}/snapshot")
    assert answer.status == 202
    name = answer.json[vm]["snapshot"]
    assert len(name) == 32
    assert [each[:2] for each in await intake(served, "snapshot")] == [[vm, name]]
    early = await served.ask("POST", f"/vm/{vm}/snapshot/{name}")
    assert (early.status, early.json) == (404, {"ok": False})
    await served.store.call("HSET", f"vmpooler__vm__{vm}", f"snapshot:{name}", "not a date")
    answer = await served.ask("POST", f"/vm/{vm}/snapshot/{name}")
    assert (answer.status, answer.json) == (202, {"ok": True})
    assert [each[:2] for each in await intake(served, "snapshot-revert")] == [[vm, name]]


@pytest.mark.parametrize("work", ["disk/8", "snapshot", "snapshot/before"])
async def test_an_unknown_vm_is_404(serve: Serve, work: str) -> None:
    answer = await (await serve()).ask("POST", f"/vm/never-was/{work}")
    assert (answer.status, answer.json) == (404, {"ok": False})


@pytest.mark.parametrize("work", ["disk/8", "disk/nonsense", "snapshot", "snapshot/before"])
@pytest.mark.parametrize("vm", ["vm-1", "never-was"])
@pytest.mark.parametrize("headers", [{}, UNKNOWN])
async def test_a_known_token_is_needed_before_anything_else(
    serve: Serve, vm: str, work: str, headers: dict[str, str]
) -> None:
    served = await serve(WITH_AUTH)
    await a_vm(served)
    answer = await served.ask("POST", f"/vm/{vm}/{work}", headers=headers)
    assert (answer.status, answer.json) == (401, {"ok": False})
    assert answer.headers["www-authenticate"] == 'Basic realm="Authentication required"'
    assert await served.store.call("KEYS", "vmpooler__tasks__*") == []


async def test_a_known_token_serves_and_counts_as_used(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    vm = await a_vm(served)
    assert (await served.ask("POST", f"/vm/{vm}/disk/8", headers=KNOWN)).status == 202
    assert await served.store.call("HEXISTS", "vmpooler__token__known", "last") == 1
