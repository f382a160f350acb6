"""The section ``limits``."""

from __future__ import annotations

import attrs

from vmpooler.settings.field import setting

UNIX = "unix"
"""Stands among addresses for who comes over a unix socket, and has none."""


@attrs.frozen(kw_only=True)
class Limits:
    """The section ``limits``: what clients may take of a process, and of the records of their VMs."""

    connections: int = setting(
        "Connections that a process keeps beside those of clients who listen to events; of more, the oldest that waits "
        "for its client is closed.",
        4000,
        minimum=10,
        maximum=1_000_000,
    )
    connections_per_address: int = setting(
        "How many of its connections one address may have, in the same way; 0 for no limit of its own.", 0, minimum=0
    )
    requests: int = setting(
        "Requests that a process works on at once; more are answered with 503 and Retry-After.", 4000, minimum=1
    )
    request_time: float = setting(
        "Seconds that a client may take for a whole request, from when it connected or from its last answer, and to "
        "take that answer.",
        60,
        minimum=1,
        maximum=3600,
    )
    header_bytes: int = setting(
        "Bytes that the first line and the headers of a request may have.", 16384, minimum=1024, maximum=1_048_576
    )
    headers: int = setting("Headers that a request may have.", 200, minimum=20, maximum=10_000)
    body_bytes: int = setting("Bytes that the body of a request may have.", 65536, minimum=1024, maximum=1_048_576)
    tags: int = setting("Tags that a VM may have.", 500, minimum=1, maximum=100_000)
    rate: int = setting(
        "Requests that a token, or without one an address, may make at once, and as many again in each rate_time; more "
        "are answered with 429 and Retry-After; 0 for no limit.",
        0,
        minimum=0,
    )
    rate_time: float = setting("Seconds after which so many requests can be made again.", 60, minimum=1, maximum=86_400)
    trusted_proxies: tuple[str, ...] = setting(
        "Proxies whose X-Forwarded-For is believed: addresses, networks, or unix for what comes over a unix socket.",
        (),
        pattern=UNIX + "|[0-9A-Fa-f.:]+(/[0-9]{1,3})?",
    )
