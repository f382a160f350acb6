"""The sizes of the benchmarks."""

import attrs


@attrs.frozen(kw_only=True)
class Scale:
    """Sizes and durations (seconds) of the benchmarks.

    ``rounds``: the number of rounds of each server, each of ``seconds``, after a round of ``warm`` seconds that does
    not count. ``connections``: connections of wrk. ``pools`` and ``vms``: the size of a large installation. ``days``
    and ``a_day``: the days of a summary, and the VMs on each day. ``wide``: the number of pools of size 10 that are
    filled; ``deep``: the size of the one large pool that is filled. ``samples``: the number of checkouts that are
    followed to their replacements. ``idle``: the time for which an idle service is measured. ``growth``: numbers of
    pools. ``listeners``: the number of event subscribers. ``starts``: the number of starts of a service. ``workers``:
    numbers of API processes. ``clones``: fixed limits that ``task_limit: auto`` is compared with, for ``filling``
    seconds after half that time.
    """

    rounds: int = 5
    warm: int = 1
    seconds: int = 2
    connections: int = 32
    pools: int = 500
    vms: int = 10_000
    days: int = 30
    a_day: int = 2000
    wide: int = 50
    deep: int = 500
    samples: int = 200
    idle: int = 30
    growth: tuple[int, ...] = (10, 100, 1000)
    listeners: int = 5000
    starts: int = 5
    workers: tuple[int, ...] = (2, 4)
    clones: tuple[int, ...] = (4, 8, 12, 24)
    filling: int = 30


FULL = Scale()
QUICK = Scale(rounds=3, seconds=1, samples=60, idle=30, growth=(10, 100), listeners=1000, starts=3)
TINY = Scale(
    rounds=1,
    warm=0,
    seconds=1,
    connections=4,
    pools=20,
    vms=400,
    days=3,
    a_day=50,
    wide=3,
    deep=10,
    samples=5,
    idle=1,
    growth=(2,),
    listeners=20,
    starts=1,
    workers=(2,),
    clones=(4,),
    filling=8,
)
