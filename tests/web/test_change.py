"""PUT /vm/:host."""

import json
import re
from typing import Any

import attrs
import pytest

from tests.store.contents import contents, events
from tests.web.conftest import OWNER_ONLY, PLAIN, POOLS, WITH_AUTH, Serve, Served
from tests.web.test_vm import now
from vmpooler.domain.times import day, text
from vmpooler.settings import General, Limits, Settings

NO = '{\n  "ok": false\n}'
HOST = "pre-fix1"
POOL = POOLS[0].name


async def taken(serve: Serve, settings: Settings = PLAIN, **fields: str) -> Served:
    """Return an API with one VM that is checked out."""
    served = await serve(settings)
    known = {"template": POOL, "checkout": text(now()), "ip": "192.0.2.1"} | fields
    flat = [part for name, value in known.items() for part in (name.replace("__", ":"), value)]
    await served.store.call("HSET", f"vmpooler__vm__{HOST}", *flat)
    await served.store.call("SADD", f"vmpooler__running__{POOL}", HOST)
    await served.store.call("HSET", "vmpooler__token__anns", "user", "ann", "created", "x")
    await served.store.call("HSET", "vmpooler__token__bobs", "user", "bob", "created", "x")
    return served


async def put(served: Served, body: Any, token: str | None = None, host: str = HOST) -> Any:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await served.ask("PUT", f"/vm/{host}", sent, headers={} if token is None else {"X-AUTH-TOKEN": token})


@pytest.mark.parametrize("path", [f"/vm/{HOST}", f"/api/v1/vm/{HOST}/", f"//vm/{HOST}.example.com"])
async def test_a_lifetime_and_tags_are_set_as_the_original_does(serve: Serve, path: str) -> None:
    served = await taken(serve)
    body = b'{"lifetime": "4", "tags": {"roles": "agent, master", "build": null, "number": 7}}'
    answer = await served.ask("PUT", path, body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status, answer.text) == (200, '{\n  "ok": true\n}')
    record = await served.record(HOST)
    assert (record["lifetime"], record["tag:roles"], record["tag:number"]) == ("4", "agent, master", "7")
    assert "tag:build" not in record
    flat = await served.store.call("HGETALL", f"vmpooler__tag__{day(now())}")
    assert flat == [f"{HOST}:roles", "agent, master", f"{HOST}:number", "7"]
    vm = (await served.ask("GET", f"/vm/{HOST}")).json[HOST]
    assert (vm["lifetime"], vm["tags"]) == (4, {"roles": "agent, master", "number": "7"})


async def test_a_change_is_one_event_that_says_what_was_set(serve: Serve) -> None:
    served = await taken(serve, WITH_AUTH)
    await put(served, {"lifetime": 4, "tags": {"a": "b"}}, "anns")
    found = [[event[field] for field in ("what", "pool", "vm", "by", "why")] for event in await events(served.store)]
    assert found == [["changed", POOL, HOST, "ann", "lifetime 4 hours, a=b"]]


async def test_tags_are_added_and_overwritten_and_never_removed(serve: Serve) -> None:
    served = await taken(serve, tag__a="1", tag__b="2", tag__c="3")
    assert (await put(served, {"tags": {"a": "new", "b": "", "c": None}})).status == 200
    record = await served.record(HOST)
    assert (record["tag:a"], record["tag:b"], record["tag:c"]) == ("new", "2", "3")


async def test_a_vm_has_so_many_tags_at_the_most_and_those_it_has_can_be_changed(serve: Serve) -> None:
    served = await taken(serve, attrs.evolve(PLAIN, limits=Limits(tags=3)), tag__a="1", tag__b="2")
    before = await contents(served.store)
    answer = await put(served, {"lifetime": 4, "tags": {"b": "new", "c": "3", "d": "4"}})
    assert (answer.status, answer.json["failure"]) == (400, ["tags: a VM can have at most 3"])
    assert await contents(served.store) == before
    assert (await put(served, {"tags": {"b": "new", "c": "3"}})).status == 200
    assert (await put(served, {"tags": {"a": "x", "b": "y", "c": "z"}})).status == 200
    assert (await put(served, {"tags": {"d": "4"}})).status == 400
    assert (await put(served, {"lifetime": 5})).status == 200


async def test_the_days_tags_are_kept_as_long_as_the_operator_says(serve: Serve) -> None:
    for days, least in ((3, 3 * 86400 - 10), (0, -1)):
        served = await taken(serve, Settings(pools=POOLS, general=General(daily_retention=days)))
        await served.store.call("DEL", f"vmpooler__tag__{day(now())}")
        await put(served, {"tags": {"a": "b"}})
        assert least <= await served.store.call("TTL", f"vmpooler__tag__{day(now())}") <= 3 * 86400


@pytest.mark.parametrize("body", [{}, [], {"tags": {}}, {"tags": {"a": None, "b": ""}}])
async def test_nothing_to_change_is_ok_and_changes_nothing(serve: Serve, body: Any) -> None:
    served = await taken(serve, WITH_AUTH)
    before = await contents(served.store)
    assert (await put(served, body)).status == 200
    assert await contents(served.store) == before


@pytest.mark.parametrize("body", [b"", b"{", b"lifetime=4", b"\xff", b'{"lifetime": NaN}', b"[" * 30_000])
async def test_what_is_no_json_is_400_and_no_more_is_said(serve: Serve, body: bytes) -> None:
    answer = await put(await taken(serve), body)
    assert (answer.status, answer.text) == (400, NO)


