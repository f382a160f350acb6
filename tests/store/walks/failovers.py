"""The steps in which Redis loses data, processes recover from that, and managers take the lead."""

import copy
import re
from collections.abc import Coroutine
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from twisted.internet.task import Clock

from tests.store.direct import Direct, at_once
from tests.store.model import Model
from tests.store.model.failovers import Known, losses
from tests.store.walks.choices import CATALOGUE, POOLS, PROCESSES, pools, processes
from tests.store.walks.clients import ClientRules
from tests.store.walks.compared import OVER, outcome
from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Redis
from vmpooler.store import keys
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.failover.lease import Lease
from vmpooler.store.failover.recovery import HEARTBEAT_INTERVAL, Failover

SILENCE = 25
"""Seconds of silence: longer than DEAD, and less than half of FORGOTTEN (store/failover/recovery.py)."""

LONG = 1000.0
"""Seconds that never pass during a walk: the clock of Redis cannot be changed."""

COPY = """
redis.call('SELECT', ARGV[2])
redis.call('FLUSHDB')
redis.call('SELECT', ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end
"""


CONNECTED = {
    "one": Redis(),
    "two": Redis(wait_replicas=1),
    "three": Redis(sentinels=("a", "b"), sentinel_master="pooler"),
}
"""How each process is connected."""


@attrs.frozen
class WalkProcess:
    """A process: its failover handling, its clock and settings, and what it should know of Redis.

    ``cut`` contains the reasons for which it closed its wires.
    """

    failover: Failover
    clock: Clock
    redis: Redis
    known: Known = attrs.field(factory=Known)
    cut: list[str] = attrs.field(factory=list)


@attrs.frozen
class Backup:
    """The state of the model and of the walk at the time a copy of Redis was made."""

    model: Model
    compared_events: int
    last: str


