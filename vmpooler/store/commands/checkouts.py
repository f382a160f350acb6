"""Checkouts: which pools serve what a client wants; clients take VMs, return them, and finish with them."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache

import attrs

from vmpooler.domain import times
from vmpooler.domain.admission import Admission
from vmpooler.domain.errors import PoolEmpty, StoreAway, TokenNeeded, UnknownPools
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.settings import Pool, Settings
from vmpooler.store import keys
from vmpooler.store.commands.transitions import PRIORITY_SECONDS, Transitions, admitted
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import load
from vmpooler.store.stored import paired
from vmpooler.store.stream import BEFORE_ALL, newest, order

BY = "api"

OF_A_CHECKOUT = ("checkout", "checkout_id", "token:token", "token:user", "lifetime", "lifetime_default")
"""The record fields that a checkout writes. A VM that is given back loses them."""

PAGE_SIZE = 1000
"""Number of events per read of the stream."""


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


@attrs.frozen
class TakenVm:
    """A VM that a checkout took."""

    pool: str
    vm: str
    checkout_id: str


@attrs.frozen
class Asked:
    """A checkout request in the form that checkout.lua takes: the pools, the keys of each pool, and the request."""

    pools: tuple[str, ...]
    places: tuple[str, ...]
    request: tuple[str | int, ...]


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


class Checkouts:
    """Transitions that clients cause: ready -> running, running -> ready, and running -> completed."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._transitions = Transitions(connection, settings.general.events_max, BY)
        hours = settings.general.vm_lifetime_auth
        self._lifetime = str(hours) if hours > 0 else ""
        self._default_lifetime = settings.general.vm_lifetime

    async def checkout(self, wanted: Sequence[Wanted], checkout_id: str, token: str | None, now: float) -> list[Given]:
        """Check out all requested VMs and record their owner, or take no VM and leave the store unchanged.

        ``token`` is None when the client sent none or none is needed. Raises TokenNeeded when the token is unknown,
        PoolEmpty when too few VMs are ready, StoreAway when enough VMs are ready but some are in pools that must first
        be compared with their provider.
        """
        asked = _asked(tuple(wanted))
        reply = await self._connection.run(
            load("checkout"),
            events=keys.EVENTS,
            token=keys.token(token or ""),
            doubted=keys.DOUBTED,
            verified=keys.VERIFIED,
            places=asked.places,
            now=f"{now:.3f}",
            kept=self._transitions.kept,
            by=NOBODY,
            pool="",
            vm="",
            now_text=times.text(now),
            checkout_id=checkout_id,
            with_token=int(token is not None),
            lifetime=self._lifetime if token is not None else "",
            default_lifetime=self._default_lifetime,
            request=asked.request,
        )
        match reply:
            case ["ok", *rows]:
                return [
                    Given(wanted[entry - 1].name, asked.pools[pool - 1], vm)
                    for entry, pool, vm in zip(rows[::3], rows[1::3], rows[2::3], strict=True)
                ]
            case ["token"]:
                raise TokenNeeded("this token is not known")
            case ["doubted", entry]:
                raise StoreAway(
                    f"Redis was restarted or restored: the VMs for {wanted[entry - 1].name} are not given before the "
                    "manager has compared them with their provider"
                )
            case _:
                raise PoolEmpty(f"not enough VMs are ready for {wanted[reply[1] - 1].name}")

    async def hurry(self, pools: Sequence[str], now: float) -> None:
        """Record that clients wait for VMs of these pools: the empty ones move to the front of the clone queue."""
        await self._connection.run(
            load("hurry"),
            wanted=keys.WANTED,
            line=keys.LINE,
            ready=[keys.queue(Queue.READY, pool) for pool in pools],
            now=f"{now:.3f}",
            keep=int(PRIORITY_SECONDS),
            pools=pools,
        )

    async def taken_by(self, checkout_ids: Collection[str], after: str) -> list[TakenVm]:
        """Return the VMs that these checkouts took, according to the events after the event id ``after``.

        When the stream ends before that id (a Redis that lost its last events), all events are searched. No clocks are
        compared.
        """
        taken: list[TakenVm] = []
        start = f"({after if order(after) <= order(await newest(self._connection)) else BEFORE_ALL}"
        while page := await self._connection.call("XRANGE", keys.EVENTS, start, "+", "COUNT", PAGE_SIZE):
            for id, flat in page:
                event = Event.of(id, paired(flat))
                if event and event.what is What.CHECKOUT and event.more.get("checkout_id") in checkout_ids:
                    taken.append(TakenVm(event.pool, event.vm, event.more["checkout_id"]))
            start = f"({page[-1][0]}"
        return taken

    async def give_back(self, pool: str, vm: str, checkout_id: str, why: str, now: float) -> bool:
        """running -> ready: the client of this checkout never got the VM.

        When the VM's stamp may name that client, the VM stays in running until the manager has cleared the stamp.
        Returns False when the VM no longer belongs to this checkout.
        """
        return bool(
            await self._transitions.run(
                "give_back",
                pool,
                vm,
                now,
                running=keys.queue(Queue.RUNNING, pool),
                ready=keys.queue(Queue.READY, pool),
                active=keys.active(pool),
                since=keys.since(pool),
                why=why,
                checkout_id=checkout_id,
                fields=json.dumps(OF_A_CHECKOUT),
            )
        )

    async def complete(self, pool: str, vm: str, admission: Admission, now: float) -> None:
        """running -> completed at the client's request.

        Raises TokenNeeded or NotYours when the client is not authorized, NoSuchVm when the VM is not running.
        """
        why = "its client is done with it"
        admitted(await self._transitions.complete(pool, vm, Queue.RUNNING, why, now, admission), vm)


@lru_cache(maxsize=1000)
def _asked(wanted: tuple[Wanted, ...]) -> Asked:
    """Build the script arguments of a request.

    The result is cached because most clients repeat an earlier request, and building it takes a tenth of a checkout.
    """
    pools = tuple(dict.fromkeys(pool for each in wanted for pool in each.pools))
    number = {pool: place for place, pool in enumerate(pools, 1)}
    entries: list[int] = []
    for each in wanted:
        entries += (each.count, int(each.pools[0] == each.name), len(each.pools))
        entries += (number[pool] for pool in each.pools)
    return Asked(pools, tuple(key for pool in pools for key in _place(pool)), (len(pools), *pools, *entries))


@cache
def _place(pool: str) -> tuple[str, str, str, str]:
    """Return the keys of a pool.

    The cache has no limit: it holds configured pools only, and any number of requests may share an entry.
    """
    return keys.queue(Queue.READY, pool), keys.queue(Queue.RUNNING, pool), keys.active(pool), keys.since(pool)
