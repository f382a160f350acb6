"""Free TCP ports for the servers that tests start."""

import os
import socket
from itertools import count

FIRST, SPAN = 10_000, 22_000
"""The range is below the ports that the kernel assigns to outgoing connections. Such a connection could take a port
before its server does."""

_next = count(os.getpid() * 61)


def free_port() -> int:
    """Return a port that is free, and that this process did not get before. Parallel processes begin far apart."""
    for number in _next:
        port = FIRST + number % SPAN
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        return port
    raise AssertionError("unreachable: a count has no end")
