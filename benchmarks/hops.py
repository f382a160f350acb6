"""``python -m benchmarks.hops``: which files of the service three ways pass, and how often each way changes the file.

- A checkout: from the socket of its client to the command to Redis.
- A VM: from the start of a manager until it is moved to ready.
- An event: from the reply to XREAD to the socket of a subscriber.

A process of the service runs under a profile function, which sees every call. Calls of other work that the process does
meanwhile are left out where this work has files of its own.
"""

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from benchmarks import api, stock
from benchmarks.redis import RedisConnection
from tests.service.process import Service, until
from vmpooler.manager.manager import Manager
from vmpooler.store import keys
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.redis.protocol import Wire
from vmpooler.store.stream import EventStream
from vmpooler.web.events import subscriber
from vmpooler.web.http.server import Channel

TRACED = """
import inspect, json, os, sys
from twisted.scripts.twistd import run
begins, ends, beside, found = json.loads(os.environ["HOPS"])
way = None
def file_of(frame):
    _, ours, name = frame.f_code.co_filename.rpartition("/vmpooler/")
    return "vmpooler/" + name if ours else ""
def is_beside(frame):
    while frame is not None and frame.f_code.co_qualname != begins:
        if file_of(frame).startswith(tuple(beside)):
            return True
        frame = frame.f_back
    return False
def called(frame, event, arg):
    global way
    file, name = file_of(frame), frame.f_code.co_qualname
    if event != "call" or not file:
        return
    if name == begins and not (way is not None and frame.f_code.co_flags & inspect.CO_COROUTINE):
        way = []  # a resumed coroutine is not a new start
    if way is not None and not (beside and is_beside(frame)):
        way.append(file)
        if name == ends:
            with open(found + ".new", "w") as written:
                json.dump(way, written)
            os.replace(found + ".new", found)
            way = None
sys.setprofile(called)
sys.exit(run())
"""

BESIDE_A_MANAGER = (
    "vmpooler/manager/history.py",
    "vmpooler/process/",
    "vmpooler/store/commands/registry.py",
    "vmpooler/store/commands/tasks.py",
    "vmpooler/store/stream.py",
)
"""Samples of the pools, the rest of the start, the search for removed pools, the tasks of clients, and events: a
manager does this beside its work on VMs."""

BESIDE_AN_EVENT = (
    "vmpooler/store/failover/",
    "vmpooler/store/redis/",
    "vmpooler/web/events/pool_state.py",
    "vmpooler/web/routes/vm.py",
)
"""The ids that recovery and checkouts note, the next read, and the counts of the pools, which clients get later."""

CONFIG = "config: {{prefix: b}}\nredis: {{socket: {socket}}}\npools: [{{name: {pool}, size: 1}}]\n"


@attrs.frozen
class Way:
    """A way through the service: the calls that begin and end it, and what makes a process of this role take it.

    ``beside``: files, or folders, whose calls are left out together with all calls that they make.
    """

    name: str
    begins: Callable[..., Any]
    ends: Callable[..., Any]
    role: str
    cause: Callable[[Service, RedisConnection], object] = lambda service, book: None
    beside: tuple[str, ...] = ()

    def calls(self) -> list[str]:
        """Return the file of each call, in order."""
        with tempfile.TemporaryDirectory() as folder, api.redis() as (socket, book):
            program, python, found = Path(folder, "twistd"), Path(folder, "python"), Path(folder, "way")
            program.write_text(TRACED, encoding="utf-8")
            python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
            python.chmod(0o700)
            config = CONFIG.format(socket=socket, pool=stock.pool(0))
            environ = {"HOPS": json.dumps([self.begins.__qualname__, self.ends.__qualname__, self.beside, str(found)])}
            with Service(config, f"--role={self.role}", twistd=program, environ=environ) as service:
                self.cause(service, book)
                until(found.exists, f"the end of {self.name}")
                return list(json.loads(found.read_text(encoding="utf-8")))


def hops(calls: list[str]) -> int:
    """How often the calls go from one file to another."""
    return sum(one != other for one, other in pairwise(calls))


def _check_out(service: Service, book: RedisConnection) -> None:
    stock.refill(book, 1, 10)
    answer = service.request("POST", f"/vm/{stock.pool(0)}")
    if answer.status != 200:
        raise RuntimeError(f"the checkout was answered with {answer.status}")


def _happen(service: Service, book: RedisConnection) -> None:
    """Write an event while a client is subscribed."""
    client = HTTPConnection("127.0.0.1", service.port, timeout=20)
    client.request("GET", "/api/v1/events")
    lines = client.getresponse()
    while not lines.readline().startswith(b"event: state"):
        pass
    fields: dict[str, str | float] = {
        "what": "empty",
        "pool": stock.pool(0),
        "vm": "",
        "when": time.time(),
        "by": "manager",
    }
    book.call("XADD", keys.EVENTS, "*", *(word for field in fields.items() for word in field))
    while not lines.readline().startswith(b"event: event"):
        pass
    client.close()


CHECKOUT = Way("a checkout", Channel.dataReceived, Wire._execute, "api", _check_out)
READY = Way("a VM that becomes ready", Manager.start, Queues.promote, "manager", beside=BESIDE_A_MANAGER)
EVENT = Way("an event", EventStream._deliver, subscriber._taken, "api", _happen, BESIDE_AN_EVENT)


def main() -> None:
    """Print for each way its files, in the order of their first call, and the counts."""
    for way in (CHECKOUT, READY, EVENT):
        calls = way.calls()
        files = list(dict.fromkeys(calls))
        print(f"{way.name}: {len(files)} files, {hops(calls)} hops between files, {len(calls)} calls")
        print("\n".join(f"    {file}" for file in files))


if __name__ == "__main__":
    main()
