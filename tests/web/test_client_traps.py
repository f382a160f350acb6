"""Behaviour of existing clients that a reimplementation easily breaks.

Each test sends the exact bytes of the client over a raw socket.

Source: docs/compatibility.md#client-traps.
"""

import base64
import re
from datetime import datetime

import attrs
import pytest

from tests.web.client import Answer
from tests.web.conftest import POOLS, Serve, Served
from vmpooler.settings import Auth, General, Settings

BOTH_WAYS = True

BOTH = Settings(pools=POOLS, general=General(domain="example.com"), auth=Auth(provider="dummy"))
DEBIAN, UBUNTU = POOLS[0].name, POOLS[1].name
JO = "Authorization: Basic " + base64.b64encode(b"jo:secret").decode()


async def full(serve: Serve, settings: Settings = BOTH) -> Served:
    """Return a service with two ready VMs in each of two pools, and a token."""
    served = await serve(settings)
    await served.have(DEBIAN, "deb-one", "deb-two")
    await served.have(UBUNTU, "ubu-one", "ubu-two")
    await served.store.call("HSET", "vmpooler__token__known", "user", "jo", "created", "2026-01-01 00:00:00 +0000")
    return served


async def send(served: Served, first: str, *headers: str, body: str = "", version: str = "1.1") -> Answer:
    """Send a request line, headers and a body unchanged, and return the response."""
    lines = [f"{first} HTTP/{version}", "Host: vmpooler.example.com", *headers]
    return await served.say("\r\n".join([*lines, "", ""]).encode() + body.encode())


async def taken(served: Served, *headers: str) -> str:
    answer = await send(served, f"POST /vm/{DEBIAN}", *headers)
    return str(answer.json[DEBIAN]["hostname"])


@pytest.mark.parametrize(
    "headers", [("Content-Type: application/x-www-form-urlencoded",), (), ("Content-Type: multipart/form-data",)]
)
async def test_1_json_comes_under_the_type_of_a_form_or_none(serve: Serve, headers: tuple[str, ...]) -> None:
    served = await full(serve)
    body = f'{{"{DEBIAN}":"2","{UBUNTU}":"1"}}'
    answer = await send(served, "POST /vm", *headers, f"Content-Length: {len(body)}", body=body)
    assert (len(answer.json[DEBIAN]["hostname"]), answer.json[UBUNTU]["hostname"][:3]) == (2, "ubu")


async def test_2_scripts_find_the_host_name_alone_on_its_line(serve: Serve) -> None:
    served = await full(serve)
    answer = await send(served, f"POST /vm/{DEBIAN}")
    assert re.search(r'^    "hostname": "(deb-one|deb-two)"$', answer.text, re.MULTILINE)
    assert [line for line in answer.text.split("\n") if line.strip() == '"ok": true,']
    both = await send(served, f"POST /vm/{UBUNTU}+{UBUNTU}")
    assert re.search(r'^      "ubu-(one|two)",$', both.text, re.MULTILINE)


@pytest.mark.parametrize("path", ["//vm/", "//api/v1/vm/", "/api//v1///vm//"])
async def test_3_slashes_may_be_doubled_and_lead_to_no_redirect(serve: Serve, path: str) -> None:
    served = await full(serve)
    body = f'{{"{DEBIAN}":"1"}}'
    answer = await send(served, f"POST {path}", f"Content-Length: {len(body)}", "Connection: close", body=body)
    assert (answer.status, answer.json["ok"]) == (200, True)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "first",
    [
        *(
            "GET /status",
            "GET /summary",
            "GET /summary/clone",
            "GET /summary/tag/jenkins",
            "GET /vm",
            "GET /vm/deb-one",
        ),
        *(f"POST /vm/{DEBIAN}/", "GET /token/known", "PUT /vm/deb-one/", "GET /poolstat", "GET /totalrunning"),
    ],
)
async def test_4_every_route_is_there_without_the_prefix_too(serve: Serve, first: str) -> None:
    served = await full(serve)
    for path in (first, first.replace(" /", " /api/v1/", 1)):
        assert (await send(served, path, "Content-Length: 2", body="{}")).status == 200


@pytest.mark.parametrize("sign", ["+", "%2B", "%2b"])
async def test_5_a_plus_in_a_path_is_a_plus(serve: Serve, sign: str) -> None:
    served = await full(serve)
    answer = await send(served, f"POST /vm/{DEBIAN}{sign}{DEBIAN}{sign}{UBUNTU}")
    assert len(answer.json[DEBIAN]["hostname"]) == 2
    assert (await send(served, f"POST /vm/{DEBIAN}%20{UBUNTU}")).status == 404


