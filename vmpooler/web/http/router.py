"""Maps requests to the routes of one table, whose flags state how each is treated.

Note [The short way]

Klein and werkzeug cost more than everything else in an answer. So a route with the flag ``fast`` is found here by the
path alone, and what a path leads to is cached. The handler, its errors and its reply are the same by both ways.
Requests to other routes, and those with other methods, such as HEAD, use klein.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any
from urllib.parse import unquote_to_bytes

import attrs
from klein import Klein
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from vmpooler.deferreds import Signal, shield
from vmpooler.web.http import json
from vmpooler.web.http.errors import error_reply
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request, json_response, sent

PREFIX = ("api", "v1")
"""Routes are also reachable without it, and no redirect adds it. Source: docs/compatibility.md#bare-routes."""

BUSY = {"ok": False, "message": "as many requests as may be (limits.requests) are under way"}

MAX_CACHED_LENGTH = 200
"""Maximum length in bytes of a path whose target is cached: this bounds the cache."""

Handler = Callable[..., Coroutine[Deferred[Any], Any, Json | bytes]]
"""Takes the request and the variable parts of its path, by name or in order. Returns data, or bytes."""

Parts = tuple[str, ...]


@attrs.frozen(kw_only=True)
class Flags:
    """How requests to a path are treated.

    ``rate_limited``: they count for the limit on the rate of a client. ``counted``: they count for the limit on
    concurrent requests. ``bare``: the path is only reachable without PREFIX.
    """

    rate_limited: bool = True
    counted: bool = True
    bare: bool = False


@attrs.frozen
class Route(Flags):
    """A handler, and the status and headers of its reply on success.

    A variable part of the path is a name in ``<>``. A handler of GET also answers HEAD. Any other handler finishes even
    if its client disconnects. ``fast``: see Note [The short way]; the variable parts are the last of the path, and the
    reply is JSON.
    """

    method: str
    path: str
    handler: Handler
    status: int = 200
    headers: Mapping[str, str] = attrs.field(default=json.HEADERS, kw_only=True)
    fast: bool = attrs.field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """The name in the log."""
        return f"{self.method} {self.path}"


@attrs.frozen
class Mount(Flags):
    """Answers requests to a path with any method. ``below``: also to all longer paths that no other row has.

    ``answer`` takes the request and the parts of its path after this path, and answers like a resource.
    """

    path: str
    answer: Callable[[Request, Parts], bytes | int]
    below: bool = attrs.field(default=False, kw_only=True)


Row = Route | Mount
"""A row of the table. Where rows have the same path, the flags of the first are valid."""


@attrs.frozen
class PathTarget:
    """What a path leads to. ``parts`` are those of the path without PREFIX, and ``rest`` those after the fixed ones.

    ``fast`` has the routes of the short way by method.
    """

    parts: Parts
    rest: Parts = ()
    flags: Flags = Flags()
    mount: Mount | None = None
    fast: Mapping[bytes, Route] = attrs.field(factory=dict)


