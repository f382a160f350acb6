"""What a client asks for, and which pools may serve it."""

from collections.abc import Iterable, Mapping

import attrs

from vmpooler.domain.errors import Invalid, UnknownPools
from vmpooler.domain.numbers import whole
from vmpooler.settings import Pool

MANY = 10**6
"""More VMs of a name than any pool has: what is above counts as this many."""


@attrs.frozen
class Wanted:
    """So many VMs of a pool or alias, to be had from ``pools``: the pool of that name first, if there is one."""

    name: str
    count: int
    pools: tuple[str, ...] = ()


@attrs.frozen
class Given:
    """A VM that was given, and the name it was asked for by."""

    name: str
    pool: str
    vm: str


def counts_of_path(path: str) -> dict[str, int]:
    """How many VMs of which name a path such as ``a+a+b`` asks for. Empty pieces at its end ask for nothing."""
    counts: dict[str, int] = {}
    for name in path.rstrip("+").split("+") if path.strip("+") else []:
        counts[name] = counts.get(name, 0) + 1
    return counts


def counts_of_body(body: object) -> dict[str, int]:
    """How many VMs of which name a body asks for. Raises UnknownPools for null, Invalid for what is no such thing."""
    if body is None:
        raise UnknownPools("nothing was asked for")
    if not isinstance(body, dict):
        raise Invalid("expected an object of pools and counts")
    return {str(name): count_of(name, value) for name, value in body.items()}


def count_of(name: str, value: object) -> int:
    """A count as clients send it: a number, or text that begins with one; none when there is none. Source:
    API-CONTRACT 3, POST /vm."""
    count = whole(value)
    if count is None:
        raise Invalid(f"the count of {name} is not a number")
    return min(count, MANY)


class Catalogue:
    """Which pools serve which names."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        self.pools = tuple(pools)
        serving: dict[str, list[str]] = {}
        for pool in self.pools:
            serving.setdefault(pool.name, []).insert(0, pool.name)
            for alias in pool.alias:
                if pool.name not in serving.setdefault(alias, []):
                    serving[alias].append(pool.name)
        self._serving: Mapping[str, tuple[str, ...]] = {name: tuple(names) for name, names in serving.items()}

    def wanted(self, counts: Mapping[str, int]) -> list[Wanted]:
        """What was asked for with the pools that may serve it. Raises UnknownPools naming every unknown name."""
        unknown = [name for name in counts if name not in self._serving]
        if unknown:
            raise UnknownPools(f"no such pool: {', '.join(unknown[:10])}")
        return [Wanted(name, count, self._serving[name]) for name, count in counts.items() if count > 0]
