"""Routes over klein, for the requests that do not use the short way of the router."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from vmpooler.deferreds import shield
from vmpooler.web.http import json
from vmpooler.web.http.errors import error_reply
from vmpooler.web.http.router import Route
from vmpooler.web.http.server import Request, json_response, sent


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
