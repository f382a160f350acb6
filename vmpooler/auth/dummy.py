"""An authenticator for demonstrations."""

import attrs

from vmpooler.auth.base import plausible


@attrs.frozen
class DummyAuthenticator:
    """Accepts every user whose password is not empty and differs from the name."""

    async def check(self, user: str, password: str) -> bool:
        """Return whether the password is plausible and differs from the name."""
        return plausible(user, password) and password != user
