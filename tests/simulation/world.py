"""The world that a schedule plays in: what can happen to the store, to clocks, to keys and to the configuration."""

from random import Random

import attrs


@attrs.frozen
class World:
    """What else goes wrong, beside the faults of ``stage.py``. In percent of each step:

    ``backup`` (Redis has what it had some seconds or minutes ago, under another run id), ``step`` (a clock is set, that
    of Redis or of a host), ``expire`` (what Redis keeps for a time ends), ``evict`` (a key vanishes). ``set_by``: the
    seconds by which clocks differ and are set at the most. ``guarded``: processes notice when Redis lost something.
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


PLAIN = World()

LOSSES = World("losses", guarded=True, backup=1)

CLOCKS = World("clocks", timed=True, step=1, set_by=900)

KEYS = World("keys", expire=1, evict=0.5)

EVERYTHING = World("everything", guarded=True, timed=True, backup=0.3, step=0.5, set_by=900, expire=0.3)


def world_of(seed: int) -> World:
    """The world of a seed. It has a chance of its own, so that another world does not change the schedules of all."""
    return Random(f"world {seed}").choices([PLAIN, LOSSES, CLOCKS, KEYS, EVERYTHING], [40, 25, 15, 10, 10])[0]
