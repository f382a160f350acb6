"""POST /vm and POST /vm/a+a+b."""

import pytest

from tests.web.conftest import POOLS, WITH_AUTH, WITH_DOMAIN, Serve
from vmpooler.settings import Auth, General, Pool, Settings

BOTH_WAYS = True

NO = '{\n  "ok": false\n}'


async def test_a_checkout_gives_text_for_one_vm_a_list_for_more_and_then_the_domain(serve: Serve) -> None:
    served = await serve(WITH_DOMAIN)
    await served.have("debian-12-x86_64", "d1")
    await served.have("ubuntu-22.04", "u1", "u2")
    answer = await served.ask("POST", "/vm/ubuntu-22.04+debian-12-x86_64+ubuntu-22.04")
    assert answer.status == 200
    hosts = answer.json["ubuntu-22.04"]["hostname"]
    assert sorted(hosts) == ["u1", "u2"]
    assert answer.json == {
        "ok": True,
        "ubuntu-22.04": {"hostname": hosts},
        "debian-12-x86_64": {"hostname": "d1"},
        "domain": "example.com",
    }
    assert list(answer.json) == ["ok", "ubuntu-22.04", "debian-12-x86_64", "domain"]
    assert '    "hostname": "d1"\n' in answer.text
    assert await served.queue("running", "ubuntu-22.04") == {"u1", "u2"}
    assert await served.queue("ready", "ubuntu-22.04") == set()


@pytest.mark.parametrize("sign", ["+", "%2B", "%2b"])
async def test_a_plus_in_a_path_is_a_plus_however_it_is_written(serve: Serve, sign: str) -> None:
    served = await serve()
    await served.have("ubuntu-22.04", "u1", "u2")
    answer = await served.ask("POST", f"/vm/ubuntu-22.04{sign}ubuntu-22.04+")
    assert sorted(answer.json["ubuntu-22.04"]["hostname"]) == ["u1", "u2"]
    assert (await served.ask("POST", "/vm/ubuntu-22.04%20ubuntu-22.04")).status == 404


@pytest.mark.parametrize("count", ["1", '"1"', "1.9", '"1 please"', "1e0"])
async def test_a_count_may_be_text_or_a_number(serve: Serve, count: str) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1")
    answer = await served.ask("POST", "/vm", f'{{"debian": {count}, "ubuntu-22.04": 0}}'.encode())
    assert answer.json == {"ok": True, "debian": {"hostname": "d1"}}


@pytest.mark.parametrize("body", ["{}", '{"debian": 0}', '{"debian": null}', '{"debian": "x"}', '{"debian": -1e999}'])
async def test_who_asks_for_nothing_gets_nothing_and_it_is_ok(serve: Serve, body: str) -> None:
    answer = await (await serve(WITH_DOMAIN)).ask("POST", "/vm", body.encode())
    assert (answer.status, answer.json) == (200, {"ok": True, "domain": "example.com"})
    assert (await (await serve()).ask("POST", "/vm/+")).json == {"ok": True}


async def test_an_alias_is_answered_under_its_own_name(serve: Serve) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1", "d2")
    answer = await served.ask("POST", "/vm/debian+debian-12-x86_64")
    assert set(answer.json) == {"ok", "debian", "debian-12-x86_64"}
    assert {answer.json["debian"]["hostname"], answer.json["debian-12-x86_64"]["hostname"]} == {"d1", "d2"}


async def test_of_pools_that_share_an_alias_the_fullest_is_taken_from_first(serve: Serve) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1")
    await served.have("ubuntu-22.04", "u1", "u2", "u3")
    assert (await served.ask("POST", "/vm/linux")).json["linux"]["hostname"].startswith("u")
    both = (await served.ask("POST", "/vm/linux+linux+linux")).json["linux"]["hostname"]
    assert sorted(host[0] for host in both) == ["d", "u", "u"]


async def test_nobody_is_refused_while_enough_are_ready_however_they_are_to_be_shared_out(serve: Serve) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1")
    await served.have("ubuntu-22.04", "u1")
    answer = await served.ask("POST", "/vm/linux+debian")
    assert answer.json == {"ok": True, "linux": {"hostname": "u1"}, "debian": {"hostname": "d1"}}


