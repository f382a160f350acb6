"""Pool state for event subscribers: read after an event, and at an interval in any case."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.deferreds import Signal
from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Pool
from vmpooler.store.commands.registry import Leftovers
from vmpooler.store.queries.overview import Overviews
from vmpooler.web.views.pool import row

RETRY_DELAY = 1.0
"""Seconds before the next attempt when Redis is unavailable."""


class PoolRows:
    """Keeps the pool rows of docs/events.md and the day's figures up to date while it is running.

    ``spacing``: seconds between two readings. ``whole``: seconds after which all pools are read even without events.
    ``now`` is the time when they were read. ``first`` is awaited before each reading while the pools are not known.
    ``changed`` is called with the rows that changed. ``known`` is called when all pools are known: after the start,
    after a failure, and when the set of pools changes. ``lost`` is called when the pools cannot be read; ``trouble`` is
    the reason.
    """

    log = Logger()

    def __init__(
        self,
        pools: Sequence[Pool],
        overviews: Overviews,
        clock: IReactorTime,
        wall: Callable[[], float],
        spacing: float,
        whole: float,
        first: Callable[[], Awaitable[None]],
        changed: Callable[[Mapping[str, Any]], None],
        known: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self.ready = False
        self.trouble: str | None = None
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.figures: dict[str, Any] = {}
        self.now = 0.0
        self._configured = self._pools = {pool.name: pool for pool in pools}
        self._left = Leftovers()
        self._overviews = overviews
        self._clock = clock
        self._wall = wall
        self._spacing, self._whole = spacing, whole
        self._first, self._changed, self._known, self._lost = first, changed, known, lost
        self._touched: set[str] = set()
        self._whole_at = 0.0
        self._running: Deferred[None] | None = None
        self._on_touch = Signal[None]()

    def start(self) -> None:
        """Start reading, unless reading has started already."""
        if self._running is None:
            self._running = Deferred.fromCoroutine(self._watch())
            self._running.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """Stop reading until ``start`` is called again."""
        if self._running is not None:
            running, self._running, self.ready, self.trouble = self._running, None, False, None
            running.cancel()

    def on_event(self, pool: str) -> None:
        """Record an event of a pool: the next reading includes that pool."""
        if self._running is not None and pool in self._pools:
            self._touched.add(pool)
            self._on_touch.send(None)

    async def _watch(self) -> None:
        while True:
            await deferLater(self._clock, self._spacing if await self._read() else RETRY_DELAY)
            if self.ready and not self._touched:
                await self._on_touch.wait().addTimeout(self._whole, self._clock, onTimeoutCancel=lambda *_: None)

    async def _read(self) -> bool:
        """Read all pools, or those with new events. Returns False when they could not be read."""
        now = self._clock.seconds()
        whole = not self.ready or now >= self._whole_at
        touched, self._touched = self._touched, set()
        try:
            if not self.ready:
                await self._first()
            others = whole and await self._read_others()
            await self._read_rows(list(self._pools) if whole else [pool for pool in self._pools if pool in touched])
        except CancelledError:
            raise
        except StoreAway:
            return self._failed("Redis is away")
        except Exception:
            self.log.failure("[!] the pools cannot be shown")
            return self._failed("the pools cannot be read")
        if whole:
            self._whole_at = now + self._whole
        if not self.ready or others:
            self.ready, self.trouble = True, None
            self._known()
        return True

    def _failed(self, why: str) -> bool:
        self.ready, self.trouble = False, why
        self._lost()
        return False

    async def _read_others(self) -> bool:
        """Read which pools have VMs and are not configured. Returns whether the set of pools changed."""
        self._left = await self._overviews.leftovers()
        drained = {each.pool: Pool(name=each.pool, size=0) for each in self._left.drained}
        pools = {**drained, **self._configured}
        changed = pools.keys() != self._pools.keys()
        self._pools = pools if drained else self._configured
        self.rows = {name: row for name, row in self.rows.items() if name in pools}
        return changed

    async def _read_rows(self, pools: Collection[str]) -> None:
        now = self._wall()
        seen = await self._overviews.read(list(pools), now)
        notes = self._left.notes
        rows = {pool: row(self._pools[pool], standing) | notes.get(pool, {}) for pool, standing in seen.pools.items()}
        figures = {"managed": seen.managed, "today": attrs.asdict(seen.today)}
        changed = {pool: row for pool, row in rows.items() if row != self.rows.get(pool)}
        has_changed = bool(changed) or figures != self.figures
        self.rows |= changed
        self.figures, self.now = figures, now
        if self.ready and has_changed:
            self._changed(changed)
