"""A server that is unavailable, slow or not LDAP: the check raises AuthAway. It does not accept, refuse or hang."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from ldaptor.protocols import pureldap
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogEvent, formatEvent

from tests.auth.asking import ACCOUNT, authenticator, settings_for, why_away
from tests.auth.ldap_server import PEOPLE, LdapServer
from vmpooler.auth.ldap import CONNECTIONS
from vmpooler.domain.errors import AuthAway
from vmpooler.settings import Ldap, ServiceAccount

SUCCESS = b"\x0a\x01\x00\x04\x00\x04\x00"
"""An LDAP result of code 0, without the enclosing message."""

Serve = Callable[..., Ldap]


@pytest_twisted.async_yield_fixture
async def serve() -> AsyncIterator[Serve]:
    """Yields a function that starts a server from a Twisted protocol, and returns settings for it."""
    from twisted.internet import reactor

    ports: list[Any] = []

    def listen(protocol: type[Protocol], **changes: Any) -> Ldap:
        factory: Any = Factory.forProtocol(protocol)
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        ports.append(port)
        usual = {"host": "127.0.0.1", "port": port.getHost().port, "base": (PEOPLE,), "user_object": ("uid",)}
        return Ldap(**{**usual, "timeout": 0.3, **changes})

    yield listen
    for port in ports:
        await port.stopListening()


async def test_a_server_that_ends_is_away_and_one_that_is_back_answers(
    spare_directory: LdapServer, logged: list[LogEvent]
) -> None:
    ask = authenticator(settings_for(spare_directory))
    assert await ask.check("alice", "wonderland")
    logged.clear()
    spare_directory.kill()
    for _ in range(CONNECTIONS):
        with pytest.raises(AuthAway):
            await ask.check("alice", "wonderland")
    spare_directory.start()
    assert await ask.check("alice", "wonderland")
    messages = [formatEvent(event).split(str(spare_directory.port))[1] for event in logged if "where" in event]
    assert len(messages) == 2, "each change is logged once"
    assert messages[0].startswith(" cannot be asked: cannot connect: Connection was refused")
    assert messages[1] == " can be asked again"


async def test_a_server_that_is_killed_midway_is_away(spare_directory: LdapServer) -> None:
    ask = authenticator(settings_for(spare_directory))
    spare_directory.freeze()
    asking = Deferred.fromCoroutine(ask.check("alice", "wonderland"))
    await _later(0.1)
    assert not asking.called
    started = time.monotonic()
    spare_directory.kill()
    with pytest.raises(AuthAway):
        await asking
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("encryption", ["start_tls", "simple_tls", "none"])
async def test_the_time_limit_holds_with_a_server_that_hangs(
    spare_directory: LdapServer, encryption: str, logged: list[LogEvent]
) -> None:
    port = spare_directory.tls_port if encryption == "simple_tls" else spare_directory.port
    spare_directory.freeze()
    started = time.monotonic()
    settings = settings_for(spare_directory, encryption=encryption, port=port, timeout=0.3)
    assert "no answer within 0.3 s" in await why_away(settings, logged)
    assert 0.3 <= time.monotonic() - started < 5
    spare_directory.thaw()


async def test_a_caller_who_goes_away_takes_his_question_along(spare_directory: LdapServer) -> None:
    ask = authenticator(settings_for(spare_directory))
    spare_directory.freeze()
    for moment in (0.0, 0.0005, 0.001, 0.002, 0.1):
        asking = Deferred.fromCoroutine(ask.check("alice", "wonderland"))
        await _later(moment)
        asking.cancel()
        with pytest.raises(CancelledError):
            await asking
    spare_directory.thaw()
    assert await ask.check("alice", "wonderland")


async def test_only_so_many_connections_are_open_at_once(serve: Serve) -> None:
    class Counted(Protocol):
        now = most = 0

        def connectionMade(self) -> None:
            Counted.now += 1
            Counted.most = max(Counted.most, Counted.now)

        def connectionLost(self, *_: Any) -> None:
            Counted.now -= 1

    ask = authenticator(serve(Counted))
    started = time.monotonic()
    questions = [Deferred.fromCoroutine(ask.check("alice", "wonderland")) for _ in range(3 * CONNECTIONS)]
    for question in questions:
        question.addErrback(lambda failure: failure.trap(AuthAway))
    answers: list[Any] = await gatherResults(questions)
    assert answers == [AuthAway] * 3 * CONNECTIONS
    assert Counted.most == CONNECTIONS
    assert time.monotonic() - started < 1, "who waits for a connection waits within the same limit"
    await _later(0.05)
    assert Counted.now == 0


class Answerer(Protocol):
    """A server's end of a connection that is open."""

    transport: Any


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", "it does not speak LDAP"),
        (b"\x30\x0c\x02\x01\x7f\x61\x07" + SUCCESS, "it does not speak LDAP"),
        (b"\x30\x84\x7f\xff\xff\xff" + bytes(70_000), "it sent a message of more than 65536 bytes"),
        (b"", "it hung up without an answer"),
    ],
)
async def test_nonsense_is_no_answer(serve: Serve, said: bytes, meant: str, logged: list[LogEvent]) -> None:
    class Nonsense(Answerer):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(said)
            if not said:
                self.transport.loseConnection()

    settings = serve(Nonsense, encryption="none")
    assert meant in await why_away(settings, logged)


