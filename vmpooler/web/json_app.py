"""Klein for JSON: handlers take data and return data, and one table says what an error is as a status."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
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
    StoreAway,
    TokenNeeded,
    Unfit,
    UnknownPools,
)
from vmpooler.web import text
from vmpooler.web.request import Request
from vmpooler.web.text import Json

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
    HTTPException: 404,  # no such route, or not with this method
    PoolEmpty: 503,
    StoreAway: 503,
    AuthAway: 503,
}
"""What each error is as a status; any other is a defect, and 500."""

TOLD = (Invalid, NotYours, StoreAway, AuthAway)
"""The errors whose text is told. To the others clients know one answer. Source: API-CONTRACT 0."""

CHALLENGE = 'Basic realm="Authentication required"'
"""What comes with every 401. Source: CLIENTS.md 3, trap 8."""

Handler = Callable[..., Awaitable[Json | bytes]]
"""Bytes are JSON already."""


class JsonApp:
    """Routes whose handlers are coroutines that take the request and the parts of its path, and return JSON."""

    log = Logger()

    def __init__(self) -> None:
        self._klein = Klein()
        self._klein.handle_errors(Exception)(self._failed)

    def route(self, method: str, path: str, handler: Handler, status: int = 200) -> None:
        """Have ``handler`` answer, with ``status`` when nothing is wrong; a handler of GET also answers HEAD."""

        async def answer(request: Request, **parts: str) -> bytes:
            request.told = f"{method} {path}"
            return written(request, status, await handler(request, **parts))

        self._klein.route(path, methods=[method], endpoint=f"{method} {path}")(answer)

    def document(self, path: str, body: Callable[[], bytes], headers: Mapping[str, str]) -> None:
        """Have what ``body`` gives answer GET and HEAD. It is not made before somebody asks."""

        def answer(request: Request) -> bytes:
            return sent(request, 200, body(), headers)

        self._klein.route(path, methods=["GET"], endpoint=f"GET {path}")(answer)

    def resource(self) -> IResource:
        """All routes, for twisted.web."""
        return self._klein.resource()

    def _failed(self, request: Any, failure: Failure) -> bytes:
        status = next((STATUS[kind] for kind in STATUS if failure.check(kind)), 500)
        reply: dict[str, Any] = {"ok": False}
        if status == 500:
            self.log.failure("[!] {request} failed", failure, request=request.told)
            reply["message"] = "internal error"
        elif failure.check(*TOLD):
            reply["message"] = failure.getErrorMessage()
        elif isinstance(failure.value, Unfit) and failure.value.failures:
            reply["failure"] = failure.value.failures
        if status == 401:
            request.setHeader("WWW-Authenticate", CHALLENGE)
        return written(request, status, reply)


def written(request: Request, status: int, reply: Json | bytes) -> bytes:
    """The reply as bytes, its status and headers set."""
    return sent(request, status, reply if isinstance(reply, bytes) else text.of(reply), text.HEADERS)


def sent(request: Request, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A body, its status and headers set."""
    request.setResponseCode(status)
    for name, value in headers.items():
        request.setHeader(name, value)
    request.setHeader("Content-Length", str(len(body)))
    return body
