"""The leadership lease selects the leader among several managers; fencing rejects all commands of the others.

Note [Fencing]

To become leader, a manager takes the lease, a key in Redis that expires unless it is renewed. Each acquisition gets the
next epoch, which is stored with the manager's name and never expires. Only Redis's clock decides the expiry. A manager
counts its lease from the time before it sent the request, so by its own clock the lease ends before Redis releases it.
A lease that expired and that no other manager took is renewed like any other: a slow machine, or a Redis that was
unavailable, causes no change of leader.

A paused manager does not know that its lease has expired. So everything that it sends to Redis goes through
:class:`Fenced`, which puts a check in front of every script. The check rejects the script when the stored epoch is a
different one. So only one manager ever changes the data in Redis: the last one that took the lease.

The provider does not know epochs. Other rules bound what a manager can still do there when it resumes late:

- It checks that it leads (:meth:`Lease.assured`, and the provider's ``may_order`` immediately before it sends an
  order). The next points concern a pause in the microseconds after the check, and orders that were sent earlier.
- ``begin_clone`` records a clone before it is ordered. The clone counts as in flight until the next manager sees the
  VM, or has waited long enough for it. A VM that appears later still has our stamp: it is discovered, and destroyed
  after the grace period.
- A destruction concerns a VM in ``completed``. A VM leaves that queue only through ``forget``, and its name is not used
  again while its record exists. So the destruction is correct, no matter which manager executes it.
- A disk has the id of its request, and a snapshot has its name. If they already exist, they count as done.
  ``finish_task`` is fenced, and records once that a request is done.
- A revert could do harm, if the next manager has already executed it and the client continues to work. Only the check
  prevents this. An order that is delayed in the network for longer than the lease is not caught.
- A stamp with an outdated owner is detected, and rewritten, in a later round.

The same process never resumes the work of an ended term: it creates a new lease, providers and tasks for each term.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import NotLeading
from vmpooler.store import keys
from vmpooler.store.redis.protocol import Value
from vmpooler.store.redis.scripts import Argument, RedisCommands, Script, fenced, load

HOLDS = 3.0
"""Duration of a lease that is not renewed, in seconds. A takeover takes about as long. A leader that cannot reach Redis
sends no orders after this time."""

CHECK_INTERVAL = 0.1
"""Seconds between two checks whether an expired lease was renewed after all."""

KEYS = {"lease": keys.LEASE, "epoch": keys.EPOCH}


class Lease:
    """One term of one manager: the lease is taken, renewed, and ends.

    ``name`` is unique for each term, because a Redis that lost its data may issue an epoch again. ``holds``: duration
    of the lease in seconds. ``alone``: no other manager can use this Redis, so a lease found there was left by a dead
    process. All methods that access Redis raise StoreAway.
    """

    log = Logger()

    def __init__(
        self, connection: RedisCommands, clock: IReactorTime, name: str, *, holds: float = HOLDS, alone: bool = False
    ) -> None:
        self.mark = ""
        """Epoch and name of this term; empty before it starts."""
        self.other = ""
        """Epoch and name of the leader when the lease was last refused."""
        self.free_in = 0.0
        """Seconds until that leader's lease expires."""
        self.holds = holds
        self._connection = connection
        self._clock = clock
        self._name = name
        self._alone = alone
        self._until = 0.0
        self._over = False

    @property
    def leading(self) -> bool:
        """Whether this manager certainly leads: its lease has not expired by its own clock."""
        return bool(self.mark) and not self._over and self._clock.seconds() < self._until

    async def take(self) -> bool:
        """Take the lease and start the term. Returns False when another manager leads."""
        sent = self._clock.seconds()
        mark, left, beyond = await self._connection.run(
            load("take_lease"), **KEYS, name=self._name, holds=self._milliseconds, alone=int(self._alone)
        )
        if beyond:
            text = "[!] the lease of {other} would have held for {seconds:.0f} s too long: Redis's clock was set back"
            self.log.warn(text, other=mark, seconds=beyond / 1000)
        if left:
            self.other, self.free_in = mark, left / 1000
            return False
        self.mark, self._until = mark, sent + self.holds
        return True

    async def keep(self) -> bool:
        """Renew the lease. Returns False, and ends the term, when another manager has taken over."""
        sent = self._clock.seconds()
        if not await self._connection.run(load("keep_lease"), **KEYS, mark=self.mark, holds=self._milliseconds):
            self._over = True
            return False
        self._until = sent + self.holds
        return True

    async def drop(self) -> None:
        """End the term and release the lease, so that another manager can take it immediately."""
        self._over = True
        if self.mark:
            await self._connection.run(load("drop_lease"), **KEYS, mark=self.mark)

    async def ensure_leading(self) -> None:
        """Return when this manager certainly leads. Raises NotLeading when its term is over."""
        while not self.leading:
            if self._over:
                raise NotLeading("this manager does not lead any more")
            await deferLater(self._clock, CHECK_INTERVAL)

    def fence(self, refused: Callable[[], None]) -> "Fenced":
        """Return the fenced connection for this term, which must have started.

        ``refused`` is called when a command is rejected because the term is over.
        """
        return Fenced(self._connection, self.mark, refused)

    @property
    def _milliseconds(self) -> int:
        return int(self.holds * 1000)


class Fenced(RedisCommands):
    """The connection of a leader. When another manager leads, it rejects everything.

    Each call then calls ``refused`` and raises NotLeading.
    """

    def __init__(self, connection: RedisCommands, mark: str, refused: Callable[[], None]) -> None:
        self._connection = connection
        self._mark = mark
        self._refused = refused

    async def call(self, *command: Value) -> Any:
        """Send one command and return its reply."""
        return await self.run(load("command"), command=command)

    async def run(self, script: Script, /, **values: Argument) -> Any:
        """Run a script behind the fence and return its result."""
        try:
            return await self._connection.run(fenced(script), **values, fence=keys.EPOCH, term=self._mark)
        except NotLeading:
            self._refused()
            raise
