"""Recovery of a process from a Redis that may have lost its latest writes.

Note [Fail-over]

Redis can lose writes that it has confirmed. A failover loses what no replica had. A restart without an append-only file
loses everything since the last snapshot. A crash of the machine loses the last second. FLUSHALL loses everything. After
a loss, the remaining data alone must not decide that a VM is given out, completed or destroyed. So no command is sent
on a wire until this process has *arrived*:

1. Redis may have lost writes when its run id differs from the one stored in it, or when it lacks something that this
   process knows: the number of losses that is stored with the run id, the last heartbeat of this process, or one of the
   events that this process saw recently (the newest at that heartbeat, later ones, one for each tenth of a second, and
   the last). Each new wire and each heartbeat checks this. So a loss is also detected within seconds when no connection
   was lost: after FLUSHALL, or after Redis was the replica of another server for a moment. On an empty Redis, a process
   that knows nothing waits for no other process.
2. From then on, this process waits for all processes that were alive until the loss: those whose last heartbeat is not
   much older than the newest heartbeat of all, according to the data left in Redis or to what this process read last.
   It does not wait for a process that ended in an orderly way. A service that starts with an embedded Redis waits for
   no process: all earlier processes ended with their Redis.
3. Each process replays its writes of the last minute that were promised to clients: it restores checkouts, completes
   VMs, sets tags and so on. Each replay first checks whether Redis already has the write. A replay that fails is
   retried at each heartbeat. While a failed replay is a checkout, the process counts as missing.
4. When all processes have arrived, or after a few seconds, the wait ends, and clients get responses.
5. A missing process may have given out any VM that was ready, or that became ready in the lost period. These VMs are
   *quarantined* in every pool that has VMs: they stay running, unassigned, for an ordinary lifetime. If the process
   arrives later, it restores its own checkouts. VMs with our stamp that appear in the next minutes in no queue are also
   quarantined, instead of discovered.

Step 5 needs evidence of a loss. Either another server took over (with sentinels, where a loss of the last milliseconds
is normal), or a surviving process knows something that Redis lacks. A Redis that restarted from its own disk with
everything that the surviving processes know has lost nothing, and a process that crashed at the same time is no reason
to quarantine whole pools. When no process survived, this evidence does not exist: after a power cut all processes are
new. Then the stamps of the VMs show which VMs clients have: each pool is compared with its provider before a VM of it
is given out (``keys.VERIFIED``, which step 1 empties). In both cases, a checkout whose stamp was not written yet is not
covered.

With ``wait_replicas`` no client got a response about a write that the replicas did not have, so nothing is quarantined.

Not covered: a lost write (docs/availability.md on min-replicas-max-lag) that was promised a minute ago or earlier, or
before many others (recent_writes.py has the limit), when no stamp names it; and all writes but checkouts of a process
that died together with Redis. A token that one process created and another deleted in the meantime may exist again. A
Redis whose data goes back by less than two seconds, while Redis and all connections stay up, may pass as complete.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from vmpooler.deferreds import Slots
from vmpooler.domain import times
from vmpooler.domain.errors import GivenTwice, StoreAway, VmpoolerError
from vmpooler.domain.model import Queue
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.commands.transitions import Transitions
from vmpooler.store.failover.recent_writes import BY, CHECKOUT, RecentWrites
from vmpooler.store.redis.scripts import RedisCommands, Script, load

HEARTBEAT_INTERVAL = 2.0
"""Seconds between two heartbeats."""

DEAD_BEFORE = 10.0
"""Seconds. A process whose last heartbeat is older than the newest one of all by more was dead before the loss."""

FORGOTTEN_AFTER = 60.0
"""Seconds without a heartbeat after which a process is forgotten."""

MAX_WAIT = 5.0
"""Longest wait for other processes, in seconds."""

CHECK_INTERVAL = 0.1
"""Seconds between two checks whether the other processes have arrived."""

UNCERTAIN_SECONDS = 900
"""Seconds after a loss in which VMs that appear in no queue may be in use."""

MAX_EVENT_IDS = 100
"""Number of event ids that are remembered."""

WAITED = {
    "primary": keys.PRIMARY,
    "processes": keys.PROCESSES,
    "awaited": keys.AWAITED,
    "barrier": keys.BARRIER,
    "vouched": keys.VOUCHED,
}
"""The keys of the wait for other processes."""

LOST = "it may have lost something"

POOLS_PER_SCRIPT = 50
"""Number of pools that one run of put_away.lua quarantines."""

KEYS_PER_SCAN = 1000
"""Number of keys that Redis examines per SCAN in the search for pools."""


@attrs.define
class Knowledge:
    """What a process knows of its Redis. If Redis lacks any of it later, Redis has lost writes."""

    mark: str = ""
    """The run id and the number of losses that Redis had when the process arrived; empty before the first arrival."""

    time: int = 0
    """Time of the last heartbeat, in seconds since the epoch by Redis's clock; 0 for none."""

    alive: list[str] = attrs.field(factory=list)
    """The processes that were alive at that heartbeat."""

    last: str = ""
    """The id of the last event that was seen; empty for none."""

    _before: deque[str] = attrs.field(factory=lambda: deque(maxlen=MAX_EVENT_IDS))
    _tenth: str = ""

    @property
    def events(self) -> list[str]:
        """The remembered ids of events that this process has seen."""
        return [*self._before, self.last] if self.last else []

    def saw(self, id: str) -> None:
        """Record the id of a new event. Earlier ids are kept too, because the last event may be later than a loss."""
        tenth = id.partition("-")[0][:-2]  # the id begins with milliseconds
        if tenth != self._tenth:
            self._tenth = tenth
            if self.last:
                self._before.append(self.last)
        self.last = id

    def newest(self, id: str) -> None:
        """Record that Redis has everything this process has seen, and the id of its newest event; '' for none."""
        self._before.clear()
        self.last = id


