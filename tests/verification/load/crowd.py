"""Many subscribers to events, in a separate process.

``python -m tests.verification.load.crowd PORT COUNT [deaf]`` connects them, and prints ``listening`` when all have
received the state. For each line on standard input it prints what they received, as JSON. Deaf subscribers read
nothing, and ``listening`` is printed as soon as they are connected.
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

ROOT = Path(__file__).parents[3]

ASK = b"GET /dashboard/events HTTP/1.0\r\n\r\n"
MARK = b"\nevent: event\n"

ARRIVAL = 35
"""SO_TIMESTAMPNS: the kernel records when bytes arrive, so that the reading speed of this process does not matter."""

MOMENT = struct.Struct("qq")
"""Seconds and nanoseconds."""

ROOM = socket.CMSG_SPACE(MOMENT.size)

PIECE = 1 << 16
"""Bytes per read. With four times as many, malloc requests memory from the system, which takes four times as long."""


class CrowdSubscriber:
    """One subscriber: the ids of the events that it received, in order of arrival."""

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
        """Read and parse received data; return False when the connection has ended."""
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
    """Return the arrival time of the last data read, in milliseconds since the epoch."""
    ((_, _, moment),) = said
    seconds, nanoseconds = MOMENT.unpack(moment)
    return float(seconds * 1000 + nanoseconds / 1e6)


def main(port: int, count: int, deaf: bool) -> None:
    """Connect the subscribers, and serve them until standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    subscribers = [CrowdSubscriber(port, deaf) for _ in range(count)]
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin, selectors.EVENT_READ, None)
    for subscriber in subscribers if not deaf else ():
        waiting.register(subscriber.socket, selectors.EVENT_READ, subscriber)
    said = deaf
    if deaf:
        print("listening", flush=True)
    while True:
        for key, _ in waiting.select():
            if key.data is not None:
                if not key.data.read():
                    waiting.unregister(key.data.socket)
            elif sys.stdin.readline():
                print(json.dumps(received(subscribers)), flush=True)
            else:
                return
        if not said and all(subscriber.state for subscriber in subscribers):
            said = True
            print("listening", flush=True)


def received(subscribers: list[CrowdSubscriber]) -> dict[str, Any]:
    """Return what the subscribers received, as JSON.

    ``ids``: the most common sequence of event ids. ``same``: how many subscribers received it. ``ordered``: whether it
    is in order. ``late``: delay of events in milliseconds, p50 and p99.
    """
    same = Counter(tuple(subscriber.ids) for subscriber in subscribers).most_common(1)[0]
    late = sorted(each for subscriber in subscribers for each in subscriber.late)
    delays = {share: round(late[int(len(late) * share / 100)], 1) for share in (50, 99)} if late else {}
    return {"ids": same[0], "same": same[1], "ordered": list(same[0]) == sorted(set(same[0])), "late": delays}


class Crowd:
    """The process of the subscribers. A context manager: the process is killed at the end."""

    def __init__(self, port: int, count: int, *options: str) -> None:
        command = [sys.executable, "-m", "tests.verification.load.crowd", str(port), str(count), *options]
        self._process = subprocess.Popen(
            guarded(command), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def listens(self) -> None:
        """Wait until all subscribers are ready."""
        assert self.said() == "listening\n"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def said(self) -> str:
        """Return the next line that the process prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def received(self) -> dict[str, Any]:
        """Return what the subscribers received so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self.said())
        return found


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "deaf" in sys.argv)