@pytest.mark.parametrize(
    "body",
    [
        None,
        4,
        "text",
        ["lifetime"],
        {"lifetime": 0},
        {"lifetime": True},
        {"tags": "a"},
        {"tags": {"good": "x", "bad": ["y"]}},
        {"tags": {"good": "x", "bad": "y" * 1025}},
        {"tags": {"good": "x", "bad": "\ud800"}},
        {"lifetime": 4, "tags": {"good": "x"}, "disk": 8},
        {"disk": 8},
    ],
    ids=str,
)
async def test_one_bad_member_is_400_with_the_reasons_and_changes_nothing(serve: Serve, body: Any) -> None:
    served = await taken(serve)
    before = await contents(served.store)
    answer = await put(served, body)
    assert (answer.status, list(answer.json)) == (400, ["ok", "failure"])
    assert answer.json["ok"] is False
    assert all(isinstance(reason, str) for reason in answer.json["failure"])
    assert len(answer.json["failure"]) == 1
    assert await contents(served.store) == before


@pytest.mark.parametrize("value", ["a\0b", "line\nline", "\x1b[31m", "ü€😀", "x" * 1024, "007", "1.10"])
async def test_a_value_is_returned_as_it_was_sent(serve: Serve, value: str) -> None:
    served = await taken(serve)
    assert (await put(served, {"tags": {"a": value}})).status == 200
    assert (await served.ask("GET", f"/vm/{HOST}")).json[HOST]["tags"] == {"a": value}


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"{}", b'{"lifetime": 4}', b'{"disk": 8}'])
async def test_an_unknown_vm_is_404_whatever_is_asked_for(serve: Serve, body: bytes) -> None:
    served = await taken(serve, WITH_AUTH)
    before = await contents(served.store)
    for host in ("unknown", ".", "%ff"):
        answer = await put(served, body, host=host)
        assert (answer.status, answer.text) == (404, NO)
    assert await contents(served.store) == before


@pytest.mark.parametrize("token", [None, "", "unknown"])
@pytest.mark.parametrize("body", [{"lifetime": 4, "tags": {"a": "b"}}, {"lifetime": 0}, {"lifetime": "x", "disk": 8}])
async def test_a_lifetime_needs_a_token_and_that_is_said_first(serve: Serve, body: Any, token: str | None) -> None:
    served = await taken(serve, WITH_AUTH)
    before = await contents(served.store)
    answer = await put(served, body, token)
    assert (answer.status, answer.text) == (401, NO)
    assert answer.headers["www-authenticate"] == 'Basic realm="Authentication required"'
    assert await contents(served.store) == before


@pytest.mark.parametrize("token", [None, "unknown", "bobs"])
async def test_tags_need_no_token_even_of_a_vm_that_was_taken_with_one(serve: Serve, token: str | None) -> None:
    served = await taken(serve, WITH_AUTH, token__token="anns", token__user="ann")
    assert (await put(served, {"tags": {"a": "b"}}, token)).status == 200


async def test_any_known_token_sets_any_lifetime_and_counts_as_used(serve: Serve) -> None:
    served = await taken(serve, WITH_AUTH, token__token="anns", token__user="ann")
    assert (await put(served, {"lifetime": 5}, "bobs")).status == 200
    assert await served.store.call("HEXISTS", "vmpooler__token__bobs", "last") == 1


@pytest.mark.parametrize("body", [{"lifetime": 5}, {"tags": {"a": "b"}}, {}])
async def test_where_owners_count_everything_of_a_vm_is_its_users(serve: Serve, body: Any) -> None:
    served = await taken(serve, OWNER_ONLY, token__token="anns", token__user="ann")
    before = await contents(served.store)
    assert (await put(served, body)).status == 401
    answer = await put(served, body, "bobs")
    assert (answer.status, answer.json) == (403, {"ok": False, "message": f"{HOST} was checked out by another user"})
    assert await contents(served.store) == before
    assert (await put(served, body, "anns")).status == 200


async def test_where_owners_count_a_vm_taken_without_a_token_is_anyones(serve: Serve) -> None:
    served = await taken(serve, OWNER_ONLY)
    assert (await put(served, {"tags": {"a": "b"}})).status == 200
    assert (await put(served, {"lifetime": 5})).status == 401
    assert (await put(served, {"lifetime": 5}, "bobs")).status == 200


async def test_the_operators_rules_hold(serve: Serve) -> None:
    general = General(allowed_tags=("url", "project"), max_lifetime_upper_limit=12)
    rules = attrs.evolve(PLAIN, general=general, tagfilter={"url": re.compile(r"(.*)\/")})
    served = await taken(serve, rules)
    assert (await put(served, {"lifetime": 12, "tags": {"url": "main/7"}})).status == 200
    assert (await served.record(HOST))["tag:url"] == "main"
    answer = await put(served, {"lifetime": 13, "tags": {"other": "x"}})
    assert (answer.status, len(answer.json["failure"])) == (400, 2)


async def test_a_record_that_is_about_to_expire_still_does(serve: Serve) -> None:
    served = await taken(serve, destroy=text(now()))
    await served.store.call("EXPIRE", f"vmpooler__vm__{HOST}", 60)
    assert (await put(served, {"tags": {"a": "b"}})).status == 200
    assert 0 < await served.store.call("TTL", f"vmpooler__vm__{HOST}") <= 60
    assert 0 < await served.store.call("TTL", f"vmpooler__x__history__{HOST}") <= 60
