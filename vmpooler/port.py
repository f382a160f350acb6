"""A port that the service answers on."""

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
"""The kinds of endpoints that curl reaches over an address, and how."""

EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


BACKLOG = 1024
"""Connections that may wait to be taken up: when the service comes back, so do all who listen to events."""


class Port:
    """Taken early, while that may need rights that are given up later, and opened when the service can answer:
    clients who come in between wait. ``listen`` is as in the configuration; ``options`` say it on the command line."""

    def __init__(self, listen: str, options: str, reactor: Any) -> None:
        self._listen = listen
        self._options = options
        self._reactor = reactor
        self._port: Any = None
        self._open = False

    def take(self, factory: IProtocolFactory) -> None:
        """Listen, and answer nobody yet. Raises StartError."""
        refused: list[Failure] = []
        taking = maybeDeferred(lambda: serverFromString(self._reactor, endpoint(self._listen)).listen(factory))
        taking.addCallbacks(self._took, refused.append)
        if refused:
            why = _reason(refused[0].value)
            raise StartError(f"cannot listen on {self._listen}: {why}; choose another with {self._options}")

    def open(self) -> bool:
        """Let the clients in; False when there is no port, or it is open already."""
        if self._port is None or self._open:
            return False
        self._open = True
        self._port.startReading()
        return True

    def close(self) -> Deferred[None] | None:
        """Refuse new connections; those that are there stay."""
        port, self._port = self._port, None
        closing: Deferred[None] | None = port.stopListening() if port is not None else None
        return closing

    @property
    def number(self) -> int:
        """The TCP port that was taken, where the configuration leaves the choice to the system."""
        number: int = self._port.getHost().port
        return number

    def url(self, path: str) -> str:
        """Where a client on this machine reaches ``path``; the endpoint itself where it has no address."""
        kind = endpoint(self._listen).partition(":")[0]
        match self._port.getHost():
            case IPv4Address(host=host, port=port) | IPv6Address(host=host, port=port) if kind in WEB:
                name = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
                return f"{WEB[kind]}://{name}:{port}{path}"
        return self._listen

    def curl(self, path: str) -> str:
        """The same as curl wants it."""
        match self._port.getHost():
            case UNIXAddress(name=bytes(name)):
                return f"--unix-socket {os.fsdecode(name)} http://localhost{path}"
        return self.url(path)

    def _took(self, port: IListeningPort) -> None:
        self._port = port
        self._port.stopReading()
        if "backlog=" not in self._listen and getattr(self._port, "connected", False):  # a socket that listens
            self._port.socket.listen(BACKLOG)


def _reason(error: BaseException | None) -> str:
    """Why it could not be had, as people say it."""
    cause = getattr(error, "socketError", None) or error
    return getattr(cause, "strerror", None) or str(cause)


def allow_files(most: int) -> None:
    """Have this process open so many files, as far as the system lets it: a client is one, and 1024 is usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
