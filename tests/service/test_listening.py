"""Events that a whole service sends to its subscribers: across processes, and at shutdown."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.redis_server import RedisServer
from tests.service.process import PATIENCE, QUICK, Service, until


class Ear:
    """A blocking subscriber to the events of an API on a loopback port."""

    def __init__(self, port: int) -> None:
        self._client = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._client.request("GET", "/api/v1/events")
        self._answer = self._client.getresponse()
        assert self._answer.status == 200

    def events(self) -> Iterator[tuple[str, Any]]:
        """Yield each message as its event name and decoded data. Ends when the service closes the connection."""
        kind = ""
        for line in iter(self._answer.readline, b""):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)

    def first(self, wanted: str) -> Any:
        """Return the data of the next message with this event name."""
        return next(data for kind, data in self.events() if kind == wanted)

    def close(self) -> None:
        self._answer.close()
        self._client.close()


@pytest.fixture
def config(spare_redis: RedisServer) -> str:
    return f"""
redis: {{socket: {spare_redis.socket}}}
providers: {{dummy: {{}}}}
pools: [{{name: debian-12, size: 2}}]
"""


def test_an_event_of_one_process_is_sent_by_all_at_once(config: str) -> None:
    with Service(config, "--role=manager"), Service(config, "--role=api") as one, Service(config, "--role=api") as two:
        until(lambda: one.ready() == 2, "the pool is full")
        ears = [Ear(each.port) for each in (one, two)]
        states = [ear.first("state") for ear in ears]
        assert [(state["role"], state["managed"] is not None) for state in states] == [("api", True)] * 2
        began = time.monotonic()
        vm = one.request("POST", "/vm/debian-12").body["debian-12"]["hostname"]
        events = [ear.first("event") for ear in ears]
        assert time.monotonic() - began < 5
        assert [(event["what"], event["vm"]) for event in events] == [("checkout", vm)] * 2
        assert events[0]["id"] == events[1]["id"]
        for ear in ears:
            ear.close()


def test_the_end_of_the_service_does_not_wait_for_those_who_listen() -> None:
    with Service(QUICK) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        ears = [Ear(service.port) for _ in range(20)]
        for ear in ears:
            ear.first("state")
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 8
        assert "stopping" not in service.said
        for ear in ears:
            assert not [kind for kind, _ in ear.events() if kind == "state"]
            ear.close()
