"""Writes pools and VMs directly to Redis, as the manager would leave them: a benchmark cannot wait for clones."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from benchmarks.redis import RedisConnection
from vmpooler.domain import times
from vmpooler.domain.model import Queue
from vmpooler.store import keys

POOL = "pool-%012d"
"""The name of a pool. Its number has the format in which redis-benchmark writes numbers."""

AT_ONCE = 5000

ADD = """
for i = 3, #ARGV do
  redis.call('SADD', KEYS[1], ARGV[i])
  redis.call('HSET', ARGV[1] .. ARGV[i], 'clone', ARGV[2], 'template', KEYS[3], 'pool', KEYS[3], 'ready', ARGV[2],
    'check', ARGV[2], 'ip', '127.1.2.3')
  if KEYS[2] ~= '' then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[2])
    redis.call('SADD', KEYS[4], ARGV[i])
    redis.call('HSET', ARGV[1] .. ARGV[i], 'checkout', ARGV[2])
  end
end
"""


KNOWN = (keys.PRIMARY, keys.PROCESSES, keys.EVENTS, keys.DOUBTED)
"""The keys by which the processes of a service know this Redis."""

EMPTY = """
local kept = {}
for _, key in ipairs(KEYS) do kept[key] = true end
for _, key in ipairs(redis.call('KEYS', '*')) do
  if not kept[key] then redis.call('UNLINK', key) end
end
"""


def pool(number: int) -> str:
    """Return the name of a pool."""
    return POOL % number


def vm(pool: int, number: int) -> str:
    """Return the name of a VM, which is as long as the names that the service generates."""
    return f"b{pool:06}x{number:07}"


def config(socket: str, pools: int, size: int = 20, more: str = "") -> str:
    """Return a configuration of this number of pools, on a Redis that others use too; ``more`` sections are added."""
    entries = "".join(f"  - {{name: {pool(number)}, size: {size}}}\n" for number in range(pools))
    return f"config: {{prefix: b}}\nredis: {{socket: {socket}}}\n{more}pools:\n{entries}"


def fill(redis: RedisConnection, queue: Queue, pool_number: int, vms: Iterable[str], now: float) -> None:
    """Write these VMs to the ready or the running queue of a pool. ``now`` is the time of clone, check and checkout."""
    name = pool(pool_number)
    active = keys.active(name) if queue is Queue.RUNNING else ""
    rest: Iterator[str] = iter(vms)
    while page := list(islice(rest, AT_ONCE)):
        touched = (keys.queue(queue, name), active, name, keys.BOOKED + name)
        redis.call("EVAL", ADD, len(touched), *touched, keys.RECORD, times.text(now), *page)


def refill(redis: RedisConnection, pools: int, ready: int) -> None:
    """Write this number of ready VMs to each pool, mark the pools as verified, and remove all other keys except KNOWN.

    The keys of KNOWN stay because without them the processes would detect a loss of writes.
    """
    redis.call("EVAL", EMPTY, len(KNOWN), *KNOWN)
    redis.call("SADD", keys.VERIFIED, *(pool(number) for number in range(pools)))
    spread(redis, pools, ready, 0, time.time())


def spread(redis: RedisConnection, pools: int, ready: int, running: int, now: float) -> None:
    """Fill this number of pools alike. The name of a VM contains its pool and its number."""
    for number in range(pools):
        names = [vm(number, each) for each in range(ready + running)]
        fill(redis, Queue.READY, number, names[:ready], now)
        fill(redis, Queue.RUNNING, number, names[ready:], now)
