"""A group of Redis servers for tests: a primary, its replica, and sentinels that make that one the primary when the
first dies. They listen on free ports of loopback, keep nothing, and end with the process of the tests."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.ports import free_port
from vmpooler.embedded.program import guarded, installed
from vmpooler.settings import Redis

NAME = "pooler"

DOWN_AFTER = 800
"""Milliseconds after which a server that does not answer is down: long enough for a busy machine."""

PATIENCE = 20.0

SENTINEL = f"""
sentinel monitor {NAME} 127.0.0.1 {{port}} 2
sentinel down-after-milliseconds {NAME} {DOWN_AFTER}
sentinel failover-timeout {NAME} 6000
"""


class Server:
    """One redis-server, as a primary, a replica or a sentinel. It has a port from its start on."""

    def __init__(self, home: Path, *options: str) -> None:
        self.port = 0
        self._home = Path(tempfile.mkdtemp(dir=home))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, file: str = "") -> None:
        """Run it, with this for its configuration; return when it answers."""
        self.port = free_port()
        (self._home / "conf").write_text(file)
        own = ("--port", str(self.port), "--dir", str(self._home), "--bind", "127.0.0.1", "--save", "")
        program = next(iter(installed())).path
        with (self._home / "log").open("ab") as log:
            command = guarded([program, str(self._home / "conf"), *own, *self._options])
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: self.says("PING") == "PONG", "it answers")

    def says(self, *command: str) -> Any:
        """The reply to a command as text; None when there is nobody."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as wire, wire.makefile("rb") as replies:
                wire.sendall(" ".join(command).encode() + b"\r\n")
                return _reply(replies)
        except (OSError, ValueError, IndexError):
            return None

    def kill(self) -> None:
        """End it with -9, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Let it hang."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class RedisGroup:
    """A primary, a replica that follows it, and three sentinels that watch them."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="vmpooler-test-"))
        self.primary = Server(self._home)
        self.replica = Server(self._home)
        self.sentinels = [Server(self._home, "--sentinel") for _ in range(3)]

    @property
    def settings(self) -> Redis:
        """How to reach it."""
        places = tuple(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return Redis(sentinels=places, sentinel_master=NAME)

    @property
    def config(self) -> str:
        """The same in a configuration file, without the brace at its end."""
        places = ", ".join(f"'{place}'" for place in self.settings.sentinels)
        return f"redis: {{sentinels: [{places}], sentinel_master: {NAME}"

    def start(self) -> None:
        """Start all; return when the replica has followed, and the sentinels know it and each other."""
        self.primary.start()
        self.replica.start(f"replicaof 127.0.0.1 {self.primary.port}")
        until(lambda: "master_link_status:up" in self.replica.says("INFO", "replication"), "the replica follows")
        for sentinel in self.sentinels:
            sentinel.start(SENTINEL.format(port=self.primary.port))
        until(lambda: all(map(_knows, self.sentinels)), "the sentinels know each other")

    def cut_off_the_replica(self) -> None:
        """From now on it gets nothing any more of what is written. To be followed by the primary's end."""
        self.replica.freeze()
        self.primary.says("CLIENT", "KILL", "TYPE", "replica")

    def fail_over(self) -> None:
        """Kill the primary; return when the sentinels have another."""
        self.primary.kill()
        self.replica.thaw()
        until(lambda: self.replica.says("ROLE")[0] == "master", "the replica is the primary")

    def remove(self) -> None:
        """Leave nothing behind."""
        for server in (self.primary, self.replica, *self.sentinels):
            server.kill()
        shutil.rmtree(self._home)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.02)


def _knows(sentinel: Server) -> bool:
    told = sentinel.says("SENTINEL", "MASTER", NAME)
    known = dict(zip(told[::2], told[1::2], strict=True))
    return (known["num-slaves"], known["num-other-sentinels"]) == ("1", "2")


def _reply(replies: Any) -> Any:
    head = replies.readline().decode().rstrip()
    match head[0]:
        case "*":
            return [_reply(replies) for _ in range(int(head[1:]))]
        case "$":
            return replies.read(int(head[1:]) + 2)[:-2].decode()
        case _:
            return head[1:]
