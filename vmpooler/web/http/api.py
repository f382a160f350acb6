"""JSON over klein: handlers take and return data, and one table maps errors to statuses.

Note [The short way]

Klein and werkzeug cost more than everything else in an answer. So a hot route whose path has one or two parts is found
in a table instead. Its handler, its errors and its reply are the same. Requests that are not in the table, such as
HEAD, use klein.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import attrs
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException

from vmpooler.domain.errors import (
    AuthAway,
    Invalid,
    NoSuchToken,
    NoSuchVm,
    NothingToDelete,
    NotYours,
    PasswordNeeded,
    PoolEmpty,
    PoolGone,
    StoreAway,
    TokenNeeded,
    Unfit,
    UnknownPools,
)
from vmpooler.web.http import json
from vmpooler.web.http.in_flight import RequestsInFlight
from vmpooler.web.http.json import Json
from vmpooler.web.http.request import Request

STATUS: dict[type[Exception], int] = {
    Invalid: 400,
    Unfit: 400,
    PasswordNeeded: 401,
    TokenNeeded: 401,
    NothingToDelete: 401,
    NotYours: 403,
    NoSuchToken: 404,
    NoSuchVm: 404,
    UnknownPools: 404,
    PoolGone: 409,
    HTTPException: 404,  # no route with this path, or not with this method
    PoolEmpty: 503,
    StoreAway: 503,
    AuthAway: 503,
}
"""The status of each error. Any other error is a defect, and its status is 500."""

EXPLAINED = (Invalid, NotYours, PoolGone, StoreAway, AuthAway)
"""The errors whose text is sent. For the others, clients know only one answer. Source: docs/compatibility.md#errors."""

CHALLENGE = 'Basic realm="Authentication required"'
"""Sent with every 401. Source: docs/compatibility.md#client-traps."""

Handler = Callable[..., Coroutine[Deferred[Any], Any, Json | bytes]]
"""Returns data, or bytes that are JSON already."""


@attrs.frozen
class Route:
    """A handler, the status of its reply on success, and its name in the log."""

    name: str
    handler: Handler
    status: int


class JsonApp:
    """Routes whose handlers are coroutines that take the request and the parts of its path, and return JSON.

    ``hot``: whether routes may use the short way. ``under_way`` counts work in progress for clients.
    """

    log = Logger()

    def __init__(self, hot: bool = True) -> None:
        self.under_way = RequestsInFlight()
        self._klein = Klein()
        self._klein.handle_errors(Exception)(self._failed)
        self._may_be_hot = hot
        self._hot: dict[tuple[bytes, bytes, int], Route] = {}
        self._changed: Callable[[], None] = lambda: None

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Set the callback for the end of each request that may have changed something."""
        self._changed = listener

    def route(self, method: str, path: str, handler: Handler, status: int = 200, *, hot: bool = False) -> None:
        """Register ``handler``, with ``status`` for its reply on success.

        A handler of GET also answers HEAD. Any other handler finishes even if its client disconnects; klein alone would
        cancel it. ``hot``: see Note [The short way].
        """
        route = Route(f"{method} {path}", handler if method == "GET" else self._changing(handler), status)

        async def answer(request: Request, **parts: str) -> bytes:
            request.told = route.name
            work = route.handler(request, **parts)
            return json_response(request, status, await (work if method == "GET" else self.under_way.shielded(work)))

        self._klein.route(path, methods=[method], endpoint=route.name)(answer)
        if hot and self._may_be_hot:
            first, *rest = path.encode().removeprefix(b"/").split(b"/")
            self._hot[method.encode(), first, len(rest)] = route

    def document(self, path: str, body: Callable[[], bytes], headers: Mapping[str, str]) -> None:
        """Answer GET and HEAD with the result of ``body``. ``body`` is not called before a request."""

        def answer(request: Request) -> bytes:
            return sent(request, 200, body(), headers)

        self._klein.route(path, methods=["GET"], endpoint=f"GET {path}")(answer)

    def resource(self) -> IResource:
        """Return all routes as a resource for twisted.web."""
        return _Routes(self, self._klein.resource())

    def answer(self, request: Request) -> bool:
        """Answer a request that uses the short way. Returns False for any other request."""
        first, *rest = request.postpath or (b"",)
        route = self._hot.get((request.method, first, len(rest)))
        if route is None:
            return False
        request.told = route.name
        Deferred.fromCoroutine(self._answer(request, route, [part.decode() for part in rest]))
        return True

    def _changing(self, handler: Handler) -> Handler:
        async def changing(request: Request, *args: str, **parts: str) -> Json | bytes:
            try:
                return await handler(request, *args, **parts)
            finally:
                self._changed()

        return changing

    async def _answer(self, request: Request, route: Route, parts: Sequence[str]) -> None:
        self.under_way.begin()
        try:
            reply = await route.handler(request, *parts)
            status, body = route.status, reply if isinstance(reply, bytes) else json.of(reply)
        except Exception:
            status, body = self._failure(request, Failure())
        finally:
            self.under_way.end()
        if not request.gone:
            request.answer(status, json.HEAD, body)

    def _failed(self, request: Any, failure: Failure) -> bytes:
        return json_response(request, *self._failure(request, failure))

    def _failure(self, request: Request, failure: Failure) -> tuple[int, bytes]:
        """Return the status and the body for a failure."""
        status = next((STATUS[kind] for kind in STATUS if failure.check(kind)), 500)
        reply: dict[str, Any] = {"ok": False}
        if status == 500:
            self.log.failure("[!] {request} failed", failure, request=request.told)
            reply["message"] = "internal error"
        elif failure.check(*EXPLAINED):
            reply["message"] = failure.getErrorMessage()
        elif isinstance(failure.value, Unfit) and failure.value.failures:
            reply["failure"] = failure.value.failures
        if status == 401:
            request.setHeader("WWW-Authenticate", CHALLENGE)
        return status, json.of(reply)


class _Routes(Resource):
    """Answers by the short way where possible, else by klein."""

    isLeaf = True

    def __init__(self, app: JsonApp, klein: IResource) -> None:
        super().__init__()
        self._app = app
        self._klein = klein

    def render(self, request: Request) -> Any:
        """Answer the request, in most cases later."""
        return NOT_DONE_YET if self._app.answer(request) else self._klein.render(request)


def json_response(request: Request, status: int, reply: Json | bytes) -> bytes:
    """Set the status and headers of a reply, and return it as bytes."""
    return sent(request, status, reply if isinstance(reply, bytes) else json.of(reply), json.HEADERS)


def sent(request: Request, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Set the status and headers of a body, and return it."""
    request.setResponseCode(status)
    for name, value in headers.items():
        request.setHeader(name, value)
    request.setHeader("Content-Length", str(len(body)))
    return body
