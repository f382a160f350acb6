"""One connection to an LDAP server. Every failure of it is raised as LdapTrouble."""

from typing import Any, TypeVar

from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from vmpooler.auth.tls import CertificateRefused, Tls

LARGEST = 65_536
"""The most bytes of an incomplete message of the server; an expected message has a few hundred."""

MESSAGE = b"\x30"
"""The first byte of every LDAP message."""

NONSENSE = "it does not speak LDAP"
DOUBT = "does auth.ldap.encryption fit the port?"

Answer = TypeVar("Answer", bound=pureldap.LDAPResult)


class LdapTrouble(Exception):
    """The server cannot be used; the text contains the reason, for the operator."""


class LdapClient(LDAPClient):
    """ldaptor's client. It also keeps the reason why a connection was lost, and handles any bytes from a server."""

    def __init__(self) -> None:
        super().__init__()
        self._why = ""
        self._received = False
        self._closed: Deferred[None] = Deferred()

    async def ask(self, request: pureldap.LDAPProtocolRequest, kind: type[Answer]) -> Answer:
        """Send a request and return the response, which is of type ``kind``. Raises LdapTrouble."""
        return self._checked(await self._lasting(self._sent(request)), kind)

    async def search(self, request: pureldap.LDAPSearchRequest) -> tuple[pureldap.LDAPResult, list[bytes]]:
        """Return the result, and the DN of each entry found. Raises LdapTrouble."""
        found: list[bytes] = []
        done: Deferred[Any] = Deferred()

        def take(message: pureldap.LDAPProtocolResponse) -> bool:
            if isinstance(message, pureldap.LDAPSearchResultEntry):
                found.append(message.objectName)
            elif not isinstance(message, pureldap.LDAPSearchResultReference):
                done.callback(message)
                return True
            return False

        self._sent(request, take).addErrback(done.errback)
        return self._checked(await self._lasting(done), pureldap.LDAPSearchResultDone), found

    async def start_tls(self, tls: Tls) -> pureldap.LDAPResult:
        """Request TLS, and start it when the result is a success. Raises LdapTrouble."""
        answer = await self.ask(pureldap.LDAPStartTLSRequest(), pureldap.LDAPExtendedResponse)
        if self.buffer:
            # Otherwise these bytes would be read as if sent over TLS: an attacker could forge the response to a bind.
            raise LdapTrouble("it went on in clear text after its answer to StartTLS: someone may be tampering")
        if answer.resultCode == 0:
            self.transport.startTLS(tls)
        return answer

    async def close(self) -> None:
        """Abort the connection. An orderly close would wait for the server, which may hang."""
        if self.connected:
            self.transport.abortConnection()
            await self._closed

    def dataReceived(self, recd: bytes) -> None:
        """Process received bytes; abort the connection when they are not LDAP."""
        self._received = True
        if not (self.buffer + recd).startswith(MESSAGE):  # ldaptor would print the bytes and wait for more
            self._abort(NONSENSE)
            return
        try:
            super().dataReceived(recd)
        except Exception:  # ldaptor raises any error, even AssertionError, for invalid bytes
            self._abort(NONSENSE)
        if len(self.buffer) > LARGEST:
            self._abort(f"it sent a message of more than {LARGEST} bytes")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail the pending requests."""
        self._why = self._why or self._explained(reason.value)
        super().connectionLost(reason)
        self._closed.callback(None)

    def _sent(self, request: pureldap.LDAPProtocolRequest, *handler: Any) -> "Deferred[Any]":
        if not self.connected:
            raise LdapTrouble(self._why)
        return self.send_multiResponse(request, *handler) if handler else self.send(request)  # type: ignore[no-any-return]  # ldaptor ships no types

    async def _lasting(self, answer: "Deferred[Any]") -> Any:
        """Return the response. Raises LdapTrouble when the connection is lost before."""
        try:
            return await answer
        except CancelledError:
            raise
        except Exception:
            raise LdapTrouble(self._why) from None

    def _checked(self, answer: Any, kind: type[Answer]) -> Answer:
        if isinstance(answer, kind) and isinstance(answer.resultCode, int):
            return answer
        raise LdapTrouble(NONSENSE)

    def _abort(self, why: str) -> None:
        self._why = self._why or why
        self.transport.abortConnection()

    def _explained(self, reason: BaseException | None) -> str:
        match reason:
            case CertificateRefused():
                return f"its certificate is refused: {reason}"
            case SSL.Error():
                texts = [error[-1] for error in reason.args[0]] if reason.args else []
                return f"TLS fails: {', '.join(texts) or 'the server ended it'}; {DOUBT}"
            case ConnectionClosed() if self._received:
                return "it hung up"
            case _:
                return f"it hung up without an answer; {DOUBT}"
