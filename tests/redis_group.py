"""A group of Redis servers for tests: a primary, its replica, and sentinels that promote it when the primary dies.

They listen on free loopback ports, keep nothing on disk, and end with the process of the tests.
"""

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
from vmpooler.store.stored import paired

NAME = "pooler"

DOWN_AFTER = 800
"""Milliseconds after which a server that does not answer counts as down: long enough for a busy machine."""

PATIENCE = 20.0

SENTINEL = f"""
sentinel monitor {NAME} 127.0.0.1 {{port}} 2
sentinel down-after-milliseconds {NAME} {DOWN_AFTER}
sentinel failover-timeout {NAME} 6000
"""


class GroupServer:
    """One redis-server, as a primary, a replica or a sentinel. ``start`` assigns its port."""

    def __init__(self, home: Path, *options: str) -> None:
        self.port = 0
        self._home = Path(tempfile.mkdtemp(dir=home))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, file: str = "") -> None:
        """Start it with ``file`` as the text of its configuration, and return when it answers."""
        self.port = free_port()
        (self._home / "conf").write_text(file)
        own = ("--port", str(self.port), "--dir", str(self._home), "--bind", "127.0.0.1", "--save", "")
        program = next(iter(installed())).path
        with (self._home / "log").open("ab") as log:
            command = guarded([program, str(self._home / "conf"), *own, *self._options])
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: self.says("PING") == "PONG", "it answers")

    def says(self, *command: str) -> Any:
        """Return the reply to a command as text, or as a list; None when no server answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as wire, wire.makefile("rb") as replies:
                wire.sendall(" ".join(command).encode() + b"\r\n")
                return _reply(replies)
        except (OSError, ValueError, IndexError):
            return None

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop the process with SIGSTOP: it no longer answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the process with SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class RedisGroup:
    """A primary, its replica, and three sentinels that monitor them."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="vmpooler-test-"))
        self.primary = GroupServer(self._home)
        self.replica = GroupServer(self._home)
        self.sentinels = [GroupServer(self._home, "--sentinel") for _ in range(3)]

    @property
    def settings(self) -> Redis:
        """The settings that connect to the group."""
        places = tuple(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return Redis(sentinels=places, sentinel_master=NAME)

    @property
    def config(self) -> str:
        """The same as text of a configuration file, without the closing brace."""
        places = ", ".join(f"'{place}'" for place in self.settings.sentinels)
        return f"redis: {{sentinels: [{places}], sentinel_master: {NAME}"

    def start(self) -> None:
        """Start all servers; return when the replica is in sync, and the sentinels know it and each other."""
        self.primary.start()
        self.replica.start(f"replicaof 127.0.0.1 {self.primary.port}")
        until(lambda: "master_link_status:up" in self.replica.says("INFO", "replication"), "the replica follows")
        for sentinel in self.sentinels:
            sentinel.start(SENTINEL.format(port=self.primary.port))
        until(lambda: all(map(_knows, self.sentinels)), "the sentinels know each other")

    def cut_off_the_replica(self) -> None:
        """Stop the replication: the replica receives no further writes. Afterwards the test must end the primary."""
        self.replica.freeze()
        self.primary.says("CLIENT", "KILL", "TYPE", "replica")

    def fail_over(self) -> None:
        """Kill the primary, and return when the sentinels have promoted the replica."""
        self.primary.kill()
        self.replica.thaw()
        until(lambda: self.replica.says("ROLE")[0] == "master", "the replica is the primary")

    def remove(self) -> None:
        """Kill all servers, and remove their files."""
        for server in (self.primary, self.replica, *self.sentinels):
            server.kill()
        shutil.rmtree(self._home)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.02)


def _knows(sentinel: GroupServer) -> bool:
    reply = sentinel.says("SENTINEL", "MASTER", NAME)
    known = paired(reply)
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
