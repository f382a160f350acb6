"""A Redis that the service runs itself: the default where no Redis is configured."""

from vmpooler.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedRedis"]
