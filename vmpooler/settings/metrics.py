"""The sections ``graphite`` and ``graphs``."""

from __future__ import annotations

import attrs

from vmpooler.settings.field import setting


@attrs.frozen(kw_only=True)
class Graphite:
    """The section ``graphite``: where metrics go."""

    server: str = setting("The host that takes metrics.")
    port: int = setting("Its port.", 2003, minimum=1, maximum=65535)
    prefix: str = setting("What the name of every metric starts with.", "vmpooler")


@attrs.frozen(kw_only=True)
class Graphs:
    """The section ``graphs``: where metrics can be read. Without it, where ``graphite`` sends them."""

    server: str = setting(
        "The web server of Graphite, which charts ask for what is older than the service: a host, host:port or URL; "
        "none is asked when empty.",
        "",
        pattern=r"((https?://)?[^\s/?#]+(/[^\s?#]*)?)?",
    )
    prefix: str = setting("What the name of every metric there starts with.", "vmpooler")
