"""What a process does about a Redis that may have lost what was written last.

Note [Fail-over]

Redis can lose what it has answered: a fail-over loses what no replica had, a restart without an append-only file all
since the last snapshot, a machine that crashes the last second, FLUSHALL everything. Nothing may then be handed out,
completed or destroyed on the word of what is left. So no command goes out on a wire until this process has *arrived*:

1. Redis may have lost something when its run id is another than the one noted there, or when it lacks what this process
   knows: the number of losses that is noted beside the run id, its own last sign of life, or one of the events that it
   has seen lately (the newest at that sign, those since, one each tenth of a second, and the last). Each new wire and
   each sign of life looks at that, so a loss is seen within seconds where no connection was lost: after FLUSHALL, or of
   a Redis that was another's replica for a moment. On a Redis that has nothing, a process that knows nothing waits for
   nobody.
2. From then on all processes are awaited that showed signs of life to the end: those whose last sign is not much older
   than the last of all, by what is left in Redis or by what this process saw last. One that ended in order is not. A
   service with an embedded Redis that starts awaits nobody: what was there before ended with its Redis.
3. Each process says again what it had promised in the last minute: it restores checkouts, completes VMs, sets tags and
   so on. Each of these finds out first whether Redis knows it. What meets a fault is tried again at each sign of life;
   while that is a checkout, the process counts as one that has not come.
4. When all have come, or after a few seconds, the wait is over, and clients are answered.
5. One that did not come may have given away any VM that was ready, or became so in the part that is lost. These are
   *quarantined*, in every pool that has VMs: they run, for nobody, for an ordinary lifetime. If that process comes
   later it restores its own. VMs of ours that come to light in the next minutes in no queue are quarantined, too,
   instead of discovered.

Step 5 needs evidence of a loss: that another server took over (with sentinels, where the loss of the last milliseconds
is the rule), or that a process which lived on misses in Redis what it knows. A Redis that came back from its own disk
with all that the living know has lost nothing, and a process that crashed beside it is no reason to put whole pools
away. Where nobody lived on there is no such witness either: after a power cut all processes are new. What clients got
is then found by the stamps of the VMs: each pool is compared with the provider (``keys.VERIFIED``, which is emptied in
step 1) before anything of it is given. Not covered is a checkout whose stamp was not written yet, in both cases.

With ``wait_replicas`` no client was told of what the replicas did not have, so nothing is quarantined.

What this does not cover: what was promised a minute ago or longer, or before many others (store/promises.py says how
many), and is lost (docs/availability.md on min-replicas-max-lag), where no stamp names it; and of a process that died
with Redis all but its checkouts. A token that one process made and another deleted meanwhile may be there again. Data
that goes back by less than two seconds while Redis and all connections live on may be taken for whole.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from vmpooler.domain import times
from vmpooler.domain.errors import GivenTwice, StoreAway, VmpoolerError
from vmpooler.domain.events import Event
from vmpooler.domain.model import Queue
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.connection import Caller
from vmpooler.store.promises import CHECKOUT, Promises
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

WITNESSES = 100
"""Events that are remembered."""

LOST = "it may have lost something"

CHUNK = 50
"""Pools that one script puts away."""

SOUGHT = 1000
"""Keys that Redis looks at for one answer when pools are sought."""


@attrs.define
class Knowledge:
    """What a process knows of the Redis that it works with: the witness of what that must not lose."""

    mark: str = ""
    """The run id and the number of losses that were noted when it came; empty before that."""

    time: int = 0
    """When it last showed a sign of life, by the clock of Redis."""

    alive: list[str] = attrs.field(factory=list)
    """The processes that lived then."""

    last: str = ""
    """The id of the event that it saw last; empty for none."""

    _before: deque[str] = attrs.field(factory=lambda: deque(maxlen=WITNESSES))
    _tenth: str = ""

    @property
    def events(self) -> list[str]:
        """The ids of events that it has seen."""
        return [*self._before, self.last] if self.last else []

    def saw(self, id: str) -> None:
        """An event happened. Those before count, too: the last may be of after a loss."""
        tenth = id.partition("-")[0][:-2]  # of milliseconds
        if tenth != self._tenth:
            self._tenth = tenth
            if self.last:
                self._before.append(self.last)
        self.last = id

    def newest(self, id: str) -> None:
        """Redis has all that this process has seen, and this is the newest event, '' for none."""
        self._before.clear()
        self.last = id


class Failover:
    """One process, ``who`` is its name, and what it promised. ``longest``: seconds that others are waited for.
    ``alone``: when this process first comes to a Redis, no process that was there before can live."""

    log = Logger()

    def __init__(
        self, settings: Settings, who: str, clock: IReactorTime, longest: float = LONGEST, *, alone: bool = False
    ) -> None:
        self._kept = settings.general.events_max
        self._lifetime = settings.general.vm_lifetime
        self._may_lose = settings.redis.wait_replicas == 0
        self._elsewhere = bool(settings.redis.sentinels)
        self._who = who
        self._longest = longest
        self._alone = alone
        self._clock = clock
        self._promises = Promises(clock)
        self._knows = Knowledge()
        self._owed: dict[str, bool] = {}  # promise -> whether it was logged that it met a fault
        self._news = False
        self.writes = True
        """Whether Redis writes each change to a file: whether an answer means that it could."""
        self._turn = DeferredLock()
        self._caller: Caller | None = None
        self._when_lost: list[Callable[[], None]] = []
        self._cut: Callable[[str], None] = lambda why: None
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beating.clock = clock

    def start(self, caller: Caller, cut: Callable[[str], None]) -> None:
        """Begin to show signs of life. ``cut`` ends all wires, which are then made anew."""
        self._caller, self._cut = caller, cut
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

    def heard(self, event: Event) -> None:
        """An event is in Redis: if Redis lacks it later, it has lost something."""
        self._knows.saw(event.id)

    def when_lost(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when Redis may have lost something and can be used again."""
        self._when_lost.append(listener)

    async def arrive(self, wire: Caller, tell: Callable[[str], None]) -> None:
        """Return when everybody may use a wire to this Redis. Raises StoreAway, or StoreFault."""
        async with self._turn:
            self._news |= await self._come(wire)
            await self._say_again(wire)
        while missing := await self._present(wire):
            tell(f"{LOST}: {', '.join(sorted(missing))} is waited for")
            await deferLater(self._clock, MOMENT)
        if self._news:
            self._news = False
            for listener in self._when_lost:
                self._clock.callLater(MOMENT, listener)  # when the wire can be used

    async def _come(self, wire: Caller) -> bool:
        """See whether this Redis may have lost something; then all that was promised is owed. Whether a loss was noted
        since this process came to Redis before."""
        knows = self._knows
        found = re.search(r"^run_id:(\w+)", await wire.call("INFO", "server"), re.MULTILINE)
        waited = (keys.PRIMARY, keys.PROCESSES, keys.AWAITED, keys.BARRIER, keys.VOUCHED)
        flags = ("1" if self._alone else "", "1" if self._elsewhere else "")
        args = (found[1] if found else "", DEAD, self._longest, knows.mark, *flags, knows.time, self._who, FORGOTTEN)
        events = knows.events
        witnesses: tuple[Value, ...] = (len(events), *events, *knows.alive)
        persistence = await wire.call("INFO", "persistence")
        mark, loss, newest = await wire.run(
            load("arrive"), (*waited, keys.VERIFIED, keys.EVENTS, keys.DOUBTED), (*args, *witnesses)
        )
        self._alone = False
        self.writes = "aof_enabled:1" in persistence
        if loss == "lacks":
            self.log.warn("[!] this Redis lacks what was written last")
        elif loss:
            self.log.warn("[!] this Redis is another than before, or was started anew: it may lack what came last")
        knows.newest(newest)
        if mark == knows.mark:
            return False
        self._owed = dict.fromkeys(self._promises.all(), False)
        before, knows.mark, knows.time = knows.mark, mark, 0
        return bool(before)

    async def _say_again(self, caller: Caller) -> None:
        """Keep what is owed. What meets a fault stays so, and is told once; the rest does not wait for it."""
        kept = self._promises.all()
        for name, told in list(self._owed.items()):
            again = kept.get(name)
            try:
                if again is not None:
                    await again(caller)
            except StoreAway:
                raise
            except GivenTwice as error:
                self.log.error("[!] after a loss: {why}", why=error)
            except VmpoolerError as error:
                self._owed[name] = True
                if not told:
                    self.log.error("[!] after a loss this cannot be restored yet: {name}: {why}", name=name, why=error)
                continue
            except Exception:
                self._owed[name] = True
                if not told:
                    self.log.failure("[!] after a loss this cannot be restored yet: {name}", name=name)
                continue
            self._owed.pop(name, None)

    async def _beat(self) -> None:
        if self._caller is None or not self._knows.mark:
            return  # it has not come yet
        try:
            await self._caller.call("PING")  # a Redis that cannot write refuses it
            if self._owed:
                async with self._turn:
                    await self._say_again(self._caller)
            await self._present(self._caller)
        except StoreAway:
            return  # nobody can see that it lives, but then nobody else does
        except Exception:
            self.log.failure("[!] no sign of life can be given")

    async def _present(self, caller: Caller) -> list[str]:
        """Show that this process lives, and is here; those that are waited for. When Redis lacks something, raises
        StoreAway and has all wires made anew."""
        todo, missing = await self._sign(caller)
        if todo == "quarantine":
            why = f"a fail-over or a restart of Redis may have lost its checkout, by {', '.join(sorted(missing))}"
            await self._put_away(caller, why)
            todo, missing = await self._sign(caller, why)
        return missing if todo == "wait" else []

    async def _sign(self, caller: Caller, why: str = "") -> tuple[str, list[str]]:
        """One sign of life: what is to be done, and who is missing."""
        knows = self._knows
        waited = (keys.PRIMARY, keys.PROCESSES, keys.AWAITED, keys.BARRIER, keys.VOUCHED)
        here = not any(name.startswith(CHECKOUT) for name in self._owed)
        flags = ("1" if here else "", "1" if self._may_lose else "")
        args = (knows.mark, self._who, FORGOTTEN, self._longest, *flags, why, COMES_TO_LIGHT, knows.time)
        todo, missing, time, newest, alive = await caller.run(
            load("present"), (*waited, keys.EVENTS, keys.UNCERTAIN), (*args, *knows.events)
        )
        if todo == "arrive":
            self._clock.callLater(0, self._cut, LOST)
            raise StoreAway(f"Redis is away: {LOST}")
        knows.time, knows.alive = time, alive
        knows.newest(newest)
        return todo, missing

    async def _put_away(self, caller: Caller, why: str) -> None:
        """Quarantine what those who are missing may have given away, in all pools that have VMs."""
        pools = await _pools_with_vms(caller)
        for start in range(0, len(pools), CHUNK):
            chunk = pools[start : start + CHUNK]
            touched = [keys.queue(queue, pool) for pool in chunk for queue in (Queue.PENDING, Queue.READY)]
            now, mark = self._knows.time, self._knows.mark
            await Transitions(caller, self._kept, "failover").run(
                *("put_away", "", "", now, (keys.PRIMARY, keys.BARRIER, keys.CLONING, *touched)),
                (times.text(now), mark, why, self._lifetime, *chunk),
            )


async def _pools_with_vms(caller: Caller) -> list[str]:
    """The pools that have pending or ready VMs, whatever is configured here."""
    beginnings = [keys.queue(queue, "") for queue in (Queue.PENDING, Queue.READY)]
    pools = set()
    for beginning in beginnings:
        cursor = "0"
        while True:
            cursor, found = await caller.call("SCAN", cursor, "MATCH", f"{beginning}*", "COUNT", SOUGHT)
            pools |= {key.removeprefix(beginning) for key in found}
            if cursor == "0":
                break
    return sorted(pools)
