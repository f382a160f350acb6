"""Measures the cost of an idle service, and its growth with the number of pools.

All pools are full, and a third of the VMs is in use. The VMs are written directly to Redis and to the simulated
hypervisor. At any time, some of them are due for a check.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from benchmarks import api, redis, stock
from benchmarks.api import PinnedService
from benchmarks.cores import Usage
from benchmarks.redis import RedisConnection
from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from tests.service.process import until
from vmpooler.domain.backoff import IDLE_INTERVAL
from vmpooler.domain.guest import Holder, Stamp
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.providers.dummy.simulation import SavedState, SimulatedVm

READY, RUNNING = 40, 20
"""VMs of each pool in these queues."""

GROUPS = 5
"""The number of different times at which a pool's ready VMs were last checked."""

CHECK_EVERY = 900.0
"""Seconds between two checks of a VM."""

IDLE = 100
"""Pools of the installation to which the targets apply."""

CPU, MEMORY, CONNECTIONS, COMMANDS = 5.0, 200.0, 10, 20.0
"""Targets: percent of a core, MiB, connections to Redis, commands sent a second."""

SLACK = 1.5
"""The factor over proportional growth that counts as linear: the fixed cost is small, and the machine is noisy."""

SETTLES = 20.0
"""Seconds after which the start counts as over."""

BAR = 40


@attrs.frozen
class Cost:
    """The measured cost of an idle service.

    In this order: pools, percent of a core, MiB, connections to Redis, commands sent a second, Redis's percent of a
    core, and whether every pool had its round.
    """

    pools: int
    cpu: float
    memory: float
    connections: int
    commands: float
    redis: float
    alive: bool

    @property
    def vms(self) -> int:
        """The number of VMs."""
        return self.pools * (READY + RUNNING)


def measure(scale: Scale) -> list[ResultRow]:
    """Measure each size. The size IDLE has targets. The last size is compared with the one before."""
    costs = [cost(pools, scale.idle) for pools in scale.growth]
    return [*(row(each) for each in costs), *([curve(costs)] if len(costs) > 1 else [])]


def row(cost: Cost) -> ResultRow:
    """Return the row of one size."""
    shown = f"{cost.cpu:.1f} %, {cost.memory:.0f} MiB, {cost.connections} connections, {cost.commands:.1f}/s"
    if not cost.alive:
        shown += "; **its rounds do not end**"
    figures = attrs.asdict(cost)
    what = f"idle: {cost.pools} pools, {cost.vms:,} VMs"
    if cost.pools != IDLE:
        return ResultRow(what, shown, figures=figures)
    asked = f"below {CPU:g} %, {MEMORY:g} MiB, {CONNECTIONS}, {COMMANDS:g}/s"
    met = (
        cost.alive
        and cost.cpu < CPU
        and cost.memory < MEMORY
        and cost.connections < CONNECTIONS
        and cost.commands < COMMANDS
    )
    return ResultRow(what, shown, target=asked, met=met, figures=figures)


def curve(costs: Sequence[Cost]) -> ResultRow:
    """Return the row for the growth from the second-last size to the last, in percent of a core for 1,000 VMs."""
    before, last = costs[-2:]
    of_cpu = (last.cpu / last.vms) / (max(before.cpu, 0.01) / before.vms)
    of_memory = (last.memory / last.vms) / (before.memory / before.vms)
    return ResultRow(
        f"growth: {last.pools} pools beside {before.pools}, for each VM",
        f"{1000 * last.cpu / last.vms:.2f} % of a core for 1,000 VMs",
        f"{1000 * before.cpu / before.vms:.2f} %",
        f"CPU x {of_cpu:.2f}, memory x {of_memory:.2f}",
        f"linear or better (x {SLACK:g})",
        of_cpu <= SLACK and of_memory <= SLACK and last.alive,
        {"cpu": of_cpu, "memory": of_memory},
    )


