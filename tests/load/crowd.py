"""Many clients that listen to events, in a process of their own.

``python -m tests.load.crowd PORT COUNT [deaf]`` connects them, says ``listening`` when each was told the state, and for
each line that it reads says what they heard, as JSON. Those that are deaf read nothing.
"""

import json
import resource
import selectors
import socket
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmpooler.embedded.program import guarded

ROOT = Path(__file__).parents[2]

ASK = b"GET /dashboard/events HTTP/1.0\r\n\r\n"
MARK = b"\nevent: event\n"

ARRIVAL = 35
"""SO_TIMESTAMPNS: the kernel says when bytes came, so that it does not matter how fast they are read here."""

MOMENT = struct.Struct("qq")
"""Seconds and nanoseconds."""

ROOM = socket.CMSG_SPACE(MOMENT.size)

PIECE = 1 << 16
"""Bytes that are taken at once: for four times as many malloc asks the system, which takes four times as long."""


class Ear:
    """One connection: the ids of the events that it was told, in the order in which they came."""

    def __init__(self, port: int, deaf: bool) -> None:
        self.socket = socket.socket()
        if deaf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setsockopt(socket.SOL_SOCKET, ARRIVAL, 1)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(ASK)
        self.state = False
        self.ids: list[int] = []
        self.late: list[float] = []
        self._rest = b""

    def read(self) -> bool:
        """Take what came; False at the end."""
        data, more, _, _ = self.socket.recvmsg(PIECE, ROOM)
        now = arrived(more) if more else 0.0
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            if MARK in frame:
                moment, _, number = frame[4 : frame.index(b"\n")].partition(b"-")
                self.ids.append((int(moment) << 20) + int(number))
                self.late.append(now - int(moment))
            elif b"event: state" in frame:
                self.state = True
        return bool(data)


def arrived(said: list[tuple[int, int, bytes]]) -> float:
    """When what was read last came, in milliseconds since the epoch."""
    ((_, _, moment),) = said
    seconds, nanoseconds = MOMENT.unpack(moment)
    return float(seconds * 1000 + nanoseconds / 1e6)


def main(port: int, count: int, deaf: bool) -> None:
    """Listen until standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ears = [Ear(port, deaf) for _ in range(count)]
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin, selectors.EVENT_READ, None)
    for ear in ears if not deaf else ():
        waiting.register(ear.socket, selectors.EVENT_READ, ear)
    said = deaf
    if deaf:
        print("listening", flush=True)
    while True:
        for key, _ in waiting.select():
            if key.data is not None:
                if not key.data.read():
                    waiting.unregister(key.data.socket)
            elif sys.stdin.readline():
                print(json.dumps(heard(ears)), flush=True)
            else:
                return
        if not said and all(ear.state for ear in ears):
            said = True
            print("listening", flush=True)


def heard(ears: list[Ear]) -> dict[str, Any]:
    """How many were told the same, whether in order, and how late in milliseconds."""
    same = Counter(tuple(ear.ids) for ear in ears).most_common(1)[0]
    late = sorted(each for ear in ears for each in ear.late)
    told = {share: round(late[int(len(late) * share / 100)], 1) for share in (50, 99)} if late else {}
    return {"ids": same[0], "same": same[1], "ordered": list(same[0]) == sorted(set(same[0])), "late": told}


class Crowd:
    """That process. Used as a context manager; at the end it is gone."""

    def __init__(self, port: int, count: int, *options: str) -> None:
        command = [sys.executable, "-m", "tests.load.crowd", str(port), str(count), *options]
        self._process = subprocess.Popen(
            guarded(command), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def listens(self) -> None:
        """Wait until all do."""
        assert self.said() == "listening\n"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def said(self) -> str:
        """The next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def heard(self) -> dict[str, Any]:
        """What they heard so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self.said())
        return found


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "deaf" in sys.argv)
