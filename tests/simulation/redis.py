"""A real Redis in lock-step: a command is sent when the scheduler says so, and its reply awaited.

Note [What makes a schedule replay]

Scripts make no random choice, but the order of a set's members depends on a secret of each Redis process, unless all
are numbers: small sets of these are kept in order. So all names are made of digits. The ids of the event stream are
made to follow virtual time. What is left is compared: a replay has the same trace, or says where it differs.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import hiredis

from tests.redis_server import RedisServer
from vmpooler.store import keys
from vmpooler.store.scripts import Script, fenced, load
from vmpooler.store.wire import ServerError, Value

Command = Sequence[Value]

LARGEST = 65536
"""Bytes of one reading."""


class LockStep:
    """A blocking connection to a Redis of its own."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(server.socket)
        self.scripts: dict[str, str] = {}
        self._reader = hiredis.Reader(replyError=ServerError, encoding="utf-8", errors="surrogateescape")
        for setting in ("hash-max-ziplist-entries", "hash-max-ziplist-value"):
            self.ask(("CONFIG", "SET", setting, 65536))  # small hashes keep the order of their fields
        for path in files("vmpooler.store").joinpath("lua").iterdir():
            if not path.name.startswith("_"):
                script = load(path.name.removesuffix(".lua"))
                self.learn(script)
                self.learn(fenced(script))

    def ask(self, *commands: Command) -> list[Any]:
        """The replies; an error as a ServerError among them."""
        self._socket.sendall(b"".join(hiredis.pack_command(tuple(map(_encoded, command))) for command in commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            if (reply := self._reader.gets()) is False:
                self._reader.feed(self._socket.recv(LARGEST))
            else:
                replies.append(reply)
        return replies

    def learn(self, script: Script) -> None:
        """Have Redis know a script."""
        self.ask(("SCRIPT", "LOAD", script.source))
        self.scripts[script.sha] = script.name

    def named(self, command: Command) -> str:
        """The name of the script that a command runs, or of the command, also of one that is sent through the fence."""
        if command[0] != "EVALSHA":
            return str(command[0])
        name = self.scripts[str(command[1])]
        return str(command[3 + int(command[2])]) if name == "command" else name

    def empty(self, now: float) -> None:
        """Forget everything but the scripts; the event stream is there, and begins now."""
        self.ask(("FLUSHALL",), ("XADD", keys.EVENTS, _id(now), "what", "begin"), ("XTRIM", keys.EVENTS, "MAXLEN", 0))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def at(now: float) -> Command:
    """Makes the ids of events follow the clock."""
    return ("XSETID", keys.EVENTS, _id(now))


def _id(now: float) -> str:
    return f"{int(now * 1000)}-0"


def _encoded(value: Value) -> Any:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
