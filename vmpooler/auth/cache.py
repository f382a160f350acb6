"""A short memory of good answers, so that a script with many requests is one question to the server."""

import hmac
from collections.abc import Callable
from itertools import takewhile

from vmpooler.auth.base import Authenticator

SIZE = 1000
"""How many good answers are remembered at the most."""


class Cache:
    """Remembers for ``lifetime`` seconds whose password was right. What was wrong is asked for again each time.

    ``seconds`` is a clock that nobody sets; ``key`` a secret of this process. The passwords themselves are not kept:
    only a digest of name and password under that key.
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
        self._until: dict[bytes, float] = {}  # in the order of their ends, since all live equally long

    async def check(self, user: str, password: str) -> bool:
        """As remembered, else as the inner authenticator says."""
        now, entry = self._seconds(), self._digest(user, password)
        if self._until.get(entry, now) > now:
            return True
        good = await self._inner.check(user, password)
        if good:
            self._remember(entry, now)
        return good

    def _remember(self, entry: bytes, asked: float) -> None:
        """The time counts from the question: what was right then may have been changed while the answer came."""
        self._until.pop(entry, None)
        for old in list(takewhile(lambda each: self._until[each] <= asked, self._until)):
            del self._until[old]
        if len(self._until) >= self._size:
            del self._until[next(iter(self._until))]
        self._until[entry] = asked + self._lifetime

    def _digest(self, user: str, password: str) -> bytes:
        text = f"{len(user)}:{user}{password}"
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
