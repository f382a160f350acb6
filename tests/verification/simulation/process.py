"""A process of the service: its clock, its connection to Redis, and its death."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.verification.simulation.book import Book
from tests.verification.simulation.clock import ProcessClock
from tests.verification.simulation.redis import Command
from tests.verification.simulation.simulation import Simulation
from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Redis
from vmpooler.store.failover.recovery import Failover
from vmpooler.store.redis.client import Connection, RedisTime
from vmpooler.store.redis.protocol import ServerError, Value, Wire
from vmpooler.store.stream import EventStream, order

ON_BEHALF: ContextVar[Any] = ContextVar("ON_BEHALF", default=None)
"""The client request that the current code works for; None for none."""

PATIENCE = 5.0
"""Seconds after which a command without a reply fails."""

NO_ANSWER = object()
"""Replaces a reply: the connection was lost."""

SOON = 0.05
"""Seconds after which a lost connection is opened again."""

LATE = 4.0
"""Seconds after which a command that its sender gave up no longer arrives."""


class SimulatedProcess:
    """One process. A dead process does nothing and receives nothing."""

    def __init__(self, simulation: Simulation, book: Book, name: str, line: type[SimulatedConnection]) -> None:
        self.simulation = simulation
        self.book = book
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.cut_until = 0.0
        self.clock = ProcessClock(simulation.time)
        self.fast = (
            simulation.chance.uniform(-simulation.world.set_by, simulation.world.set_by)
            if simulation.world.timed
            else 0.0
        )
        self.measured = simulation.time.now
        self.time = self.failover = None
        if simulation.world.timed:
            self.time = RedisTime(self.clock, self.own)
        if simulation.world.guarded:
            who = f"{''.join(filter(str.isdigit, name))}{len(simulation.trace):08d}"  # digits only, see redis.py
            self.failover = Failover(simulation.settings, who, self.clock)
        self.connection = line(self)
        self.connection.open()

    def own(self) -> float:
        """Return the current moment by the clock of its host."""
        return self.simulation.time.now + self.fast

    @property
    def wall(self) -> Callable[[], float]:
        """The clock that the process takes moments from."""
        return self.time or self.clock.seconds

    def events(self) -> EventStream:
        """Return the reader of the events for this process."""
        events = EventStream(StreamConnection(self.connection), self.clock)
        if self.failover is not None:
            events.follow(self.failover.saw)
        return events

    @property
    def acts(self) -> bool:
        """Whether the process runs and is not frozen."""
        return self.alive and self.simulation.time.now >= self.frozen_until

    @property
    def due(self) -> bool:
        """Whether a call of the process is due."""
        due = self.clock.due
        return due is not None and due <= self.simulation.time.now and self.acts

    def cut(self, seconds: float) -> None:
        """Cut the process off from Redis: commands in flight fail, and may have been executed."""
        self.cut_until = self.simulation.time.now + seconds
        for step in list(self.simulation.steps):
            if isinstance(step, (CommandInFlight, ReplyInFlight)) and step.process is self:
                step.lose()
        self.connection.lost()

    def forget(self) -> None:
        """Ensure that no code of the process runs when Python collects garbage. A coroutine that is collected releases
        its lock."""
        if self.failover is not None:
            self.failover._turn._waiting.clear()

    def die(self) -> None:
        """End the process now. What it has sent arrives or does not."""
        self.alive = False
        self.forget()
        for call in self.clock.calls:
            call.cancelled = 1
        self.clock.calls.clear()
        mine = self.simulation.drop(lambda step: getattr(step, "process", None) is self)
        for step in mine:
            if isinstance(step, Sent):
                step.orphan()


class Sent:
    """Something that a process has sent. It can arrive although the process ends."""

    process: SimulatedProcess

    def orphan(self) -> None:
        """Arrive, or do not arrive."""
        raise NotImplementedError


class SimulatedConnection(Connection):
    """The connection of a process to Redis. What is sent waits for the scheduler.

    Where processes detect losses or measure Redis's clock, each connection first runs ``welcome``, as each wire does in
    production. Here one connection stands for all wires of a process.
    """

    def __init__(self, process: SimulatedProcess) -> None:
        super().__init__(Redis(socket="/nowhere"), process.clock, failover=process.failover, time=process.time)
        self._process = process
        self.number = 0
        self._guarded = process.failover is not None or process.time is not None
        self.welcomed = not self._guarded
        self.came = 0.0

    def open(self) -> None:
        """Connect for the first time."""
        if self._time is not None:
            self._time.start(self)
        if self._failover is not None:
            self._failover.start(self, lambda why: self._process.cut(0.0))
        self.lost()

    def lost(self) -> None:
        """Drop the current connection and open a new one."""
        self.number += 1
        if self._guarded:
            self.welcomed = False
            Deferred.fromCoroutine(self._come(self.number))

    async def leave(self) -> None:
        """Sign off, because the process ends in good order."""
        if self._failover is not None:
            await self._failover.leave()

    async def _come(self, number: int) -> None:
        """Retry to connect until the connection of that number is ready or lost."""
        while number == self.number:
            await deferLater(
                self._process.clock, max(0.0, self._process.cut_until - self._process.clock.seconds()) + SOON
            )
            try:
                await self._welcome(cast(Wire, OfNumber(self, number)))
            except StoreAway:
                continue
            if number == self.number:
                self.welcomed, self.came = True, self._process.simulation.time.now
                return

    async def _send(self, *command: Value) -> Any:
        if not self._process.alive:
            return await Deferred()
        if not self.welcomed or self._process.simulation.time.now < self._process.cut_until:
            raise StoreAway("Redis is away: it was cut off")
        return await self.ask(command)

    async def read(self, command: Command) -> Any:
        """Return the reply, if the process can reach Redis."""
        if not self._process.alive:
            return await Deferred()
        if self._process.simulation.time.now < self._process.cut_until:
            raise StoreAway("Redis is away: it was cut off")
        return await self.ask(command)

    async def ask(self, command: Command) -> Any:
        """Return the reply, also before the connection is ready for other commands."""
        asked = CommandInFlight(self._process, command)
        self._process.simulation.steps.append(asked)
        return await asked.answer


class StreamConnection:
    """The connection that an event stream reads from. It is separate, and does not run ``welcome``."""

    def __init__(self, line: SimulatedConnection) -> None:
        self._line = line

    async def call(self, *command: Value) -> Any:
        """Return the reply to one command."""
        return await self._line.read(command)


class OfNumber:
    """One connection of a process, as it is used before other commands may use it. It has the needed part of Wire."""

    def __init__(self, line: SimulatedConnection, number: int) -> None:
        self._line = line
        self._number = number

    @property
    def lost(self) -> bool:
        """Whether a newer connection has replaced it."""
        return self._number != self._line.number

    async def execute_command(self, *command: Value) -> Any:
        """Return the reply to a command."""
        return await self._line.ask(command)


class CommandInFlight(Sent):
    """A command on its way to Redis."""

    def __init__(self, process: SimulatedProcess, command: Command) -> None:
        self.process = process
        self.command = command
        self.behalf = ON_BEHALF.get()
        self.answer: Deferred[Any] = Deferred()
        self.since = process.simulation.time.now
        self.waits = "BLOCK" in command[:4]
        self.arrived = 0.0
        self.sent = process.simulation.redis_now
        self._measured = process.measured
        self._arrives = process.simulation.held_back()

    @property
    def ready(self) -> bool:
        """Whether it can arrive. A blocking command waits for an event. Any command may leave before its process was
        frozen."""
        book = self.process.book
        if not self.waits:
            return book.simulation.calm or book.simulation.counts["steps"] >= self._arrives
        return order(book.newest) > order(str(self.command[-1])) or book.simulation.time.now >= self.since + 10

    def take(self) -> None:
        """Let it arrive. Its reply is delivered at once or later."""
        simulation = self.process.simulation
        if not self.waits and simulation.time.now - self.since > PATIENCE:
            simulation.counts["fault: answer too late"] += 1
            self.lose()
            return
        reply = self.arrive()
        returning = ReplyInFlight(self, reply)
        if simulation.chance.random() < 0.6 and self.process.acts:
            returning.take()
        else:
            simulation.steps.append(returning)

    def lose(self) -> None:
        """Fail it with StoreAway for its sender. It has arrived, still arrives a little later, or never does."""
        simulation = self.process.simulation
        if self in simulation.steps:
            simulation.steps.remove(self)
        fate = simulation.chance.random()
        if not self.waits and fate < 0.4:
            self.arrive()
        elif not self.waits and fate < 0.6:
            simulation.steps.append(Straggler(self))
        simulation.steps.append(ReplyInFlight(self, NO_ANSWER))

    def orphan(self) -> None:
        """Arrive although the process has ended, or never."""
        if not self.waits and self.process.simulation.chance.random() < 0.5:
            self.arrive()

    def arrive(self) -> Any:
        """Execute the command and return the reply."""
        self.arrived = self.process.simulation.time.now
        self.process.simulation.sent, self.process.simulation.measured = self.sent, self._measured
        return self.process.book.carry_out(self.process.name, self.command, self.behalf)


class Straggler:
    """A command that arrives after its sender gave up."""

    def __init__(self, asked: CommandInFlight) -> None:
        self._asked = asked
        self._until = asked.process.simulation.time.now + LATE
        self.ready = True

    def take(self) -> None:
        """Let it arrive, if it is not too late."""
        process = self._asked.process
        if process.simulation.time.now <= self._until:
            process.simulation.counts["fault: command arrives late"] += 1
            self._asked.arrive()


class ReplyInFlight:
    """A reply on its way back."""

    def __init__(self, asked: CommandInFlight, reply: Any) -> None:
        self.process = asked.process
        self._asked = asked
        self._reply = reply
        self._arrives = asked.process.simulation.held_back()

    @property
    def ready(self) -> bool:
        """Whether it has arrived and its process can receive it."""
        simulation = self.process.simulation
        return self.process.acts and (simulation.calm or simulation.counts["steps"] >= self._arrives)

    def lose(self) -> None:
        """Drop the reply."""
        self._reply = NO_ANSWER

    def take(self) -> None:
        """Deliver the reply to the process."""
        simulation, asked = self.process.simulation, self._asked
        if simulation.time.now - asked.since > PATIENCE and not asked.waits and self._reply is not NO_ANSWER:
            simulation.counts["fault: answer too late"] += 1
            self.lose()
        if asked.answer.called:
            return
        if self._reply is NO_ANSWER:
            simulation.note(self.process.name, "gets no reply to", asked.command)
            asked.answer.errback(StoreAway("Redis is away: no answer", sent=True))
        elif isinstance(self._reply, ServerError):
            asked.answer.errback(self._reply)
        else:
            if asked.command[0] == "TIME":
                self.process.measured = asked.arrived
            asked.answer.callback(self._reply)
