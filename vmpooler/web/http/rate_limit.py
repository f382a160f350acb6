"""Rate limiting."""

from collections.abc import Callable
from math import ceil

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Limits
from vmpooler.store.commands.rate_limit import Rates
from vmpooler.web.http.client_address import ClientAddresses
from vmpooler.web.http.router import RequestsInFlight, Router
from vmpooler.web.http.server import Request, json_response


class RateLimit(Resource):
    """The resource in front of all paths, used when the operator limits the rate of requests.

    When Redis is unavailable, all requests pass: those that need Redis get a 503 later. ``tokens``: whether this
    service uses tokens.
    """

    isLeaf = True
    log = Logger()

    def __init__(
        self,
        root: Router,
        rates: Rates,
        limits: Limits,
        tokens: bool,
        in_flight: RequestsInFlight,
        wall: Callable[[], float],
    ) -> None:
        super().__init__()
        self._root = root
        self._rates = rates
        self._addresses = ClientAddresses(limits.trusted_proxies)
        self._rule = f"{limits.rate} requests may be made in {limits.rate_time:g} seconds"
        self._tokens = tokens
        self._in_flight = in_flight
        self._wall = wall

    def render(self, request: Request) -> bytes | int:
        """Answer the request, or pass it to the root, as soon as the rate is known."""
        if not self._root.is_rate_limited(request.path):
            return self._root.render(request)
        self._in_flight.begin()
        judging = Deferred.fromCoroutine(self._judge(request))
        judging.addErrback(request.processingFailed).addBoth(lambda _: self._in_flight.end())
        return NOT_DONE_YET

    async def _judge(self, request: Request) -> None:
        wait = await self._wait(request)
        if request.gone:
            return
        if wait:
            reply = {"ok": False, "message": f"{self._rule}: the next is possible in {wait} s"}
            body = json_response(request, 429, reply)
            request.setResponseCode(429, b"Too Many Requests")  # Twisted has no reason phrase for 429
            request.setHeader("Retry-After", str(wait))
            request.write(body)
            request.finish()
        else:
            request.render(self._root)

    async def _wait(self, request: Request) -> int:
        """Return the whole seconds until this request is allowed; 0 when it is allowed now."""
        token = request.token if self._tokens else None
        forwarded = request.requestHeaders.getRawHeaders(b"x-forwarded-for", ())
        client = self._addresses.of(request.getClientAddress(), forwarded)
        try:
            return ceil(await self._rates.wait(token or "", client, self._wall()))
        except StoreAway:
            return 0
        except Exception:
            self.log.failure("[!] the rate of requests cannot be limited")
            return 0
