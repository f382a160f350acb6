"""The interface of an authenticator, and the check of names and passwords before one is asked."""

import re
from typing import Protocol

MAX_USER_LENGTH = 256
"""The most characters of a user name."""

LONGEST_PASSWORD = 1024

NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
NOT_IN_PASSWORDS = re.compile(r"[\x00\ud800-\udfff]")


class Authenticator(Protocol):
    """Checks users. A name or a password that no user can have is wrong; no server is asked."""

    async def check(self, user: str, password: str) -> bool:
        """Return whether this is the password of this user.

        Raises AuthAway when that cannot be checked now, within a time limit.
        """


def plausible(user: str, password: str) -> bool:
    """Return whether a user can have this name and this password.

    An empty password must never reach an LDAP server: the server accepts such a bind as anonymous (RFC 4513, 5.1.2).
    """
    return (
        0 < len(user) <= MAX_USER_LENGTH
        and 0 < len(password) <= LONGEST_PASSWORD
        and not NOT_IN_NAMES.search(user)
        and not NOT_IN_PASSWORDS.search(password)
    )
