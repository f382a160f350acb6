"""Ports for what tests start."""

import os
import socket
from itertools import count

FIRST, SPAN = 10_000, 22_000
"""All below those that the kernel gives to connections that are made, which may take a port before its server does."""

_next = count(os.getpid() * 61)


def free_port() -> int:
    """A port that nobody has, and that this process was not told of before. Processes side by side begin far apart."""
    for number in _next:
        port = FIRST + number % SPAN
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        return port
    raise AssertionError("unreachable: a count has no end")