@pytest.mark.parametrize("path", ["linux+linux+linux+debian", "ubuntu-22.04+debian+debian"])
async def test_all_or_nothing(serve: Serve, path: str) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1")
    await served.have("ubuntu-22.04", "u1")
    answer = await served.ask("POST", f"/vm/{path}")
    assert (answer.status, answer.text) == (503, NO)
    assert await served.queue("ready", "debian-12-x86_64") == {"d1"}
    assert await served.queue("ready", "ubuntu-22.04") == {"u1"}
    assert "checkout" not in await served.record("d1")
    assert await served.events() == []


async def test_more_than_any_pool_has_is_refused_quickly(serve: Serve) -> None:
    served = await serve()
    await served.have("ubuntu-22.04", "u1")
    for count in ("1e999", "999999999999999999999", '"99999999999999999999999"'):
        answer = await served.ask("POST", "/vm", f'{{"ubuntu-22.04": {count}}}'.encode())
        assert (answer.status, answer.text) == (503, NO)


async def test_an_unknown_name_is_404_before_anything_is_touched(serve: Serve) -> None:
    served = await serve()
    await served.have("ubuntu-22.04", "u1")
    for path in ("ubuntu-22.04+nothing", "+ubuntu-22.04", "ubuntu-22.04++debian"):
        answer = await served.ask("POST", f"/vm/{path}")
        assert (answer.status, answer.text) == (404, NO)
    assert await served.queue("ready", "ubuntu-22.04") == {"u1"}


async def test_a_checkout_without_a_token_is_free_for_all(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    await served.have("debian-12-x86_64", "d1")
    assert (await served.ask("POST", "/vm/debian")).status == 200
    assert "token:token" not in await served.record("d1")


@pytest.mark.parametrize("token", ["unknown", "", "\xff\xfe", "{}:*"])
async def test_a_token_that_is_unknown_is_401_before_anything_is_touched(serve: Serve, token: str) -> None:
    served = await serve(WITH_AUTH)
    await served.have("debian-12-x86_64", "d1")
    answer = await served.ask("POST", "/vm/debian", headers={"X-AUTH-TOKEN": token})
    assert (answer.status, answer.text) == (401, NO)
    assert answer.headers["www-authenticate"] == 'Basic realm="Authentication required"'
    assert await served.queue("ready", "debian-12-x86_64") == {"d1"}


async def test_a_known_token_marks_its_vm_and_may_set_its_lifetime(serve: Serve) -> None:
    served = await serve(Settings(pools=POOLS, auth=Auth(provider="dummy"), general=General(vm_lifetime_auth=48)))
    await served.have("debian-12-x86_64", "d1")
    await served.store.call("HSET", "vmpooler__token__abc", "user", "jdoe", "created", "x")
    assert (await served.ask("POST", "/vm/debian", headers={"X-AUTH-TOKEN": "abc"})).status == 200
    record = await served.record("d1")
    assert (record["token:token"], record["token:user"], record["lifetime"]) == ("abc", "jdoe", "48")
    assert await served.store.call("HGET", "vmpooler__token__abc", "last") == record["checkout"]


async def test_a_token_means_nothing_where_there_is_no_authentication(serve: Serve) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1")
    assert (await served.ask("POST", "/vm/debian", headers={"X-AUTH-TOKEN": "unknown"})).status == 200
    assert "token:token" not in await served.record("d1")


async def test_a_name_that_is_both_pool_and_alias_is_served_by_the_pool_first(serve: Serve) -> None:
    pools = (Pool(name="a", size=1), Pool(name="b", alias=("a",), size=1))
    served = await serve(Settings(pools=pools))
    await served.have("a", "a1")
    await served.have("b", "b1", "b2")
    assert (await served.ask("POST", "/vm/a")).json["a"]["hostname"] == "a1"
    assert (await served.ask("POST", "/vm/a")).json["a"]["hostname"] in ("b1", "b2")
