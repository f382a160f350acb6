"""Reads the event stream."""

from benchmarks.redis import RedisConnection
from vmpooler.domain.events import Event
from vmpooler.store import keys


def events(redis: RedisConnection) -> list[Event]:
    """Return all events, oldest first."""
    found = []
    for id, flat in redis.call("XRANGE", keys.EVENTS, "-", "+"):
        words = [each.decode() for each in flat]
        event = Event.of(id.decode(), dict(zip(words[::2], words[1::2], strict=True)))
        found += [event] if event else []
    return found
