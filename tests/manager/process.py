"""One of several processes with a manager. A test can pause, continue and kill it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from vmpooler.domain.events import Event
from vmpooler.manager.manager import Manager
from vmpooler.providers.base import Listener, Provider
from vmpooler.store.failover.lease import Lease
from vmpooler.store.redis.scripts import RedisCommands, fenced, load
from vmpooler.store.stream import EventStream

if TYPE_CHECKING:
    from tests.manager.world import World


class Process:
    """A process whose timers, replies and events are delayed while it is paused, until it continues.

    Requests of a killed process are still carried out, but it never receives their results. ``ahead``: seconds added
    to its wall clock.
    """

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.clock = Clock()
        self.clock.rightNow = world.clock.rightNow
        self.ahead = 0.0
        self.paused = False
        self.dead = False
        self._world = world
        self._waiting: list[Callable[[], object]] = []
        line = cast(RedisCommands, Line(world, self))
        self.manager = Manager(
            world.settings,
            cast(EventStream, self),
            lambda: Lease(line, self.clock, name, holds=world.holds, alone=world.alone),
            lambda _: {"dummy": cast(Provider, Face(world, self))},
            self.clock,
            lambda: self.clock.seconds() + self.ahead,
            world.chance.choice,
        )

    @property
    def runs(self) -> bool:
        return not (self.paused or self.dead)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Act as the event stream of this process: deliver every event of the world to ``listener``."""
        self._world.listen(lambda event: self.later(lambda: listener(event)))

    def pause(self) -> None:
        """Pause the process, as SIGSTOP does."""
        self.paused = True

    async def go_on(self) -> None:
        """Continue, as SIGCONT does: first run the timers that are due, like the reactor, then deliver what arrived."""
        self.paused = False
        self.clock.advance(self._world.clock.seconds() - self.clock.seconds())
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()
        await self._world.settle()

    def kill(self) -> None:
        """Kill the process, as SIGKILL does."""
        self.dead = True

    async def stop(self) -> None:
        """Stop the process, as SIGTERM does, without waiting for work in flight."""
        await self.manager.stop(0)
        self.dead = True

    def later(self, what: Callable[[], object]) -> None:
        """Call ``what`` now; if the process is paused, when it continues; if it is dead, never."""
        if self.dead:
            return
        if self.paused:
            self._waiting.append(what)
        else:
            what()

    async def result_of(self, work: Awaitable[Any]) -> Any:
        """Return the result of the work once this process runs: late if it is paused, never if it is dead."""
        received: Deferred[Any] = Deferred()
        Deferred.fromCoroutine(_of(work)).addBoth(lambda result: self.later(lambda: received.callback(result)))
        return await received


class Line:
    """The connection of one process to Redis. The leadership lease expires by the clock of the world."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def call(self, *command: Any) -> Any:
        self._world.unfenced.add(command[0])
        return await self._send(self._world.store.call, *command)

    async def run(self, script: Any, /, **values: Any) -> Any:
        if script.name in ("take_lease", "keep_lease"):
            return await self._send(self._world.lease, script, **values)
        if script is not fenced(load(script.name)) and script.name != "drop_lease":
            self._world.unfenced.add(script.name)
        return await self._send(self._world.store.run, script, **values)

    async def _send(self, work: Any, *args: Any, **values: Any) -> Any:
        if self._process.dead:
            await Deferred()
        return await self._process.result_of(work(*args, **values))


class Face:
    """The provider of one process. All processes share one hypervisor, which keeps running when they stop."""

    def __init__(self, world: World, process: Process) -> None:
        self._hypervisor = world.provider
        self._process = process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._hypervisor, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *args: self._process.result_of(method(*args))

    async def stop(self) -> None:
        """Do nothing: the hypervisor keeps running when the process stops."""

    def changes(self, listener: Listener) -> None:
        self._hypervisor.changes(lambda pool: self._process.later(lambda: listener(pool)))


async def _of(work: Awaitable[Any]) -> Any:
    return await work
