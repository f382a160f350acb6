"""``GET /events``: events as they happen."""

from collections.abc import Sequence

from twisted.web.server import NOT_DONE_YET

from vmpooler.domain.names import short
from vmpooler.settings import Pool
from vmpooler.web.events.hub import Hub
from vmpooler.web.events.log import Filter
from vmpooler.web.http.server import Request, json_response

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}

TOO_MANY = "as many clients as may (config.event_clients) are listening to events already"

RETRY_AFTER = "10"
"""Retry-After in seconds."""

ENDING = "the service is about to end"


class EventRoutes:
    """``/events``: makes each request a subscriber of the hub, at most ``most`` at the same time."""

    def __init__(self, hub: Hub, pools: Sequence[Pool], most: int) -> None:
        self._hub = hub
        self._pools = pools
        self._most = most

    def subscribe(self, request: Request, parts: Sequence[str]) -> bytes | int:
        """Answer until the client disconnects."""
        wanted = self._wanted(request)
        if wanted is None or request.method != b"GET":
            return json_response(request, 404, {"ok": False})
        if self._hub.closed or len(self._hub.subscribers) >= self._most:
            request.setHeader("Retry-After", RETRY_AFTER)
            return json_response(request, 503, {"ok": False, "message": ENDING if self._hub.closed else TOO_MANY})
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        last = request.getHeader(b"last-event-id")
        known = request.query("last") if last is None else last.decode("utf-8", "replace")
        self._hub.join(request, wanted, known or None)
        return NOT_DONE_YET

    def _wanted(self, request: Request) -> Filter | None:
        """Return the filter in the query; None when it names an unknown pool."""
        pools, vms = request.query("pool"), request.query("vm")
        found = None if pools is None else self._named(pools.split(","))
        hosts = None if vms is None else frozenset(map(short, vms.split(",")))
        return None if pools is not None and found is None else Filter(found, hosts)

    def _named(self, names: Sequence[str]) -> frozenset[str] | None:
        """Return the pools with these names or aliases; None when one of them is unknown."""
        found = [{pool.name for pool in self._pools if name in (pool.name, *pool.alias)} for name in names]
        return frozenset().union(*found) if all(found) else None
