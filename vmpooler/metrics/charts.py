"""Reads the history of the pools from Graphite, for the time before this service stored its own samples."""

from typing import Any, NoReturn
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone

from vmpooler.deferreds import Slots, shield
from vmpooler.domain import graphite
from vmpooler.domain.graphite import NOTHING, SeriesOfPools
from vmpooler.settings import Graphs

TIMEOUT = 3.0
"""Seconds within which a response must be complete."""

LARGEST = 4 << 20
"""The most bytes of a response; that of 200 pools takes a quarter of it."""

POINTS = 2
"""Points that are requested for each step: a single point could fall outside the step."""

CACHE_SECONDS = 60.0
"""Seconds for which a response about all pools is cached, and for which a server that failed is not asked again."""


class Charts:
    """Reads past numbers of VMs from Graphite's web server. On any failure it returns no data and raises no error."""

    log = Logger()

    def __init__(self, settings: Graphs | None, pools: list[str], reactor: Any) -> None:
        self._prefix = settings.prefix if settings else ""
        server = settings.server if settings else ""
        self._where = server if not server or "://" in server else f"http://{server}"
        self._pools = pools
        self._reactor = reactor
        self._agent = Agent(reactor, connectTimeout=TIMEOUT)
        self._one_at_a_time = Slots()
        self._away_until = 0.0
        self._away = False
        self._kept: dict[str, tuple[float, SeriesOfPools]] = {}

    async def read(self, range: str, steps: int, pool: str | None = None) -> SeriesOfPools:
        """Return ``steps`` steps of the last ``range`` (1h, 24h, 7d) of all pools or one, where Graphite has data.

        A read whose caller has gone ends by itself: its end by the caller would look like an error of Graphite.
        """
        if not self._where:
            return NOTHING
        async with self._one_at_a_time:
            now = self._reactor.seconds()
            if now < self._away_until:
                return NOTHING
            if pool is not None:
                return await shield(self._asked(range, steps, [pool]))
            self._kept = {each: kept for each, kept in self._kept.items() if now - kept[0] < CACHE_SECONDS}
            if range not in self._kept:
                self._kept[range] = (now, await shield(self._asked(range, steps, self._pools)))
            return self._kept[range][1]

    async def _asked(self, range: str, steps: int, pools: list[str]) -> SeriesOfPools:
        targets = [("target", target) for target in graphite.targets(self._prefix, pools)]
        query = [*targets, ("from", f"-{range}"), ("format", "json"), ("maxDataPoints", str(POINTS * steps))]
        url = f"{self._where.rstrip('/')}/render?{urlencode(query)}"
        try:
            answer = await Deferred.fromCoroutine(self._answer(url)).addTimeout(TIMEOUT, self._reactor, _too_late)
            found = graphite.parsed(answer, self._prefix)
        except Exception as error:  # charts work without this data, whatever the error is
            self._away_until = self._reactor.seconds() + CACHE_SECONDS
            self._log_away(str(error) or type(error).__name__)
            return NOTHING
        self._log_away(None)
        return found

    async def _answer(self, url: str) -> bytes:
        response = await self._agent.request(b"GET", url.encode())
        body = _Body()
        response.deliverBody(body)
        if response.code != 200:
            body.stop()
            raise ValueError(f"it answered {response.code}")
        return await body.whole

    def _log_away(self, why: str | None) -> None:
        """Log once that the server is away, and once that it is back."""
        if why is not None and not self._away:
            text = "[!] Graphite at {where} returns no history, charts show only our own: {why}"
            self.log.warn(text, where=self._where, why=why)
        elif why is None and self._away:
            self.log.info("[*] Graphite at {where} returns its history again", where=self._where)
        self._away = why is not None


def _too_late(_: object, seconds: float) -> NoReturn:
    raise TimeoutError(f"it took longer than {seconds:g} s")


class _Body(Protocol):
    """The body of a response; ``whole`` fires with it, or fails with ValueError when it is too large or cut off."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.whole: Deferred[bytes] = Deferred(lambda _: self.stop())

    def stop(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Append data; fail and close the connection when the body is too large."""
        self._bytes += data
        if len(self._bytes) > LARGEST and not self.whole.called:
            self.whole.errback(ValueError(f"its answer is larger than {LARGEST} bytes"))
            self.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fire ``whole``, or fail it when the body is incomplete."""
        if self.whole.called:
            return
        if reason.check(ResponseDone):
            self.whole.callback(bytes(self._bytes))
        else:
            self.whole.errback(ValueError("its answer was cut off"))
