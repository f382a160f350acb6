"""A service whose Redis is monitored by sentinels, and fails over."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPException
from threading import Thread
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.redis_group import RedisGroup
from tests.service.process import Client, Service, until
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.settings import Redis
from vmpooler.store import keys

clock: Any = reactor

POOLS = "config: {prefix: vm-}\npools: [{name: debian-12, alias: linux, size: 4}]\n"


@pytest.fixture
def group() -> Iterator[RedisGroup]:
    group = RedisGroup()
    try:
        group.start()
        yield group
    finally:
        group.remove()


class Watched(Service):
    """A service on a group of Redis servers."""

    def __init__(self, group: RedisGroup, more: str = "") -> None:
        super().__init__(f"{group.config}{more}}}\n{POOLS}")
        self._group = group

    @property
    def redis_settings(self) -> Redis:
        return self._group.settings

    def take(self) -> str:
        """Check out a VM, and return its name. Raises AssertionError when the request is refused."""
        answer = self.request("POST", "/vm/linux")
        assert answer.status == 200, answer
        return str(answer.body["linux"]["hostname"])

    def takes(self) -> str | None:
        answer = self.request("POST", "/vm/linux")
        return str(answer.body["linux"]["hostname"]) if answer.status == 200 else None


class Customer(Thread):
    """A client that checks out VMs until ``done``, and records their names and the number of refusals."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.given: list[str] = []
        self.refused = 0
        self.done = False

    def run(self) -> None:
        while not self.done:
            client = Client(self._port)
            try:
                client.request("POST", "/vm/linux")
                answer = client.answer()
            except (OSError, HTTPException, json.JSONDecodeError):
                continue
            if answer.status == 200:
                self.given.append(answer.body["linux"]["hostname"])
            else:
                self.refused += 1
            time.sleep(0.01)


@pytest.mark.limit(90)
async def test_a_primary_that_dies_under_load_costs_seconds_and_no_vm(group: RedisGroup) -> None:
    with Watched(group) as service:
        until(lambda: service.ready() == 4, "the pool is full")
        customers = [Customer(service.port) for _ in range(3)]
        for customer in customers:
            customer.start()
        until(lambda: sum(len(customer.given) for customer in customers) > 20, "VMs are taken")
        start = time.monotonic()
        await deferToThread(group.fail_over)
        chosen = time.monotonic()
        before = sum(len(customer.given) for customer in customers)
        until(lambda: sum(len(customer.given) for customer in customers) > before + 20, "VMs are taken again")
        served = time.monotonic()
        for customer in customers:
            customer.done = True
        for customer in customers:
            await deferToThread(customer.join)
        await service.full()
        given = [vm for customer in customers for vm in customer.given]
        assert len(given) == len(set(given)), "a VM was given twice"
        assert set(given) <= await service.queue(Queue.RUNNING, "debian-12"), "a VM that a client has does not run"
        queued = await service.everywhere(["debian-12"])
        assert {vm: places for vm, places in queued.items() if len(places) != 1} == {}
        assert "Traceback" not in service.said
        print(
            f"\n{len(given)} VMs; another primary after {chosen - start:.1f} s, 20 more {served - chosen:.1f} s later"
        )


@pytest.mark.limit(60)
async def test_a_checkout_that_no_replica_had_is_its_clients_after_the_fail_over(group: RedisGroup) -> None:
    with Watched(group) as service:
        until(lambda: service.ready() == 4, "the pool is full")
        group.cut_off_the_replica()
        given = {service.take() for _ in range(3)}
        await deferToThread(group.fail_over)
        again = {until(service.takes, "VMs are given again")}
        again |= {until(service.takes, "VMs are given again") for _ in range(4)}
        assert not given & again
        assert await service.queue(Queue.RUNNING, "debian-12") == given | again
        restored = {event.vm for event in await service.events() if event.what == "restored"}
        assert restored == given
        assert "lacks what was written last" in service.said


@pytest.mark.limit(60)
async def test_vms_that_a_dead_process_may_have_given_away_stay_out_of_reach_and_alive(group: RedisGroup) -> None:
    with Watched(group) as service:
        until(lambda: service.ready() == 4, "the pool is full")
        ready = await service.queue(Queue.READY, "debian-12")
        group.cut_off_the_replica()
        given = service.take()
        service.kill()
        await deferToThread(group.fail_over)
        service.start()
        again = {until(service.takes, "VMs are given again") for _ in range(4)}
        assert not ready & again
        assert await service.queue(Queue.RUNNING, "debian-12") == ready | again
        report = service.request("GET", f"/vm/{given}").body[given]
        assert report["state"] == "running"
        assert "fail-over" in report["quarantined"]


@pytest.mark.limit(60)
async def test_a_checkout_that_replicas_do_not_confirm_is_refused_and_its_vm_goes_back(group: RedisGroup) -> None:
    with Watched(group, ", wait_replicas: 1, wait_timeout: 0.5") as service:
        until(lambda: service.ready() == 4, "the pool is full")
        service.take()
        until(lambda: service.ready() == 4, "the pool is full")
        group.replica.freeze()
        start = time.monotonic()
        answer = service.request("POST", "/vm/linux")
        assert answer.status == 503
        assert "0 of 1 replicas" in answer.body["message"]
        assert 0.4 < time.monotonic() - start < 5
        group.replica.thaw()
        while await service.redis("HLEN", keys.active("debian-12")) > 1:
            await deferLater(clock, 0.05)
        assert [event.what for event in await service.events()].count(What.RETURNED) == 1
        until(service.takes, "VMs are given again")
