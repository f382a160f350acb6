"""Where requests come from."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from vmpooler.settings import UNIX
from vmpooler.web.request import Request

OWN_BITS = 64
"""Bits of an IPv6 address that a client can choose at will."""


def place(host: str) -> str:
    """What stands for all addresses that a client has: that of IPv4, the /64 of IPv6; what is no address is itself."""
    try:
        address = _plain(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address) >> OWN_BITS << OWN_BITS, 128 - OWN_BITS)))


class Origins:
    """Tells who asks, also through proxies; ``trusted`` are those of them that say so, as in the configuration."""

    def __init__(self, trusted: Iterable[str]) -> None:
        names = tuple(trusted)
        self._unix = UNIX in names
        self._networks = tuple(ip_network(name) for name in names if name != UNIX)

    def host(self, peer: Any) -> str:
        """The address of a connection's other end."""
        return str(getattr(peer, "host", UNIX))

    def trusts(self, host: str) -> bool:
        """Whether a proxy is there."""
        if host == UNIX:
            return self._unix
        try:
            address = _plain(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def of(self, request: Request) -> str:
        """The place that a request comes from: behind the proxies that are trusted, the last address before them. What
        stands further to the left of X-Forwarded-For anybody may have written."""
        host = self.host(request.getClientAddress())
        if not self._networks and not self._unix:
            return place(host)
        hops = _hops(request.requestHeaders.getRawHeaders(b"x-forwarded-for", ()))
        try:
            while self.trusts(host) and (hop := next(hops, None)):
                _plain(hop)
                host = hop
        except ValueError:
            pass  # what a proxy does not know, such as "unknown": the proxy itself stands for it
        return place(host)


def _hops(headers: Sequence[bytes]) -> Iterator[str]:
    """The addresses in X-Forwarded-For, the last first, without their ports."""
    for hop in reversed(b",".join(headers).decode("latin-1").split(",")):
        text = hop.strip()
        if text.startswith("["):
            yield text[1:].partition("]")[0]
        else:
            yield text.partition(":")[0] if text.count(":") == 1 else text


def _plain(host: str) -> IPv4Address | IPv6Address:
    """An address; of IPv4 also where it came over IPv6. Raises ValueError."""
    address = ip_address(host)
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
