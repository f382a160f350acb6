"""What the section ``redis`` says of sentinels, beyond what each setting says alone."""

from collections.abc import Mapping

from vmpooler.config.document import plain
from vmpooler.config.report import Report, shown
from vmpooler.settings import SENTINEL_PORT, Redis, address_of

INSTEAD = ("server", "port", "socket")
"""What sentinels stand for."""

LARGEST_PORT = 65535


def check_redis(redis: Redis, raw: object, report: Report) -> None:
    """Note what cannot be meant together. ``raw`` is the section as it was given."""
    given = {plain(str(key)) for key, value in raw.items() if value is not None} if isinstance(raw, Mapping) else set()
    if "sentinels" not in given:
        for key in sorted(key for key in given if key.startswith("sentinel_")):
            report.mistake(f"redis.{key}", "means nothing without sentinels")
    if not redis.sentinels:
        return
    for key in INSTEAD:
        if key in given:
            report.mistake(f"redis.{key}", "sentinels are given too, and tell where Redis is; keep one of them")
    for index, address in enumerate(redis.sentinels):
        if address is not None and not 0 < address_of(address, SENTINEL_PORT)[1] <= LARGEST_PORT:
            report.mistake(
                f"redis.sentinels[{index}]", f"expected a port from 1 to {LARGEST_PORT}, got {shown(address)}"
            )
