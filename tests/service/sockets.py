"""Lists the TCP sockets that a process listens on, from Linux's /proc."""

import os
import socket
import struct
from pathlib import Path

LISTENS = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def listening(pid: int) -> set[tuple[str, int]]:
    """Return the addresses and ports that a process listens on, over TCP."""
    inodes = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTENS and f"socket:[{rest[5]}]" in inodes:
                address, _, port = local.partition(":")
                found.add((_shown(address, family), int(port, 16)))
    return found


def _shown(address: str, family: int) -> str:
    """Return an address as text. The table holds each four bytes of it as a number in this machine's byte order."""
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))
