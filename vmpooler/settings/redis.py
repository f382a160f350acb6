"""The section ``redis``."""

from __future__ import annotations

import attrs

from vmpooler.settings.field import setting

ADDRESS = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::[0-9]{1,5})?"
"""What the place of a server may look like: a host, or one and its port."""

SENTINEL_PORT = 26379
"""Where a sentinel is unless said otherwise."""


def address_of(text: str, port: int) -> tuple[str, int]:
    """Host and port of what matches ADDRESS; ``port`` where it has none."""
    host, colon, given = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, given = text, str(port)
    return host.strip("[]"), int(given)


@attrs.frozen(kw_only=True)
class Redis:
    """The section ``redis``: where all state is kept."""

    server: str = setting(
        "The host of the Redis server, or embedded for a private one that this service starts.", "localhost"
    )
    port: int = setting("The port of the Redis server.", 6379, minimum=1, maximum=65535)
    socket: str = setting("The path of a Redis server's unix socket, used instead of server and port.", "", path=True)
    database: int = setting("The number of the database.", 0, minimum=0)
    username: str = setting("The user to log in as; Redis's default user when empty.", "")
    password: str = setting("The password to log in with; none when empty.", "", secret=True)
    tls: bool = setting("Speak TLS to the Redis server.", False)
    tls_ca_file: str = setting("The file of certificates (PEM) to trust instead of the system's.", "", path=True)
    sentinels: tuple[str, ...] = setting(
        "The sentinels (host or host:port) that know where the primary is, instead of server, port and socket.",
        (),
        pattern=ADDRESS,
    )
    sentinel_master: str = setting("The name of the primary at the sentinels.", "mymaster")
    sentinel_username: str = setting("The user to log in as at the sentinels; their default user when empty.", "")
    sentinel_password: str = setting("The password to log in with there; none when empty.", "", secret=True)
    wait_replicas: int = setting(
        "How many replicas must have a change before its client is answered; 0 to wait for none.",
        0,
        minimum=0,
        maximum=100,
    )
    wait_timeout: float = setting(
        "Seconds that this may take; then the client is answered with 503.", 1, minimum=0.01, maximum=4
    )
    data_ttl: float = setting("Hours that the record of a destroyed VM is kept.", 168, minimum=0.01)
