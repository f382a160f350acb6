"""Client addresses of requests, also behind proxies."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from vmpooler.settings import UNIX

OWN_BITS = 64
"""Bits of an IPv6 address that a client can choose freely."""


def place(host: str) -> str:
    """Return the place of a client: one value for all addresses that the client has.

    The place is the IPv4 address, or the /64 network of an IPv6 address. Text that is not an address is returned
    unchanged.
    """
    try:
        address = _plain(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address) >> OWN_BITS << OWN_BITS, 128 - OWN_BITS)))


class ClientAddresses:
    """Finds the clients of requests, also behind proxies.

    ``trusted`` are the proxies whose X-Forwarded-For is trusted, as in the configuration.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        names = tuple(trusted)
        self._unix = UNIX in names
        self._networks = tuple(ip_network(name) for name in names if name != UNIX)

    def host(self, peer: Any) -> str:
        """Return the address of a connection's remote end."""
        return str(getattr(peer, "host", UNIX))

    def trusts(self, host: str) -> bool:
        """Return whether this is the address of a trusted proxy."""
        if host == UNIX:
            return self._unix
        try:
            address = _plain(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def of(self, peer: Any, forwarded: Sequence[bytes]) -> str:
        """Return the place of a client. ``forwarded`` are the values of X-Forwarded-For.

        Behind trusted proxies, the client is the last address before them. Entries further to the left in
        X-Forwarded-For can be forged by any client.
        """
        host = self.host(peer)
        if not self._networks and not self._unix:
            return place(host)
        hops = _hops(forwarded)
        try:
            while self.trusts(host) and (hop := next(hops, None)):
                _plain(hop)
                host = hop
        except ValueError:
            pass  # a hop that is not an address, such as "unknown": the proxy's own address is used
        return place(host)


def _hops(headers: Sequence[bytes]) -> Iterator[str]:
    """Yield the addresses in X-Forwarded-For without their ports, the last one first."""
    for hop in reversed(b",".join(headers).decode("latin-1").split(",")):
        text = hop.strip()
        if text.startswith("["):
            yield text[1:].partition("]")[0]
        else:
            yield text.partition(":")[0] if text.count(":") == 1 else text


def _plain(host: str) -> IPv4Address | IPv6Address:
    """Parse an address; an IPv4 address mapped to IPv6 becomes IPv4. Raises ValueError."""
    address = ip_address(host)
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
