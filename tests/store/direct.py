"""A connection to the store without a reactor: every command blocks until its reply, for use in synchronous tests."""

import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, TypeVar

import hiredis
from twisted.internet.task import Clock

from vmpooler.settings import Redis
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.protocol import ServerError, Value
from vmpooler.store.redis.scripts import Script

T = TypeVar("T")


class Direct(Connection):
    """A connection that blocks until each reply has arrived: a coroutine that awaits it is never suspended.

    ``ran`` is called after each script, with the script, its keys and arguments in order, and its reply.
    """

    def __init__(self, settings: Redis) -> None:
        super().__init__(settings, Clock())
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(settings.socket)
        self._replies = hiredis.Reader(replyError=ServerError, encoding="utf-8", errors="surrogateescape")
        self.ran: Callable[[Script, Sequence[Any], Any], object] = lambda *_: None

    def hang_up(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _ran(self, script: Script, command: Sequence[Any], reply: Any) -> None:
        self.ran(script, command, reply)

    async def _send(self, *command: Value) -> Any:
        packed: Any = command
        self._socket.sendall(hiredis.pack_command(packed))
        while (reply := self._replies.gets()) is False:
            self._replies.feed(self._socket.recv(1 << 16))
        if isinstance(reply, ServerError):
            raise reply
        return reply


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits only a Direct connection; return its result or raise its error."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    return _suspended(work)


def _suspended(work: Coroutine[Any, Any, object]) -> NoReturn:
    work.close()
    raise AssertionError("this waits for something other than Redis")
