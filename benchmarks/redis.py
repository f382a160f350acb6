"""A blocking Redis client, and a wrapper of redis-benchmark."""

import ast
import csv
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import hiredis

Word = str | bytes | int | float

TOOL = "redis-benchmark"

END = "this is the end of what is watched"

QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')


class RedisConnection:
    """A connection over a unix socket, as a context manager. ``asked`` is the number of commands it sent."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(path)
        self._reader = hiredis.Reader()
        self.asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()

    def call(self, *command: Word) -> Any:
        """Return the reply to one command; bytes are not decoded. Raises the error that Redis replies with."""
        self.asked += 1
        self._socket.sendall(_packed(command))
        return self.reply()

    def reply(self) -> Any:
        """Return the next reply. Raises the error in it, or ConnectionError when Redis closes the connection."""
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("Redis has gone")
            self._reader.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def watch(self) -> Iterator[bytes]:
        """Yield each command that other clients send from now on, as a line for :func:`words`.

        Commands that scripts send are left out.
        """
        self.call("MONITOR")
        return (line for line in iter(self.reply, None) if not line.partition(b'"')[0].endswith(b" lua] "))


def words(line: bytes) -> list[bytes]:
    """Return the words of a command."""
    return [ast.literal_eval('b"' + each.decode("latin-1") + '"') for each in QUOTED.findall(line)]


def sent_during(path: str, act: Callable[[], object]) -> Counter[str]:
    """Return how often each command is sent to a Redis until ``act`` has returned. Commands of scripts do not count."""
    found: Counter[str] = Counter()
    with RedisConnection(path) as listening, RedisConnection(path) as other:
        watched = listening.watch()
        act()
        other.call("ECHO", END)
        for line in watched:
            if END.encode() in line:
                return found
            found[words(line)[0].decode().upper()] += 1
    raise RuntimeError("the end was not seen")


def has_tool() -> bool:
    """Return whether redis-benchmark is installed."""
    return shutil.which(TOOL) is not None


def rate(path: str, command: Sequence[bytes], count: int, clients: int, spread: int) -> float:
    """Return how many times a second redis-benchmark runs a command, of ``count`` times.

    In the command, ``__rand_int__`` stands for a number of twelve digits below ``spread``.
    """
    tool = [TOOL, "-s", path, "-c", str(clients), "-n", str(count), "-r", str(spread), "--csv"]
    output = subprocess.run([*tool, *command], capture_output=True, text=True, check=True)
    return float(next(csv.DictReader(output.stdout.splitlines()))["rps"])


def _packed(command: Sequence[Word]) -> bytes:
    words: Any = tuple(each.encode() if isinstance(each, str) else each for each in command)
    return bytes(hiredis.pack_command(words))
