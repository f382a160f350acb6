"""Redis by hand: a client that waits, and what redis-benchmark says."""

import ast
import csv
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import hiredis

Word = str | bytes | int | float

TOOL = "redis-benchmark"

QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')


class Redis:
    """A connection over a unix socket, as a context manager."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(path)
        self._reader = hiredis.Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()

    def call(self, *command: Word) -> Any:
        """The reply to one command; bytes are not decoded. Raises what Redis answers with."""
        self._socket.sendall(_packed(command))
        return self.reply()

    def reply(self) -> Any:
        """What comes next."""
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("Redis has gone")
            self._reader.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def watch(self) -> Iterator[list[bytes]]:
        """Every command that others send from now on, but those of scripts."""
        self.call("MONITOR")
        return self._watched()

    def _watched(self) -> Iterator[list[bytes]]:
        while True:
            line: bytes = self.reply()
            head, _, _ = line.partition(b'"')
            if not head.endswith(b" lua] "):
                yield [ast.literal_eval('b"' + each.decode("latin-1") + '"') for each in QUOTED.findall(line)]

    def calls(self) -> dict[str, int]:
        """How often each command was carried out since CONFIG RESETSTAT, those of scripts among them."""
        text: bytes = self.call("INFO", "commandstats")
        return {name: int(count) for name, count in re.findall(r"cmdstat_(\S+?):calls=(\d+)", text.decode())}


def has_tool() -> bool:
    """Whether redis-benchmark is there."""
    return shutil.which(TOOL) is not None


def rate(path: str, command: Sequence[bytes], count: int, clients: int, spread: int) -> float:
    """How often a second redis-benchmark can have that command carried out, of ``count`` times. In it ``__rand_int__``
    is a number of twelve digits below ``spread``."""
    tool = [TOOL, "-s", path, "-c", str(clients), "-n", str(count), "-r", str(spread), "--csv"]
    told = subprocess.run([*tool, *command], capture_output=True, text=True, check=True)
    return float(next(csv.DictReader(told.stdout.splitlines()))["rps"])


def _packed(command: Sequence[Word]) -> bytes:
    words: Any = tuple(each.encode() if isinstance(each, str) else each for each in command)
    return bytes(hiredis.pack_command(words))
