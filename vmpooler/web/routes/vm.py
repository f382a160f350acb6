"""Routes for VMs: the list of pools, checkout, details of a VM, and completion."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from vmpooler.domain.checkout import Catalogue, Wanted, counts_of_body, counts_of_path
from vmpooler.domain.errors import NoSuchVm
from vmpooler.domain.names import short
from vmpooler.settings import Settings
from vmpooler.store.queries.vms import Vms
from vmpooler.web.checkouts import CheckoutService
from vmpooler.web.host_lookup import Lookup
from vmpooler.web.http import json
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request
from vmpooler.web.views import vm as vm_view

MAX_CACHED_LENGTH = 200
"""Maximum length in characters of a requested path that is cached: this bounds the cache."""


class VmRoutes:
    """The routes under ``/vm``."""

    def __init__(
        self, settings: Settings, desk: CheckoutService, vms: Vms, lookup: Lookup, wall: Callable[[], float]
    ) -> None:
        self._general = settings.general
        self._catalogue = Catalogue(settings.pools)
        self._names = json.of([pool.name for pool in self._catalogue.pools])
        self._desk = desk
        self._known = lru_cache(maxsize=1000)(self._wanted)  # most clients request what others requested before
        self._vms = vms
        self._lookup = lookup
        self._wall = wall

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
            raise NoSuchVm(f"nobody knows which pool {vm} is of")
        await self._desk.complete(request, pool, vm)
        return {"ok": True}

    def _wanted(self, path: str) -> Sequence[Wanted]:
        return self._catalogue.wanted(counts_of_path(path))

    async def _checkout(self, request: Request, wanted: list[Wanted]) -> Json:
        given = await self._desk.check_out(request, wanted) if wanted else []
        hosts: dict[str, list[str]] = {each.name: [] for each in wanted}
        for each in given:
            hosts[each.name].append(each.vm)
        found = {name: {"hostname": vms if len(vms) > 1 else vms[0]} for name, vms in hosts.items()}
        return {"ok": True, **found, **self._domain()}

    async def _record(self, vm: str) -> Mapping[str, str]:
        record = await self._vms.record(vm)
        if not record:
            raise NoSuchVm(f"{vm} is not known")
        return record

    def _domain(self) -> dict[str, str]:
        return {"domain": self._general.domain} if self._general.domain else {}
