"""A short cache of accepted passwords, so that a script with many requests causes one request to the server."""

import hmac
from collections.abc import Callable
from itertools import takewhile

from vmpooler.auth.base import Authenticator

SIZE = 1000
"""The most accepted passwords in the cache."""


class Cache:
    """Caches for ``lifetime`` seconds that a password was right. A wrong password is not cached.

    ``seconds`` is a monotonic clock; ``key`` is a secret of this process. The cache does not store passwords, only a
    digest of name and password under that key.
    """

    def __init__(
        self,
        inner: Authenticator,
        lifetime: float,
        seconds: Callable[[], float],
        key: bytes,
        size: int = SIZE,
    ) -> None:
        self._inner, self._lifetime, self._seconds, self._key, self._size = inner, lifetime, seconds, key, size
        self._until: dict[bytes, float] = {}  # in the order of expiry: all have the same lifetime

    async def check(self, user: str, password: str) -> bool:
        """Return the cached result, else that of the inner authenticator. Raises AuthAway."""
        now, entry = self._seconds(), self._digest(user, password)
        if self._until.get(entry, now) > now:
            return True
        good = await self._inner.check(user, password)
        if good:
            self._remember(entry, now)
        return good

    def _remember(self, entry: bytes, asked: float) -> None:
        """Cache an entry from the time of the request on: the password may have changed before the response arrived."""
        self._until.pop(entry, None)
        for old in list(takewhile(lambda each: self._until[each] <= asked, self._until)):
            del self._until[old]
        if len(self._until) >= self._size:
            del self._until[next(iter(self._until))]
        self._until[entry] = asked + self._lifetime

    def _digest(self, user: str, password: str) -> bytes:
        text = f"{len(user)}:{user}{password}"
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
