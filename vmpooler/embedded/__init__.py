"""A private Redis: the default where no Redis is configured."""

from vmpooler.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedRedis"]
