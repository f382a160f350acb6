"""One port for several processes: the system distributes new connections over all listeners (SO_REUSEPORT).

``Sharing`` and ``Claiming`` replace the reactor where an endpoint is created: they have only the methods that endpoints
call.
"""

import socket
from contextlib import closing
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.tcp import Port
from twisted.protocols.tls import TLSMemoryBIOFactory


class SharedPort(Port):
    """A port on which other processes of the same user may also listen."""

    def createInternetSocket(self) -> socket.socket:
        """Create a socket that lets other sockets use its address."""
        made: socket.socket = super().createInternetSocket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return made


class ClaimedPort(SharedPort):
    """A port that is reserved for other processes: this process binds the address and does not listen."""

    def startListening(self) -> None:
        """Bind the address.

        Raises CannotListenError if another process uses it, even one that would share it.
        """
        try:
            with closing(Port.createInternetSocket(self)) as alone:
                alone.bind((self.interface, self.port))
            self.socket = self.createInternetSocket()
            self.socket.bind((self.interface, self.port))
        except OSError as error:
            raise CannotListenError(self.interface, self.port, error) from error

    def startReading(self) -> None:
        """Do nothing: this port receives no connections."""

    stopReading = startReading

    def loseConnection(self, connDone: object = None) -> Deferred[None]:
        """Release the address."""
        self.socket.close()
        return succeed(None)

    stopListening = loseConnection


class Sharing:
    """Listens on ports that other processes may share."""

    port: type[Port] = SharedPort

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> Port:
        """See twisted.internet.interfaces.IReactorTCP."""
        made = self.port(port, factory, backlog, interface, self._reactor)
        made.startListening()
        return made

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Port:
        """See twisted.internet.interfaces.IReactorSSL."""
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory), backlog, interface)


class Claiming(Sharing):
    """Reserves ports for processes that share them."""

    port = ClaimedPort
