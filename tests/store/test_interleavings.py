"""Random orders of the scripts: after every step each VM is in one queue, and all counts and indexes are right."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest

from tests.store.contents import NOW, all_keys, checkouts_of, hash_of, members, queues_of
from vmpooler.domain.admission import FREE
from vmpooler.domain.errors import NoSuchVm, PoolEmpty
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Wanted
from vmpooler.store.commands.tokens import Tokens
from vmpooler.store.redis.client import Connection

POOLS = ("debian", "centos")
NAMES = tuple(f"vm{number}" for number in range(8))
LIMIT = 2
TOKENS = (None, "t1", "t2")

Step = Callable[[], Awaitable[object]]


class Chaos:
    """Managers and clients that do anything in any order, with a few VMs."""

    def __init__(self, store: Connection, chance: Random) -> None:
        self.store = store
        self.queues = queues_of(store, task_limit=LIMIT)
        self.checkouts = checkouts_of(store)
        self.chance = chance
        self.now = NOW
        self.given: dict[str, str] = {}

    async def step(self) -> None:
        """Run a random action of a manager or a client, mostly on a random VM and the pool that its name belongs to."""
        self.now += self.chance.random() * 10
        vm, queue = self.chance.choice(NAMES), self.chance.choice(list(Queue))
        pool = POOLS[NAMES.index(vm) % 2]
        q, now = self.queues, self.now
        steps: list[Step] = [
            lambda: q.begin_clone(pool, vm, 3, now),
            lambda: q.begin_clone(pool, vm, 3, now),
            lambda: q.end_clone(pool, vm, self.chance.choice([None, 5.0]), now),
            lambda: q.promote(pool, vm, "10.0.0.1", 9, now),
            lambda: q.promote(pool, vm, "", None, now),
            lambda: q.complete(pool, vm, queue, "why", now),
            lambda: q.forget(pool, vm, 1, now),
            lambda: q.discover(pool, vm, True, now),
            lambda: q.explain(pool, vm, "why", now),
            lambda: q.miss(pool, vm, Queue.RUNNING, self.chance.random() < 0.5, now),
            lambda: q.settle(pool, vm, queue, [each for each in Queue if each is not queue], now),
            lambda: q.mend(pool, vm, queue, now),
            lambda: self.take(pool),
            lambda: self.take(pool),
            lambda: self.give_back(pool, vm),
            lambda: self.end(pool, vm),
            lambda: q.withdraw(pool),
            lambda: q.recount(POOLS),
        ]
        await self.chance.choice(steps)()
        if self.chance.random() < 0.1:
            await self.expired(vm)

    async def take(self, pool: str) -> None:
        """A client checks out one or two VMs, from one pool or from any."""
        wanted = [Wanted("any", self.chance.randint(1, 2), self.chance.choice([(pool,), POOLS]))]
        number = str(self.now)
        try:
            got = await self.checkouts.checkout(wanted, number, self.chance.choice(TOKENS), self.now)
        except PoolEmpty:
            return
        for each in got:
            assert each.vm not in self.given, f"{each.vm} was given twice"
            self.given[each.vm] = number

    async def give_back(self, pool: str, vm: str) -> None:
        """Return a VM whose client is gone. If no checkout of the VM is known, the checkout id does not match."""
        if await self.checkouts.give_back(pool, vm, self.given.get(vm, "another"), "why", self.now):
            del self.given[vm]

    async def end(self, pool: str, vm: str) -> None:
        """A client ends its VM."""
        try:
            await self.checkouts.complete(pool, vm, FREE, self.now)
        except NoSuchVm:
            return

    async def expired(self, vm: str) -> None:
        """Delete the record and the history of a VM, if they are to expire."""
        for key in (keys.record(vm), keys.history(vm)):
            if await self.store.call("TTL", key) > 0:
                await self.store.call("DEL", key)

    async def check(self) -> None:
        """Check that the queues, counts and indexes agree."""
        places: dict[str, list[Queue]] = {}
        for pool in POOLS:
            queues = {queue: await members(self.store, queue, pool) for queue in Queue}
            for queue, vms in queues.items():
                for vm in vms:
                    places.setdefault(vm, []).append(queue)
            assert (await hash_of(self.store, keys.active(pool))).keys() == queues[Queue.RUNNING]
            since = (await hash_of(self.store, keys.since(pool))).keys()
            assert queues[Queue.DISCOVERED] <= since <= queues[Queue.DISCOVERED] | queues[Queue.RUNNING]
        assert all(len(queues) == 1 for queues in places.values()), places
        running = {vm for vm, queues in places.items() if queues == [Queue.RUNNING]}
        assert running <= self.given.keys()
        self.given = {vm: number for vm, number in self.given.items() if vm in running}

        cloning = (await hash_of(self.store, keys.CLONING)).keys()
        assert cloning <= {vm for vm, queues in places.items() if queues == [Queue.PENDING]}
        assert len(cloning) <= LIMIT
        assert int(await self.store.call("GET", keys.TASKS_CLONE) or 0) == len(cloning)
        assert set(await self.store.call("ZRANGE", keys.LINE, 0, -1)) <= set(POOLS)

        for token in TOKENS[1:]:
            mine = {vm for vm in running if (await hash_of(self.store, keys.record(vm))).get("token:token") == token}
            assert set((await Tokens(self.store, POOLS).show(token)).running) == mine
            assert (await hash_of(self.store, keys.HELD + token)).keys() == mine

        for key in await all_keys(self.store):
            for prefix in (keys.RECORD, keys.HISTORY):
                if key.startswith(prefix) and key.removeprefix(prefix) not in places:
                    assert await self.store.call("TTL", key) >= 0, f"{key} stays for ever"


@pytest.mark.parametrize("seed", range(5))
async def test_no_order_of_events_loses_doubles_or_leaks_anything(store: Connection, seed: int) -> None:
    chaos = Chaos(store, Random(seed))
    for token in TOKENS[1:]:
        await Tokens(store, POOLS).add(token, "ann", NOW)
    seen = set()
    for _ in range(400):
        await chaos.step()
        await chaos.check()
        seen |= {queue for queue in Queue if any([await members(store, queue, pool) for pool in POOLS])}
    assert seen == set(Queue), "the walk was too short to mean anything"
