"""What stands in ``listen`` -> the description of a Twisted server endpoint."""

import ipaddress
import re

MEANT = "a port, an address and port, or a Twisted endpoint such as tcp:4567"
SCHEMES = ("tcp", "tcp6", "ssl", "unix", "systemd", "haproxy")
"""Endpoints that come with Twisted. Of ``word:number`` with another word, the word is taken for a host's name."""

ADDRESS = re.compile(r"(?:(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):|\[(?P<ipv6>[0-9A-Fa-f:.]+)\]:)?(?P<port>[0-9]{1,5})")
ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*:\S.*")


def endpoint(listen: str) -> str:
    """The server endpoint description of ``4567``, ``127.0.0.1:4567``, ``[::1]:4567`` or of an endpoint itself.

    Raises ValueError, whose text says what was expected, for anything else.
    """
    text = listen.strip()
    address = ADDRESS.fullmatch(text)
    if address is None or address["host"] in SCHEMES:
        if ENDPOINT.fullmatch(text):
            return text
        raise ValueError(f"expected {MEANT}")
    port = int(address["port"])
    if port > 65535:
        raise ValueError("expected a port of at most 65535")
    if address["ipv6"]:
        return f"tcp6:{port}:interface={_escaped(address['ipv6'])}"
    return f"tcp:{port}:interface={address['host']}" if address["host"] else f"tcp:{port}"


def _escaped(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text)).replace(":", r"\:")
    except ValueError as error:
        raise ValueError("expected an IPv6 address between the brackets") from error
