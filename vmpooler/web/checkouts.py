"""Checkout and completion of VMs."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count

from twisted.internet.interfaces import IReactorTime

from vmpooler.domain.admission import FREE, Admission, Need
from vmpooler.domain.checkout import Given, Wanted
from vmpooler.domain.errors import PoolEmpty, StoreAway
from vmpooler.domain.names import Choice, random_name
from vmpooler.settings import Settings
from vmpooler.store.commands.checkouts import Checkouts
from vmpooler.store.redis.client import Connection
from vmpooler.store.stream import BEFORE_ALL
from vmpooler.web.http.router import RequestsInFlight
from vmpooler.web.http.server import Request
from vmpooler.web.unclaimed import UnclaimedVms

PREFIX_LENGTH = 20
"""Length in characters of the random prefix of all checkout ids of this process.

A number makes each id unique. A fully random id costs 70 µs, a third of a checkout.
"""

NOTE_INTERVAL = 1.0
"""Minimum seconds between two notes in Redis that clients wait for the same pool."""


class CheckoutService:
    """Checks out and completes VMs."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        under_way: RequestsInFlight,
        clock: IReactorTime,
        wall: Callable[[], float],
        choice: Choice,
    ) -> None:
        self._checkouts = Checkouts(connection, settings)
        self._returns = UnclaimedVms(self._checkouts, clock, wall, under_way)
        self._auth = settings.auth
        self._clock = clock
        self._wall = wall
        self._series = random_name(choice, PREFIX_LENGTH)
        self._numbers = count(1)
        self._hurried: dict[str, float] = {}
        self._newest = BEFORE_ALL

    def saw(self, newest: str) -> None:
        """Callback of the event stream's reader: store the id of the newest event."""
        self._newest = newest

    async def check_out(self, request: Request, wanted: list[Wanted]) -> list[Given]:
        """Check out all VMs that are wanted, for the client of this request.

        If the client disconnects in the meantime, all VMs return to ready.
        """
        checkout_id, now = f"{self._series}{next(self._numbers):012}", self._wall()
        newest = self._newest  # the events of this checkout follow it
        token = None if self._auth is None else request.token
        try:
            given = await self._checkouts.checkout(wanted, checkout_id, token, now)
        except StoreAway as away:
            if away.sent:
                self._returns.later(checkout_id, newest, "its client was told that Redis is away")
            raise
        except PoolEmpty:
            await self._hurry(wanted)
            raise
        if await request.hung_up():
            await self._returns.now(given, checkout_id, newest, "its client hung up")
        return given

    async def complete(self, request: Request, pool: str, vm: str) -> None:
        """Complete a VM: the client of this request no longer needs it."""
        await self._checkouts.complete(pool, vm, self.admission(request), self._wall())

    def admission(self, request: Request, need: Need = Need.WHERE_TAKEN) -> Admission:
        """Return what the client of this request must present to change a VM: nothing, if no auth is configured."""
        if self._auth is None:
            return FREE
        own = self._auth.owner_only
        return Admission(request.token, Need.WHERE_TAKEN if own and need is Need.NEVER else need, own)

    def close(self) -> None:
        """Stop returning VMs to ready."""
        self._returns.stop()

    async def _hurry(self, wanted: list[Wanted]) -> None:
        """Give empty pools priority for the next clones.

        Redis is updated at most once in ``NOTE_INTERVAL`` seconds for each pool.
        """
        now = self._clock.seconds()
        pools = sorted(
            {pool for each in wanted for pool in each.pools if now >= self._hurried.get(pool, 0) + NOTE_INTERVAL}
        )
        if pools:
            self._hurried |= dict.fromkeys(pools, now)
            with suppress(StoreAway):
                await self._checkouts.hurry(pools, self._wall())
