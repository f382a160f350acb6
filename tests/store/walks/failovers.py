"""What Redis forgets, and what processes then do about it; and who leads."""

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
from tests.store.walks.choices import CATALOGUE, POOLS, PROCESSES, processes
from tests.store.walks.clients import Clients
from tests.store.walks.compared import OVER, outcome
from vmpooler.settings import Redis
from vmpooler.store import keys
from vmpooler.store.failover import Failover
from vmpooler.store.lease import Lease
from vmpooler.store.queues import Queues

SILENCE = 25
"""Seconds of silence: more than one may have that dies with a Redis; two of them are less than what is forgotten."""

LONG = 1000.0
"""Seconds that are not over during a walk: Redis's clock cannot be turned."""

COPY = """
redis.call('SELECT', ARGV[2])
redis.call('FLUSHDB')
redis.call('SELECT', ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end
"""


@attrs.frozen
class Backup:
    """What the model and the walk knew when a copy of Redis was made."""

    model: Model
    heard: int
    last: str


class Failovers(Clients):
    """The rules of arrivals, of promises said again, and of leases."""

    def __init__(self, store: Direct, seen: set[str]) -> None:
        super().__init__(store, seen)
        self.redis = re.findall(r"run_id:(\w+)", at_once(store.call("INFO", "server")))[0]
        self.leases = {name: Lease(store, Clock(), name, holds=LONG) for name in ("a", "b")}
        self.backup_is_made()

    @initialize()
    def processes_arrive(self) -> None:
        for who in PROCESSES:
            self.process_arrives(who, elsewhere=False, waits=False)

    @rule()
    def backup_is_made(self) -> None:
        at_once(self.store.call("EVAL", COPY, 0, 0, 1))
        self.backup = Backup(copy.deepcopy(self.model), self.heard, self.last)

    @rule()
    def backup_is_put_back(self) -> None:
        at_once(self.store.call("EVAL", COPY, 0, 1, 0))
        self.model = attrs.evolve(copy.deepcopy(self.backup.model), now=self.now)
        self.heard, self.last = self.backup.heard, self.backup.last

    @rule(which=st.integers(0, 19))
    def promise_is_kept(self, which: int) -> None:
        if not self.kept:
            return
        again, said = self.kept[which % len(self.kept)]

        async def keep() -> None:
            await again(self.store)

        self.same(keep(), lambda: said(self.model))
        self.promised = []

    @rule(who=processes, kept=st.integers(0, 3), waits=st.booleans())
    def redis_fails_over(self, who: str, kept: int, waits: bool) -> None:
        """To one that lacks what came since the backup; some was promised by ``who``, and nobody else comes."""
        self.backup_is_put_back()
        self.process_arrives(who, elsewhere=True, waits=waits)
        for which in range(min(kept, len(self.kept))):
            self.promise_is_kept(len(self.kept) - 1 - which)
        self.wait_is_over()
        self.process_arrives(who, elsewhere=False, waits=waits)

    @rule(who=processes, elsewhere=st.booleans(), waits=st.booleans())
    def process_arrives(self, who: str, elsewhere: bool, waits: bool) -> None:
        """At the Redis of before, or at another; with ``waits`` replicas confirm what clients are told."""
        if elsewhere and self.model.primary:
            at_once(self.store.call("SET", keys.PRIMARY, "another"))
            self.model.primary = "another"
        told: list[str] = []
        arrived = _until_it_waits(self.process(who, int(waits)).arrive(self.store, told.append))
        self.model.arrive(self.redis)
        missing = self.model.present(who, may_lose=not waits)
        assert arrived is not bool(missing)
        assert told == ([f"after a fail-over {', '.join(sorted(missing))} is waited for"] if missing else [])

    @rule(who=processes)
    def process_falls_silent(self, who: str) -> None:
        if who in self.model.silent:
            at_once(self.store.call("ZINCRBY", keys.PROCESSES, -SILENCE, who))
            self.model.silent[who] += SILENCE

    @rule(who=processes)
    def process_ends(self, who: str) -> None:
        process = self.process(who, 0)
        process.start(self.store)
        at_once(process.leave())
        self.model.silent.pop(who, None)

    @rule()
    def wait_is_over(self) -> None:
        if self.model.barrier:
            at_once(self.store.call("SET", keys.BARRIER, OVER))
            self.model.barrier = "over"

    @rule()
    def nothing_is_uncertain_any_more(self) -> None:
        at_once(self.store.call("DEL", keys.UNCERTAIN))
        self.model.uncertain = ""

    def process(self, who: str, wait_replicas: int) -> Failover:
        """That process, begun now."""
        assert who in PROCESSES
        clock = Clock()
        clock.rightNow = self.now
        settings = attrs.evolve(self.operator, pools=CATALOGUE.pools, redis=Redis(wait_replicas=wait_replicas))
        return Failover(settings, who, clock, LONG)

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
    """Whether a coroutine ends at once; one that waits is ended there."""
    try:
        work.send(None)
    except StopIteration:
        return True
    work.close()
    return False
