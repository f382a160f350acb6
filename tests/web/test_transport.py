"""The accepted forms of requests, and the form of every response."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tests.web.client import Client, connected
from tests.web.conftest import PLAIN, POOLS, Serve, nowhere
from vmpooler.settings import Redis
from vmpooler.store.redis.client import Connection
from vmpooler.web.app import Api
from vmpooler.web.http.router import segments

BOTH_WAYS = True

PATH = "/vm/debian-12-x86_64"
NO = '{\n  "ok": false\n}'


async def test_an_answer_is_pretty_printed_json_that_says_what_it_is(serve: Serve) -> None:
    served = await serve()
    answer = await served.ask("GET", "/api/v1/vm")
    assert answer.status == 200
    assert answer.text == '[\n  "debian-12-x86_64",\n  "ubuntu-22.04",\n  "spare-pool"\n]'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/vm", "//vm/", "/vm/", "/api/v1/vm", "//api//v1//vm//", "/%76m", "/vm?a=b", "/vm?%ff", "http://a:80//vm"]
)
async def test_slashes_the_prefix_and_encoding_make_no_difference(serve: Serve, path: str) -> None:
    answer = await (await serve()).ask("GET", path)
    assert (answer.status, answer.json) == (200, [pool.name for pool in POOLS])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", path) for path in ("/api/v1", "/nothing", "/api/v1/api/v1/vm", "/vm/a/b", "/vm%2Fa", "/vm/%00")],
        *[("GET", path) for path in ("/vm/%ff", "/vm/..", "/vm/.", "/vm/.example.com", "xvm", "*")],
        *[(method, "/vm") for method in ("PUT", "PATCH", "OPTIONS", "DELETE", "TRACE", "GETT")],
        *[("OPTIONS", "*"), ("POST", "*"), ("CONNECT", "localhost:80")],
        *[("PATCH", "/vm/a"), ("POST", "/status"), ("POST", "/nothing"), ("POST", "/vm/%ff"), ("POST", "/vm/a%2Fb")],
    ],
)
async def test_what_is_not_there_is_404_in_json(serve: Serve, method: str, path: str) -> None:
    answer = await (await serve()).ask(method, path)
    assert (answer.status, answer.text) == (404, NO)


async def test_head_works_where_get_does_and_has_no_body(serve: Serve) -> None:
    served = await serve()
    client = await connected(served.port, head_only=True)
    client.say(b"HEAD /vm HTTP/1.1\r\nHost: a\r\n\r\nHEAD /status HTTP/1.1\r\nHost: a\r\n\r\n")
    first = await client.read_answer()
    second = await client.read_answer()
    client.hang_up()
    await client.ended
    assert (first.status, second.status) == (200, 200)
    assert int(first.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(f"POST {PATH} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), id="curl -X POST: no length, no body"),
        pytest.param(f"POST {PATH} HTTP/1.0\r\n\r\n".encode(), id="HTTP/1.0"),
        pytest.param(f"POST {PATH}/ HTTP/1.1\r\n\r\n".encode(), id="a trailing slash, no host"),
        pytest.param(f"POST {PATH} HTTP/1.1\r\nContent-Length: 5\r\n\r\n--url".encode(), id="curl -d --url"),
        pytest.param(f'POST {PATH} HTTP/1.1\r\nContent-Length: 2\r\n\r\n""'.encode(), id="posh"),
        pytest.param(f"POST {PATH} HTTP/1.1\r\nHost: \xff\r\n\r\n".encode("latin-1"), id="a host that is none"),
        pytest.param(f"POST {PATH} HTTP/1.1\r\nHost: {'a' * 70}..\r\n\r\n".encode(), id="a host that cannot be"),
        pytest.param(
            f"POST {PATH} HTTP/1.1\r\nContent-Type: multipart/form-data\r\nContent-Length: 1\r\n\r\nx".encode(),
            id="a form that is none",
        ),
        pytest.param(
            b"POST //vm/ HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
            b'Content-Length: 24\r\n\r\n{"debian-12-x86_64":"1"}',
            id="beaker: JSON that says it is a form, a count as text",
        ),
        pytest.param(
            b"POST /vm HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n"
            b'c\r\n{"debian-12-\r\nb\r\nx86_64": 1}\r\n0\r\n\r\n',
            id="chunked",
        ),
    ],
)
async def test_every_way_to_ask_that_clients_have_is_understood(serve: Serve, request_bytes: bytes) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "vm1")
    answer = await served.say(request_bytes)
    assert answer.text == '{\n  "ok": true,\n  "debian-12-x86_64": {\n    "hostname": "vm1"\n  }\n}'


async def test_a_get_may_say_that_it_has_no_body(serve: Serve) -> None:
    assert (await (await serve()).ask("GET", "/vm", headers={"Content-Length": "0"})).status == 200


async def test_requests_on_one_connection_are_answered_in_turn(serve: Serve) -> None:
    client = await connected((await serve()).port)
    client.say(b"GET /vm HTTP/1.1\r\nHost: a\r\n\r\n")
    first = await client.read_answer()
    client.say(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
    second = await client.read_answer()
    client.hang_up()
    await client.ended
    assert (first.status, second.status) == (200, 404)


@pytest.mark.parametrize(
    "body",
    [
        *["", "x", '"a"', "[]", "3", "true", "{", '{"debian": [1]}', '{"debian": true}', '{"debian": {"a": 1}}'],
        *['{"debian": NaN}', '{"debian": Infinity}', "[" * 60000, '{"a":' * 10000, '{"debian": ' + "9" * 5000 + "}"],
    ],
)
async def test_a_body_that_means_nothing_is_400_and_says_why(serve: Serve, body: str) -> None:
    answer = await (await serve()).ask("POST", "/vm", body.encode())
    assert answer.status == 400
    assert answer.json["ok"] is False
    assert answer.json["message"]


async def test_bytes_that_are_no_text_are_400(serve: Serve) -> None:
    assert (await (await serve()).ask("POST", "/vm", b'{"\xff": 1}')).status == 400


@pytest.mark.parametrize("body", ['{"\\ud800": 1}', '{"debian": 1, "\\u0000": 1}', "null", '{"": 1}', '{"nothing": 0}'])
async def test_names_that_no_pool_has_are_404(serve: Serve, body: str) -> None:
    answer = await (await serve()).ask("POST", "/vm", body.encode())
    assert (answer.status, answer.text) == (404, NO)


async def test_of_a_name_that_stands_twice_the_last_count_holds(serve: Serve) -> None:
    served = await serve()
    await served.have("ubuntu-22.04", "u1", "u2")
    answer = await served.ask("POST", "/vm", b'{"ubuntu-22.04": 2, "ubuntu-22.04": 1}')
    assert answer.json["ubuntu-22.04"]["hostname"] in ("u1", "u2")


async def test_a_body_beyond_the_limit_is_413_before_it_is_there(serve: Serve) -> None:
    served = await serve()
    head = b"POST /vm HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n"
    client = await connected(served.port)
    client.say(head)
    answer = await client.read_answer()
    assert answer.status == 413
    assert answer.json["ok"] is False
    assert answer.headers["content-type"] == "application/json"
    client.say(b" " * 65537)
    await client.ended
    assert client.statuses == [413], "the client gets no 100"
    just_right = b'{"ubuntu-22.04": 0' + b" " * (65536 - 19) + b"}"
    assert (await served.ask("POST", "/vm", just_right)).status == 200


async def test_a_chunked_body_beyond_the_limit_is_413_too_and_then_the_connection_ends(serve: Serve) -> None:
    client = await connected((await serve()).port)
    client.say(b"POST /vm HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(5):
        client.say(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
    assert (await client.read_answer()).status == 413
    client.say(b"0\r\n\r\n")
    await client.ended


async def test_a_client_that_never_stops_sending_is_cut_off(serve: Serve) -> None:
    client = await connected((await serve()).port)
    client.say(b"POST /vm HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
    assert (await client.read_answer()).status == 413
    for _ in range(18):
        client.say(b" " * (1 << 20))
    await client.ended


def test_a_path_is_cut_at_its_slashes_and_then_decoded() -> None:
    assert segments(b"//vm/a%2Bb+c%20d/") == ("vm", "a+b+c d")
    assert segments(b"/vm/%C3%A4") == ("vm", "ä")
    assert [segments(path) for path in (b"/a%2Fb", b"/a%00", b"/%FF", b"vm", b"*")] == [None] * 5


TOKENS = st.sampled_from(
    ["", "vm", "api", "v1", "status", "healthz", "debian", "a+b", "%2B", "%2F", "%", "%ff", "..", ";"]
)
HEADERS = st.sampled_from(
    [
        "Host: x",
        "Host: [",
        "X-AUTH-TOKEN: \udcff",
        "X-AUTH-TOKEN:",
        'Content-Type: multipart/form-data; boundary="',
        "Cookie: a",
    ]
)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b'{"debian": 1e999}', b'{"debian": -1e999}', b'{"debian": "\\ud800"}', b"\xef\xbb\xbf{}", b"{\0}"]
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "HEAD", "DELETE", "PUT", "!"]),
    st.lists(st.one_of(TOKENS, st.text("%/?#+.;=&ab01\\\"'<|", max_size=6)), max_size=5),
    st.lists(HEADERS, max_size=3),
    BODIES,
)
def test_nothing_that_a_client_sends_is_an_internal_error(
    method: str, path: list[str], headers: list[str], body: bytes
) -> None:
    clock = Clock()
    connection = Connection(Redis(socket="/nowhere"), clock, quiet=True)
    api = Api(PLAIN, connection, clock, clock.seconds, resolve=nowhere)
    channel: Any = api.site().buildProtocol(None)
    transport = StringTransport()
    channel.makeConnection(transport)
    head = "\r\n".join([f"{method} /{'/'.join(path)} HTTP/1.1", *headers, f"Content-Length: {len(body)}", "", ""])
    channel.dataReceived(head.encode("utf-8", "surrogateescape") + body)
    client = Client(head_only=method == "HEAD")
    client.dataReceived(transport.value())
    answer: Any = client.answer.result
    assert answer.status in (200, 302, 400, 404, 503)
    if method != "HEAD" and answer.status != 302 and not answer.headers["content-type"].startswith("text/"):
        assert isinstance(answer.json, list) or isinstance(answer.json["ok"], bool)
