"""The keys in Redis are those in keys.py: the keys of Ruby vmpooler, which are a contract, and this service's own."""

import random
import re
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock

from tests.store.contents import (
    NOW,
    all_keys,
    checkouts_of,
    contents,
    make_completed,
    make_ready,
    make_running,
    queues_of,
    settings,
)
from vmpooler.domain import times
from vmpooler.domain.admission import FREE, Admission, Need
from vmpooler.domain.change import Change
from vmpooler.domain.estate import PoolMemory
from vmpooler.domain.history import MINUTES, QUARTERS
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.settings import Limits, Pool
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Wanted
from vmpooler.store.commands.rate_limit import Rates
from vmpooler.store.commands.registry import Registry
from vmpooler.store.commands.samples import Samples, SamplesTaken
from vmpooler.store.commands.summaries import Summaries
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.tokens import Tokens
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.failover.lease import Lease
from vmpooler.store.failover.peers import Peers
from vmpooler.store.failover.recovery import WAITED, Failover
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import load

clock: Any = reactor

OURS = "vmpooler__x__"

ORIGINALS = {
    r"vmpooler__(pending|ready|running|completed|discovered)__[^_]+": "set",
    r"vmpooler__vm__[^_]+": "hash",
    r"vmpooler__token__[^_]+": "hash",
    r"vmpooler__active__[^_]+": "hash",
    r"vmpooler__(clone|boot)__\d{4}-\d\d-\d\d": "hash",
    r"vmpooler__lastboot": "hash",
    r"vmpooler__tasks__clone": "string",
    r"vmpooler__empty__[^_]+": "string",
    r"vmpooler__tag__\d{4}-\d\d-\d\d": "hash",
    r"vmpooler__tasks__(disk|snapshot|snapshot-revert)": "set",
}
"""The keys of Ruby vmpooler and their types: docs/compatibility.md#redis-keys."""


async def whole_lives(store: Connection) -> None:
    """Run every operation that writes a key, so that every possible key exists."""
    queues, checkouts = queues_of(store, task_limit=3), checkouts_of(store, vm_lifetime_auth=2)
    await make_completed(store, "gone", "stuck")
    await queues.forget("debian", "gone", 1, NOW)
    await queues.fail("debian", "stuck", "why", NOW)
    await make_running(store, "lost")
    await queues.miss("debian", "lost", Queue.RUNNING, True, NOW)
    await make_ready(store, "given", "back")
    await store.call("HSET", keys.token("t"), "user", "ann")
    for checkout_id in ("id1", "id2"):
        await checkouts.checkout([Wanted("debian", 1, ("debian",))], checkout_id, "t", NOW)
    assert any([await checkouts.give_back("debian", vm, "id2", "why", NOW) for vm in ("given", "back")])
    await queues.discover("debian", "x", True, NOW)
    await queues.flag("debian", "why", NOW)
    await store.call("SADD", keys.confirmed("debian"), "x")
    await queues.note_empty("centos", NOW)
    for pool in ("centos", "debian", "centos", "centos"):
        await queues.begin_clone(pool, f"new-{await store.call('DBSIZE')}", 9, NOW)
    await checkouts.hurry(["windows"], NOW)
    await Changes(store, settings()).make("lost", Change(4, {"project": "x"}), FREE, NOW)
    await Summaries(store, settings(), reactor).sums([times.day(NOW)], ("tag",), NOW + 3 * times.DAY)
    assert await Tokens(store, ["debian"]).of("ann")
    tasks = Tasks(store, settings(), random.Random(1).choice, "api")
    await tasks.request("lost", Kind.DISK, "8", FREE, NOW)
    await tasks.adopt(["debian"], NOW)
    await tasks.request("lost", Kind.SNAPSHOT, "before", FREE, NOW)
    await store.call("HSET", keys.record("lost"), "snapshot:before", "now")
    await tasks.request("lost", Kind.REVERT, "before", FREE, NOW)
    await tasks.request("lost", Kind.DISK, "8", FREE, NOW)
    for token in ("t", "made-up"):
        await Rates(store, Limits(rate=9)).wait(token, "192.0.2.1", NOW)
    assert await Lease(store, Clock(), "manager").take()
    for grain in (MINUTES, QUARTERS):
        await Samples(store).write(grain, 1, {"debian": bytes(8)}, SamplesTaken(NOW, "1-0"))
    await Registry(store).write([PoolMemory(Pool(name="old", size=0), "dummy")], {"old": "why"}, {"debian": "why"})
    await Peers(store, [Pool(name="debian", size=1)], "one", clock).compare()
    await fail_overs(store)


