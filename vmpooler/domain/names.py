"""Names: of VMs, of checkouts, and the short form of a host's."""

from collections.abc import Callable
from string import ascii_lowercase, digits

FIRST = ascii_lowercase[:-1]
REST = ascii_lowercase + digits

Choice = Callable[[str], str]
"""Takes one character of a text by chance; ``secrets.choice`` outside tests."""


def random_name(choice: Choice, length: int) -> str:
    """A letter, then letters and digits: safe as a host name and as part of a Redis key."""
    return choice(FIRST) + "".join(choice(REST) for _ in range(length - 1))


def vm_name(choice: Choice, prefix: str) -> str:
    """A new VM's name. Source: API-CONTRACT 1, ids."""
    return prefix + random_name(choice, 15)


def short(host: str) -> str:
    """A host name cut at its first dot: clients send short names and whole ones."""
    return host.partition(".")[0]


def is_called(hostname: str, name: str) -> bool:
    """Whether a guest that says it is ``hostname`` is the VM ``name``."""
    return short(hostname) == name
