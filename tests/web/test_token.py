"""The routes under /token, and the places where tokens must never appear."""

import re
from base64 import b64encode
from io import StringIO

import attrs
import pytest
from twisted.logger import LogEvent, globalLogPublisher

from tests.store.contents import contents
from tests.web.client import Answer, connected
from tests.web.conftest import OWNER_ONLY, POOLS, WITH_AUTH, Serve, Served
from vmpooler.domain.errors import AuthAway
from vmpooler.domain.events import Event
from vmpooler.log import Lines, log_event
from vmpooler.store.stored import paired

NO = '{\n  "ok": false\n}'
CHALLENGE = 'Basic realm="Authentication required"'
POOL = POOLS[0].name
SECRET = "correct horse"
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"


def basic(user: str, password: str = SECRET) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


ANN, BOB = basic("ann"), basic("bob")


async def a_token(served: Served, user: dict[str, str] = ANN) -> str:
    return str((await served.ask("POST", "/token", headers=user)).json["token"])


def refused(answer: Answer) -> bool:
    return (answer.status, answer.text, answer.headers.get("www-authenticate")) == (401, NO, CHALLENGE)


# Authentication.


@pytest.mark.parametrize("route", ["GET /token", "POST /token", "GET /token/abc", "DELETE /token/abc"])
async def test_without_authentication_there_are_no_tokens(serve: Serve, route: str) -> None:
    served = await serve()
    await served.store.call("HSET", "vmpooler__token__abc", "user", "ann", "created", "x")
    method, path = route.split(" ")
    answer = await served.ask(method, path, headers=ANN)
    assert (answer.status, answer.text) == (404, NO)
    assert "www-authenticate" not in answer.headers


