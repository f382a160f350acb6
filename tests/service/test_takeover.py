"""Two managers as real processes. The leader is killed, paused, terminated, or loses its Redis."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import Service, until
from vmpooler.domain.model import Queue
from vmpooler.domain.vm_policy import CLONE_SETTLES

pytestmark = pytest.mark.limit(300)

LONGEST = 15.0
"""Seconds that a takeover may take on a busy machine. The tests print the measured time, to compare with the
documented one."""

LEADS = "leads from now on"
STANDS_BY = "stands by while another manager leads"


@attrs.frozen
class Pair:
    """An API and two managers. The first leads at the start."""

    api: Service
    first: Service
    second: Service

    def leader(self) -> str:
        """Return the name of the leader from ``GET /readyz``; empty when no manager leads."""
        answer = self.api.request("GET", "/readyz")
        return str(answer.body["leader"]["name"]) if answer.status == 200 and answer.body["leader"] else ""

    def take(self) -> str:
        """Check out a VM, and return its name."""
        answer = self.api.request("POST", "/vm/debian-12")
        assert answer.status == 200, answer
        return str(answer.body["debian-12"]["hostname"])

    def full(self) -> None:
        """Wait until the pool is full. A clone that was recorded but never ordered can delay this by CLONE_SETTLES."""
        until(lambda: self.api.ready() == 3, "the pool is full", 2 * CLONE_SETTLES)

    async def sound(self, *taken: str) -> None:
        """Assert that every VM is in one queue, that exactly the taken VMs are running, and that no event occurs twice.

        The events are clone, ready and checkout, by VM.
        """
        places = await self.api.everywhere(["debian-12"])
        assert {vm: queues for vm, queues in places.items() if len(queues) != 1} == {}
        assert await self.api.queue(Queue.RUNNING, "debian-12") == set(taken)
        events = [
            (event.what, event.vm) for event in await self.api.events() if event.what in ("clone", "ready", "checkout")
        ]
        assert len(events) == len(set(events))


@pytest.fixture
def pair(spare_redis: RedisServer, tmp_path: Path) -> Iterator[Pair]:
    """An API and two managers that share a Redis and a simulated hypervisor."""
    config = f"""
redis: {{socket: {spare_redis.socket}}}
providers: {{dummy: {{filename: {tmp_path}/dummy.json, createvm_max_time: 0.2, bootvm_max_time: 0.2}}}}
pools: [{{name: debian-12, size: 3}}]
"""
    with (
        Service(config, "--role=api") as api,
        Service(config, "--role=manager") as first,
        Service(config, "--role=manager", f"--health-listen=127.0.0.1:{free_port()}") as second,
    ):
        api.redis_socket = spare_redis.socket
        until(lambda: LEADS in first.said, "the first leads")
        until(lambda: STANDS_BY in second.said, "the second stands by")
        pair = Pair(api, first, second)
        pair.full()
        yield pair
        for service in (api, first, second):
            assert "Traceback" not in service.said


def followed(pair: Pair, by: Service, before: int, since: float, what: str) -> None:
    """Wait until the manager ``by`` leads, and print the seconds since ``since``.

    Only the log after the first ``before`` characters counts.
    """
    until(lambda: LEADS in by.said[before:], "it takes over", LONGEST)
    print(f"\n{what}: another manager leads after {time.monotonic() - since:.2f} s")


async def test_when_the_leader_is_killed_the_other_takes_over_within_seconds(pair: Pair) -> None:
    old = pair.leader()
    taken = [pair.take()]
    pair.first.kill()
    since = time.monotonic()
    taken += [pair.take(), pair.take()]
    followed(pair, pair.second, 0, since, "kill -9")
    pair.full()
    assert pair.leader() not in ("", old)
    await pair.sound(*taken)


async def test_a_leader_that_is_asked_to_end_is_followed_at_once(pair: Pair) -> None:
    since = time.monotonic()
    assert pair.first.stop() == -signal.SIGTERM
    followed(pair, pair.second, 0, since, "SIGTERM")
    taken = pair.take()
    pair.full()
    await pair.sound(taken)


async def test_a_leader_that_was_paused_stands_by_when_it_wakes_up_and_nothing_is_given_twice(pair: Pair) -> None:
    first = pair.first.process
    assert first is not None
    taken = [pair.take()]
    first.send_signal(signal.SIGSTOP)
    since = time.monotonic()
    taken += [pair.take(), pair.take()]
    followed(pair, pair.second, 0, since, "SIGSTOP")
    pair.full()
    gone = taken.pop()
    assert pair.api.request("DELETE", f"/vm/{gone}").status == 200
    first.send_signal(signal.SIGCONT)
    until(lambda: STANDS_BY in pair.first.said, "it stands by")
    taken += [pair.take()]
    pair.full()
    until(lambda: pair.api.request("GET", "/status").body["queue"]["completed"] == 0, "the VM is destroyed")
    await pair.sound(*taken)
    before, since = len(pair.first.said), time.monotonic()
    assert pair.second.stop() == -signal.SIGTERM
    followed(pair, pair.first, before, since, "SIGTERM, after it was thawed")
    taken += [pair.take()]
    pair.full()
    await pair.sound(*taken)


async def test_a_redis_that_hangs_for_longer_than_the_lease_is_led_on_as_soon_as_it_answers(
    pair: Pair, spare_redis: RedisServer
) -> None:
    spare_redis.freeze()
    until(lambda: pair.api.request("GET", "/readyz").status == 503, "the API is not ready")
    time.sleep(3)
    spare_redis.thaw()
    until(lambda: pair.leader(), "a manager leads", LONGEST)
    taken = pair.take()
    pair.full()
    await pair.sound(taken)


def test_a_manager_alone_answers_health_requests_at_its_own_address(pair: Pair) -> None:
    (port,) = [option.rpartition(":")[2] for option in pair.second._options if option.startswith("--health")]
    pair.second.port = int(port)
    answer = pair.second.request("GET", "/readyz")
    assert (answer.status, answer.body["manager"]) == (200, "standing by")
    assert answer.body["leader"]["name"] == pair.leader()
    assert answer.body["providers"] == {"dummy": "ok"}
    assert pair.second.request("GET", "/healthz").body == {"ok": True}
    assert pair.second.request("GET", "/status").status == 404
    assert "manager" not in pair.api.request("GET", "/readyz").body