async def fail_overs(store: Connection) -> None:
    """Run a failover that a process did not survive, and one that has not ended."""
    process = Failover(settings(), "one", clock, longest=0)
    await process.arrive(store, print)
    await store.call("ZADD", keys.PROCESSES, clock.seconds(), "dead")
    await store.call("SET", keys.PRIMARY, "another than before")
    await process.arrive(store, print)
    await make_ready(store, "after")
    await store.call("ZADD", keys.PROCESSES, clock.seconds(), "dead")
    await store.run(
        load("arrive"),
        **WAITED,
        verified=keys.VERIFIED,
        events=keys.EVENTS,
        doubted=keys.DOUBTED,
        run_id="this",
        dead_after=10,
        longest=60,
        known="",
        alone="",
        elsewhere="1",
        heartbeat=0,
        who="other",
        forgotten_after=60,
        event_count=0,
        witnesses=(),
    )
    await store.call("ZADD", keys.PROCESSES, 1, "one")
    assert await queues_of(store).verify("debian", "this 3")


def documented() -> list[str]:
    """Return the prefixes of all keys in keys.py."""
    made = [keys.active(""), keys.empty(""), keys.clone_times(""), keys.boot_times("")]
    made += [
        keys.record(""),
        keys.token(""),
        keys.history(""),
        keys.since(""),
        keys.trouble(""),
        keys.confirmed(""),
        keys.pace("token", ""),
        keys.pace("address", ""),
        keys.tasks(""),
    ]
    made += [keys.tag_values(""), keys.summary(""), keys.minutes(0, ""), keys.quarters(0, "")]
    made += [keys.intake(kind) for kind in Kind]
    whole = [value for name, value in vars(keys).items() if name.isupper() and value.startswith("vmpooler__")]
    return [*made, *whole, *(keys.queue(queue, "") for queue in Queue)]


async def test_every_key_that_is_ever_written_is_documented_and_every_documented_key_is_written(
    store: Connection,
) -> None:
    await whole_lives(store)
    written = await all_keys(store)
    assert [key for key in written if not key.startswith(tuple(documented()))] == []
    assert [start for start in documented() if not any(key.startswith(start) for key in written)] == []


async def test_a_key_is_one_of_the_originals_and_of_its_type_or_stands_apart_from_them(store: Connection) -> None:
    await whole_lives(store)
    for key in await all_keys(store):
        kind = next((kind for shape, kind in ORIGINALS.items() if re.fullmatch(shape, key)), None)
        if kind is None:
            assert key.startswith(OURS), key
        else:
            assert await store.call("TYPE", key) == kind, key


async def test_no_token_stands_anywhere_but_where_the_original_has_it(store: Connection) -> None:
    secret = "abcdefghijklmnopqrstuvwxyz012345"
    await make_ready(store, "vm")
    await store.call("HSET", keys.token(secret), "user", "ann")
    checkouts = checkouts_of(store)
    await checkouts.checkout([Wanted("debian", 1, ("debian",))], "id1", secret, NOW)
    await checkouts.complete("debian", "vm", Admission(secret, Need.WHERE_TAKEN), NOW)
    found = {key for key, value in (await contents(store)).items() if secret in str(value)}
    assert found == {keys.record("vm")}
