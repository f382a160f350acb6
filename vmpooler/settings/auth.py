"""The section ``auth``."""

from __future__ import annotations

import attrs

from vmpooler.settings.field import setting


@attrs.frozen(kw_only=True)
class ServiceAccount:
    """The section ``service_account_hash`` of ``ldap``: who searches for the users' names."""

    user_dn: str = setting("The name (DN) to bind as.", pattern="[^=]+=.+")
    password: str = setting("Its password.", pattern=".+", secret=True, variable="VMPOOLER_LDAP_PASSWORD")


@attrs.frozen(kw_only=True)
class Ldap:
    """The section ``ldap`` of ``auth``: a server that knows the users."""

    host: str = setting("The LDAP server: a name that its certificate has.", pattern="[A-Za-z0-9._:-]+")
    port: int = setting("Its port; with simple_tls usually 636.", 389, minimum=1, maximum=65535)
    encryption: str = setting(
        "How passwords are kept secret on their way: start_tls, simple_tls (LDAPS), or none, which does not.",
        "start_tls",
        choices=("start_tls", "simple_tls", "none"),
    )
    ca_file: str = setting("The file of certificates (PEM) to trust instead of the system's.", "", path=True)
    tls_verify: bool = setting("Verify the server's certificate; without, anybody on the way can read passwords.", True)
    base: tuple[str, ...] = setting("Below which entries the users are, one or several.", pattern="[^=]+=.+")
    user_object: tuple[str, ...] = setting(
        "The attributes, one or several, that may have a user's name.", pattern="[A-Za-z][A-Za-z0-9-]*|[0-9.]+"
    )
    timeout: float = setting("Seconds that a check of a password may take.", 10, minimum=0.1, maximum=60)
    service_account_hash: ServiceAccount | None = setting(  # noqa: RUF009 - setting() returns an attrs field
        "Who searches for a user below base; without, a user's name is put together of user_object and base.",
        None,
        part=ServiceAccount,
    )


@attrs.frozen(kw_only=True)
class Auth:
    """The section ``auth``: when it is there, tokens are checked."""

    provider: str = setting("Who knows the users: ldap or dummy.", choices=("ldap", "dummy"))
    cache_seconds: float = setting(
        "Seconds that a password which was right is not asked for again; 0 for none.", 60, minimum=0, maximum=3600
    )
    owner_only: bool = setting(
        "A VM that was checked out with a token, and a token, can be changed by their own user only.", False
    )
    ldap: Ldap | None = setting("The server that knows the users.", None, part=Ldap)  # noqa: RUF009 - setting() returns an attrs field
