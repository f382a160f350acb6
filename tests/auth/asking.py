"""Helpers that check users against an LDAP server."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import LogEvent, formatEvent

from tests.auth.ldap_server import PEOPLE, SERVICE, SERVICE_PASSWORD, LdapServer
from vmpooler.auth.ldap import LdapAuthenticator
from vmpooler.domain.errors import AuthAway
from vmpooler.settings import Ldap, ServiceAccount

ACCOUNT = ServiceAccount(user_dn=SERVICE, password=SERVICE_PASSWORD)


def settings_for(server: LdapServer, **changes: Any) -> Ldap:
    """Return settings that trust the server's CA and accept its users."""
    usual = {"host": "127.0.0.1", "port": server.port, "ca_file": str(server.authority.file)}
    return Ldap(**{**usual, "base": (PEOPLE,), "user_object": ("uid",), **changes})


def authenticator(settings: Ldap) -> LdapAuthenticator:
    """Return an LDAP authenticator with these settings."""
    from twisted.internet import reactor

    return LdapAuthenticator(settings, reactor)


async def check(server: LdapServer, user: str, password: str, **changes: Any) -> bool:
    """Check one user and password with a new authenticator."""
    return await authenticator(settings_for(server, **changes)).check(user, password)


async def why_away(settings: Ldap, logged: list[LogEvent]) -> str:
    """Return the reason in the log when the server is unavailable. Only the log contains it: the error does not."""
    logged.clear()
    with pytest.raises(AuthAway) as caught:
        await authenticator(settings).check("alice", "wonderland")
    assert str(caught.value).startswith("users cannot be checked now")
    assert caught.value.__cause__ is None
    messages = [formatEvent(event) for event in logged if str(event.get("log_namespace")).startswith("vmpooler.auth")]
    assert "wonderland" not in repr(logged)
    assert len(messages) == 1
    return messages[0]
