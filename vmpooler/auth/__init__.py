"""Authentication of users: a name and a password are right, wrong, or cannot be checked now."""

import secrets
import time
from typing import Any

from vmpooler.auth.base import Authenticator
from vmpooler.auth.cache import Cache
from vmpooler.auth.dummy import DummyAuthenticator
from vmpooler.settings import Auth

__all__ = ["Authenticator", "authenticator_of"]


def authenticator_of(auth: Auth | None, reactor: Any) -> Authenticator | None:
    """Return the authenticator for the section ``auth``; None without it. Raises StartError for an unusable CA file."""
    if auth is None:
        return None
    if auth.ldap is None or auth.provider == "dummy":
        return DummyAuthenticator()
    from vmpooler.auth.ldap import LdapAuthenticator  # ldaptor imports the reactor: it must be chosen before

    ldap = LdapAuthenticator(auth.ldap, reactor)
    if not auth.cache_seconds:
        return ldap
    return Cache(ldap, auth.cache_seconds, time.monotonic, secrets.token_bytes(32))
