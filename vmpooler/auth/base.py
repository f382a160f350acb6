"""What knows the users."""

import re
from typing import Protocol

LONGEST = 256
"""How many characters a name may have."""

LONGEST_PASSWORD = 1024

NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
NOT_IN_PASSWORDS = re.compile(r"[\x00\ud800-\udfff]")


class Authenticator(Protocol):
    """Knows who is who. A name or a password that nobody can have is wrong without anybody being asked."""

    async def check(self, user: str, password: str) -> bool:
        """Whether this is the password of this user.

        Raises AuthAway when that cannot be told now, within a time limit.
        """


def plausible(user: str, password: str) -> bool:
    """Whether somebody could have this name and this password.

    An empty password must never reach an LDAP server: it takes that for a guest, and lets it in (RFC 4513, 5.1.2).
    """
    return (
        0 < len(user) <= LONGEST
        and 0 < len(password) <= LONGEST_PASSWORD
        and not NOT_IN_NAMES.search(user)
        and not NOT_IN_PASSWORDS.search(password)
    )
