"""From the path of a request to the routes."""

from urllib.parse import unquote_to_bytes

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from vmpooler.web.json_app import written
from vmpooler.web.request import Request
from vmpooler.web.under_way import UnderWay

PREFIX = ["api", "v1"]
"""Every route is also reachable without it, and no redirect leads there. Source: API-CONTRACT 4."""

APART = (["api"], ["dashboard"])
"""What is not of the API, and only reachable without it."""


class Root(Resource):
    """All paths: it makes them plain, and hands them to the routes.

    ``ending``: the service is about to end, and connections are closed after their answer.
    """

    isLeaf = True
    ending = False

    def __init__(self, routes: IResource, under_way: UnderWay) -> None:
        super().__init__()
        self._routes = routes
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
        request.prepath, request.postpath = [], [part.encode() for part in parts]
        answer: bytes | int = self._routes.render(request)
        return answer


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
