"""A process with a manager, which can be paused, go on, and die, like any other of several."""

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
from vmpooler.store.redis.commands import Commands
from vmpooler.store.redis.scripts import fenced, load
from vmpooler.store.stream import EventStream

if TYPE_CHECKING:
    from tests.manager.world import World


class Process:
    """Its clock stands still while it is paused: what is due then, and what it is told, comes when it goes on. What a
    dead one has asked for is done, and it never hears of it. ``ahead``: seconds by which its moments are."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.clock = Clock()
        self.clock.rightNow = world.clock.rightNow
        self.ahead = 0.0
        self.paused = False
        self.dead = False
        self._world = world
        self._waiting: list[Callable[[], object]] = []
        line = cast(Commands, Line(world, self))
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
        """Be its event stream."""
        self._world.listen(lambda event: self.later(lambda: listener(event)))

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    async def go_on(self) -> None:
        """SIGCONT: first the timers that are due, as in the reactor, then what came meanwhile."""
        self.paused = False
        self.clock.advance(self._world.clock.seconds() - self.clock.seconds())
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()
        await self._world.settle()

    def kill(self) -> None:
        """SIGKILL."""
        self.dead = True

    async def stop(self) -> None:
        """SIGTERM, without patience."""
        await self.manager.stop(0)
        self.dead = True

    def later(self, what: Callable[[], object]) -> None:
        """Do something now, or when it goes on, or never."""
        if self.dead:
            return
        if self.paused:
            self._waiting.append(what)
        else:
            what()

    async def hears(self, work: Awaitable[Any]) -> Any:
        """What the work comes to, when this process is able to hear it."""
        told: Deferred[Any] = Deferred()
        Deferred.fromCoroutine(_of(work)).addBoth(lambda result: self.later(lambda: told.callback(result)))
        return await told


class Line:
    """The connection of one process to Redis, where leases run out by the clock of the world."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def call(self, *command: Any) -> Any:
        self._world.unfenced.add(command[0])
        return await self._send(self._world.store.call, *command)

    async def run(self, script: Any, keys: Any, args: Any) -> Any:
        if script.name in ("take_lease", "keep_lease"):
            return await self._send(self._world.lease, script, keys, args)
        if script is not fenced(load(script.name)) and script.name != "drop_lease":
            self._world.unfenced.add(script.name)
        return await self._send(self._world.store.run, script, keys, args)

    async def _send(self, work: Any, *args: Any) -> Any:
        if self._process.dead:
            await Deferred()
        return await self._process.hears(work(*args))


class Face:
    """The hypervisor as one process sees it; it outlives them all."""

    def __init__(self, world: World, process: Process) -> None:
        self._hypervisor = world.provider
        self._process = process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._hypervisor, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *args: self._process.hears(method(*args))

    async def stop(self) -> None:
        """Only the process goes."""

    def changes(self, listener: Listener) -> None:
        self._hypervisor.changes(lambda pool: self._process.later(lambda: listener(pool)))


async def _of(work: Awaitable[Any]) -> Any:
    return await work
