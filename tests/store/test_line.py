"""The limit of clones in flight, and the order in which pools get a turn."""

from random import Random

import pytest
from twisted.internet.defer import Deferred, gatherResults

from tests.store.contents import NOW, checkouts_of, hash_of, queues_of
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands.transitions import PASSED_OVER, PRIORITY_SECONDS, CloneStart, Queues
from vmpooler.store.redis.client import Connection

MANY = 1000


class CloneLine:
    """Pools that request clones, under a limit. The name of each VM begins with the name of its pool."""

    def __init__(self, store: Connection, limit: int) -> None:
        self.store = store
        self.queues: Queues = queues_of(store, task_limit=limit)
        self.made = 0

    async def asks(self, pool: str, now: float = NOW) -> CloneStart:
        self.made += 1
        return await self.queues.begin_clone(pool, f"{pool}-{self.made}", MANY, now)

    async def waited_for(self, *pools: str, now: float = NOW) -> None:
        """Clients find these pools empty."""
        await checkouts_of(self.store).hurry(pools, now)

    async def under_way(self) -> list[str]:
        cloning = await hash_of(self.store, keys.CLONING)
        assert int(await self.store.call("GET", keys.TASKS_CLONE) or 0) == len(cloning)
        assert all(vm.startswith(f"{pool}-") for vm, pool in cloning.items())
        return sorted(cloning)

    async def one_ends(self, vm: str, now: float = NOW) -> None:
        assert await self.queues.end_clone(vm.partition("-")[0], vm, 1, now)


@pytest.fixture
def line(store: Connection) -> CloneLine:
    return CloneLine(store, 2)


async def test_the_limit_holds_for_all_pools_together(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "abc"] == ["ok", "ok", "limit"]
    assert len(await line.under_way()) == 2


async def test_the_limit_holds_for_pools_that_ask_at_once(store: Connection) -> None:
    line = CloneLine(store, 7)
    answers = await gatherResults([Deferred.fromCoroutine(line.asks(pool)) for pool in "abcde" * 10])
    assert answers.count("ok") == len(await line.under_way()) == 7


async def test_a_clone_that_ends_in_whatever_way_makes_room_for_one_more(line: CloneLine) -> None:
    ends = [
        lambda vm: line.queues.end_clone("a", vm, 1, NOW),
        lambda vm: line.queues.end_clone("a", vm, None, NOW),
        lambda vm: line.queues.complete("a", vm, Queue.PENDING, "why", NOW),
        lambda vm: line.queues.promote("a", vm, "", None, NOW),
    ]
    for end in ends:
        while await line.asks("a") == "ok":
            pass
        vm = (await line.under_way())[0]
        assert await end(vm)
        assert await line.asks("a") == "ok"
        assert await line.asks("a") == "limit"


async def test_a_lower_limit_is_waited_for(store: Connection) -> None:
    many, few = CloneLine(store, 4), CloneLine(store, 2)
    assert [await many.asks("a") for _ in range(4)] == ["ok"] * 4
    few.made = 10
    for vm in (await many.under_way())[:2]:
        assert await few.asks("a") == "limit"
        await many.one_ends(vm)
    assert await few.asks("a") == "limit"
    await many.one_ends((await many.under_way())[0])
    assert await few.asks("a") == "ok"


