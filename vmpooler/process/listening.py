"""A port on which the service listens."""

import os
import resource
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from vmpooler.config import endpoint
from vmpooler.domain.errors import StartError

WEB = {"tcp": "http", "tcp6": "http", "ssl": "https"}
"""The kinds of endpoints that curl reaches by an address, and the URL scheme of each."""

EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - only compared with


BACKLOG = 1024
"""Maximum number of connections that wait to be accepted: after a restart, all event subscribers reconnect at once."""


class Port:
    """A port that is bound early and opened when the service can answer.

    Binding may need rights that the process gives up later. Clients that connect in between wait. ``listen`` has the
    form of the configuration; ``options`` names the matching options of the command line.
    """

    def __init__(self, listen: str, options: str, reactor: Any) -> None:
        self._listen = listen
        self._options = options
        self._reactor = reactor
        self._port: Any = None
        self._open = False

    def take(self, factory: IProtocolFactory) -> None:
        """Listen without answering any client yet. Raises StartError."""
        refused: list[Failure] = []
        taking = maybeDeferred(lambda: serverFromString(self._reactor, endpoint(self._listen)).listen(factory))
        taking.addCallbacks(self._took, refused.append)
        if refused:
            why = _reason(refused[0].value)
            raise StartError(f"cannot listen on {self._listen}: {why}; choose another with {self._options}")

    def open(self) -> bool:
        """Accept clients; return False if the port is not bound, or is open already."""
        if self._port is None or self._open:
            return False
        self._open = True
        self._port.startReading()
        return True

    def close(self) -> Deferred[None] | None:
        """Refuse new connections; existing ones stay open."""
        port, self._port = self._port, None
        closing: Deferred[None] | None = port.stopListening() if port is not None else None
        return closing

    @property
    def number(self) -> int:
        """The bound TCP port, also where the configuration leaves the choice to the system."""
        number: int = self._port.getHost().port
        return number

    def url(self, path: str) -> str:
        """Return the URL of ``path`` for a client on this machine; the endpoint itself if it has no address."""
        kind = endpoint(self._listen).partition(":")[0]
        match self._port.getHost():
            case IPv4Address(host=host, port=port) | IPv6Address(host=host, port=port) if kind in WEB:
                name = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
                return f"{WEB[kind]}://{name}:{port}{path}"
        return self._listen

    def curl(self, path: str) -> str:
        """Return the arguments with which curl reaches ``path``."""
        match self._port.getHost():
            case UNIXAddress(name=bytes(name)):
                return f"--unix-socket {os.fsdecode(name)} http://localhost{path}"
        return self.url(path)

    def _took(self, port: IListeningPort) -> None:
        self._port = port
        self._port.stopReading()
        if "backlog=" not in self._listen and getattr(self._port, "connected", False):  # the socket already listens
            self._port.socket.listen(BACKLOG)


def _reason(error: BaseException | None) -> str:
    """Return why the port could not be bound, in the words of the operating system."""
    cause = getattr(error, "socketError", None) or error
    return getattr(cause, "strerror", None) or str(cause)


def allow_files(most: int) -> None:
    """Raise the limit of open files to ``most``, as far as the system allows.

    Each client uses one file, and a limit of 1024 is usual.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
