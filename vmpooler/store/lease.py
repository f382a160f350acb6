"""The lease: which of several managers leads, and the fence that keeps the others out.

Note [Fencing]

To lead, a manager takes the lease, a key in Redis that expires unless it is kept up. Each taking has the next epoch,
which is written down with the manager's name and never expires. Expiry is by Redis's clock alone; a manager counts its
lease from before it asked, so that it ends by its own reckoning before Redis gives it away. A lease that ran out while
nobody else took it is kept up like any other: a slow machine, or a Redis that was away, costs no change of the leader.

A manager that was paused does not know that its lease has run out. So whatever it sends to Redis goes through
:class:`Fenced`: a script in front of every script, which refuses all when the epoch written down is another. What Redis
holds is therefore only ever changed by one manager, the last that took the lease.

The provider knows no epochs. What a manager that wakes up late can still do there is bounded otherwise:

- It looks whether it leads (:meth:`Lease.assured`, and the provider's ``may_order`` at the last moment before an order
  leaves). What follows is about a pause in the microseconds between, and about orders that had left before.
- A clone was written down by ``begin_clone`` before it is ordered. Until the next manager sees the VM, or has waited
  for it long enough, it counts as under way; and one that comes later still carries our stamp: it is discovered, and
  destroyed after the grace.
- A destruction is of a VM in ``completed``, which only ``forget`` leaves, and whose name is not given again while its
  record lives. Whoever carries it out, it is right.
- A disk has the id of its request, and a snapshot its name: there already, they count as done. Which of them is done is
  written down by ``finish_task``, behind the fence, once.
- A revert is the one that could hurt, when the next manager has carried it out already and the client works on. Nothing
  but the look stands before it, and an order that is held up in the network for longer than the lease is not caught.
- A stamp of an owner that is out of date is seen, and written anew, in a later round.

Work of an ended term is never taken up again by the same process: lease, providers and tasks are made anew for each.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import NotLeading
from vmpooler.store import keys
from vmpooler.store.commands import Commands
from vmpooler.store.scripts import Script, fenced, load
from vmpooler.store.wire import Value

HOLDS = 3.0
"""Seconds that a lease holds when it is not kept up: a takeover takes about as long, and a leader that cannot reach
Redis orders nothing after it."""

GLANCE = 0.1
"""Seconds between two looks whether a lease that ran out is kept after all."""

KEYS = (keys.LEASE, keys.EPOCH)


class Lease:
    """One term of one manager: taken, kept up, and over.

    ``name`` is unlike that of any other term: a Redis that lost its data may give out an epoch again. ``alone``: no
    other manager can be at this Redis, so that a lease found there is one that a dead process left. Everything asked of
    Redis raises StoreAway.
    """

    log = Logger()

    def __init__(
        self, connection: Commands, clock: IReactorTime, name: str, *, holds: float = HOLDS, alone: bool = False
    ) -> None:
        self.mark = ""
        """Epoch and name of this term, once it has begun."""
        self.other = ""
        """Epoch and name of whoever led when the lease was last refused."""
        self.free_in = 0.0
        """Seconds until that lease runs out."""
        self.holds = holds
        self._connection = connection
        self._clock = clock
        self._name = name
        self._alone = alone
        self._until = 0.0
        self._over = False

    @property
    def leading(self) -> bool:
        """Whether this manager leads for sure."""
        return bool(self.mark) and not self._over and self._clock.seconds() < self._until

    async def take(self) -> bool:
        """Begin to lead; False when another does."""
        sent = self._clock.seconds()
        args = (self._name, self._milliseconds, int(self._alone))
        mark, left, beyond = await self._connection.run(load("take_lease"), KEYS, args)
        if beyond:
            text = "[!] the lease of {other} would have held for {seconds:.0f} s too long: Redis's clock was set back"
            self.log.warn(text, other=mark, seconds=beyond / 1000)
        if left:
            self.other, self.free_in = mark, left / 1000
            return False
        self.mark, self._until = mark, sent + self.holds
        return True

    async def keep(self) -> bool:
        """Lead on; False when that is over."""
        sent = self._clock.seconds()
        if not await self._connection.run(load("keep_lease"), KEYS, (self.mark, self._milliseconds)):
            self._over = True
            return False
        self._until = sent + self.holds
        return True

    async def drop(self) -> None:
        """Lead no more, and let others at once."""
        self._over = True
        if self.mark:
            await self._connection.run(load("drop_lease"), KEYS, (self.mark,))

    async def assured(self) -> None:
        """Return when this manager leads for sure. Raises NotLeading when it does not any more."""
        while not self.leading:
            if self._over:
                raise NotLeading("this manager does not lead any more")
            await deferLater(self._clock, GLANCE)

    def fence(self, refused: Callable[[], None]) -> "Fenced":
        """The connection for this term, which has begun; ``refused`` is called when it is over."""
        return Fenced(self._connection, self.mark, refused)

    @property
    def _milliseconds(self) -> int:
        return int(self.holds * 1000)


class Fenced:
    """The connection of a manager that leads: nothing passes when another does. Whatever is sent raises NotLeading
    then, after ``refused`` was called."""

    def __init__(self, connection: Commands, mark: str, refused: Callable[[], None]) -> None:
        self._connection = connection
        self._mark = mark
        self._refused = refused

    async def call(self, *command: Value) -> Any:
        """The reply to one command."""
        return await self.run(load("command"), (), command)

    async def run(self, script: Script, touched: Sequence[str], args: Sequence[Value]) -> Any:
        """What the script returns."""
        try:
            return await self._connection.run(fenced(script), (*touched, keys.EPOCH), (*args, self._mark))
        except NotLeading:
            self._refused()
            raise
