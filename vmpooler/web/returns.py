"""VMs whose clients never got them go back to ready.

Note [A checkout that nobody heard of]

A client that hangs up before its answer is there keeps no VM: its checkout is let finish, then given back. An answer
that Redis could not deliver leaves open whether VMs were taken: the checkout is remembered here until Redis answers
again, and the event stream tells what it took.

Not covered: this process dies in between, or a client's machine vanishes without a word while its answer is on the
wire. Such a VM lives out its lifetime.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.checkout import Given
from vmpooler.domain.errors import StoreAway
from vmpooler.store.checkouts import Checkouts
from vmpooler.web.under_way import UnderWay

AGAIN = 0.5
"""Seconds before the next look."""

LATE = 5.0
"""Seconds after Redis answers again in which a command sent before may still arrive."""


@attrs.define
class Debt:
    """A checkout of unknown outcome, sent at ``since``. ``answered`` is when Redis first said that it took nothing."""

    since: float
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

    async def now(self, given: Iterable[Given], checkout_id: str, since: float, why: str) -> None:
        """Give these back; later, if Redis is away."""
        try:
            for each in given:
                await self._checkouts.give_back(each.pool, each.vm, checkout_id, why, self._wall())
        except StoreAway:
            self.later(checkout_id, since, why)

    def later(self, checkout_id: str, since: float, why: str) -> None:
        """Give back what this checkout may have taken, as soon as Redis answers."""
        self._owed[checkout_id] = Debt(since, why)
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
            while self._owed:
                await deferLater(self._clock, AGAIN)
                with suppress(StoreAway):
                    await self._look()
        except CancelledError:
            self.log.warn("[!] VMs of {count} checkouts that nobody heard of may be left", count=len(self._owed))
        except Exception:
            self.log.failure("[!] cannot give back the VMs of {count} checkouts", count=len(self._owed))
            self._owed.clear()
        finally:
            self._settling = None
            self._under_way.end()

    async def _look(self) -> None:
        owed = dict(self._owed)
        taken = await self._checkouts.taken_by(owed, min(debt.since for debt in owed.values()))
        now = self._clock.seconds()
        for each in taken:
            await self._checkouts.give_back(
                each.pool, each.vm, each.checkout_id, owed[each.checkout_id].why, self._wall()
            )
        found = {each.checkout_id for each in taken}
        for checkout_id, debt in owed.items():
            debt.answered = debt.answered or now
            if checkout_id in found or now - debt.answered >= LATE:
                del self._owed[checkout_id]