@pytest.mark.parametrize(
    ("headers", "body", "version"),
    [
        (("Content-Length: 0",), "", "1.1"),
        ((), "", "1.1"),
        ((), "", "1.0"),
        (("Content-Length: 5",), "--url", "1.1"),
        (("Content-Length: 2",), '""', "1.1"),
        (("Transfer-Encoding: chunked",), "0\r\n\r\n", "1.1"),
    ],
)
async def test_6_a_checkout_by_path_needs_no_body_and_minds_none(
    serve: Serve, headers: tuple[str, ...], body: str, version: str
) -> None:
    served = await full(serve)
    answer = await send(served, f"POST /vm/{DEBIAN}", *headers, body=body, version=version)
    assert answer.status == 200


async def test_6_a_get_may_have_a_content_length(serve: Serve) -> None:
    served = await full(serve)
    assert (await send(served, "GET /vm", "Content-Length: 0", "Accept-Encoding: identity")).json == [
        pool.name for pool in POOLS
    ]


@pytest.mark.parametrize(
    "first",
    [
        *("GET /nothing", "PATCH /vm", "OPTIONS /vm", "PUT /vm", "POST /vm/unknown", "GET /vm/unknown"),
        *("DELETE /vm/unknown", "POST /status", "GET /api/v1", "GET /api/v2/vm", "PUT /vm/unknown"),
        *("TRACE /vm", "X-Y /vm"),
    ],
)
async def test_7_an_error_is_a_json_object_that_says_ok_false(serve: Serve, first: str) -> None:
    answer = await send(await full(serve), first)
    assert (answer.status, answer.json) == (404, {"ok": False})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("first", "header"),
    [
        (f"POST /vm/{DEBIAN}", "X-AUTH-TOKEN: unknown"),
        (f"POST /vm/{DEBIAN}", "X-AUTH-TOKEN:"),
        ("POST /vm/deb-one/snapshot", "X-AUTH-TOKEN: unknown"),
        ("POST /token", "Authorization: Basic nonsense"),
        ("POST /token", "Accept: */*"),
        ("GET /token", "Accept: */*"),
        ("DELETE /token/known", "Accept: */*"),
    ],
)
async def test_8_every_refusal_carries_the_challenge(serve: Serve, first: str, header: str) -> None:
    answer = await send(await full(serve), first, header)
    assert (answer.status, answer.json) == (401, {"ok": False})
    assert answer.headers["www-authenticate"] == 'Basic realm="Authentication required"'


async def test_9_the_host_name_is_text_for_one_and_a_list_for_more(serve: Serve) -> None:
    served = await full(serve)
    answer = await send(served, f"POST /vm/{DEBIAN}+{UBUNTU}+{UBUNTU}")
    assert isinstance(answer.json[DEBIAN]["hostname"], str)
    assert sorted(answer.json[UBUNTU]["hostname"]) == ["ubu-one", "ubu-two"]


async def test_10_a_checkout_has_ok_pools_and_domain_at_its_top_and_nothing_else(serve: Serve) -> None:
    served = await full(serve)
    answer = await send(served, f"POST /vm/{DEBIAN}", "X-AUTH-TOKEN: known")
    assert list(answer.json) == ["ok", DEBIAN, "domain"]
    assert "." not in answer.json[DEBIAN]["hostname"]


@pytest.mark.parametrize("domain", ["", ".example.com", ".other.domain"])
async def test_11_hosts_come_short_or_whole_and_are_answered_short(serve: Serve, domain: str) -> None:
    served = await full(serve)
    assert (await send(served, f"GET /vm/deb-one{domain}")).json["deb-one"]["domain"] == "example.com"
    vm = await taken(served)
    assert (await send(served, f"DELETE /vm/{vm}{domain}")).json == {"ok": True}


async def test_12_times_are_written_as_go_parses_them(serve: Serve) -> None:
    served = await full(serve)
    await taken(served, "X-AUTH-TOKEN: known")
    token = (await send(served, "POST /token", JO, "Content-Length: 0")).json["token"]
    assert re.fullmatch("[a-y][a-z0-9]{31}", token)
    for name, field in ((token, "created"), ("known", "last")):
        reply = (await send(served, f"GET /token/{name}")).json[name]
        datetime.strptime(reply[field], "%Y-%m-%d %H:%M:%S %z")
    listed = (await send(served, "GET /token", JO)).json
    assert listed[token]["last"] == "never"


