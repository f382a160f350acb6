"""One connection to an LDAP server. Whatever goes wrong with it is a Trouble."""

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
"""How many bytes an unfinished message of the server may have; those that are expected have a few hundred."""

MESSAGE = b"\x30"
"""How every message of LDAP begins."""

NONSENSE = "it does not speak LDAP"
DOUBT = "does auth.ldap.encryption fit the port?"

Answer = TypeVar("Answer", bound=pureldap.LDAPResult)


class Trouble(Exception):
    """The server cannot be asked; the text says why, for the operator."""


class LdapClient(LDAPClient):
    """ldaptor's client, which here also says why a connection was lost, and survives a server of any kind."""

    def __init__(self) -> None:
        super().__init__()
        self._why = ""
        self._heard = False
        self._closed: Deferred[None] = Deferred()

    async def ask(self, request: pureldap.LDAPProtocolRequest, kind: type[Answer]) -> Answer:
        """The answer, which is of the kind expected. Raises Trouble."""
        return self._checked(await self._lasting(self._sent(request)), kind)

    async def search(self, request: pureldap.LDAPSearchRequest) -> tuple[pureldap.LDAPResult, list[bytes]]:
        """The result, and the DN of each entry found. Raises Trouble."""
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
        """Ask for TLS, and begin it when the result is a success. Raises Trouble."""
        answer = await self.ask(pureldap.LDAPStartTLSRequest(), pureldap.LDAPExtendedResponse)
        if self.buffer:
            # Else it would count as said under TLS: the answer to a bind, forged by someone on the way.
            raise Trouble("it went on in clear text after its answer to StartTLS: someone may be tampering")
        if answer.resultCode == 0:
            self.transport.startTLS(tls)
        return answer

    async def close(self) -> None:
        """Hang up at once. A polite end would wait for the server, which may be the one that hangs."""
        if self.connected:
            self.transport.abortConnection()
            await self._closed

    def dataReceived(self, recd: bytes) -> None:
        """Hang up on a server that sends no LDAP."""
        self._heard = True
        if not (self.buffer + recd).startswith(MESSAGE):  # ldaptor would print it and wait for more
            self._abort(NONSENSE)
            return
        try:
            super().dataReceived(recd)
        except Exception:  # ldaptor raises anything at all, assertions too, for bytes that mean nothing
            self._abort(NONSENSE)
        if len(self.buffer) > LARGEST:
            self._abort(f"it sent a message of more than {LARGEST} bytes")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail what is under way."""
        self._why = self._why or self._explained(reason.value)
        super().connectionLost(reason)
        self._closed.callback(None)

    def _sent(self, request: pureldap.LDAPProtocolRequest, *handler: Any) -> "Deferred[Any]":
        if not self.connected:
            raise Trouble(self._why)
        return self.send_multiResponse(request, *handler) if handler else self.send(request)  # type: ignore[no-any-return]  # ldaptor has no types

    async def _lasting(self, answer: "Deferred[Any]") -> Any:
        """The answer, or a Trouble when the connection does not last that long."""
        try:
            return await answer
        except CancelledError:
            raise
        except Exception:
            raise Trouble(self._why) from None

    def _checked(self, answer: Any, kind: type[Answer]) -> Answer:
        if isinstance(answer, kind) and isinstance(answer.resultCode, int):
            return answer
        raise Trouble(NONSENSE)

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
            case ConnectionClosed() if self._heard:
                return "it hung up"
            case _:
                return f"it hung up without an answer; {DOUBT}"
