"""Tokens: who may do what stands elsewhere, here is which there are and what was checked out with them.

Note [Tokens of another program]

The original may write tokens, and check VMs out with them, into the same Redis while this service runs. So a list of a
user's tokens is a memory, not the truth: where there is none, all keys are looked through, a batch at a time, and it is
good for an hour; with few keys the look is taken every time. Tokens that are used here are entered when they are. Of a
token's VMs, those are entered at a reading that run and have not been entered; see ``_held.lua``.
"""

from collections.abc import Sequence

import attrs

from vmpooler.domain import times
from vmpooler.domain.errors import NoSuchToken, NothingToDelete, NotYours
from vmpooler.store import keys
from vmpooler.store.connection import Connection
from vmpooler.store.scripts import load

BATCH = 10_000
"""Keys that are looked through at once, which keeps Redis busy for some milliseconds."""

GOOD_FOR = 3600
"""Seconds that a list of a user's tokens is believed to be whole."""


@attrs.frozen
class Token:
    """What is known of a token. Moments are text, as stored; empty where there is none."""

    name: str = attrs.field(repr=False)
    user: str
    created: str
    last: str
    running: tuple[str, ...] = ()


class Tokens:
    """The tokens in Redis; those of VMs that run in ``pools``, or in a pool that is drained, are known."""

    def __init__(self, connection: Connection, pools: Sequence[str]) -> None:
        self._connection = connection
        self._pools = tuple(pools)

    async def add(self, name: str, user: str, now: float) -> None:
        """Note a new token of a user."""
        touched = (keys.token(name), keys.tokens(user))
        await self._connection.run(load("add_token"), touched, (name, user, times.text(now)))

    async def of(self, user: str) -> list[Token]:
        """The tokens of a user, without their VMs, the oldest first."""
        cursor, found = await self._batch(user, "0", ())
        while cursor != "0":
            cursor, found = await self._batch(user, cursor, [token.name for token in found])
        return sorted(found, key=lambda token: (times.moment(token.created) or 0, token.name))

    async def show(self, name: str) -> Token:
        """A token, with the VMs that run and were checked out with it. Raises NoSuchToken."""
        reply = await self._connection.run(load("token"), (keys.token(name), keys.DRAINING), (name, *self._pools))
        if not reply:
            raise NoSuchToken("this token is not known")
        user, created, last, *vms = reply
        return Token(name, user, created, last, tuple(sorted(vms)))

    async def drop(self, name: str, user: str, own: bool) -> None:
        """Forget a token, because ``user`` says so; with ``own`` only one of this user's.

        Raises NothingToDelete for one that is not known, NotYours for another user's.
        """
        match await self._connection.run(load("drop_token"), (keys.token(name),), (name, user, int(own))):
            case 0:
                raise NothingToDelete("this token is not known")
            case -2:
                raise NotYours("this token is another user's")

    async def _batch(self, user: str, cursor: str, found: Sequence[str]) -> tuple[str, list[Token]]:
        args = (user, cursor, BATCH, GOOD_FOR)
        cursor, *rows = await self._connection.run(load("tokens"), (keys.tokens(user),), (*args, *found))
        triples = zip(rows[::3], rows[1::3], rows[2::3], strict=True)
        return cursor, [Token(name, user, created, last) for name, created, last in triples]
