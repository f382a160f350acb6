"""Routes for daily summaries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from werkzeug.exceptions import NotFound

from vmpooler.domain import summary, times
from vmpooler.store.commands.summaries import Summaries
from vmpooler.web.http import json
from vmpooler.web.http.server import Request
from vmpooler.web.views.summary import Summary


class SummaryRoutes:
    """The routes under ``/summary``."""

    def __init__(self, summaries: Summaries, clock: IReactorTime, wall: Callable[[], float]) -> None:
        self._summaries = summaries
        self._clock = clock
        self._wall = wall

    async def all(self, request: Request) -> bytes:
        """Return the summaries of boots, clones and tags; ``?from=`` and ``?to=`` are dates."""
        return await self._report(request, summary.ROUTES)

    async def one(self, request: Request, route: str, key: str | None = None) -> bytes:
        """Return one of these summaries, or one member of it."""
        if route not in summary.ROUTES:
            raise NotFound
        return await self._report(request, [route], key)

    async def _report(self, request: Request, routes: Sequence[str], key: str | None = None) -> bytes:
        now = self._wall()
        days = summary.days(request.query("from"), request.query("to"), times.day(now))
        whole = Summary(routes, key)
        for day, sums in zip(days, await self._summaries.sums(days, routes, now), strict=True):
            whole.add(day, sums)
            await deferLater(self._clock, 0)
        return await self._written(whole.report())

    async def _written(self, report: Mapping[str, Any]) -> bytes:
        """Encode a report as JSON. Other requests are served in between, because the report may be megabytes."""
        written: list[bytes] = []
        for part in json.parts(report):
            written.append(part)
            await deferLater(self._clock, 0)
        return b"".join(written)