BAD: list[dict[str, str]] = [
    {},
    {"Authorization": ""},
    {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"},
    {"Authorization": "Basic YW5u"},
    {"Authorization": "Basic YW5u!OnNlY3JldA=="},
    {"Authorization": "Basic YW5uOnNlY3JldA"},
    {"Authorization": "Basic //46eA=="},
    {"Authorization": "Bearer YW5uOnNlY3JldA=="},
    {"Authorization": "YW5uOnNlY3JldA=="},
    {"Authorization": "Basic \xff\xfe"},
    basic("ann", "ann"),
    basic("ann", ""),
    basic("", "secret"),
    basic("a\0b"),
    basic("a" * 300),
    basic("ann", "x" * 6000),
]


@pytest.mark.parametrize("headers", BAD, ids=str)
async def test_who_cannot_log_in_is_challenged_and_changes_nothing(serve: Serve, headers: dict[str, str]) -> None:
    served = await serve(WITH_AUTH)
    await served.store.call("HSET", "vmpooler__token__abc", "user", "ann", "created", "x")
    before = await contents(served.store)
    for method, path in (("GET", "/token"), ("POST", "/token"), ("DELETE", "/token/abc"), ("DELETE", "/token/none")):
        assert refused(await served.ask(method, path, headers=headers)), method
    assert await contents(served.store) == before


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC "])
async def test_a_user_logs_in_whatever_the_case_and_a_password_may_have_colons(serve: Serve, scheme: str) -> None:
    served = await serve(WITH_AUTH)
    (header,) = basic("ann", "a:b:ü").values()
    answer = await served.ask("POST", "/token", headers={"Authorization": header.replace("Basic", scheme)})
    assert answer.status == 200


class AwayAuthenticator:
    async def check(self, user: str, password: str) -> bool:
        raise AuthAway("the LDAP server cannot be asked now")


async def test_who_knows_the_users_being_away_is_503_with_a_reason(serve: Serve) -> None:
    served = await serve(WITH_AUTH, authenticator=AwayAuthenticator())
    for method, path in (("GET", "/token"), ("POST", "/token"), ("DELETE", "/token/abc")):
        answer = await served.ask(method, path, headers=ANN)
        assert answer.status == 503
        assert answer.json == {"ok": False, "message": "the LDAP server cannot be asked now"}
        assert "www-authenticate" not in answer.headers


# The routes.


@pytest.mark.parametrize("path", ["/token", "/token/", "/api/v1/token", "/api/v1/token/", "//token"])
async def test_a_token_is_made_and_is_of_its_user(serve: Serve, path: str) -> None:
    served = await serve(WITH_AUTH)
    answer = await served.ask("POST", path, headers=ANN | {"Content-Length": "0"})
    assert (answer.status, list(answer.json)) == (200, ["ok", "token"])
    token = answer.json["token"]
    assert re.fullmatch("[a-y][a-z0-9]{31}", token)
    flat = await served.store.call("HGETALL", f"vmpooler__token__{token}")
    assert flat[:3] == ["user", "ann", "created"]
    assert re.fullmatch(MOMENT, flat[3])
    assert await served.store.call("TTL", f"vmpooler__token__{token}") == -1


async def test_a_user_may_have_any_number_of_tokens_and_sees_no_others(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    answer = await served.ask("GET", "/token", headers=ANN)
    assert (answer.status, answer.text) == (404, NO)
    first, second, _ = [await a_token(served, user) for user in (ANN, ANN, BOB)]
    await served.store.call("HSET", "vmpooler__token__theirs", "user", "ann", "created", "x", "last", "y")
    answer = await served.ask("GET", "/api/v1/token/", headers=ANN)
    assert (answer.status, set(answer.json)) == (200, {"ok", first, second, "theirs"})
    assert answer.json["theirs"] == {"created": "x", "last": "y"}
    assert answer.json[first]["last"] == "never"
    assert re.fullmatch(MOMENT, answer.json[first]["created"])


async def test_a_token_shows_its_user_its_last_use_and_its_running_vms_to_anyone(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    token = await a_token(served)
    answer = await served.ask("GET", f"/token/{token}")
    assert (answer.status, list(answer.json)) == (200, ["ok", token])
    assert answer.json[token].keys() == {"user", "created"}
    assert "last" not in (await served.ask("GET", f"/token/{token}")).json[token], "to show a token is not to use it"

    await served.have(POOL, "d1", "d2")
    assert (await served.ask("POST", f"/vm/{POOL}+{POOL}", headers={"X-AUTH-TOKEN": token})).status == 200
    found = (await served.ask("GET", f"/api/v1/token/{token}/")).json[token]
    assert found["user"] == "ann"
    assert re.fullmatch(MOMENT, found["last"])
    assert found["vms"] == {"running": ["d1", "d2"]}
    for vm in ("d1", "d2"):
        assert (await served.ask("DELETE", f"/vm/{vm}", headers={"X-AUTH-TOKEN": token})).status == 200
    assert "vms" not in (await served.ask("GET", f"/token/{token}")).json[token]


@pytest.mark.parametrize("token", ["unknown", "*", "%2a", "%C3%BC", "a" * 8000, "%0a", "{}"])
async def test_an_unknown_token_is_404_to_see_and_401_to_delete(serve: Serve, token: str) -> None:
    served = await serve(WITH_AUTH)
    answer = await served.ask("GET", f"/token/{token}")
    assert (answer.status, answer.text) == (404, NO)
    assert refused(await served.ask("DELETE", f"/token/{token}", headers=ANN))


async def test_a_token_of_a_megabyte_does_no_harm(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    for start in (b"GET /token/", b"POST /vm/debian HTTP/1.1\r\nX-AUTH-TOKEN: "):
        client = await connected(served.port)
        client.say(start + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.ended
        assert set(client.statuses) <= {414, 431}
    assert (await served.ask("GET", "/vm")).status == 200


async def test_a_deleted_token_is_gone_and_its_vms_keep_it(serve: Serve) -> None:
    served = await serve(WITH_AUTH)
    token = await a_token(served)
    await served.have(POOL, "d1")
    await served.ask("POST", f"/vm/{POOL}", headers={"X-AUTH-TOKEN": token})
    answer = await served.ask("DELETE", f"/token/{token}", headers=BOB)
    assert (answer.status, answer.json) == (200, {"ok": True})
    assert await served.store.call("EXISTS", f"vmpooler__token__{token}") == 0
    assert (await served.record("d1"))["token:token"] == token
    assert refused(await served.ask("DELETE", "/vm/d1", headers={"X-AUTH-TOKEN": token}))
    other = await a_token(served, BOB)
    assert (await served.ask("DELETE", "/vm/d1", headers={"X-AUTH-TOKEN": other})).status == 200


async def test_where_owners_count_a_token_is_deleted_by_its_user_only(serve: Serve) -> None:
    served = await serve(OWNER_ONLY)
    token = await a_token(served)
    answer = await served.ask("DELETE", f"/token/{token}", headers=BOB)
    assert (answer.status, answer.json) == (403, {"ok": False, "message": "this token is another user's"})
    assert (await served.ask("DELETE", f"/token/{token}", headers=ANN)).status == 200


async def test_where_owners_count_a_vm_is_deleted_by_its_user_only(serve: Serve) -> None:
    served = await serve(OWNER_ONLY)
    mine, mine_too, other = [await a_token(served, user) for user in (ANN, ANN, BOB)]
    await served.have(POOL, "d1", "d2")
    for headers in ({"X-AUTH-TOKEN": mine}, {}):
        (vm,) = (await served.ask("POST", f"/vm/{POOL}", headers=headers)).json[POOL].values()
        answer = await served.ask("DELETE", f"/vm/{vm}", headers={"X-AUTH-TOKEN": other})
        if headers:
            assert (answer.status, answer.json["message"]) == (403, f"{vm} was checked out by another user")
            assert refused(await served.ask("DELETE", f"/vm/{vm}"))
            assert (await served.ask("DELETE", f"/vm/{vm}", headers={"X-AUTH-TOKEN": mine_too})).status == 200
        else:
            assert answer.status == 200, "it was taken without a token"


# Tokens and passwords never appear in logs, events or messages.


@attrs.frozen
class Fails:
    async def check(self, user: str, password: str) -> bool:
        raise ValueError("a defect")


async def test_tokens_and_passwords_are_never_logged_nor_in_events_or_messages(
    serve: Serve, logged: list[LogEvent], logged_errors: list[LogEvent]
) -> None:
    plain, as_json = StringIO(), StringIO()
    observers = [Lines(plain, "plain"), Lines(as_json, "json")]
    for observer in observers:
        globalLogPublisher.addObserver(observer)
    try:
        served = await serve(WITH_AUTH)
        token = await a_token(served, basic("ann", "pa55word"))
        messages = await life(served, token)
        broken = await serve(WITH_AUTH, authenticator=Fails())
        messages.append((await broken.ask("DELETE", f"/token/{token}", headers=basic("ann", "pa55word"))).text)
        await log_all_events(served)
    finally:
        for observer in observers:
            globalLogPublisher.removeObserver(observer)
    output = plain.getvalue() + as_json.getvalue() + "".join(map(str, logged)) + "".join(messages)
    assert "for ann" in output
    assert "DELETE /token/<token> failed" in output
    assert len(logged_errors) == 2
    logged_errors.clear()
    where = await contents(served.store)
    kept = {
        key: value for key, value in where.items() if key.startswith(("vmpooler__x__events", "vmpooler__x__history"))
    }
    assert "d1" in str(kept)
    for secret in (token, "pa55word", b64encode(b"ann:pa55word").decode()):
        assert secret not in output
        assert secret not in str(kept)
    assert "pa55word" not in str(where)


async def life(served: Served, token: str) -> list[str]:
    """Use a token in every way, with and without success, and return the texts of the error responses."""
    await served.have(POOL, "d1", "d2")
    headers, messages = {"X-AUTH-TOKEN": token}, []
    for method, path, body in (
        ("POST", f"/vm/{POOL}+{POOL}", ""),
        ("PUT", "/vm/d1", '{"lifetime": 4, "tags": {"project": "x"}}'),
        ("POST", "/vm/d1/snapshot", ""),
        ("POST", "/vm/d1/disk/8", ""),
        ("DELETE", "/vm/d1", ""),
        ("DELETE", "/vm/d2", ""),
    ):
        assert (await served.ask(method, path, body.encode(), headers=headers)).status < 300, path
    for method, path, body in (
        ("POST", f"/vm/{POOL}", ""),
        ("PUT", "/vm/d1", '{"lifetime": 0}'),
        ("PUT", "/vm/none", "{}"),
        ("DELETE", "/vm/d1", ""),
        ("DELETE", f"/token/{token}", ""),
        ("GET", "/token", ""),
    ):
        messages.append((await served.ask(method, path, body.encode(), headers=headers)).text)
    await served.store.call("SET", f"vmpooler__token__{token}x", "no hash")
    answer = await served.ask("GET", f"/token/{token}x")
    assert answer.status == 500
    return [*messages, answer.text]


async def log_all_events(served: Served) -> None:
    """Write all events to the log, as a manager does."""
    entries = await served.store.call("XRANGE", "vmpooler__x__events", "-", "+")
    events = [Event.of(id, paired(flat)) for id, flat in entries]
    assert len(events) > 5
    for event in events:
        assert event is not None
        log_event(event)
