"""A TCP listener that answers probes on every address of this machine."""

import socket
from threading import Thread
from types import TracebackType
from typing import Self


class Listener:
    """Accepts connections on a port and closes them at once, in its own thread."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("", self._port), backlog=200)
        self._thread = Thread(target=self._answer)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _answer(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
