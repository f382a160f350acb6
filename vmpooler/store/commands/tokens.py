"""Stores the tokens, and finds the VMs that were checked out with them. Authorization is decided elsewhere.

Note [Tokens of another program]

Ruby vmpooler may write tokens to the same Redis, and check out VMs with them, while this service runs. So the stored
list of a user's tokens is a cache. When it is absent, all keys are searched, one batch at a time, and the result is
cached for an hour. When Redis has few keys, the search runs every time. A token that is used here is added to an
existing list. When a token is read, running VMs that are not recorded as checked out with a token yet are added; see
``_held.lua``.
"""

from collections.abc import Sequence

import attrs

from vmpooler.domain import times
from vmpooler.domain.errors import NoSuchToken, NothingToDelete, NotYours
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import load

BATCH = 10_000
"""Number of keys per step of the search; one step keeps Redis busy for some milliseconds."""

GOOD_FOR = 3600
"""Seconds for which the list of a user's tokens counts as complete."""


@attrs.frozen
class Token:
    """The record of a token. ``created`` and ``last`` are times as stored text, empty when unknown."""

    name: str = attrs.field(repr=False)
    user: str
    created: str
    last: str
    running: tuple[str, ...] = ()


class Tokens:
    """The tokens in Redis. The VMs of a token are found in ``pools`` and in drained pools."""

    def __init__(self, connection: Connection, pools: Sequence[str]) -> None:
        self._connection = connection
        self._pools = tuple(pools)

    async def add(self, name: str, user: str, now: float) -> None:
        """Store a new token of a user."""
        await self._connection.run(
            load("add_token"),
            token=keys.token(name),
            tokens=keys.tokens(user),
            name=name,
            user=user,
            now_text=times.text(now),
        )

    async def of(self, user: str) -> list[Token]:
        """Return the tokens of a user, without their VMs, oldest first."""
        cursor, found = await self._batch(user, "0", ())
        while cursor != "0":
            cursor, found = await self._batch(user, cursor, [token.name for token in found])
        return sorted(found, key=lambda token: (times.moment(token.created) or 0, token.name))

    async def show(self, name: str) -> Token:
        """Return a token with the running VMs that were checked out with it. Raises NoSuchToken."""
        reply = await self._connection.run(
            load("token"), token=keys.token(name), draining=keys.DRAINING, name=name, pools=self._pools
        )
        if not reply:
            raise NoSuchToken("this token is not known")
        user, created, last, *vms = reply
        return Token(name, user, created, last, tuple(sorted(vms)))

    async def drop(self, name: str, user: str, own: bool) -> None:
        """Delete a token at the request of ``user``; with ``own``, only if the token belongs to this user.

        Raises NothingToDelete when the token is unknown, NotYours when it belongs to another user.
        """
        match await self._connection.run(
            load("drop_token"), token=keys.token(name), name=name, asking=user, own=int(own)
        ):
            case 0:
                raise NothingToDelete("this token is not known")
            case -2:
                raise NotYours("this token is another user's")

    async def _batch(self, user: str, cursor: str, found: Sequence[str]) -> tuple[str, list[Token]]:
        cursor, *rows = await self._connection.run(
            load("tokens"),
            tokens=keys.tokens(user),
            user=user,
            cursor=cursor,
            batch=BATCH,
            keep=GOOD_FOR,
            found=found,
        )
        triples = zip(rows[::3], rows[1::3], rows[2::3], strict=True)
        return cursor, [Token(name, user, created, last) for name, created, last in triples]
