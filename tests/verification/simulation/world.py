"""The world that a schedule plays in: what can happen to the store, the clocks, the keys and the configuration."""

from random import Random

import attrs


@attrs.frozen
class SimulationWorld:
    """Probabilities of further faults, in addition to those of ``simulation.py``, in percent per step.

    ``backup`` (Redis goes back to its contents of some seconds or minutes ago, with another run id), ``step`` (the
    clock of Redis or of a host is set), ``expire`` (a key with an expiry ends), ``evict`` (a key vanishes). ``set_by``:
    the maximum seconds by which clocks differ and are set. ``guarded``: processes detect that Redis lost writes.
    ``timed``: they measure Redis's clock.
    """

    name: str = "plain"
    guarded: bool = False
    timed: bool = False
    backup: float = 0
    step: float = 0
    set_by: float = 0
    expire: float = 0
    evict: float = 0


PLAIN = SimulationWorld()

LOSSES = SimulationWorld("losses", guarded=True, backup=1)

CLOCKS = SimulationWorld("clocks", timed=True, step=1, set_by=900)

KEYS = SimulationWorld("keys", expire=1, evict=0.5)

EVERYTHING = SimulationWorld("everything", guarded=True, timed=True, backup=0.3, step=0.5, set_by=900, expire=0.3)


def world_of(seed: int) -> SimulationWorld:
    """Return the world of a seed. The choice uses its own random numbers, so that another world does not change all
    schedules."""
    return Random(f"world {seed}").choices([PLAIN, LOSSES, CLOCKS, KEYS, EVERYTHING], [40, 25, 15, 10, 10])[0]
