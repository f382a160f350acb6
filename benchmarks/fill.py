"""Fills empty pools with a provider that takes no time: the measured time is that of the service."""

import time
from statistics import median

from benchmarks import api, redis
from benchmarks.api import PinnedService
from benchmarks.events import events
from benchmarks.redis import RedisConnection
from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from tests.service.process import Service, until
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.store import keys

SECONDS, COMMANDS = 2.0, 12.0

CONFIG = """
config: {{prefix: vm-, task_limit: 10000}}
redis: {{{redis}}}
providers: {{dummy: {{}}}}
pools:
"""

READY = "local n = 0 for _, key in ipairs(KEYS) do n = n + redis.call('SCARD', key) end return n"

TRIES = 3


def config(where: str, pools: int, size: int) -> str:
    """Return a configuration with pools of one size, which are empty at first."""
    entries = "".join(f"  - {{name: pool-{number}, size: {size}}}\n" for number in range(pools))
    return CONFIG.format(redis=where) + entries


def measure(scale: Scale) -> list[ResultRow]:
    """Return a row for many small pools, and one for a large pool."""
    return [row(scale, scale.wide, 10), row(scale, 1, scale.deep)]


def row(scale: Scale, pools: int, size: int) -> ResultRow:
    """Measure this number of pools of one size."""
    seconds = median(timed(pools, size) for _ in range(min(TRIES, scale.rounds)))
    commands = counted(pools, size) / (pools * size)
    return ResultRow(
        f"fill {pools} pool{'s' * (pools > 1)} of {size}",
        f"{seconds:.2f} s, {commands:.1f} commands a VM",
        target=f"below {SECONDS:g} s, at most {COMMANDS:g} commands",
        met=seconds < SECONDS and commands <= COMMANDS,
        figures={"seconds": seconds, "commands": commands},
    )


def timed(pools: int, size: int) -> float:
    """Return the seconds from the first clone order until the last VM is ready, with an embedded Redis."""
    with (
        Service(config("server: embedded", pools, size)) as service,
        RedisConnection(str(service.redis_socket)) as reading,
    ):
        filled(reading, pools, size)
        happened = events(reading)
        ordered = min(event.when for event in happened if event.what is What.CLONE)
        return max(event.when for event in happened if event.what is What.READY) - ordered


def counted(pools: int, size: int) -> int:
    """Return how many commands Redis receives from the start of the service until all VMs are ready."""
    with api.redis() as (socket, reading):

        def run() -> None:
            with PinnedService(config(f"socket: {socket}", pools, size)):
                filled(reading, pools, size)

        return redis.sent_during(socket, run).total() - reading.asked


def filled(reading: RedisConnection, pools: int, size: int) -> None:
    """Wait until all VMs are ready."""
    queues = [keys.queue(Queue.READY, f"pool-{number}") for number in range(pools)]

    def full() -> bool:
        time.sleep(0.05)
        return int(reading.call("EVAL", READY, len(queues), *queues)) >= pools * size

    until(full, "the pools are full", 60)
