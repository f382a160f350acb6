"""VMs whose clients never got them go back to ready.

Note [A checkout that nobody heard of]

A client that hangs up before its answer is there keeps no VM: its checkout is let finish, then given back. The kernel
is asked for that before the answer is written: a process that was stopped meanwhile has not noticed yet. An answer
that Redis could not deliver leaves open whether VMs were taken: the checkout is remembered here until Redis answers
again, and the event stream names what it took.

Not covered: this process dies in between, or a client closes, or its machine vanishes without a word, while its answer
is on the wire. Such a VM lives out its lifetime.
"""

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.checkout import Given
from vmpooler.domain.errors import StoreAway, VmpoolerError
from vmpooler.store.checkouts import Checkouts
from vmpooler.store.stream import order
from vmpooler.web.under_way import UnderWay

AGAIN = 0.5
"""Seconds before the next look."""

LONGEST = 30.0
"""Seconds before the next look at the most, when Redis refuses to look or to give back."""

LATE = 5.0
"""Seconds after Redis answers again in which a command sent before may still arrive."""


@attrs.define
class Debt:
    """A checkout of unknown outcome, whose event comes after the one with the id ``after``. ``answered``: when, by the
    clock of intervals, Redis first said that it took nothing."""

    after: str
    why: str
    answered: float | None = None


class Returns:
    """Gives back what no client has."""

    log = Logger()

    def __init__(
        self, checkouts: Checkouts, clock: IReactorTime, wall: Callable[[], float], under_way: UnderWay
    ) -> None:
        self._checkouts = checkouts
        self._clock = clock
        self._wall = wall
        self._under_way = under_way
        self._owed: dict[str, Debt] = {}
        self._settling: Deferred[None] | None = None

    async def now(self, given: Iterable[Given], checkout_id: str, after: str, why: str) -> None:
        """Give these back; later, if Redis is away or refuses."""
        try:
            for each in given:
                await self._checkouts.give_back(each.pool, each.vm, checkout_id, why, self._wall())
        except VmpoolerError:
            self.later(checkout_id, after, why)

    def later(self, checkout_id: str, after: str, why: str) -> None:
        """Give back what this checkout may have taken, as soon as Redis answers."""
        self._owed[checkout_id] = Debt(after, why)
        self.log.warn("[!] a checkout of unknown outcome: its VMs go back when Redis answers ({why})", why=why)
        if self._settling is None:
            self._settling = Deferred.fromCoroutine(self._settle())

    def stop(self) -> None:
        """Give up: VMs of checkouts that are still open live out their lifetime."""
        if self._settling is not None:
            self._settling.cancel()

    async def _settle(self) -> None:
        self._under_way.begin()
        try:
            pause = AGAIN
            while self._owed:
                await deferLater(self._clock, pause)
                pause = await self._looked(pause)
        except CancelledError:
            self.log.warn("[!] VMs of {count} checkouts that nobody heard of may be left", count=len(self._owed))
        finally:
            self._settling = None
            self._under_way.end()

    async def _looked(self, pause: float) -> float:
        """Look once, ``pause`` seconds after the last time; the seconds before the next. What Redis refuses stays owed;
        that is logged once, until a look succeeds."""
        try:
            await self._look()
        except StoreAway:
            return pause
        except CancelledError:
            raise
        except Exception:
            if pause == AGAIN:
                self.log.failure("[!] VMs of {count} checkouts cannot be given back now", count=len(self._owed))
            return min(2 * pause, LONGEST)
        return AGAIN

    async def _look(self) -> None:
        """Give back what is found. Raises what Redis refused last, when all else is done."""
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
            if checkout_id not in refused and (checkout_id in found or now - debt.answered >= LATE):
                del self._owed[checkout_id]
        if refused:
            raise next(iter(refused.values()))