async def test_13_numbers_may_be_text_and_tags_anything(serve: Serve) -> None:
    served = await full(serve)
    vm = await taken(served)
    tags = '{"roles": "agent, master", "jenkins_build_url": null, "url": "https://ci/x?a=b,c", "empty": ""}'
    for body in ('{"lifetime":"4"}', '{"lifetime":5}', f'{{"tags": {tags}}}'):
        answer = await send(served, f"PUT /vm/{vm}", "X-AUTH-TOKEN: known", f"Content-Length: {len(body)}", body=body)
        assert (answer.status, answer.json) == (200, {"ok": True})
    report = (await send(served, f"GET /vm/{vm}")).json[vm]
    assert report["lifetime"] == 5
    assert report["tags"] == {"roles": "agent, master", "url": "https://ci/x?a=b,c"}


async def test_14_neither_a_checkout_nor_a_tag_needs_a_token(serve: Serve) -> None:
    served = await full(serve)
    vm = await taken(served, "X-AUTH-TOKEN: known")
    body = '{"tags": {"created_by": "beaker"}}'
    assert (await send(served, f"PUT //vm/{vm}", f"Content-Length: {len(body)}", body=body)).json == {"ok": True}
    assert (await send(served, f"POST /vm/{UBUNTU}")).status == 200


async def test_15_an_alias_is_answered_under_the_name_that_was_asked(serve: Serve) -> None:
    answer = await send(await full(serve), "POST /vm/debian")
    assert list(answer.json) == ["ok", "debian", "domain"]


async def test_16_status_has_whole_numbers_for_every_pool(serve: Serve) -> None:
    pools = (await send(await full(serve), "GET /status")).json["pools"]
    assert set(pools) == {pool.name for pool in POOLS}
    kinds = {type(pool[field]) for pool in pools.values() for field in ("ready", "running", "pending", "max")}
    assert kinds == {int}


async def test_17_what_is_known_of_a_vm_has_the_types_that_go_insists_on(serve: Serve) -> None:
    served = await full(serve)
    vm = await taken(served)
    report = (await send(served, f"GET /vm/{vm}")).json[vm]
    assert {name: type(report[name]) for name in ("domain", "ip", "state", "template")} == dict.fromkeys(
        ("domain", "ip", "state", "template"), str
    )
    assert isinstance(report["running"], float)
    assert isinstance(report["lifetime"], int)
    assert report["lifetime"] > 0
    assert "-" in report["template"]


async def test_18_what_takes_its_time_is_202_and_the_rest_200_and_what_is_gone_404(serve: Serve) -> None:
    served = await full(serve)
    token = "X-AUTH-TOKEN: known"
    vm = await taken(served)
    assert (await send(served, f"POST /vm/{vm}/disk/8", token)).status == 202
    assert (await send(served, f"POST /vm/{vm}/snapshot", token)).status == 202
    await served.store.call("HSET", f"vmpooler__vm__{vm}", "snapshot:before", "2026-01-01 00:00:00 +0000")
    assert (await send(served, f"POST /vm/{vm}/snapshot/before", token)).status == 202
    assert [(await send(served, f"DELETE /vm/{vm}")).status for _ in range(2)] == [200, 404]


async def test_19_a_deleted_vm_is_running_until_it_is_destroyed(serve: Serve) -> None:
    served = await full(serve)
    vm = await taken(served)
    await send(served, f"DELETE /vm/{vm}")
    assert (await send(served, f"GET /vm/{vm}")).json[vm]["state"] == "running"


async def test_20_a_token_is_checked_before_a_vm_is_touched(serve: Serve) -> None:
    served = await full(serve)
    assert (await send(served, f"POST /vm/{DEBIAN}+{DEBIAN}", "X-AUTH-TOKEN: unknown")).status == 401
    assert await served.queue("ready", DEBIAN) == {"deb-one", "deb-two"}
    assert await served.events() == []


async def test_21_a_vm_whose_record_names_its_pool_in_the_old_way_is_known(serve: Serve) -> None:
    served = await full(serve)
    vm = await taken(served)
    await served.store.call("HDEL", f"vmpooler__vm__{vm}", "pool")
    assert (await send(served, f"GET /vm/{vm}")).json[vm]["template"] == DEBIAN
    assert (await send(served, f"DELETE /vm/{vm}")).status == 200


async def test_22_tokens_are_given_over_plain_http_too_and_to_who_waits_for_the_challenge(serve: Serve) -> None:
    served = await full(serve, attrs.evolve(BOTH, general=General()))
    assert (await send(served, "POST /token")).headers["www-authenticate"].startswith("Basic ")
    assert (await send(served, "POST /token", JO)).json["ok"] is True
