"""Counts of client requests for rate limiting, shared by all API processes.

Note [A limit that resets]

A client may make ``rate`` requests at once, and then one more every ``rate_time / rate`` seconds. Redis stores one
number for each client: the time up to which the client has used its share. A rejected request does not move that time,
so a client that never pauses still gets its share, and a client that paused for ``rate_time`` can use all of it at
once. The number expires at that time.
"""

from vmpooler.settings import Limits
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import load


class Rates:
    """Counts requests by token if the token is known, else by client address."""

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._share = {"rate": limits.rate, "rate_time": limits.rate_time}

    async def wait(self, token: str, origin: str, now: float) -> float:
        """Count a request and return 0; or count nothing and return the seconds that this client must wait."""
        paces = {"token_pace": keys.pace("token", token), "address_pace": keys.pace("address", origin)}
        return float(
            await self._connection.run(load("rate"), token=keys.token(token), **paces, now=f"{now:.6f}", **self._share)
        )
