"""A process of the service: its clock, its connection to Redis, and its death."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.simulation.book import Book
from tests.simulation.clock import ProcessClock
from tests.simulation.redis import Command
from tests.simulation.stage import Stage
from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Redis
from vmpooler.store.failover.recovery import Failover
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.protocol import ServerError, Value, Wire
from vmpooler.store.redis.redis_time import RedisTime
from vmpooler.store.stream import EventStream, order

ON_BEHALF: ContextVar[Any] = ContextVar("ON_BEHALF", default=None)
"""The request of a client that something is done for; None for none."""

PATIENCE = 5.0
"""Seconds after which a command that is not answered has failed."""

NO_ANSWER = object()
"""Instead of a reply: the connection was lost."""

SOON = 0.05
"""Seconds after which a lost connection is made anew."""

LATE = 4.0
"""Seconds after which such a command does not arrive any more."""


class Process:
    """One process; a dead one does nothing any more, and hears nothing."""

    def __init__(self, stage: Stage, book: Book, name: str, line: type[Line]) -> None:
        self.stage = stage
        self.book = book
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.cut_until = 0.0
        self.clock = ProcessClock(stage.time)
        self.fast = stage.chance.uniform(-stage.world.set_by, stage.world.set_by) if stage.world.timed else 0.0
        self.measured = stage.time.now
        self.time = self.failover = None
        if stage.world.timed:
            self.time = RedisTime(self.clock, self.own)
        if stage.world.guarded:
            who = f"{''.join(filter(str.isdigit, name))}{len(stage.trace):08d}"  # digits alone, see redis.py
            self.failover = Failover(stage.settings, who, self.clock)
        self.connection = line(self)
        self.connection.open()

    def own(self) -> float:
        """The moment by the clock of its host."""
        return self.stage.time.now + self.fast

    @property
    def wall(self) -> Callable[[], float]:
        """The clock that it takes moments from."""
        return self.time or self.clock.seconds

    def events(self) -> EventStream:
        """What reads the events of this process."""
        events = EventStream(Reading(self.connection), self.clock)
        if self.failover is not None:
            events.follow(self.failover.saw)
        return events

    @property
    def acts(self) -> bool:
        """Whether it runs, and is not frozen."""
        return self.alive and self.stage.time.now >= self.frozen_until

    @property
    def due(self) -> bool:
        """Whether something of it is due."""
        due = self.clock.due
        return due is not None and due <= self.stage.time.now and self.acts

    def cut(self, seconds: float) -> None:
        """Redis is away for it: what is under way fails, and may have arrived."""
        self.cut_until = self.stage.time.now + seconds
        for step in list(self.stage.steps):
            if isinstance(step, (Asked, Told)) and step.process is self:
                step.lose()
        self.connection.lost()

    def forget(self) -> None:
        """Nothing of it goes on when Python collects its garbage: a coroutine that ends there gives its lock away."""
        if self.failover is not None:
            self.failover._turn.waiting.clear()

    def die(self) -> None:
        """It ends, now. What it has sent arrives, or does not."""
        self.alive = False
        self.forget()
        for call in self.clock.calls:
            call.cancelled = 1
        self.clock.calls.clear()
        mine = self.stage.drop(lambda step: getattr(step, "process", None) is self)
        for step in mine:
            if isinstance(step, Sent):
                step.orphan()


class Sent:
    """Something that a process has sent out: it goes its way although the process ends."""

    process: Process

    def orphan(self) -> None:
        """Arrive, or do not."""
        raise NotImplementedError


class Line(Connection):
    """The connection of a process to Redis: what is sent waits for the scheduler.

    Where processes notice losses, or measure Redis's clock, each connection is welcomed first, as each wire is in real
    life. Here one stands for all wires of a process.
    """

    def __init__(self, process: Process) -> None:
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
        """What was connected is not any more; it is made anew."""
        self.number += 1
        if self._guarded:
            self.welcomed = False
            Deferred.fromCoroutine(self._come(self.number))

    async def leave(self) -> None:
        """The process ends in good order."""
        if self._failover is not None:
            await self._failover.leave()

    async def _come(self, number: int) -> None:
        """Connect again and again, until the connection of that number is there, or lost."""
        while number == self.number:
            await deferLater(
                self._process.clock, max(0.0, self._process.cut_until - self._process.clock.seconds()) + SOON
            )
            try:
                await self._welcome(cast(Wire, OfNumber(self, number)))
            except StoreAway:
                continue
            if number == self.number:
                self.welcomed, self.came = True, self._process.stage.time.now
                return

    async def _send(self, *command: Value) -> Any:
        if not self._process.alive:
            return await Deferred()
        if not self.welcomed or self._process.stage.time.now < self._process.cut_until:
            raise StoreAway("Redis is away: it was cut off")
        return await self.ask(command)

    async def read(self, command: Command) -> Any:
        """The reply, wherever Redis can be reached."""
        if not self._process.alive:
            return await Deferred()
        if self._process.stage.time.now < self._process.cut_until:
            raise StoreAway("Redis is away: it was cut off")
        return await self.ask(command)

    async def ask(self, command: Command) -> Any:
        """The reply, also where nobody is welcome yet."""
        asked = Asked(self._process, command)
        self._process.stage.steps.append(asked)
        return await asked.answer


class Reading:
    """What an event stream is read over: a connection of its own, which nobody welcomes."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def call(self, *command: Value) -> Any:
        """The reply to one command."""
        return await self._line.read(command)


