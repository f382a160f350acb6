"""The accepted values of ``listen``."""

import pytest
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString

from vmpooler.config import endpoint


@pytest.mark.parametrize(
    ("listen", "description"),
    [
        ("4567", "tcp:4567"),
        (" 80 ", "tcp:80"),
        ("127.0.0.1:4567", "tcp:4567:interface=127.0.0.1"),
        ("localhost:4567", "tcp:4567:interface=localhost"),
        ("[::1]:4567", r"tcp6:4567:interface=\:\:1"),
        ("[::]:0", r"tcp6:0:interface=\:\:"),
        ("tcp:4567", "tcp:4567"),
        ("tcp:4567:interface=10.0.0.1", "tcp:4567:interface=10.0.0.1"),
        ("unix:/run/vmpooler.sock:mode=660", "unix:/run/vmpooler.sock:mode=660"),
    ],
)
def test_a_port_an_address_or_an_endpoint_becomes_an_endpoint(listen: str, description: str) -> None:
    assert endpoint(listen) == description
    serverFromString(reactor, description)  # Twisted accepts it


@pytest.mark.parametrize(
    "listen", ["", "http", "70000", "host:99999", "[nonsense]:80", "[::g]:80", "-1", ":", "a b:80"]
)
def test_anything_else_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        endpoint(listen)
