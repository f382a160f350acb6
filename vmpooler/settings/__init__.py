"""What an operator can set: one frozen class for each section of ``vmpooler.yaml``.

Every field is made by :func:`setting`, with its default and a sentence about it. The sentence, its unit and
its limits are read by ``config/`` (which reports mistakes) and by the tests that hold ``vmpooler.yaml.example``
and the documentation to this page. A field without a default must be given.

Units are those of the file, which are those of Ruby vmpooler: minutes for ``timeout`` and its like, hours for
lifetimes. Code that compares them with a clock converts them where it compares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from vmpooler.settings.auth import Auth, Ldap, ServiceAccount
from vmpooler.settings.field import setting
from vmpooler.settings.general import AUTO, General
from vmpooler.settings.limits import UNIX, Limits
from vmpooler.settings.metrics import Graphite, Graphs
from vmpooler.settings.pools import NAME, Pool
from vmpooler.settings.providers import ProviderSettings
from vmpooler.settings.redis import ADDRESS, SENTINEL_PORT, Redis, address_of

__all__ = [
    "ADDRESS",
    "AUTO",
    "NAME",
    "SENTINEL_PORT",
    "UNIX",
    "Auth",
    "General",
    "Graphite",
    "Graphs",
    "Ldap",
    "Limits",
    "Pool",
    "ProviderSettings",
    "Redis",
    "ServiceAccount",
    "Settings",
    "address_of",
    "setting",
]


@attrs.frozen(kw_only=True)
class Settings:
    """All of ``vmpooler.yaml``. ``pools`` are complete: what a pool inherits has been filled in."""

    general: General = attrs.field(factory=General)
    redis: Redis = attrs.field(factory=Redis)
    pools: tuple[Pool, ...] = ()
    providers: Mapping[str, ProviderSettings] = attrs.field(factory=dict)
    auth: Auth | None = None
    graphite: Graphite | None = None
    graphs: Graphs | None = None
    limits: Limits = attrs.field(factory=Limits)
    tagfilter: Mapping[str, re.Pattern[str]] = setting(
        "For a tag, the regular expression whose groups, joined, are kept of its value.",
        attrs.Factory(dict),
    )
