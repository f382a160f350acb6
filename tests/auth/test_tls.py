"""TLS to the LDAP server, and the log texts when the connection is not safe."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.logger import LogEvent

from tests.auth.asking import authenticator, settings_for, why_away
from tests.auth.ldap_server import WRONG_HOST, LdapServer
from vmpooler.domain.errors import StartError

WAYS = ["start_tls", "simple_tls"]


def way(server: LdapServer, encryption: str) -> dict[str, Any]:
    return {"encryption": encryption, "port": server.tls_port if encryption == "simple_tls" else server.port}


@pytest.mark.parametrize("encryption", WAYS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_of_the_right_ca_is_trusted(directory: LdapServer, encryption: str, host: str) -> None:
    ask = authenticator(settings_for(directory, host=host, **way(directory, encryption)))
    assert await ask.check("alice", "wonderland")
    assert not await ask.check("alice", "wrong")


@pytest.mark.parametrize("encryption", WAYS)
async def test_a_server_of_another_ca_is_not_trusted(
    directory: LdapServer, encryption: str, logged: list[LogEvent]
) -> None:
    for ca_file in (str(directory.stranger.file), ""):
        why = await why_away(settings_for(directory, ca_file=ca_file, **way(directory, encryption)), logged)
        assert "its certificate is refused: nobody who is trusted has signed it" in why
        assert "auth.ldap.ca_file" in why


@pytest.mark.parametrize("encryption", WAYS)
async def test_the_certificate_of_another_host_is_not_trusted(
    directory: LdapServer, encryption: str, logged: list[LogEvent]
) -> None:
    why = await why_away(settings_for(directory, host=WRONG_HOST, **way(directory, encryption)), logged)
    assert f"its certificate is refused: it is not for {WRONG_HOST}" in why


async def test_a_certificate_that_has_expired_is_not_trusted(directory: LdapServer, logged: list[LogEvent]) -> None:
    from twisted.internet import reactor

    certificate, key = directory.authority.issue("expired", "127.0.0.1", ends=datetime.timedelta(hours=-1))
    context = DefaultOpenSSLContextFactory(str(key), str(certificate))
    port = reactor.listenSSL(0, Factory.forProtocol(Protocol), context, interface="127.0.0.1")  # type: ignore[attr-defined]  # the declared type of reactor has no listenSSL
    settings = settings_for(directory, port=port.getHost().port, encryption="simple_tls")
    assert "its certificate is refused: it has expired" in await why_away(settings, logged)
    await port.stopListening()


@pytest.mark.parametrize("encryption", WAYS)
async def test_verification_can_be_switched_off(directory: LdapServer, encryption: str) -> None:
    settings = settings_for(directory, host=WRONG_HOST, ca_file="", tls_verify=False, **way(directory, encryption))
    assert await authenticator(settings).check("alice", "wonderland")
    assert not await authenticator(settings).check("alice", "wrong")


async def test_clear_text_must_be_asked_for(directory: LdapServer) -> None:
    assert await authenticator(settings_for(directory, encryption="none")).check("alice", "wonderland")


async def test_an_encryption_for_another_port_is_reported(directory: LdapServer, logged: list[LogEvent]) -> None:
    for encryption, port in (("simple_tls", directory.port), ("start_tls", directory.tls_port)):
        why = await why_away(settings_for(directory, encryption=encryption, port=port), logged)
        assert "does auth.ldap.encryption fit the port?" in why


def test_a_ca_file_without_certificates_is_reported_at_the_start(directory: LdapServer, tmp_path: Any) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "gone"):
        with pytest.raises(StartError, match=r"auth\.ldap\.ca_file: cannot read certificates"):
            authenticator(settings_for(directory, ca_file=str(tmp_path / name)))
