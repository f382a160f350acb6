"""How large a benchmark is."""

import attrs


@attrs.frozen(kw_only=True)
class Scale:
    """Sizes of what is measured, and how long (seconds).

    ``rounds``: how often each server has its turn, of ``seconds``, after one of ``warm`` that does not count.
    ``connections``: of wrk. ``pools`` and ``vms``: of a large installation. ``days`` and ``a_day``: of a summary, with
    so many VMs on each day. ``wide`` pools of 10 and one of ``deep`` are filled. ``samples``: how many checkouts are
    followed to their replacements. ``idle``: how long a service is watched that has nothing to do. ``growth``: numbers
    of pools. ``listeners``: who are told events. ``starts``: how often a service is started. ``workers``: numbers of
    API processes. ``clones``: fixed limits that ``task_limit: auto`` is compared with, for ``filling`` seconds after half
    as many.
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