async def test_an_answer_of_another_kind_is_no_yes(serve: Serve, logged: list[LogEvent]) -> None:
    class SearchDone(Answerer):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(_answer(data, 0x65, SUCCESS))

    assert "does not speak LDAP" in await why_away(serve(SearchDone, encryption="none"), logged)


async def test_what_was_said_in_clear_text_does_not_count_under_tls(serve: Serve, logged: list[LogEvent]) -> None:
    """An attacker on the network relays the server's TLS, and injects the first byte of a forged success before it."""

    class Forger(Answerer):
        def dataReceived(self, data: bytes) -> None:
            if pureldap.LDAPStartTLSRequest.oid in data:
                self.transport.write(_answer(data, 0x78, SUCCESS) + b"\x30")

    assert "someone may be tampering" in await why_away(serve(Forger), logged)


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        (2, "protocolError"),
        (8, "auth.ldap.encryption"),
        (10, "referral"),
        (13, "auth.ldap.encryption"),
        (51, "busy 'too much \\x1b[2J to do'"),
        (52, "unavailable"),
        (99, "unknownError(99)"),
    ],
)
async def test_a_server_that_cannot_answer_says_neither_yes_nor_no(
    serve: Serve, code: int, meant: str, logged: list[LogEvent]
) -> None:
    assert meant in await why_away(serve(_answering(code), encryption="none"), logged)


@pytest.mark.parametrize("code", [32, 34, 49, 19, 48, 50, 53])
async def test_a_server_that_refuses_this_user_says_no(serve: Serve, code: int) -> None:
    ask = authenticator(serve(_answering(code), encryption="none"))
    assert not await ask.check("alice", "wonderland")


async def test_a_service_account_that_is_refused_is_no_no(directory: LdapServer, logged: list[LogEvent]) -> None:
    account = ServiceAccount(user_dn=ACCOUNT.user_dn, password="secret of old")
    why = await why_away(settings_for(directory, service_account_hash=account), logged)
    assert "it refuses the service account (auth.ldap.service_account_hash): invalidCredentials" in why
    assert "secret of old" not in repr(logged)


async def test_a_host_that_does_not_exist_is_reported(directory: LdapServer, logged: list[LogEvent]) -> None:
    assert "cannot connect: " in await why_away(settings_for(directory, host="ldap.invalid"), logged)


async def test_an_entry_without_a_name_is_nobodys(serve: Serve) -> None:
    """A bind without a name is anonymous: a server may accept it with any password."""

    class Nameless(Answerer):
        def dataReceived(self, data: bytes) -> None:
            if data[4 + data[3]] == 0x63:
                said = _answer(data, 0x64, b"\x04\x00\x30\x00") + _answer(data, 0x65, SUCCESS)
            else:
                said = _answer(data, 0x61, SUCCESS)
            self.transport.write(said)

    account = ServiceAccount(user_dn="cn=x", password="x")
    assert not await authenticator(serve(Nameless, encryption="none", service_account_hash=account)).check("a", "b")


def _answering(code: int) -> type[Protocol]:
    """Return a protocol that answers every bind with this result code."""
    text = b"too much \x1b[2J to do"

    class Answering(Answerer):
        def dataReceived(self, data: bytes) -> None:
            result = bytes((0x0A, 1, code, 4, 0, 4, len(text))) + text
            self.transport.write(_answer(data, 0x61, result))

    return Answering


def _answer(request: bytes, tag: int, result: bytes) -> bytes:
    """Return a message with the message id of the request, which is its third element."""
    number = request[2 : 4 + request[3]]
    body = number + bytes((tag, len(result))) + result
    return bytes((0x30, len(body))) + body


async def _later(seconds: float) -> None:
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    await deferLater(reactor, seconds)
