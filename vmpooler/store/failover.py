"""What a process does about a Redis that may have forgotten what was written last.

Note [Fail-over]

Redis answers before its replicas have what was written, so a fail-over can undo a checkout that a client was told of.
Nothing may then be handed out, completed or destroyed on the word of what is left. So no command goes out on a wire
until this process has *arrived*:

1. The first that comes to a Redis with another run id than the one noted there sees that something may be lost. From
   then on all processes are awaited that showed signs of life to the end: those whose last sign is not much older than
   the last of all. What one that was dead by then had written is there, for a replica lacks only what came last.
2. Each process says again what it had promised in the last minute: it restores checkouts, completes VMs, sets tags and
   so on. Each of these finds out first whether Redis knows it.
3. When all have come, or after a few seconds, the wait is over, and clients are answered.
4. One that did not come may have given away any VM that was ready, or became so in the part that is lost. These are
   *quarantined*: they run, for nobody, for an ordinary lifetime. If that process comes later it restores its own. VMs
   of ours that come to light in the next minutes in no queue are quarantined, too, instead of discovered.

With ``wait_replicas`` no client was told of what the replicas did not have, so nothing is quarantined.

What this does not cover: what was promised a minute ago or longer, or before many others (store/promises.py says how
many), and no replica had (docs/availability.md on min-replicas-max-lag); and of a process that died with the old
primary all but its checkouts. A token that one process made and another deleted meanwhile may be there again.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from vmpooler.domain import times
from vmpooler.domain.errors import StoreAway, VmpoolerError
from vmpooler.domain.model import Queue
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.connection import Caller
from vmpooler.store.promises import Promises
from vmpooler.store.scripts import Script, load
from vmpooler.store.transition import Transitions
from vmpooler.store.wire import Value

BEAT = 2.0
"""Seconds between two signs of life."""

DEAD = 10.0
"""Seconds that the last sign of life of a process is older than the last of all, when it was dead before all ended."""

FORGOTTEN = 60.0
"""Seconds without a sign of life after which a process is not thought of any more."""

LONGEST = 5.0
"""Seconds that processes are waited for."""

MOMENT = 0.1
"""Seconds between two looks whether they have come."""

COMES_TO_LIGHT = 900
"""Seconds in which VMs that stand in no queue may be in use."""


class Failover:
    """One process, ``who`` is its name, and what it promised. ``longest``: seconds that others are waited for."""

    log = Logger()

    def __init__(
        self, settings: Settings, who: str, clock: IReactorTime, wall: Callable[[], float], longest: float = LONGEST
    ) -> None:
        self._pools = [pool.name for pool in settings.pools]
        self._kept = settings.general.events_max
        self._lifetime = settings.general.vm_lifetime
        self._may_lose = settings.redis.wait_replicas == 0
        self._who = who
        self._longest = longest
        self._clock = clock
        self._wall = wall
        self._promises = Promises(clock)
        self._known_to = ""
        self._turn = DeferredLock()
        self._caller: Caller | None = None
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beating.clock = clock

    def start(self, caller: Caller) -> None:
        """Begin to show signs of life."""
        self._caller = caller
        self._beating.start(BEAT, now=False)

    async def leave(self) -> None:
        """End in order: nobody is to wait for this process."""
        if self._beating.running:
            self._beating.stop()
        if self._caller is not None:
            try:
                await self._caller.call("ZREM", keys.PROCESSES, self._who)
            except StoreAway:
                self.log.info("[*] Redis is away: the other processes may wait for this one in vain")

    def ran(self, script: Script, touched: Sequence[str], args: Sequence[Value], reply: Any) -> None:
        """A script was carried out, and what it did will be told."""
        self._promises.ran(script, touched, args, reply)

    async def arrive(self, wire: Caller, tell: Callable[[str], None]) -> None:
        """Return when everybody may use a wire to this Redis. Raises StoreAway, or StoreFault."""
        found = re.search(r"^run_id:(\w+)", await wire.call("INFO", "server"), re.MULTILINE)
        redis = found[1] if found else ""
        touched = (keys.PRIMARY, keys.PROCESSES, keys.AWAITED, keys.BARRIER, keys.VERIFIED, keys.DOUBTED)
        if await wire.run(load("arrive"), touched, (redis, DEAD, self._longest)):
            self.log.warn("[!] this Redis is another than before, or was started anew: it may lack what came last")
        async with self._turn:
            if redis != self._known_to:
                await self._say_again(wire)
                self._known_to = redis
        while missing := await self._present(wire):
            tell(f"after a fail-over {', '.join(sorted(missing))} is waited for")
            await deferLater(self._clock, MOMENT)

    async def _say_again(self, wire: Caller) -> None:
        for again in self._promises.all():
            try:
                await again(wire)
            except StoreAway:
                raise
            except VmpoolerError as error:
                self.log.warn("[!] after a fail-over: {why}", why=error)
            except Exception:
                self.log.failure("[!] after a fail-over: a promise cannot be kept")

    async def _beat(self) -> None:
        try:
            if self._caller is not None:
                await self._present(self._caller)
        except StoreAway:
            return  # nobody can see that it lives, but then nobody else does
        except Exception:
            self.log.failure("[!] no sign of life can be given")

    async def _present(self, caller: Caller) -> list[str]:
        """Show that this process lives, and is here; those that are waited for."""
        now = self._wall()
        shared = (keys.PROCESSES, keys.AWAITED, keys.BARRIER, keys.UNCERTAIN, keys.CLONING)
        queues = [keys.queue(queue, pool) for pool in self._pools for queue in (Queue.PENDING, Queue.READY)]
        may_lose = "1" if self._may_lose else ""
        args = (times.text(now), self._who, FORGOTTEN, COMES_TO_LIGHT, may_lose, self._lifetime)
        transitions = Transitions(caller, self._kept, "failover")
        missing: list[str] = await transitions.run("present", "", "", now, (*shared, *queues), (*args, *self._pools))
        return missing
