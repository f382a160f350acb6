"""Clients that take VMs, use them, and give them back or abandon them. Some hang up before the response."""

import json
import random
import socket
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from threading import Thread
from typing import Any

import attrs

from tests.verification.chaos.history import Operation, Verb
from tests.verification.chaos.proxy import HOST

SECONDS = 7.0
"""Seconds that a client waits for a response: longer than most stalls, shorter than some."""

RESTS = 0.08
WAITS = 0.5
"""Maximum seconds between two requests, and after a checkout that got no VM."""

HELD = 3
"""Number of VMs that a client keeps. It gives one back when it has more."""

ASKED: Sequence[Mapping[str, int]] = (
    {"debian-12": 1},
    {"linux": 1},
    {"linux": 2},
    {"windows-11": 1},
    {"debian-12": 1, "ubuntu-24": 1},
    {"linux": 2, "debian-12": 1},
    {"ubuntu-24": 1, "windows-11": 1},
)

USES = (
    "get",
    "tag",
    "tag",
    "lifetime",
    "disk",
    "disk",
    "snapshot",
    "snapshot",
    "revert",
    "revert",
    "delete",
    "delete",
    "trespass",
    "nonsense",
)
"""Actions on a VM. An action is as frequent as it is listed here."""

UNKNOWN_TOKEN = "this-token-is-unknown"

FORBIDDEN = "77"
"""A value for hours and GB that appears only in requests that must be refused."""


@attrs.frozen
class Reply:
    """The response. ``status`` is None when none arrived, 0 when the request was not sent."""

    status: int | None
    body: Any = None


