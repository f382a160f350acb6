"""Authentication by an LDAP server: a password is right when the server accepts a bind with it."""

from typing import Any, NoReturn, cast

from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap import ldaperrors
from ldaptor.protocols.ldap.distinguishedname import escape
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from vmpooler.auth.base import plausible
from vmpooler.auth.tls import Tls
from vmpooler.auth.wire import LdapClient, LdapTrouble
from vmpooler.deferreds import Slots
from vmpooler.domain.errors import AuthAway
from vmpooler.settings import Ldap, ServiceAccount

CONNECTIONS = 10
"""The most checks at the same time; further ones wait, within their time limit."""

AWAY = "users cannot be checked now: the LDAP server is away or slow; try again later"

WRONG = {
    error.resultCode
    for error in (ldaperrors.LDAPInvalidCredentials, ldaperrors.LDAPNoSuchObject, ldaperrors.LDAPInvalidDNSyntax)
}
BARRED = {
    error.resultCode
    for error in (
        ldaperrors.LDAPConstraintViolation,
        ldaperrors.LDAPInappropriateAuthentication,
        ldaperrors.LDAPInsufficientAccessRights,
        ldaperrors.LDAPUnwillingToPerform,
    )
}
"""Result codes for an account that is locked, disabled or without a password: they concern that user only."""

ENCRYPT = {ldaperrors.LDAPConfidentialityRequired.resultCode, ldaperrors.LDAPStrongAuthRequired.resultCode}
SEVERAL = ldaperrors.LDAPSizeLimitExceeded.resultCode
ABSENT = ldaperrors.LDAPNoSuchObject.resultCode


class LdapAuthenticator:
    """Checks users at the server of the settings, over a new connection for each check.

    The reason why the server cannot be used is logged once, until it changes; callers get AuthAway without a reason.
    Raises StartError when the CA file cannot be used.
    """

    log = Logger()

    def __init__(self, settings: Ldap, reactor: Any) -> None:
        self._settings, self._reactor = settings, reactor
        self._tls = Tls(settings)
        tcp = HostnameEndpoint(reactor, settings.host, settings.port, timeout=settings.timeout)
        self._endpoint = wrapClientTLS(self._tls, tcp) if settings.encryption == "simple_tls" else tcp
        self._slots = Slots(CONNECTIONS)
        self._trouble = ""

    async def check(self, user: str, password: str) -> bool:
        """Return whether the server accepts the user with this password. Raises AuthAway."""
        if not plausible(user, password):
            return False
        asking = Deferred.fromCoroutine(self._ask(user, password))
        try:
            answer = await asking.addTimeout(self._settings.timeout, self._reactor, _late)
        except LdapTrouble as trouble:
            self._report(str(trouble))
            raise AuthAway(AWAY) from None
        self._report("")
        return answer

    async def _ask(self, user: str, password: str) -> bool:
        async with self._slots:
            client = await self._connected()
            try:
                if self._settings.encryption == "start_tls":
                    _require(await client.start_tls(self._tls), "it refuses StartTLS")
                return await self._accepts(client, user, password)
            finally:
                await client.close()

    async def _connected(self) -> LdapClient:
        connecting = self._endpoint.connect(Factory.forProtocol(LdapClient))
        connected: Deferred[Any] = Deferred()  # raises CancelledError; a cancelled endpoint raises its own errors
        connecting.chainDeferred(connected)
        try:
            return cast(LdapClient, await connected)
        except CancelledError:
            connecting.cancel()
            raise
        except Exception as error:
            raise LdapTrouble(f"cannot connect: {error}") from None

    async def _accepts(self, client: LdapClient, user: str, password: str) -> bool:
        account = self._settings.service_account_hash
        names = self._names(user) if account is None else await self._found(client, account, user)
        for name in names:
            result = await _bind(client, name, password)
            if result.resultCode == 0:
                return True
            if result.resultCode in BARRED:
                self.log.info("auth: LDAP does not let in {user!r}: {why}", user=user, why=_meaning(result))
            elif result.resultCode not in WRONG:
                _fail(result, "it answers a bind with")
        return False

    def _names(self, user: str) -> list[bytes]:
        """Return the DNs that the user may have, in the order of the settings."""
        name, settings = escape(user), self._settings
        return [f"{kind}={name},{base}".encode() for base in settings.base for kind in settings.user_object]

    async def _found(self, client: LdapClient, account: ServiceAccount, user: str) -> list[bytes]:
        """Return the DN of the only entry that the service account finds for the user; none when it finds several."""
        login = await _bind(client, account.user_dn.encode(), account.password)
        _require(login, "it refuses the service account (auth.ldap.service_account_hash)")
        found: set[bytes] = set()
        for base in self._settings.base:
            result, names = await client.search(self._search(base, user))
            if result.resultCode == SEVERAL:
                return []
            if result.resultCode != ABSENT:
                _require(result, f"it refuses a search under {base!r}")
            found.update(names)
        found.discard(b"")  # a bind without a name is anonymous
        return list(found) if len(found) == 1 else []

    def _search(self, base: str, user: str) -> pureldap.LDAPSearchRequest:
        """Return a search for at most two entries. The filter is not text, so it needs no escaping (RFC 4515)."""
        kinds = [
            pureldap.LDAPFilter_equalityMatch(
                pureldap.LDAPAttributeDescription(kind), pureldap.LDAPAssertionValue(user)
            )
            for kind in self._settings.user_object
        ]
        return pureldap.LDAPSearchRequest(
            baseObject=base, sizeLimit=2, filter=pureldap.LDAPFilter_or(kinds), attributes=["1.1"]
        )

    def _report(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        where = f"{self._settings.host}:{self._settings.port}"
        if trouble:
            self.log.warn("auth: LDAP server {where} cannot be asked: {why}", where=where, why=trouble)
        else:
            self.log.info("auth: LDAP server {where} can be asked again", where=where)


async def _bind(client: LdapClient, name: bytes, password: str) -> pureldap.LDAPBindResponse:
    return await client.ask(pureldap.LDAPBindRequest(dn=name, auth=password.encode()), pureldap.LDAPBindResponse)


def _late(_: object, seconds: float) -> NoReturn:
    raise LdapTrouble(f"no answer within {seconds:g} s (auth.ldap.timeout)")


def _require(result: pureldap.LDAPResult, what: str) -> None:
    if result.resultCode != 0:
        _fail(result, what)


def _fail(result: pureldap.LDAPResult, what: str) -> NoReturn:
    advice = "; it wants encryption: see auth.ldap.encryption" if result.resultCode in ENCRYPT else ""
    raise LdapTrouble(f"{what}: {_meaning(result)}{advice}")


def _meaning(result: pureldap.LDAPResult) -> str:
    """Return a result as text: the name of its code, and the message of the server, which may be any bytes."""
    name = ldaperrors.get(result.resultCode, b"").toWire().decode()
    said = bytes(result.errorMessage).decode(errors="replace").rstrip("\0")[:200]
    return f"{name} {said!r}" if said else name