async def test_who_was_refused_first_comes_first(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aaacb"] == ["ok", "ok", "limit", "limit", "limit"]
    served = []
    for _ in range(6):
        await line.one_ends((await line.under_way())[0])
        turn = [pool for pool in "abc" if await line.asks(pool) == "ok"]
        served.extend(turn)
    assert served == ["a", "c", "b"] * 2


async def test_turns_are_kept_also_when_the_clock_goes_back(line: CloneLine) -> None:
    assert [await line.asks(pool, NOW) for pool in "aab"] == ["ok", "ok", "limit"]
    assert await line.asks("c", NOW - 10) == "limit"
    await line.one_ends((await line.under_way())[0])
    assert await line.asks("c", NOW - 9) == "limit"
    assert await line.asks("b", NOW - 8) == "ok"


@pytest.mark.parametrize("seed", range(6))
async def test_pools_of_unequal_hunger_wait_no_longer_than_their_turn(line: CloneLine, seed: int) -> None:
    """While a pool is in the line, each other pool is served at most once before it."""
    chance, now = Random(seed), NOW
    hunger = {"greedy": 60, "hungry": 15, "modest": 3}
    before: dict[str, list[str]] = {}
    while any(hunger.values()):
        now += 0.5
        assert len(await line.under_way()) <= 2
        for pool in chance.sample(sorted(hunger), 3):
            while hunger[pool]:
                if await line.asks(pool, now) == "limit":
                    before.setdefault(pool, [])
                    break
                hunger[pool] -= 1
                before.pop(pool, None)
                for waiting in before.values():
                    waiting.append(pool)
        for pool, served in before.items():
            assert len(served) == len(set(served)), f"{pool} let {served} go before it"
        under_way = await line.under_way()
        for vm in chance.sample(under_way, chance.randint(0, len(under_way))):
            await line.one_ends(vm, now)


async def test_a_free_clone_is_kept_for_whose_turn_it_is_but_not_for_ever(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aabc"] == ["ok", "ok", "limit", "limit"]
    await line.one_ends((await line.under_way())[0])
    assert await line.asks("c", NOW + PASSED_OVER - 0.1) == "limit"
    assert await line.asks("c", NOW + PASSED_OVER) == "ok"


async def test_a_slow_pool_that_nobody_passed_by_keeps_its_place(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aab"] == ["ok", "ok", "limit"]
    assert await line.asks("c", NOW + PASSED_OVER - 1) == "limit"
    assert await line.asks("b", NOW + PASSED_OVER + 1) == "limit"
    await line.one_ends((await line.under_way())[0])
    assert await line.asks("c", NOW + PASSED_OVER + 1) == "limit"
    assert await line.asks("b", NOW + PASSED_OVER + 1) == "ok"


async def test_who_goes_on_asking_keeps_its_place(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aabc"] == ["ok", "ok", "limit", "limit"]
    for turn in range(1, 10):
        assert await line.asks("b", NOW + turn * 10) == "limit"
        assert await line.asks("c", NOW + turn * 10) == "limit"
    await line.one_ends((await line.under_way())[0])
    assert await line.asks("c", NOW + 91) == "limit"
    assert await line.asks("b", NOW + 91) == "ok"


async def test_who_leaves_the_line_holds_up_nobody(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aabc"] == ["ok", "ok", "limit", "limit"]
    await line.queues.withdraw("b")
    await line.one_ends((await line.under_way())[0])
    assert await line.asks("c") == "ok"


async def served(line: CloneLine, pools: str, clones: int) -> list[str]:
    """Return which pools get the next clones. Each pool asks until it is refused, as in its round."""
    found: list[str] = []
    for _ in range(clones):
        await line.one_ends((await line.under_way())[0])
        for pool in pools:
            while await line.asks(pool) == "ok":
                found.append(pool)
    return found


async def test_a_pool_that_clients_found_empty_comes_before_those_that_refill(line: CloneLine) -> None:
    """This holds even if it was behind them in the line, and for every clone that it asks for."""
    assert [await line.asks(pool) for pool in "aabcd"] == ["ok", "ok", "limit", "limit", "limit"]
    await line.waited_for("d")
    assert await served(line, "bcd", 3) == ["d", "d", "d"]


async def test_a_pool_that_clients_found_empty_before_it_asked_comes_first(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aab"] == ["ok", "ok", "limit"]
    await line.waited_for("c")
    assert await line.asks("c") == "limit"
    assert await served(line, "bc", 2) == ["c", "c"]


async def test_pools_that_clients_wait_for_take_turns(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aabcd"] == ["ok", "ok", "limit", "limit", "limit"]
    await line.waited_for("c", "d")
    assert await served(line, "bcd", 4) in (["c", "d", "c", "d"], ["d", "c", "d", "c"])


async def test_a_pool_with_a_ready_vm_lets_nobody_wait(store: Connection, line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aabc"] == ["ok", "ok", "limit", "limit"]
    await line.waited_for("c")
    for pool in "cd":
        await store.call("SADD", keys.queue(Queue.READY, pool), f"{pool}-ready")
    await line.waited_for("d")
    assert await line.asks("d") == "limit"
    assert await served(line, "cbd", 4) == ["c", "b", "d", "c"]


async def test_clients_who_did_not_ask_again_wait_no_more(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in "aab"] == ["ok", "ok", "limit"]
    await line.waited_for("c", now=NOW - PRIORITY_SECONDS)
    assert await line.asks("c") == "limit"
    assert await served(line, "cb", 2) == ["b", "c"]
    assert 0 < await line.store.call("TTL", keys.WANTED) <= PRIORITY_SECONDS


async def test_recount_drops_what_pools_that_are_gone_left_in_the_books(line: CloneLine) -> None:
    assert [await line.asks(pool) for pool in ("gone", "a", "gone", "a")] == ["ok", "ok", "limit", "limit"]
    assert await line.queues.recount(["a"]) == 1
    assert await line.under_way() == ["a-2"]
    assert await line.asks("a") == "ok"


async def test_recount_puts_right_a_number_that_the_original_wrote(store: Connection, line: CloneLine) -> None:
    await line.asks("a")
    await store.call("SET", keys.TASKS_CLONE, "7")
    assert await line.queues.recount(["a"]) == 0
    assert await line.under_way() == ["a-1"]


async def test_clients_who_waited_at_a_moment_that_lies_ahead_wait_no_more(line: CloneLine) -> None:
    await line.waited_for("b", now=NOW + 3600)
    assert [await line.asks("a") for _ in "12"] == ["ok", "ok"]
    assert [await line.asks(pool) for pool in "ab"] == ["limit", "limit"]
    await line.one_ends("a-1")
    assert await line.asks("b") == "limit", "it is not before the others"
    assert await line.asks("a") == "ok"


async def test_a_pool_that_asked_at_a_moment_that_lies_ahead_is_passed_over_in_time(line: CloneLine) -> None:
    assert [await line.asks("a") for _ in "12"] == ["ok", "ok"]
    assert await line.asks("b", now=NOW + 3600) == "limit"
    await line.one_ends("a-1")
    assert await line.asks("c") == "limit", "b is before it"
    assert await line.asks("c", now=NOW + PASSED_OVER) == "ok"
