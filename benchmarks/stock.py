"""Pools and VMs put into Redis directly, as the manager would have left them: a benchmark cannot wait for clones."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from benchmarks.redis import Redis
from vmpooler.domain import times
from vmpooler.domain.model import Queue
from vmpooler.store import keys

POOL = "pool-%012d"
"""What pools are called. The number is as redis-benchmark writes its own."""

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
"""The keys of a Redis that processes work with."""

EMPTY = """
local kept = {}
for _, key in ipairs(KEYS) do kept[key] = true end
for _, key in ipairs(redis.call('KEYS', '*')) do
  if not kept[key] then redis.call('UNLINK', key) end
end
"""


def pool(number: int) -> str:
    """The name of a pool."""
    return POOL % number


def vm(pool: int, number: int) -> str:
    """The name of a VM, as long as those that the service makes."""
    return f"b{pool:06}x{number:07}"


def config(socket: str, pools: int, size: int = 20, more: str = "") -> str:
    """A configuration of so many pools on a Redis that others serve too; ``more`` sections are added."""
    entries = "".join(f"  - {{name: {pool(number)}, size: {size}}}\n" for number in range(pools))
    return f"config: {{prefix: b}}\nredis: {{socket: {socket}}}\n{more}pools:\n{entries}"


def fill(redis: Redis, queue: Queue, pool_number: int, vms: Iterable[str], now: float) -> None:
    """Have these VMs stand in a queue, ready or running, of a pool, for as long as it matters."""
    name = pool(pool_number)
    active = keys.active(name) if queue is Queue.RUNNING else ""
    rest: Iterator[str] = iter(vms)
    while page := list(islice(rest, AT_ONCE)):
        touched = (keys.queue(queue, name), active, name, keys.BOOKED + name)
        redis.call("EVAL", ADD, len(touched), *touched, keys.RECORD, times.text(now), *page)


def refill(redis: Redis, pools: int, ready: int) -> None:
    """Have so many ready VMs in each pool, all compared with their provider, and nothing else of VMs anywhere. What
    processes know of this Redis stays: without it they would see a loss."""
    redis.call("EVAL", EMPTY, len(KNOWN), *KNOWN)
    redis.call("SADD", keys.VERIFIED, *(pool(number) for number in range(pools)))
    spread(redis, pools, ready, 0, time.time())


def spread(redis: Redis, pools: int, ready: int, running: int, now: float) -> None:
    """Fill so many pools alike; each VM's name tells its pool and number."""
    for number in range(pools):
        names = [vm(number, each) for each in range(ready + running)]
        fill(redis, Queue.READY, number, names[:ready], now)
        fill(redis, Queue.RUNNING, number, names[ready:], now)