class Failover:
    """The failover handling of one process, named ``who``, and its recent writes.

    ``longest``: longest wait for other processes, in seconds. ``alone``: when this process first arrives at a Redis, no
    earlier process of that Redis can be alive.
    """

    log = Logger()

    def __init__(
        self, settings: Settings, who: str, clock: IReactorTime, longest: float = MAX_WAIT, *, alone: bool = False
    ) -> None:
        self._kept = settings.general.events_max
        self._lifetime = settings.general.vm_lifetime
        self._may_lose = settings.redis.wait_replicas == 0
        self._elsewhere = bool(settings.redis.sentinels)
        self._who = who
        self._longest = longest
        self._alone = alone
        self._clock = clock
        self._promises = RecentWrites(clock)
        self._knows = Knowledge()
        self._owed: dict[str, bool] = {}  # write to replay -> whether its failure was logged
        self._news = False
        self.writes = True
        """Whether Redis writes each change to a file before it answers (``aof_enabled``)."""
        self._turn = Slots()
        self._caller: RedisCommands | None = None
        self._when_lost: list[Callable[[], None]] = []
        self._cut: Callable[[str], None] = lambda why: None
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beating.clock = clock

    def start(self, caller: RedisCommands, cut: Callable[[str], None]) -> None:
        """Start the heartbeat. ``cut`` closes all wires, which then reconnect."""
        self._caller, self._cut = caller, cut
        self._beating.start(HEARTBEAT_INTERVAL, now=False)

    async def leave(self) -> None:
        """Stop the heartbeat and sign off, so that no other process waits for this one."""
        if self._beating.running:
            self._beating.stop()
        if self._caller is not None:
            try:
                await self._caller.call("ZREM", keys.PROCESSES, self._who)
            except StoreAway:
                self.log.info("[*] Redis is away: the other processes may wait for this one in vain")

    def ran(self, script: Script, command: Sequence[Any], reply: Any) -> None:
        """Record a script that has run and whose effect will be reported to a client."""
        self._promises.ran(script, command, reply)

    def saw(self, newest: str) -> None:
        """Record that Redis has the event with this id. If Redis lacks it later, it has lost writes."""
        self._knows.saw(newest)

    def when_lost(self, listener: Callable[[], None]) -> None:
        """Register a callback for each time that Redis may have lost writes and is usable again."""
        self._when_lost.append(listener)

    async def arrive(self, wire: RedisCommands, notify: Callable[[str], None]) -> None:
        """Return when a wire to this Redis may be used for all commands.

        ``notify`` is called with the reason for a wait. Raises StoreAway or StoreFault.
        """
        async with self._turn:
            self._news |= await self._come(wire)
            await self._say_again(wire)
        while missing := await self._present(wire):
            notify(f"{LOST}: {', '.join(sorted(missing))} is waited for")
            await deferLater(self._clock, CHECK_INTERVAL)
        if self._news:
            self._news = False
            for listener in self._when_lost:
                self._clock.callLater(CHECK_INTERVAL, listener)  # after the wire is released

    async def _come(self, wire: RedisCommands) -> bool:
        """Check whether this Redis may have lost writes; if so, schedule the replay of all recent writes.

        Returns whether a loss was recorded since this process last arrived at Redis.
        """
        knows = self._knows
        found = re.search(r"^run_id:(\w+)", await wire.call("INFO", "server"), re.MULTILINE)
        events = knows.events
        persistence = await wire.call("INFO", "persistence")
        mark, loss, newest = await wire.run(
            load("arrive"),
            **WAITED,
            verified=keys.VERIFIED,
            events=keys.EVENTS,
            doubted=keys.DOUBTED,
            run_id=found[1] if found else "",
            dead_after=DEAD_BEFORE,
            longest=self._longest,
            known=knows.mark,
            alone="1" if self._alone else "",
            elsewhere="1" if self._elsewhere else "",
            heartbeat=knows.time,
            who=self._who,
            forgotten_after=FORGOTTEN_AFTER,
            event_count=len(events),
            witnesses=(*events, *knows.alive),
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

    async def _say_again(self, caller: RedisCommands) -> None:
        """Replay the scheduled writes.

        A write that fails stays scheduled, and its failure is logged once. The other writes do not wait for it.
        """
        kept = self._promises.all()
        for name, logged in list(self._owed.items()):
            again = kept.get(name)
            try:
                if again is not None:
                    await again(caller)
            except (StoreAway, CancelledError):
                raise
            except GivenTwice as error:
                self.log.error("[!] after a loss: {why}", why=error)
            except VmpoolerError as error:
                self._owed[name] = True
                if not logged:
                    self.log.error("[!] after a loss this cannot be restored yet: {name}: {why}", name=name, why=error)
                continue
            except Exception:
                self._owed[name] = True
                if not logged:
                    self.log.failure("[!] after a loss this cannot be restored yet: {name}", name=name)
                continue
            self._owed.pop(name, None)

    async def _beat(self) -> None:
        if self._caller is None or not self._knows.mark:
            return  # not arrived yet
        try:
            await self._caller.call("PING")  # a Redis that cannot write its data rejects PING
            if self._owed:
                async with self._turn:
                    await self._say_again(self._caller)
            await self._present(self._caller)
        except StoreAway:
            return  # nobody can see that it lives, but then nobody else does
        except Exception:
            self.log.failure("[!] no sign of life can be given")

    async def _present(self, caller: RedisCommands) -> list[str]:
        """Send a heartbeat, quarantine VMs if that is due, and return the missing processes to wait for.

        When Redis has lost writes, raises StoreAway and makes all wires reconnect.
        """
        todo, missing = await self._sign(caller)
        if todo == "quarantine":
            why = f"a fail-over or a restart of Redis may have lost its checkout, by {', '.join(sorted(missing))}"
            await self._put_away(caller, why)
            todo, missing = await self._sign(caller, why)
        return missing if todo == "wait" else []

    async def _sign(self, caller: RedisCommands, why: str = "") -> tuple[str, list[str]]:
        """Send one heartbeat; return what to do (``""``, ``wait`` or ``quarantine``) and the missing processes."""
        knows = self._knows
        restored = not any(name.startswith(CHECKOUT) for name in self._owed)
        todo, missing, time, newest, alive = await caller.run(
            load("present"),
            **WAITED,
            events=keys.EVENTS,
            uncertain=keys.UNCERTAIN,
            mark=knows.mark,
            who=self._who,
            forgotten_after=FORGOTTEN_AFTER,
            longest=self._longest,
            restored="1" if restored else "",
            may_lose="1" if self._may_lose else "",
            why=why,
            uncertain_seconds=UNCERTAIN_SECONDS,
            heartbeat=knows.time,
            known=knows.events,
        )
        if todo == "arrive":
            self._clock.callLater(0, self._cut, LOST)
            raise StoreAway(f"Redis is away: {LOST}")
        knows.time, knows.alive = time, alive
        knows.newest(newest)
        return todo, missing

    async def _put_away(self, caller: RedisCommands, why: str) -> None:
        """Quarantine the VMs that the missing processes may have given out, in all pools that have VMs."""
        pools = await _pools_with_vms(caller)
        for start in range(0, len(pools), POOLS_PER_SCRIPT):
            chunk = pools[start : start + POOLS_PER_SCRIPT]
            now = self._knows.time
            await Transitions(caller, self._kept, BY).run(
                "put_away",
                "",
                "",
                now,
                primary=keys.PRIMARY,
                barrier=keys.BARRIER,
                cloning=keys.CLONING,
                queues=[keys.queue(queue, pool) for pool in chunk for queue in (Queue.PENDING, Queue.READY)],
                now_text=times.text(now),
                mark=self._knows.mark,
                why=why,
                hours=self._lifetime,
                pools=chunk,
            )


async def _pools_with_vms(caller: RedisCommands) -> list[str]:
    """Return the pools that have pending or ready VMs, whether or not they are configured here."""
    beginnings = [keys.queue(queue, "") for queue in (Queue.PENDING, Queue.READY)]
    pools = set()
    for beginning in beginnings:
        cursor = "0"
        while True:
            cursor, found = await caller.call("SCAN", cursor, "MATCH", f"{beginning}*", "COUNT", KEYS_PER_SCAN)
            pools |= {key.removeprefix(beginning) for key in found}
            if cursor == "0":
                break
    return sorted(pools)