class FailoverRules(ClientRules):
    """The rules for arrivals, replays of recent writes, and leadership leases."""

    def __init__(self, store: Direct, seen: set[str]) -> None:
        super().__init__(store, seen)
        self.redis = re.findall(r"run_id:(\w+)", at_once(store.call("INFO", "server")))[0]
        self.leases = {name: Lease(store, Clock(), name, holds=LONG) for name in ("a", "b")}
        self.processes: dict[str, WalkProcess] = {}
        for who in PROCESSES:
            self.process_begins(who)
        self.backup_is_made()

    @initialize()
    def processes_arrive(self) -> None:
        for who in PROCESSES:
            self.process_arrives(who, elsewhere=False)

    @rule()
    def backup_is_made(self) -> None:
        at_once(self.store.call("EVAL", COPY, 0, 0, 1))
        self.backup = Backup(copy.deepcopy(self.model), self.compared_events, self.last)

    @rule()
    def backup_is_put_back(self) -> None:
        at_once(self.store.call("EVAL", COPY, 0, 1, 0))
        self.model = attrs.evolve(copy.deepcopy(self.backup.model), now=self.now, serial=self.model.serial)
        self.compared_events, self.last = self.backup.compared_events, self.backup.last
        self.tasks = dict(self.model.books)  # ids of requests are assigned again from this state on

    @rule(which=st.integers(0, 19))
    def promise_is_kept(self, which: int) -> None:
        if not self.kept:
            return
        again, said = self.kept[which % len(self.kept)]

        async def keep() -> None:
            await again(self.store)

        self.same(keep(), lambda: said(self.model))
        self.promised = []

    @rule(who=processes, kept=st.integers(0, 3), elsewhere=st.booleans())
    def redis_fails_over(self, who: str, kept: int, elsewhere: bool) -> None:
        """Redis loses the writes since the backup. Only ``who`` arrives, and up to ``kept`` writes are replayed."""
        self.backup_is_put_back()
        self.process_arrives(who, elsewhere)
        for which in range(min(kept, len(self.kept))):
            self.promise_is_kept(len(self.kept) - 1 - which)
        self.wait_is_over()
        self.process_beats(who)

    @rule(who=processes)
    def process_begins(self, who: str) -> None:
        """A process starts or restarts: it knows nothing of Redis."""
        clock = Clock()
        clock.rightNow = self.now
        settings = attrs.evolve(self.operator, pools=CATALOGUE.pools, redis=CONNECTED[who])
        each = WalkProcess(Failover(settings, who, clock, LONG), clock, CONNECTED[who])
        each.failover.start(self.store, each.cut.append)
        self.processes[who] = each

    @rule(who=processes, elsewhere=st.booleans())
    def process_arrives(self, who: str, elsewhere: bool) -> None:
        """A process arrives at the same Redis as before, or at another one."""
        if elsewhere and self.model.primary:
            self.model.primary = f"another {losses(self.model.primary)}"
            at_once(self.store.call("SET", keys.PRIMARY, self.model.primary))
        each, messages = self.processes[who], list[str]()
        arrived = _until_it_waits(each.failover.arrive(self.store, messages.append))
        self.model.arrive(who, each.known, self.redis, bool(each.redis.sentinels))
        missing = self._signed(who)
        assert missing is not None, "it has just come"
        assert arrived is not bool(missing)
        assert messages == (
            [f"it may have lost something: {', '.join(sorted(missing))} is waited for"] if missing else []
        )

    @rule(who=processes)
    def process_beats(self, who: str) -> None:
        each = self.processes[who]
        if not each.known.mark:
            return
        each.cut.clear()
        each.clock.advance(HEARTBEAT_INTERVAL)
        each.clock.advance(0)
        assert each.cut == ([] if self._signed(who) is not None else ["it may have lost something"])

    def _signed(self, who: str) -> set[str] | None:
        each = self.processes[who]
        may_lose = not each.redis.wait_replicas
        return self.model.sign(who, each.known, each.failover._knows.time, self.put_away, may_lose)

    @rule(who=processes)
    def process_falls_silent(self, who: str) -> None:
        """A process was silent until now: its last heartbeat is older, both in the process and in Redis."""
        each = self.processes[who]
        if who in self.model.signs and each.known.time:
            at_once(self.store.call("ZINCRBY", keys.PROCESSES, -SILENCE, who))
            self.model.signs[who] -= SILENCE
            each.known.time -= SILENCE
            each.failover._knows.time -= SILENCE

    @rule(who=processes)
    def process_ends(self, who: str) -> None:
        at_once(self.processes[who].failover.leave())
        self.model.signs.pop(who, None)
        self.process_begins(who)

    @rule(pool=pools, late=st.booleans())
    def pool_is_compared_with_the_provider(self, pool: str, late: bool) -> None:
        """A pool is compared using the mark of the current Redis, or of an earlier one (``late``)."""
        doubted = "another 0" if late else self.model.doubted
        self.same(self.queues.verify(pool, doubted), lambda: self.model.verify(pool, doubted))

    @rule()
    def wait_is_over(self) -> None:
        if self.model.barrier:
            at_once(self.store.call("SET", keys.BARRIER, OVER))
            self.model.barrier = "over"

    @rule()
    def nothing_is_uncertain_any_more(self) -> None:
        at_once(self.store.call("DEL", keys.UNCERTAIN))
        self.model.uncertain = ""

    @rule(name=st.sampled_from("ab"))
    def manager_wants_to_lead(self, name: str) -> None:
        self.same(self.leases[name].take(), lambda: self.model.take_lease(name))

    @rule(name=st.sampled_from("ab"))
    def manager_leads_on(self, name: str) -> None:
        mark = self.leases[name].mark
        self.same(self.leases[name].keep(), lambda: self.model.keep_lease(mark))

    @rule(name=st.sampled_from("ab"))
    def manager_leads_no_more(self, name: str) -> None:
        mark = self.leases[name].mark
        at_once(self.leases[name].drop())
        if mark:
            self.model.drop_lease(mark)

    @rule()
    def lease_runs_out(self) -> None:
        at_once(self.store.call("DEL", keys.LEASE))
        self.model.lease = ""

    @rule(name=st.sampled_from("ab"))
    def manager_acts_behind_the_fence(self, name: str) -> None:
        refused: list[bool] = []
        lease = self.leases[name]
        queues = Queues(lease.fence(lambda: refused.append(True)), self.operator)
        said = outcome(lambda: self.model.pass_fence(lease.mark, POOLS))
        assert outcome(lambda: at_once(queues.recount(POOLS))) == said
        assert refused == ([True] if isinstance(said, type) else [])


def _until_it_waits(work: Coroutine[Any, Any, None]) -> bool:
    """Return whether a coroutine ends without waiting. One that waits is closed."""
    try:
        work.send(None)
    except StopIteration:
        return True
    except StoreAway as away:
        raise AssertionError(f"it has come, and is sent away: {away}") from away
    work.close()
    return False
