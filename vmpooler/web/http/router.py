"""Maps the path of a request to its route."""

from functools import lru_cache
from urllib.parse import unquote_to_bytes

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from vmpooler.web.http.api import json_response, sent
from vmpooler.web.http.in_flight import RequestsInFlight
from vmpooler.web.http.request import Request
from vmpooler.web.http.static_files import Files

PREFIX = ["api", "v1"]
"""Every route is also reachable without it, and no redirect adds it. Source: docs/compatibility.md#bare-routes."""

PAGE = "dashboard"

APART = (["api"], [PAGE])
"""Paths that are not part of the API, and only reachable without the prefix."""

EVENTS = (["events"], [PAGE, "events"])

DATA = (["stats"], ["history"], ["pools"], ["vms"])
"""Paths below the page's path that return data, not files."""


FREE = (["healthz"], ["readyz"])
"""Health checks, which are exempt from the limits on requests."""

BUSY = {"ok": False, "message": "as many requests as may be (limits.requests) are under way"}


MAX_CACHED_LENGTH = 200
"""Maximum length in bytes of a path whose parts are cached: this bounds the cache."""


class Router(Resource):
    """The resource for all paths: it normalizes them, and passes at most ``most`` requests at a time to the routes.

    ``ending``: the service is about to stop, and connections are closed after their answer.
    """

    isLeaf = True
    ending = False

    def __init__(
        self, routes: IResource, events: Resource, page: Files, under_way: RequestsInFlight, most: int
    ) -> None:
        super().__init__()
        self._most = most
        self._inside = 0
        self._routes = routes
        self._events = events
        self._page = page
        self._under_way = under_way

    def render(self, request: Request) -> bytes | int:
        """Answer the request, in most cases later."""
        self._under_way.begin()
        request.notifyFinish().addBoth(self._over, request)
        if self.ending:
            request.channel.persistent = False
            request.setHeader("Connection", "close")
        parts = segments(request.path)
        if parts is None:
            request.write(json_response(request, 404, {"ok": False}))
            request.finish()
            return NOT_DONE_YET
        if parts[:2] == PREFIX and parts[2:3] not in APART:
            parts = parts[2:]
        elif request.method in (b"GET", b"HEAD") and (not parts or (parts == [PAGE] and request.path[-1:] != b"/")):
            return moved(request, f"{PAGE}/")
        if parts in EVENTS:
            listening: int = self._events.render(request)
            return listening
        if parts[:1] == [PAGE] and parts[1:2] not in DATA:
            return self._page.answer(request, parts[1:])
        if parts not in FREE:
            if self._inside >= self._most:
                request.setHeader("Retry-After", "1")
                return json_response(request, 503, BUSY)
            self._inside += 1
            request.inside = True
        request.prepath, request.postpath = [], [part.encode() for part in parts]
        answer: bytes | int = self._routes.render(request)
        return answer

    def _over(self, _: object, request: Request) -> None:
        self._inside -= request.inside
        self._under_way.end()


def is_free(path: bytes) -> bool:
    """Return whether a path is exempt from the rate limit: the page's files and the health checks.

    They cost almost nothing and must always be reachable.
    """
    parts = segments(path) or []
    if parts[:1] == [PAGE]:
        return parts[1:2] not in (*DATA, ["events"])
    return (parts[2:] if parts[:2] == PREFIX else parts) in FREE


def moved(request: Request, where: str) -> bytes:
    """Redirect browsers to the page.

    ``where`` is relative, because the service may run behind a path of another server.
    """
    return sent(request, 302, b"", {"Location": where})


def segments(path: bytes) -> list[str] | None:
    """Return the decoded parts of a path without empty ones; None for a path that no route can have.

    A plus is not decoded to a space. An encoded slash in a part is not a separator, and no name contains one.
    """
    parts = _segments(path) if len(path) <= MAX_CACHED_LENGTH else _decoded(path)
    return None if parts is None else [*parts]


@lru_cache(maxsize=1000)
def _segments(path: bytes) -> list[str] | None:
    """Decode a path. The result is cached, because most clients request paths that others requested before."""
    return _decoded(path)


def _decoded(path: bytes) -> list[str] | None:
    if not path.startswith(b"/"):
        return None
    try:
        parts = [unquote_to_bytes(part).decode() for part in path.split(b"/") if part]
    except UnicodeDecodeError:
        return None
    return None if any("/" in part or "\0" in part for part in parts) else parts
