"""Random clients: what they request over HTTP, what they receive, and how they hang up before the response."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.verification.proof.invariants import DURABLE
from tests.verification.simulation.judge import Judge
from tests.verification.simulation.process import ON_BEHALF
from tests.verification.simulation.request import Asking
from tests.verification.simulation.service import ApiProcess
from tests.verification.simulation.simulation import Simulation
from vmpooler.domain.model import Queue

USERS = ("ann", "bob")


class SimulatedClients:
    """All clients together. They know which VMs they have, and with which tokens."""

    def __init__(self, simulation: Simulation, judge: Judge) -> None:
        self.simulation = simulation
        self.judge = judge
        self.askings: list[Asking] = []
        self.open: list[Conversation] = []
        self.has: dict[str, str] = {}
        self.tokens: list[str] = []
        self.snapshots: list[tuple[str, str]] = []
        names = [pool.name for pool in simulation.settings.pools]
        self._names = [*names, *{alias: None for pool in simulation.settings.pools for alias in pool.alias}]

    def act(self, apis: list[ApiProcess]) -> None:
        """Send one random request."""
        chance = self.simulation.chance
        any_ready = any(queue is Queue.READY for _, queue in self.judge.expected.values())
        kinds: list[tuple[float, Callable[[], Asking]]] = [
            (
                5 * (4 if self.simulation.time.now < self.simulation.busy_until else 1) if any_ready else 1,
                self._checkout,
            ),
            (0.3 if self.tokens else 3, self._login),
            (0.5, self._read),
        ]
        if self.has:
            kinds += [(2, self._delete), (1, self._tag), (2, self._lifetime), (1, self._disk), (0.5, self._snapshot)]
        if self.snapshots:
            kinds.append((0.5, self._revert))
        (make,) = chance.choices([make for _, make in kinds], [weight for weight, _ in kinds])
        self.send(make(), chance.choice(apis))

    def send(self, asking: Asking, api: ApiProcess) -> None:
        """Send a request to a process."""
        asking.api = api.name
        self.askings.append(asking)
        self.simulation.counts["requests"] += 1
        self.simulation.counts[f"request: {asking.kind}"] += 1
        self.simulation.note("client", "asks", (asking.number, asking.method, asking.path, api.name))
        conversation = Conversation(self, asking, api)
        self.open.append(conversation)
        conversation.begin()
        if not conversation.over and self.simulation.strikes(self.simulation.faults.hang_up, "client hangs up"):
            self.simulation.steps.append(HangUp(conversation))

    def died(self, api: ApiProcess) -> None:
        """A process died. Its connections break, but a complete response may still arrive."""
        for conversation in [each for each in self.open if each.api is api]:
            if not conversation.complete or self.simulation.chance.random() < 0.5:
                conversation.end()
        for asking in self.askings:
            if asking.api == api.name:
                asking.crashed = True

    def on_response(self, asking: Asking) -> None:
        """A response arrived."""
        self.simulation.counts[f"answer: {asking.status}"] += 1
        if not asking.succeeded:
            return
        match asking.kind:
            case "checkout":
                self._got(asking)
            case "delete":
                self.has.pop(asking.vm, None)
            case "login":
                self.tokens.append(asking.answer["token"])
            case "snapshot":
                self.snapshots.append((asking.vm, asking.answer[asking.vm]["snapshot"]))
                asking.argument = self.snapshots[-1][1]

    def _got(self, asking: Asking) -> None:
        found = [asking.answer[name]["hostname"] for name, count in asking.wanted.items() if count]
        vms = [vm for names in found for vm in (names if isinstance(names, list) else [names])]
        finding = f"{asking} received {vms}, and took {asking.taken}"
        self.simulation.tally.hold(DURABLE, sorted(vms) == sorted(asking.taken), lambda: finding)
        for vm in vms:
            self._has_got(vm, asking)

    def _has_got(self, vm: str, asking: Asking) -> None:
        """Check that a VM named in a response belongs to that client, unless its lifetime is already over."""
        holding = self.judge.held.get(vm)
        its = holding is not None and holding.asking is asking
        ended = vm in asking.ended or self.judge.expected.get(vm, ("", Queue.COMPLETED))[1] is Queue.COMPLETED
        self.simulation.tally.hold(DURABLE, its or ended, lambda: f"{asking} has {vm} no more: {holding}")
        if its:
            self.has[vm] = asking.token

    def _asking(self, kind: str, method: str, path: str, **more: Any) -> Asking:
        return Asking(len(self.askings), kind, method, path, **more)

    def _some_token(self) -> str:
        return self.simulation.chance.choice(["", *self.tokens])

    def _one(self) -> tuple[str, str]:
        """Return a VM that a client has, and the token that it was taken with; if it had none, any token."""
        vm = self.simulation.chance.choice(list(self.has))
        return vm, self.has[vm] or (self.simulation.chance.choice(self.tokens) if self.tokens else "")

    def _checkout(self) -> Asking:
        chance = self.simulation.chance
        names = chance.choices(self._names, k=chance.choice([1, 1, 1, 2, 3]))
        wanted = {name: names.count(name) for name in names}
        token = self._some_token()
        if chance.random() < 0.5:
            return self._asking("checkout", "POST", f"/vm/{'+'.join(names)}", token=token, wanted=wanted)
        return self._asking("checkout", "POST", "/api/v1/vm", token=token, wanted=wanted, body=wanted)

    def _login(self) -> Asking:
        user = b64encode(f"{self.simulation.chance.choice(USERS)}:secret".encode()).decode()
        return self._asking("login", "POST", "/token", headers={"Authorization": f"Basic {user}"})

    def _read(self) -> Asking:
        vm = self.simulation.chance.choice(["nobody", *self.has])
        path = self.simulation.chance.choice([f"/vm/{vm}", "/status", "/vm"])
        return self._asking("read", "GET", path, vm=vm)

    def _delete(self) -> Asking:
        vm, token = self._one()
        return self._asking("delete", "DELETE", f"/vm/{vm}", vm=vm, token=token)

    def _tag(self) -> Asking:
        vm, token = self._one()
        tag = f"t{len(self.askings)}"
        return self._asking("tag", "PUT", f"/vm/{vm}", vm=vm, token=token, argument=tag, body={"tags": {tag: "yes"}})

    def _lifetime(self) -> Asking:
        vm, token = self._one()
        hours = self.simulation.chance.choice([1, 2])
        return self._asking("lifetime", "PUT", f"/vm/{vm}", vm=vm, token=token, body={"lifetime": hours})

    def _disk(self) -> Asking:
        vm, token = self._one()
        return self._asking("disk", "POST", f"/vm/{vm}/disk/8", vm=vm, token=token, argument="8")

    def _snapshot(self) -> Asking:
        vm, token = self._one()
        return self._asking("snapshot", "POST", f"/vm/{vm}/snapshot", vm=vm, token=token)

    def _revert(self) -> Asking:
        vm, snapshot = self.simulation.chance.choice(self.snapshots)
        path = f"/vm/{vm}/snapshot/{snapshot}"
        return self._asking("revert", "POST", path, vm=vm, token=self.has.get(vm, ""), argument=snapshot)


class Conversation(StringTransport):
    """A connection of a client to an API, for one request."""

    def __init__(self, clients: SimulatedClients, asking: Asking, api: ApiProcess) -> None:
        super().__init__()
        self.asking = asking
        self.api = api
        self.over = False
        self._clients = clients
        self.complete = False
        self._channel = api.site.buildProtocol(None)

    def begin(self) -> None:
        """Send the request."""
        self._channel.makeConnection(self)
        before = ON_BEHALF.set(self.asking)
        try:
            self._channel.dataReceived(self.asking.bytes())
        finally:
            ON_BEHALF.reset(before)

    def write(self, data: bytes) -> None:
        """Receive a part of the response. When it is complete, the client can read it."""
        super().write(data)
        head, found, body = self.value().partition(b"\r\n\r\n")
        if found and not self.complete and len(body) >= _length(head):
            self.complete = self.asking.answered = True
            self._clients.simulation.steps.append(AnswerInFlight(self))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Receive several parts of the response."""
        self.write(b"".join(data))

    def end(self) -> None:
        """End the conversation because its process is gone."""
        self.over = True
        self._clients.open.remove(self)

    def hang_up(self, why: Exception) -> None:
        """Close the connection from the client's side."""
        self.end()
        if self.api.alive:
            self._channel.connectionLost(Failure(why))

    def note(self, what: str) -> None:
        """Write an entry into the trace."""
        self._clients.simulation.note("client", what, self.asking.number)

    def hear(self) -> None:
        """Read the response as the client."""
        head, _, body = self.value().partition(b"\r\n\r\n")
        self.asking.status = int(head.split(b" ")[1])
        self.asking.answer = json.loads(body) if body else None
        self._clients.simulation.note("client", "receives", self.asking.number, (self.asking.status, body.decode()))
        self._clients.on_response(self.asking)
        self.hang_up(ConnectionDone())


class AnswerInFlight:
    """A response on its way to a client. It arrives even if its sender ends."""

    ready = True

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def take(self) -> None:
        """Let the client read the response, if it is still connected."""
        if not self._conversation.over:
            self._conversation.hear()


class HangUp:
    """A client that does not wait for its response."""

    ready = True

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def take(self) -> None:
        """Hang up, unless the client has its response."""
        conversation = self._conversation
        if not conversation.over:
            conversation.asking.hung_up = not conversation.complete
            conversation.note("hangs up")
            conversation.hang_up(ConnectionLost())


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
