"""How often clients ask, of all API processes together.

Note [A limit that resets]

A client may make ``rate`` requests at once, and one more each ``rate_time / rate`` seconds from then on. One number is
kept of it: the moment up to which it has used its share. A request that is refused does not move that moment, so a
client that never pauses still gets its share, and one that paused for ``rate_time`` can have all of it at once. The
number expires at that moment.
"""

from vmpooler.settings import Limits
from vmpooler.store import keys
from vmpooler.store.connection import Connection
from vmpooler.store.scripts import load


class Rates:
    """Counts requests by token, where one is known, else by the place that they come from."""

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._share = (limits.rate, limits.rate_time)

    async def wait(self, token: str, origin: str, now: float) -> float:
        """Seconds that this client has to wait, and nothing is changed; or 0, and its request is counted."""
        touched = (keys.token(token), keys.pace("token", token), keys.pace("address", origin))
        return float(await self._connection.run(load("rate"), touched, (f"{now:.6f}", *self._share)))
