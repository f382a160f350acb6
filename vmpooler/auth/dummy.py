"""Users for trying out."""

import attrs

from vmpooler.auth.base import plausible


@attrs.frozen
class DummyAuthenticator:
    """Takes anybody whose password is not empty and is not the name."""

    async def check(self, user: str, password: str) -> bool:
        """Whether the password is another word than the name."""
        return plausible(user, password) and password != user