def chart(rows: Sequence[ResultRow]) -> str:
    """Return the curve as text: percent of a core for 1,000 VMs."""
    sizes = [row.figures for row in rows if "pools" in row.figures]
    vms = [(READY + RUNNING) * each["pools"] / 1000 for each in sizes]
    ours, theirs = ([each[of] / count for each, count in zip(sizes, vms, strict=True)] for of in ("cpu", "redis"))
    most = max(ours, default=0) or 1
    bars = ["#" * max(1, round(BAR * share / most)) for share in ours]
    return "".join(
        f"{1000 * count:>7,.0f} VMs  {bar:<{BAR}}  {share:.2f} %, Redis {other:.2f} %\n"
        for count, bar, share, other in zip(vms, bars, ours, theirs, strict=True)
    )


def cost(pools: int, seconds: int) -> Cost:
    """Measure a service with this number of pools for ``seconds``, while nothing happens."""
    now = time.time()
    with api.redis() as (socket, reading):
        service = PinnedService(stock.config(socket, pools, READY, "providers: {dummy: {filename: dummy.yaml}}\n"))
        populate(reading, pools, now)
        remember(service.directory / "dummy.yaml", pools, now)
        with service:
            ours, theirs = Usage(service.pid), Usage(redis_pid(reading))
            settled(ours)
            connections = reading.call("CLIENT", "LIST").count(b"\n") - 1
            before = ours.cpu, theirs.cpu
            sent = redis.sent_during(socket, lambda: time.sleep(seconds)).total()
            alive = sent >= pools or seconds < IDLE_INTERVAL
            used = [100 * (usage.cpu - was) / seconds for usage, was in zip((ours, theirs), before, strict=True)]
            return Cost(pools, used[0], ours.memory / 1024, connections, sent / seconds, used[1], alive)


def populate(reading: RedisConnection, pools: int, now: float) -> None:
    """Write all VMs to their queues in Redis. The ready VMs were last checked at different times."""
    moments = pools * GROUPS
    each = READY // GROUPS
    for number in range(pools):
        for group in range(GROUPS):
            vms = [stock.vm(number, group * each + at) for at in range(each)]
            checked = now - CHECK_EVERY * (group * pools + number) / moments
            stock.fill(reading, Queue.READY, number, vms, checked)
        stock.fill(reading, Queue.RUNNING, number, [stock.vm(number, READY + at) for at in range(RUNNING)], now)


def remember(path: Path, pools: int, now: float) -> None:
    """Write the same VMs to the file of the simulated hypervisor."""
    memory = SavedState(path)
    for vm in imaginary(pools, now - 3600):
        memory.keep(vm)
    memory.write()


def imaginary(pools: int, then: float) -> Iterator[SimulatedVm]:
    """Yield all VMs, cloned and booted at ``then``."""
    for number in range(pools):
        for at in range(READY + RUNNING):
            name, pool = stock.vm(number, at), stock.pool(number)
            stamp = Stamp(pool, name, then, Holder(NOBODY, since=float(int(then))) if at >= READY else None)
            id = number * (READY + RUNNING) + at + 1
            yield SimulatedVm(name=name, pool=pool, number=id, hostname=name, cloned=then, booted=then, stamp=stamp)


def settled(usage: Usage) -> None:
    """Wait until the start is over: half a second with less than 0.1 s of CPU time, or SETTLES seconds."""
    end = time.monotonic() + SETTLES

    def quiet() -> bool:
        before = usage.cpu
        time.sleep(0.5)
        return usage.cpu - before < 0.1 or time.monotonic() > end

    until(quiet, "the start is over", 2 * SETTLES)


def redis_pid(reading: RedisConnection) -> int:
    """Return the process id of this Redis."""
    info: bytes = reading.call("INFO", "server")
    return int(next(line for line in info.splitlines() if line.startswith(b"process_id:")).partition(b":")[2])
