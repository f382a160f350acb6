"""A process of the service: its clock, its connection to Redis, and its death."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import Deferred

from tests.simulation.book import Book
from tests.simulation.clock import ProcessClock
from tests.simulation.redis import Command
from tests.simulation.stage import Stage
from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Redis
from vmpooler.store.connection import Connection
from vmpooler.store.wire import ServerError, Value

ON_BEHALF: ContextVar[Any] = ContextVar("ON_BEHALF", default=None)
"""The request of a client that something is done for; None for none."""

PATIENCE = 5.0
"""Seconds after which a command that is not answered has failed."""

NO_ANSWER = object()
"""Instead of a reply: the connection was lost."""

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
        self.connection = line(self)

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

    def die(self) -> None:
        """It ends, now. What it has sent arrives, or does not."""
        self.alive = False
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
    """The connection of a process to Redis: what is sent waits for the scheduler."""

    def __init__(self, process: Process) -> None:
        super().__init__(Redis(socket="/nowhere"), process.clock)
        self._process = process

    def reader(self, reply_timeout: float) -> Connection:
        """The same: it is all one to the scheduler."""
        return self

    async def _send(self, *command: Value) -> Any:
        process = self._process
        if not process.alive:
            return await Deferred()
        if process.stage.time.now < process.cut_until:
            raise StoreAway("Redis is away: it was cut off")
        asked = Asked(process, command)
        process.stage.steps.append(asked)
        return await asked.answer


class Asked(Sent):
    """A command on its way to Redis."""

    def __init__(self, process: Process, command: Command) -> None:
        self.process = process
        self.command = command
        self.behalf = ON_BEHALF.get()
        self.answer: Deferred[Any] = Deferred()
        self.since = process.stage.time.now
        self.waits = "BLOCK" in command[:4]
        self._arrives = process.stage.held_back()

    @property
    def ready(self) -> bool:
        """A command that blocks waits for an event; any may go out before its process was frozen."""
        book = self.process.book
        if not self.waits:
            return book.stage.calm or book.stage.counts["steps"] >= self._arrives
        return book.newest != self.command[-1] or book.stage.time.now >= self.since + 10

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
            asked.answer.callback(self._reply)
