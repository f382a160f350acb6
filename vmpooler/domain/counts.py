"""Counts of pools, as one read of Redis returns them."""

import attrs


@attrs.frozen
class PoolCounts:
    """The number of VMs of a pool by queue, and when the last became ready (text, empty if never)."""

    ready: int
    pending: int
    running: int
    completed: int
    last_boot: str


@attrs.frozen
class Counts:
    """The counts of all requested pools, in the requested order, and the day's clone and boot times in seconds."""

    pools: tuple[PoolCounts, ...]
    cloning: int
    clone_seconds: tuple[float, ...]
    boot_seconds: tuple[float, ...]


@attrs.frozen
class Failing:
    """A subject that keeps failing: how often in a row, when (epoch) it is retried, and why it failed last."""

    subject: str
    tries: int
    until: float
    why: str


@attrs.frozen
class Standing:
    """The number of VMs of a pool by queue, and what fails there. ``flagged``: why the mass guard holds, or empty."""

    ready: int = 0
    pending: int = 0
    running: int = 0
    completed: int = 0
    cloning: int = 0
    failing: tuple[Failing, ...] = ()
    flagged: str = ""
    last_boot: str = ""


@attrs.frozen
class Today:
    """The clones of a day so far, and the mean seconds of clones and boots; None if there were none."""

    cloned: int = 0
    clone_average: float | None = None
    boot_average: float | None = None