class RequestsInFlight:
    """Counts requests in progress, and work that outlives its request."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = Signal[bool]()

    def begin(self) -> None:
        """Count the start of a piece of work."""
        self._count += 1

    def end(self) -> None:
        """Count the end of a piece of work."""
        self._count -= 1
        if self._count == 0:
            self._idle.send(True)

    def idle(self, seconds: float, clock: IReactorTime) -> Deferred[bool]:
        """Return a Deferred that fires with True when no work is in progress, or with False after ``seconds``."""
        if self._count == 0:
            return succeed(True)
        return self._idle.wait().addTimeout(seconds, clock, onTimeoutCancel=lambda *_: False)


def klein_routes(routes: Sequence[Route]) -> IResource:
    """Return routes as a resource for twisted.web. A route of GET also answers HEAD."""
    app = Klein()
    app.handle_errors(Exception)(_failed)
    for route in routes:
        app.route(route.path, methods=[route.method], endpoint=route.name)(_endpoint(route))
    return app.resource()


def _endpoint(route: Route) -> Callable[..., Coroutine[Deferred[Any], Any, bytes]]:
    async def answer(request: Request, **parts: str) -> bytes:
        request.route = route.name
        work = route.handler(request, **parts)
        # Klein cancels this coroutine when its client disconnects. A change finishes nevertheless.
        reply = await (work if route.method == "GET" else shield(work))
        return sent(request, route.status, reply if isinstance(reply, bytes) else json.of(reply), route.headers)

    return answer


def _failed(request: Any, failure: Failure) -> bytes:
    return json_response(request, *error_reply(request, failure))


class Router(Resource):
    """The resource for all paths. It passes at most ``most`` counted requests at a time to the routes.

    ``changed`` is called after each request that may have changed something. ``by_klein`` makes a resource of all
    routes. ``ending``: the service is about to stop, and connections are closed after their answer.
    """

    isLeaf = True
    ending = False

    def __init__(
        self,
        table: Sequence[Row],
        in_flight: RequestsInFlight,
        most: int,
        changed: Callable[[], None] = lambda: None,
        *,
        by_klein: Callable[[Sequence[Route]], IResource] = klein_routes,
    ) -> None:
        super().__init__()
        self._in_flight = in_flight
        self._most = most
        self._inside = 0
        self._changed = changed
        rows = [self._finishing(row) if isinstance(row, Route) and row.method != "GET" else row for row in table]
        self._klein = by_klein([row for row in rows if isinstance(row, Route)])
        self._rows: dict[Parts, list[tuple[int, Row]]] = {}
        for row in rows:
            parts = segments(row.path.encode()) or ()
            fixed = tuple(takewhile(lambda part: not part.startswith("<"), parts))
            self._rows.setdefault(fixed, []).append((len(parts), row))
        self._cached = lru_cache(maxsize=1000)(self._find)  # most clients request paths that others requested before

    def render(self, request: Request) -> bytes | int:
        """Answer the request, in most cases later."""
        self._in_flight.begin()
        request.notifyFinish().addBoth(self._finished, request)
        if self.ending:
            request.channel.persistent = False
            request.setHeader("Connection", "close")
        target = self._target(request.path)
        if target is None:
            request.write(json_response(request, 404, {"ok": False}))
            request.finish()
            return NOT_DONE_YET
        if target.flags.counted:
            if self._inside >= self._most:
                request.setHeader("Retry-After", "1")
                return json_response(request, 503, BUSY)
            self._inside += 1
            request.inside = True
        if target.mount is not None:
            return target.mount.answer(request, target.rest)
        route = target.fast.get(request.method)
        if route is not None:
            Deferred.fromCoroutine(self._answer(request, route, target.rest))
            return NOT_DONE_YET
        request.prepath, request.postpath = [], [part.encode() for part in target.parts]
        answer: bytes | int = self._klein.render(request)
        return answer

    def is_rate_limited(self, path: bytes) -> bool:
        """Return whether requests to a path count for the limit on the rate."""
        target = self._target(path)
        return target is None or target.flags.rate_limited

    async def _answer(self, request: Request, route: Route, parts: Parts) -> None:
        """Answer a request by the short way."""
        request.route = route.name
        try:
            reply = await route.handler(request, *parts)
            status, body = route.status, reply if isinstance(reply, bytes) else json.of(reply)
        except Exception:
            status, body = error_reply(request, Failure())
        if not request.gone:
            request.answer(status, json.HEAD, body)

    def _finished(self, _: object, request: Request) -> None:
        self._inside -= request.inside
        self._in_flight.end()

    def _finishing(self, route: Route) -> Route:
        """Return a route that changes something: the service does not stop before its handler has ended."""

        async def handler(request: Request, *args: str, **parts: str) -> Json | bytes:
            self._in_flight.begin()
            try:
                return await route.handler(request, *args, **parts)
            finally:
                self._changed()
                self._in_flight.end()

        return attrs.evolve(route, handler=handler)

    def _target(self, path: bytes) -> PathTarget | None:
        return self._cached(path) if len(path) <= MAX_CACHED_LENGTH else self._find(path)

    def _find(self, path: bytes) -> PathTarget | None:
        """Return what a path leads to; None for a path that no route can have."""
        parts = segments(path)
        if parts is None:
            return None
        found = None
        if parts[: len(PREFIX)] == PREFIX:
            found = self._match(parts[len(PREFIX) :], with_prefix=True)
        return found or self._match(parts) or PathTarget(parts)

    def _match(self, parts: Parts, with_prefix: bool = False) -> PathTarget | None:
        """Return the target of the rows that have this path, those with the most fixed parts first."""
        for count in range(len(parts), -1, -1):
            rows = [
                row
                for length, row in self._rows.get(parts[:count], ())
                if (length == len(parts) or (isinstance(row, Mount) and row.below)) and not (with_prefix and row.bare)
            ]
            if rows:
                mount = rows[0] if isinstance(rows[0], Mount) else None
                fast = {row.method.encode(): row for row in rows if isinstance(row, Route) and row.fast}
                return PathTarget(parts, parts[count:], rows[0], mount, fast)
        return None


def segments(path: bytes) -> Parts | None:
    """Return the decoded parts of a path without empty ones; None for a path that no route can have.

    A plus is not decoded to a space. An encoded slash in a part is not a separator, and no name contains one.
    """
    if not path.startswith(b"/"):
        return None
    try:
        parts = tuple(unquote_to_bytes(part).decode() for part in path.split(b"/") if part)
    except UnicodeDecodeError:
        return None
    return None if any("/" in part or "\0" in part for part in parts) else parts
