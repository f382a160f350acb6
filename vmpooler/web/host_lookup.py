"""Addresses of hosts, from the system's resolver."""

import re
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from vmpooler.deferreds import Signal

Resolve = Callable[[str], Deferred[str]]
"""Looks up the address of a host: the reactor's ``resolve``, which runs in a thread."""

LOOKUP_TIMEOUT = 1.0
"""Seconds that a client waits for an address."""

FRESH = 60.0
"""Seconds that a result is cached."""

ASKED_MOST = 4
"""Hosts that are looked up at the same time: a resolver that hangs blocks at most this many threads."""

KNOWN_MOST = 2000
"""Hosts that are cached."""

HOST = re.compile(r"[A-Za-z0-9_-]{1,63}")


@attrs.frozen
class LookupResult:
    """The result for a host; ``address`` is empty when it has none. ``until`` is when the result expires."""

    address: str
    until: float


class Lookup:
    """Looks up addresses, with a short timeout."""

    def __init__(self, resolve: Resolve, clock: IReactorTime) -> None:
        self._resolve = resolve
        self._clock = clock
        self._known: dict[str, LookupResult] = {}
        self._asked: dict[str, Signal[str]] = {}

    async def address(self, host: str) -> str:
        """Return the address of a host, given by its short name; empty when it is not found in time."""
        known = self._known.get(host)
        if known and known.until > self._clock.seconds():
            return known.address
        if not HOST.fullmatch(host) or (host not in self._asked and len(self._asked) >= ASKED_MOST):
            return ""
        if is_new := host not in self._asked:
            self._asked[host] = Signal()
        answer = self._asked[host].wait()
        if is_new:
            self._resolve(host).addBoth(self._answered, host)
        return await answer.addTimeout(LOOKUP_TIMEOUT, self._clock, onTimeoutCancel=lambda *_: "")

    def _answered(self, found: str | Failure, host: str) -> None:
        address = "" if isinstance(found, Failure) else found
        while len(self._known) >= KNOWN_MOST:
            del self._known[next(iter(self._known))]
        self._known[host] = LookupResult(address, self._clock.seconds() + FRESH)
        self._asked.pop(host).send(address)
