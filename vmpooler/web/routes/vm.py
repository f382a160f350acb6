"""Routes for VMs: the list of pools, checkout, details of a VM, and completion."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count

from twisted.internet.interfaces import IReactorTime

from vmpooler.domain.change import number_of
from vmpooler.domain.errors import Invalid, NoSuchVm, PoolEmpty, StoreAway, UnknownPools
from vmpooler.domain.names import Choice, random_name, short
from vmpooler.settings import Settings
from vmpooler.store.commands.checkouts import Catalogue, Checkouts, Given, Wanted
from vmpooler.store.queries.vms import Vms
from vmpooler.store.redis.client import Connection
from vmpooler.store.stream import BEFORE_ALL
from vmpooler.web.host_lookup import Lookup
from vmpooler.web.http import json
from vmpooler.web.http.credentials import Admissions
from vmpooler.web.http.json import Json
from vmpooler.web.http.router import RequestsInFlight
from vmpooler.web.http.server import Request
from vmpooler.web.unclaimed import UnclaimedVms
from vmpooler.web.views import vm as vm_view

MAX_COUNT = 10**6
"""Upper bound of a requested count: more VMs than any pool has. A larger count is cut to this number."""

MAX_CACHED_LENGTH = 200
"""Maximum length in characters of a requested path that is cached: this bounds the cache."""

PREFIX_LENGTH = 20
"""Length in characters of the random prefix of all checkout ids of this process.

A number makes each id unique. A fully random id costs 70 µs, a third of a checkout.
"""

NOTE_INTERVAL = 1.0
"""Minimum seconds between two notes in Redis that clients wait for the same pool."""


class VmRoutes:
    """The routes under ``/vm``."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        lookup: Lookup,
        in_flight: RequestsInFlight,
        clock: IReactorTime,
        wall: Callable[[], float],
        choice: Choice,
    ) -> None:
        self._general = settings.general
        self._catalogue = Catalogue(settings.pools)
        self._names = json.of([pool.name for pool in self._catalogue.pools])
        self._known = lru_cache(maxsize=1000)(self._wanted)  # most clients request what others requested before
        self._vms = Vms(connection)
        self._checkouts = Checkouts(connection, settings)
        self._unclaimed = UnclaimedVms(self._checkouts, clock, wall, in_flight)
        self._with_tokens = settings.auth is not None
        self._admissions = Admissions(settings.auth)
        self._lookup = lookup
        self._clock = clock
        self._wall = wall
        self._series = random_name(choice, PREFIX_LENGTH)
        self._numbers = count(1)
        self._hurried: dict[str, float] = {}
        self._newest = BEFORE_ALL

    def saw(self, newest: str) -> None:
        """Callback of the event stream's reader: store the id of the newest event."""
        self._newest = newest

    def close(self) -> None:
        """Stop returning VMs to ready."""
        self._unclaimed.stop()

    async def names(self, request: Request) -> bytes:
        """Return the names of the pools, in the order of the configuration."""
        return self._names

    async def checkout_of_body(self, request: Request) -> Json:
        """Check out VMs as requested in the body: how many of which pool or alias."""
        return await self._checkout(request, self._catalogue.wanted(counts_of_body(json.parsed(request.body))))

    async def checkout_of_path(self, request: Request, wanted: str) -> Json:
        """Check out VMs as requested in the path, such as ``a+a+b``; a body is ignored."""
        known = self._known(wanted) if len(wanted) <= MAX_CACHED_LENGTH else self._wanted(wanted)
        return await self._checkout(request, [*known])

    async def show(self, request: Request, host: str) -> Json:
        """Return all that is known of a VM. Raises NoSuchVm."""
        vm = short(host)
        record = await self._record(vm)
        report = vm_view.report(record, self._general.vm_lifetime, self._wall())
        report["ip"] = record.get("ip") or await self._lookup.address(vm)
        return {"ok": True, vm: report | self._domain()}

    async def complete(self, request: Request, host: str) -> Json:
        """Complete a VM. Raises NoSuchVm."""
        vm = short(host)
        record = await self._record(vm)
        pool = record.get("pool") or record.get("template")
        if not pool:
            raise NoSuchVm(f"the pool of {vm} is not known")
        await self._checkouts.complete(pool, vm, self._admissions.of(request), self._wall())
        return {"ok": True}

    def _wanted(self, path: str) -> Sequence[Wanted]:
        return self._catalogue.wanted(counts_of_path(path))

    async def _checkout(self, request: Request, wanted: list[Wanted]) -> Json:
        given = await self._take(request, wanted) if wanted else []
        hosts: dict[str, list[str]] = {each.name: [] for each in wanted}
        for each in given:
            hosts[each.name].append(each.vm)
        found = {name: {"hostname": vms if len(vms) > 1 else vms[0]} for name, vms in hosts.items()}
        return {"ok": True, **found, **self._domain()}

    async def _take(self, request: Request, wanted: list[Wanted]) -> list[Given]:
        """Check out all VMs that are wanted, for the client of this request.

        If the client disconnects in the meantime, all VMs return to ready.
        """
        checkout_id, now = f"{self._series}{next(self._numbers):012}", self._wall()
        newest = self._newest  # the events of this checkout follow it
        token = request.token if self._with_tokens else None
        try:
            given = await self._checkouts.checkout(wanted, checkout_id, token, now)
        except StoreAway as away:
            if away.sent:
                self._unclaimed.later(checkout_id, newest, "its client got the answer that Redis is away")
            raise
        except PoolEmpty:
            await self._hurry(wanted)
            raise
        if await request.hung_up():
            await self._unclaimed.now(given, checkout_id, newest, "its client hung up")
        return given

    async def _hurry(self, wanted: list[Wanted]) -> None:
        """Give empty pools priority for the next clones.

        Redis is updated at most once in ``NOTE_INTERVAL`` seconds for each pool.
        """
        now = self._clock.seconds()
        pools = sorted(
            {pool for each in wanted for pool in each.pools if now >= self._hurried.get(pool, 0) + NOTE_INTERVAL}
        )
        if pools:
            self._hurried |= dict.fromkeys(pools, now)
            with suppress(StoreAway):
                await self._checkouts.hurry(pools, self._wall())

    async def _record(self, vm: str) -> Mapping[str, str]:
        record = await self._vms.record(vm)
        if not record:
            raise NoSuchVm(f"{vm} is not known")
        return record

    def _domain(self) -> dict[str, str]:
        return {"domain": self._general.domain} if self._general.domain else {}


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
    count = number_of(value)
    if count is None:
        raise Invalid(f"the count of {name} is not a number")
    return min(count, MAX_COUNT)
