"""From the path of a request to the routes."""

from urllib.parse import unquote_to_bytes

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from vmpooler.web.events import Events
from vmpooler.web.files import Files
from vmpooler.web.json_app import sent, written
from vmpooler.web.request import Request
from vmpooler.web.under_way import UnderWay

PREFIX = ["api", "v1"]
"""Every route is also reachable without it, and no redirect leads there. Source: API-CONTRACT 4."""

PAGE = "dashboard"

APART = (["api"], [PAGE])
"""What is not of the API, and only reachable without it."""

EVENTS = (["events"], [PAGE, "events"])

DATA = (["stats"], ["history"], ["pools"], ["vms"])
"""What below the page's path is data, and no file."""


class Root(Resource):
    """All paths: it makes them plain, and hands them to the routes.

    ``ending``: the service is about to end, and connections are closed after their answer.
    """

    isLeaf = True
    ending = False

    def __init__(self, routes: IResource, events: Events, page: Files, under_way: UnderWay) -> None:
        super().__init__()
        self._routes = routes
        self._events = events
        self._page = page
        self._under_way = under_way

    def render(self, request: Request) -> bytes | int:
        """Answer, later mostly."""
        self._under_way.begin()
        request.notifyFinish().addBoth(lambda _: self._under_way.end())
        if self.ending:
            request.channel.persistent = False
            request.setHeader("Connection", "close")
        parts = segments(request.path)
        if parts is None:
            request.write(written(request, 404, {"ok": False}))
            request.finish()
            return NOT_DONE_YET
        if parts[:2] == PREFIX and parts[2:3] not in APART:
            parts = parts[2:]
        elif request.method in (b"GET", b"HEAD") and (not parts or (parts == [PAGE] and request.path[-1:] != b"/")):
            return moved(request, f"{PAGE}/")
        if parts in EVENTS:
            return self._events.render(request)
        if parts[:1] == [PAGE] and parts[1:2] not in DATA:
            return self._page.answer(request, parts[1:])
        request.prepath, request.postpath = [], [part.encode() for part in parts]
        answer: bytes | int = self._routes.render(request)
        return answer


def moved(request: Request, where: str) -> bytes:
    """Lead people to the page; ``where`` is relative, for the service may stand behind a path of another server."""
    return sent(request, 302, b"", {"Location": where})


def segments(path: bytes) -> list[str] | None:
    """The parts of a path, decoded; empty ones count for nothing. None for a path that no route can have.

    A plus stays a plus. A slash inside a part is one, not a border between two: no name has it.
    """
    if not path.startswith(b"/"):
        return None
    try:
        parts = [unquote_to_bytes(part).decode() for part in path.split(b"/") if part]
    except UnicodeDecodeError:
        return None
    return None if any("/" in part or "\0" in part for part in parts) else parts
