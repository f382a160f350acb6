"""Names of VMs and of checkouts, and the short form of host names."""

from collections.abc import Callable
from string import ascii_lowercase, digits

FIRST = ascii_lowercase[:-1]
REST = ascii_lowercase + digits

Choice = Callable[[str], str]
"""Picks one character of a text at random; ``secrets.choice`` outside tests."""


def random_name(choice: Choice, length: int) -> str:
    """Return a random letter, then letters and digits: safe as a host name and as part of a Redis key."""
    return choice(FIRST) + "".join(choice(REST) for _ in range(length - 1))


def vm_name(choice: Choice, prefix: str) -> str:
    """Return the name of a new VM. Source: docs/compatibility.md#ids."""
    return prefix + random_name(choice, 15)


def short(host: str) -> str:
    """Return a host name cut at its first dot: clients send short names and full ones."""
    return host.partition(".")[0]


def is_called(hostname: str, name: str) -> bool:
    """Return whether a guest that reports ``hostname`` is the VM ``name``."""
    return short(hostname) == name
