"""What a client requests, and which pools can serve it."""

import re
from collections.abc import Iterable, Mapping

import attrs

from vmpooler.domain.errors import Invalid, UnknownPools
from vmpooler.settings import Pool

MAX_COUNT = 10**6
"""Upper bound of a requested count: more VMs than any pool has. A larger count is cut to this number."""

MAX_NUMBER = 10**15 - 1
"""The largest number that a client can send: a larger one counts as this one."""


@attrs.frozen
class Wanted:
    """A requested number of VMs of a pool or alias.

    ``pools`` can serve it: the pool of that name comes first, if it exists.
    """

    name: str
    count: int
    pools: tuple[str, ...] = ()


@attrs.frozen
class Given:
    """A VM that was handed out, and the name under which it was requested."""

    name: str
    pool: str
    vm: str


def counts_of_path(path: str) -> dict[str, int]:
    """Return the requested number of VMs by name for a path such as ``a+a+b``. Empty parts at its end are ignored."""
    counts: dict[str, int] = {}
    for name in path.rstrip("+").split("+") if path.strip("+") else []:
        counts[name] = counts.get(name, 0) + 1
    return counts


def counts_of_body(body: object) -> dict[str, int]:
    """Return the requested number of VMs by name for a request body.

    Raises UnknownPools for null, Invalid if it is not an object of names and counts.
    """
    if body is None:
        raise UnknownPools("nothing was asked for")
    if not isinstance(body, dict):
        raise Invalid("expected an object of pools and counts")
    return {str(name): count_of(name, value) for name, value in body.items()}


def count_of(name: str, value: object) -> int:
    """Return a count as clients send it: a number, or text that begins with one; 0 if it contains none.

    Raises Invalid for a value that cannot mean a number. Source: docs/compatibility.md#checkout.
    """
    count = whole(value)
    if count is None:
        raise Invalid(f"the count of {name} is not a number")
    return min(count, MAX_COUNT)


def whole(value: object) -> int | None:
    """Return the integer that a number means, or text that begins with one: 0 to MAX_NUMBER, 0 if it contains none.

    None for a value that cannot mean a number: true, false, a list, an object. Source: docs/compatibility.md#checkout.
    """
    match value:
        case None:
            return 0
        case bool() | list() | dict():
            return None
        case int() | float():
            return int(max(0, min(value, MAX_NUMBER)))
        case _:
            digits = re.match(r"\s*\+?(\d[\d_]*)", str(value), re.ASCII)
            return min(MAX_NUMBER, int(digits[1].replace("_", "")[:20])) if digits else 0


class Catalogue:
    """Maps pool names and aliases to the pools that serve them."""

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
        """Return the requested VMs with the pools that can serve them.

        Raises UnknownPools with the unknown names (at most 10).
        """
        unknown = [name for name in counts if name not in self._serving]
        if unknown:
            raise UnknownPools(f"no such pool: {', '.join(unknown[:10])}")
        return [Wanted(name, count, self._serving[name]) for name, count in counts.items() if count > 0]
