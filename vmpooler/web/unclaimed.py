"""Returns VMs to ready when their clients never received them.

Note [A checkout whose client got no answer]

A client that disconnects before its answer is sent keeps no VM: its checkout finishes, and then its VMs are returned.
The kernel is asked about the connection before the answer is written, because a process that was suspended has not
noticed the disconnect yet. When Redis's answer to a checkout is lost, it is unknown whether VMs were taken: the
checkout is recorded here until Redis answers again, and the event stream then names the VMs that it took.

Not covered: this process dies before that, or a client closes the connection, or its machine disappears without closing
it, while its answer is in transit. Such a VM stays running until its lifetime ends.
"""

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import StoreAway, VmpoolerError
from vmpooler.store.commands.checkouts import Checkouts, Given
from vmpooler.store.stream import order
from vmpooler.web.http.router import RequestsInFlight

RETRY_DELAY = 0.5
"""Seconds before the next attempt."""

MAX_RETRY_DELAY = 30.0
"""Maximum seconds before the next attempt, when Redis refuses to read or to return VMs."""

LATE_ARRIVAL = 5.0
"""Seconds after Redis answers again in which a command sent before may still arrive."""


@attrs.define
class Debt:
    """A checkout of unknown outcome.

    Its event follows the event with the id ``after``. ``answered`` is the time of the first successful search for its
    event, by ``clock``.
    """

    after: str
    why: str
    answered: float | None = None


class UnclaimedVms:
    """Returns VMs that no client received."""

    log = Logger()

    def __init__(
        self, checkouts: Checkouts, clock: IReactorTime, wall: Callable[[], float], in_flight: RequestsInFlight
    ) -> None:
        self._checkouts = checkouts
        self._clock = clock
        self._wall = wall
        self._in_flight = in_flight
        self._owed: dict[str, Debt] = {}
        self._settling: Deferred[None] | None = None

    async def now(self, given: Iterable[Given], checkout_id: str, after: str, why: str) -> None:
        """Return these VMs to ready; if Redis is unavailable or refuses, do so later."""
        try:
            for each in given:
                await self._checkouts.give_back(each.pool, each.vm, checkout_id, why, self._wall())
        except VmpoolerError:
            self.later(checkout_id, after, why)

    def later(self, checkout_id: str, after: str, why: str) -> None:
        """Return the VMs that this checkout may have taken, as soon as Redis answers."""
        self._owed[checkout_id] = Debt(after, why)
        self.log.warn("[!] a checkout of unknown outcome: its VMs go back when Redis answers ({why})", why=why)
        if self._settling is None:
            self._settling = Deferred.fromCoroutine(self._settle())

    def stop(self) -> None:
        """Stop: VMs of checkouts that are still open stay running until their lifetime ends."""
        if self._settling is not None:
            self._settling.cancel()

    async def _settle(self) -> None:
        self._in_flight.begin()
        try:
            pause = RETRY_DELAY
            while self._owed:
                await deferLater(self._clock, pause)
                pause = await self._try(pause)
        except CancelledError:
            self.log.warn("[!] VMs of {count} checkouts without an answer may be left", count=len(self._owed))
        finally:
            self._settling = None
            self._in_flight.end()

    async def _try(self, pause: float) -> float:
        """Search once, ``pause`` seconds after the last search, and return the seconds before the next one.

        A checkout whose VMs Redis refuses to return stays recorded; this is logged once, until a search succeeds.
        """
        try:
            await self._search()
        except StoreAway:
            return pause
        except CancelledError:
            raise
        except Exception:
            if pause == RETRY_DELAY:
                self.log.failure("[!] VMs of {count} checkouts cannot be given back now", count=len(self._owed))
            return min(2 * pause, MAX_RETRY_DELAY)
        return RETRY_DELAY

    async def _search(self) -> None:
        """Return the VMs that are found to ready.

        After all are processed, raise the first error with which Redis refused one.
        """
        owed, refused = dict(self._owed), dict[str, VmpoolerError]()
        taken = await self._checkouts.taken_by(owed, min((debt.after for debt in owed.values()), key=order))
        now = self._clock.seconds()
        for each in taken:
            try:
                why = owed[each.checkout_id].why
                await self._checkouts.give_back(each.pool, each.vm, each.checkout_id, why, self._wall())
            except StoreAway:
                raise
            except VmpoolerError as fault:
                refused[each.checkout_id] = fault
        found = {each.checkout_id for each in taken}
        for checkout_id, debt in owed.items():
            debt.answered = now if debt.answered is None else debt.answered
            if checkout_id not in refused and (checkout_id in found or now - debt.answered >= LATE_ARRIVAL):
                del self._owed[checkout_id]
        if refused:
            raise next(iter(refused.values()))
