"""A real Redis in lock-step: a command is sent when the scheduler chooses it, and the reply is awaited.

Note [What makes a schedule replay]

Scripts make no random choice, but the order of a set's members depends on a secret of each Redis process, unless all
members are numbers: small sets of numbers are kept in order. So all names consist of digits. The ids of the event
stream follow virtual time. Other differences are detected: a replay has the same trace, or reports where it differs.

Note [The clock of the simulated Redis]

Redis's own clock cannot be set. So each script runs with a changed text where it reads the time or the remaining time
of the lease: there it reads two keys that are written before it (``TIME``, ``LEFT``). The lease does not expire by
itself, see ``book.py``. Other keys with an expiry stay until a fault removes them.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import attrs
import hiredis

from tests.redis_server import RedisServer
from vmpooler.store import keys
from vmpooler.store.redis.protocol import ServerError, Value
from vmpooler.store.redis.scripts import Script, fenced, load

Command = Sequence[Value]

LARGEST = 65536
"""Maximum bytes of one read."""

TIME = "sim:time"
"""The key that holds the current moment by Redis's clock, in whole seconds."""

LEFT = "sim:left"
"""The key that holds the milliseconds until the lease expires."""

VIRTUAL = {
    "redis.call('TIME')": f"({{redis.call('GET', '{TIME}'), '0'}})",
    "redis.call('PTTL', lease)": f"tonumber(redis.call('GET', '{LEFT}'))",
    "redis.call('PEXPIRE', lease, most)": "do end",
    "mark, 'PX', holds)": "mark)",
    "redis.call('DBSIZE')": "(redis.call('DBSIZE') - 2)",
}
"""The text in scripts that reads the time or an expiry, and the text that replaces it."""

SAVED = 1
"""The number of the database that holds a backup."""


class LockStep:
    """A blocking connection to a separate Redis."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(server.socket)
        self.scripts: dict[str, str] = {}
        self.fenced: set[str] = set()
        self._instead: dict[Any, str] = {}
        self._reader = hiredis.Reader(replyError=ServerError, encoding="utf-8", errors="surrogateescape")
        for setting in ("hash-max-ziplist-entries", "hash-max-ziplist-value"):
            self.ask(("CONFIG", "SET", setting, 65536))  # small hashes keep the order of their fields
        for path in files("vmpooler.store").joinpath("lua").iterdir():
            if not path.name.startswith("_"):
                script = load(path.name.removesuffix(".lua"))
                for each in (script, fenced(script)):
                    self.learn(each)
                    self.run_instead(each, virtual(each))
                self.fenced.add(fenced(script).sha)

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands and return the replies. An error is returned as a ServerError among them."""
        replaced = [[self._instead.get(part, part) for part in command] for command in commands]
        self._socket.sendall(b"".join(hiredis.pack_command(tuple(map(_encoded, command))) for command in replaced))
        replies: list[Any] = []
        while len(replies) < len(commands):
            if (reply := self._reader.gets()) is False:
                self._reader.feed(self._socket.recv(LARGEST))
            else:
                replies.append(reply)
        return replies

    def learn(self, script: Script) -> None:
        """Load a script into Redis."""
        if self.ask(("SCRIPT", "LOAD", script.source)) != [script.sha]:
            raise ValueError(f"Redis does not understand {script.name}")
        self.scripts[script.sha] = script.name

    def run_instead(self, script: Script, other: Script) -> None:
        """Let Redis run another script in place of this one."""
        if other.sha != script.sha:
            self.learn(other)
            self._instead[script.sha] = other.sha

    def named(self, command: Command) -> str:
        """Return the name of the script that a command runs, also through the fence, or the name of the command."""
        if command[0] != "EVALSHA":
            return str(command[0])
        name = self.scripts[str(command[1])]
        return str(command[4 + int(command[2])]) if name == "command" else name  # after the argument of the fence

    def empty(self, now: float) -> None:
        """Delete everything but the scripts. The event stream exists and starts now."""
        self.ask(("FLUSHALL",), ("XADD", keys.EVENTS, _id(now), "what", "begin"), ("XTRIM", keys.EVENTS, "MAXLEN", 0))
        self.ask(("MSET", TIME, int(now), LEFT, 0))

    def save(self) -> None:
        """Make a backup of everything, replacing an earlier one."""
        self.ask(("SELECT", SAVED), ("FLUSHDB",), ("SELECT", 0))
        self._copy(SAVED)

    def put_back(self) -> None:
        """Replace the contents of Redis with the backup."""
        self.ask(("FLUSHDB",), ("SELECT", SAVED))
        self._copy(0)
        self.ask(("SELECT", 0))

    def _copy(self, to: int) -> None:
        found = sorted(self.ask(("KEYS", "*"))[0])
        if not all(reply == 1 for reply in self.ask(*(("COPY", key, key, "DB", to) for key in found))):
            raise ValueError("Redis did not copy everything")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def at(now: float) -> Command:
    """Return the command that makes the ids of events follow the clock."""
    return ("XSETID", keys.EVENTS, _id(now))


def virtual(script: Script) -> Script:
    """Return the same script, using the clock of the schedule."""
    source = script.source
    for old, new in VIRTUAL.items():
        source = source.replace(old, new)
    return attrs.evolve(script, source=source)


def _id(now: float) -> str:
    return f"{int(now * 1000)}-0"


def _encoded(value: Value) -> Any:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
