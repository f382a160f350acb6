"""The targets of clones: templates, clusters, hosts and datastores, looked up at the vCenter and cached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from twisted.internet.interfaces import IReactorTime

from vmpooler.deferreds import Slots
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import inventory_lookup
from vmpooler.providers.vsphere.executor import Executor
from vmpooler.providers.vsphere.inventory_cache import InventoryCache
from vmpooler.providers.vsphere.inventory_lookup import Cluster, Survey, TemplateSource
from vmpooler.providers.vsphere.session import Ref, Session
from vmpooler.settings import Pool

T = TypeVar("T")

AGE = 60.0
"""Seconds that a looked-up value is used: a template may be replaced, and the load of a host changes."""


@attrs.frozen(eq=False)
class CloneTarget:
    """The template of a clone and the place where the clone is created."""

    source: Ref
    pool: Ref
    host: Ref | None
    datastore: Ref | None


@attrs.define(eq=False)
class _Memo:
    """A cached value, the time of its lookup, and the session that the lookup used."""

    lock: Slots = attrs.field(factory=Slots)
    session: Session | None = None
    moment: float = 0
    value: Any = None


class CloneTargets:
    """Looks up templates, clusters, hosts and datastores. ``limit``: see :meth:`Cluster.choose`."""

    def __init__(self, cache: InventoryCache, executor: Executor, clock: IReactorTime, limit: float) -> None:
        self._cache = cache
        self._executor = executor
        self._clock = clock
        self._limit = limit
        self._memos: dict[str, _Memo] = {}
        self._placed: Counter[str] = Counter()

    def forget(self) -> None:
        """Drop all cached values: an object that was looked up may no longer exist."""
        self._memos.clear()

    async def of(self, pool: Pool, home: str) -> CloneTarget:
        """Return the target of a pool's next clone; ``home`` is the path of its datacenter. Raises ProviderError."""
        path = f"{home}/vm/{pool.template.strip('/')}"
        source = await self._known(path, lambda session: inventory_lookup.source(session, path))
        if source.pool is not None and not pool.clone_target and not pool.datastore:
            return CloneTarget(source.ref, source.pool, None, None)
        survey: Survey = await self._known(home, lambda session: self._survey(session, home))
        datastore = survey.datastore(pool.datastore) if pool.datastore else None
        if not pool.clone_target:
            return CloneTarget(source.ref, source.pool or _cluster_of(survey, source, pool).pool, None, datastore)
        cluster = survey.cluster(pool.clone_target)
        host = cluster.choose(self._placed, self._limit)
        self._placed[host.name] += 1
        return CloneTarget(source.ref, cluster.pool, host.ref, datastore)

    def _survey(self, session: Session, home: str) -> Survey:
        found = inventory_lookup.survey(session, home)
        self._placed = Counter()
        return found

    async def _known(self, what: str, call: Callable[[Session], T]) -> T:
        memo = self._memos.setdefault(what, _Memo())
        async with memo.lock:
            now, session = self._clock.seconds(), self._cache.now.session
            if memo.session is not session or now - memo.moment > AGE:
                memo.value = await self._executor.read(what, call)
                memo.session, memo.moment = session, now
        value: T = memo.value
        return value


def _cluster_of(survey: Survey, source: TemplateSource, pool: Pool) -> Cluster:
    """Return the cluster of a template's host: a template has no resource pool itself. Raises ProviderError."""
    for cluster in survey.clusters:
        if source.host in [host.ref for host in cluster.hosts]:
            return cluster
    raise ProviderError(f"the host of template {pool.template} is not known: set clone_target")