class ChaosClient(Thread):
    """One client: it sends one request after the other, each to a random API. Set ``done`` to stop it."""

    def __init__(
        self, number: int, ports: Sequence[int], chance: random.Random, asked: Sequence[Mapping[str, int]] = ASKED
    ) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.number = number
        self.history: list[Operation] = []
        self.unreached = 0
        self.token = ""
        self.done = False
        self._ports, self._chance, self._asked = ports, chance, asked
        self._held: dict[str, bool] = {}
        self._snapshots: dict[str, list[str]] = {}

    def run(self) -> None:
        while not self.done:
            if not self.token:
                self._log_in()
            elif self._held and self._chance.random() < 0.6:
                self._use(self._chance.choice(list(self._held)))
            else:
                self._take()
            time.sleep(self._chance.uniform(0, RESTS))

    def _log_in(self) -> None:
        known = b64encode(f"user-{self.number}:secret".encode()).decode()
        reply = self._ask("POST", "/token", {"Authorization": f"Basic {known}"})
        if reply.status == 200:
            self.token = reply.body["token"]

    def _take(self) -> None:
        wanted = dict(self._chance.choice(self._asked))
        owned, by_body = self._chance.random() < 0.7, self._chance.random() < 0.5
        path = "" if by_body else "/" + "+".join(Counter(wanted).elements())
        body = json.dumps(wanted).encode() if by_body else b""
        operation = self._record(Verb.CHECKOUT, "POST", f"/vm{path}", owned, body, wanted=wanted)
        for vm in operation.given:
            self._held[vm] = owned
        if operation.status == 503:
            time.sleep(self._chance.uniform(0, WAITS))
        while len(self._held) > HELD:
            vm = next(iter(self._held))
            if self._chance.random() < 0.7:
                self._give_up(vm)
            self._held.pop(vm, None)  # otherwise it stays until its lifetime ends

    def _use(self, vm: str) -> None:
        owned = self._held[vm]
        match self._chance.choice(USES):
            case "get":
                self._record(Verb.GET, "GET", f"/vm/{vm}", False, vm=vm)
            case "tag":
                name, value = f"t{len(self.history)}", f"v{self._chance.randrange(1000)}"
                body = json.dumps({"tags": {name: value}}).encode()
                self._record(Verb.TAG, "PUT", f"/vm/{vm}", owned, body, vm=vm, name=name, value=value)
            case "lifetime":
                hours = self._chance.randint(1, 9)
                body = json.dumps({"lifetime": hours}).encode()
                self._record(Verb.LIFETIME, "PUT", f"/vm/{vm}", True, body, vm=vm, value=str(hours))
            case "delete":
                self._give_up(vm)
            case "trespass" if owned:
                self._trespass(vm)
            case "nonsense":
                name = f"n{self.number}-{len(self.history)}"
                body = json.dumps({"tags": {name: "v"}, "lifetime": "soon"}).encode()
                self._record(Verb.NONSENSE, "PUT", f"/vm/{vm}", owned, body, vm=vm, name=name)
            case what:
                self._have_done(what, vm)

    def _have_done(self, what: str, vm: str) -> None:
        """Request a task that a manager does."""
        match what:
            case "disk":
                size = str(self._chance.randint(1, 9))
                self._record(Verb.DISK, "POST", f"/vm/{vm}/disk/{size}", True, vm=vm, value=size)
            case "snapshot":
                operation = self._record(Verb.SNAPSHOT, "POST", f"/vm/{vm}/snapshot", True, vm=vm)
                if operation.value:
                    self._snapshots.setdefault(vm, []).append(operation.value)
            case "revert" if vm in self._snapshots:
                name = self._chance.choice(self._snapshots[vm])
                self._record(Verb.REVERT, "POST", f"/vm/{vm}/snapshot/{name}", True, vm=vm, value=name)

    def _trespass(self, vm: str) -> None:
        """Attempt what only the owner may do, with values that no other request uses."""
        name = f"x{self.number}-{len(self.history)}"
        match self._chance.choice(("delete", "change", "disk")):
            case "delete":
                self._record(Verb.TRESPASS, "DELETE", f"/vm/{vm}", UNKNOWN_TOKEN, vm=vm)
            case "change":  # every client may set tags alone
                body = json.dumps({"tags": {name: "v"}, "lifetime": FORBIDDEN}).encode()
                self._record(Verb.TRESPASS, "PUT", f"/vm/{vm}", UNKNOWN_TOKEN, body, vm=vm, name=name, value=FORBIDDEN)
            case "disk":
                self._record(Verb.TRESPASS, "POST", f"/vm/{vm}/disk/{FORBIDDEN}", UNKNOWN_TOKEN, vm=vm, value=FORBIDDEN)

    def _give_up(self, vm: str) -> None:
        operation = self._record(Verb.DELETE, "DELETE", f"/vm/{vm}", self._held[vm], vm=vm)
        if operation.done or operation.status == 404:
            self._held.pop(vm, None)

    def _record(
        self, verb: Verb, method: str, path: str, token: bool | str, body: bytes = b"", **known: Any
    ) -> Operation:
        """Send a request and record its outcome, unless the request was never sent."""
        shown = token if isinstance(token, str) else self.token if token else ""
        began = time.time()
        reply = self._ask(method, path, {"X-AUTH-TOKEN": shown} if shown else {}, body)
        operation = Operation(self.number, verb, began, time.time(), reply.status, **known)
        if reply.status == 503:
            operation = attrs.evolve(operation, weather="message" in reply.body)
        elif reply.status == 200 and verb is Verb.CHECKOUT:
            operation = attrs.evolve(operation, given=_hosts(reply.body, operation.wanted))
        elif reply.status == 202 and verb is Verb.SNAPSHOT:
            operation = attrs.evolve(operation, value=reply.body[operation.vm]["snapshot"])
        if reply.status == 0:
            self.unreached += 1
        else:
            self.history.append(operation)
        return operation

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        connection = HTTPConnection(HOST, self._chance.choice(self._ports), timeout=SECONDS)
        try:
            connection.connect()
        except OSError:
            connection.close()
            time.sleep(0.05)
            return Reply(0)
        try:
            connection.request(method, f"/api/v1{path}", body, dict(headers))
            if self._chance.random() < 0.04:
                self._hang_up(connection)
                return Reply(None)
            answer = connection.getresponse()
            return Reply(answer.status, json.loads(answer.read()))
        except (OSError, HTTPException, ValueError):
            return Reply(None)
        finally:
            connection.close()

    def _hang_up(self, connection: HTTPConnection) -> None:
        time.sleep(self._chance.uniform(0, 0.02))
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _hosts(body: Mapping[str, Any], wanted: Mapping[str, int]) -> tuple[str, ...]:
    hosts = [body[name]["hostname"] for name in wanted]
    return tuple(vm for host in hosts for vm in ([host] if isinstance(host, str) else host))