class OfNumber:
    """One connection of a process, as far as it is used like a Wire before others may use it."""

    def __init__(self, line: Line, number: int) -> None:
        self._line = line
        self._number = number

    @property
    def lost(self) -> bool:
        """Whether another has taken its place."""
        return self._number != self._line.number

    async def execute_command(self, *command: Value) -> Any:
        """The reply."""
        return await self._line.ask(command)


class Asked(Sent):
    """A command on its way to Redis."""

    def __init__(self, process: Process, command: Command) -> None:
        self.process = process
        self.command = command
        self.behalf = ON_BEHALF.get()
        self.answer: Deferred[Any] = Deferred()
        self.since = process.stage.time.now
        self.waits = "BLOCK" in command[:4]
        self.arrived = 0.0
        self.sent = process.stage.redis_now
        self._measured = process.measured
        self._arrives = process.stage.held_back()

    @property
    def ready(self) -> bool:
        """A command that blocks waits for an event; any may go out before its process was frozen."""
        book = self.process.book
        if not self.waits:
            return book.stage.calm or book.stage.counts["steps"] >= self._arrives
        return order(book.newest) > order(str(self.command[-1])) or book.stage.time.now >= self.since + 10

    def take(self) -> None:
        """It arrives. Its reply goes its way, at once or later."""
        stage = self.process.stage
        if not self.waits and stage.time.now - self.since > PATIENCE:
            stage.counts["fault: answer too late"] += 1
            self.lose()
            return
        reply = self.arrive()
        told = Told(self, reply)
        if stage.chance.random() < 0.6 and self.process.acts:
            told.take()
        else:
            stage.steps.append(told)

    def lose(self) -> None:
        """Its sender is told that Redis is away; it has arrived, still does a little later, or never does."""
        stage = self.process.stage
        if self in stage.steps:
            stage.steps.remove(self)
        fate = stage.chance.random()
        if not self.waits and fate < 0.4:
            self.arrive()
        elif not self.waits and fate < 0.6:
            stage.steps.append(Straggler(self))
        stage.steps.append(Told(self, NO_ANSWER))

    def orphan(self) -> None:
        """Arrive after all, or do not."""
        if not self.waits and self.process.stage.chance.random() < 0.5:
            self.arrive()

    def arrive(self) -> Any:
        """Be carried out; the reply."""
        self.arrived = self.process.stage.time.now
        self.process.stage.sent, self.process.stage.measured = self.sent, self._measured
        return self.process.book.carry_out(self.process.name, self.command, self.behalf)


class Straggler:
    """A command that arrives though its sender has given it up."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._until = asked.process.stage.time.now + LATE
        self.ready = True

    def take(self) -> None:
        """It arrives, if it is not too late for that."""
        process = self._asked.process
        if process.stage.time.now <= self._until:
            process.stage.counts["fault: command arrives late"] += 1
            self._asked.arrive()


class Told:
    """A reply on its way back."""

    def __init__(self, asked: Asked, reply: Any) -> None:
        self.process = asked.process
        self._asked = asked
        self._reply = reply
        self._arrives = asked.process.stage.held_back()

    @property
    def ready(self) -> bool:
        """Whether it is here, and its process can hear it."""
        stage = self.process.stage
        return self.process.acts and (stage.calm or stage.counts["steps"] >= self._arrives)

    def lose(self) -> None:
        """It does not come."""
        self._reply = NO_ANSWER

    def take(self) -> None:
        """The process goes on."""
        stage, asked = self.process.stage, self._asked
        if stage.time.now - asked.since > PATIENCE and not asked.waits and self._reply is not NO_ANSWER:
            stage.counts["fault: answer too late"] += 1
            self.lose()
        if asked.answer.called:
            return
        if self._reply is NO_ANSWER:
            stage.note(self.process.name, "hears no answer to", asked.command)
            asked.answer.errback(StoreAway("Redis is away: no answer", sent=True))
        elif isinstance(self._reply, ServerError):
            asked.answer.errback(self._reply)
        else:
            if asked.command[0] == "TIME":
                self.process.measured = asked.arrived
            asked.answer.callback(self._reply)
