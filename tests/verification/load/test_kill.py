"""The whole service is killed repeatedly at random moments."""

import json
import random
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from tests.service.process import Service
from vmpooler.domain.model import Queue
from vmpooler.store import keys

CONFIG = """
config: {prefix: vm-, task_limit: 6, discovered_grace: 0.03}
redis: {server: embedded}
providers: {dummy: {filename: dummy.yaml, createvm_max_time: 0.6, bootvm_max_time: 0.4, destroyvm_max_time: 0.4}}
pools:
  - {name: debian-12, alias: linux, template: t/debian, folder: f/debian, size: 8}
  - {name: ubuntu-24, alias: linux, template: t/ubuntu, folder: f/ubuntu, size: 5}
"""

POOLS = ("debian-12", "ubuntu-24")
KILLS = 20
CLIENTS = 4


class KillClient(Thread):
    """Checks out VMs and deletes some, on a new connection for each request, and records the responses."""

    def __init__(self, port: int, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._port, self._chance = port, chance
        self.given: list[str] = []
        self.gone: set[str] = set()
        self.unanswered = 0
        self.done = False

    def run(self) -> None:
        while not self.done:
            asked = self._chance.choice(["linux", "debian-12", "linux+ubuntu-24"])
            body = self.ask("POST", f"/vm/{asked}")
            vms = [] if body is None or not body["ok"] else [body[name]["hostname"] for name in asked.split("+")]
            self.unanswered += 2 if body is None else 0
            self.given += vms
            for vm in vms:
                if self._chance.random() < 0.6:
                    self.gone.add(vm)  # also without a response: the service may have deleted it
                    self.ask("DELETE", f"/vm/{vm}")
            time.sleep(0.02)

    def ask(self, method: str, path: str) -> Any:
        """Return the response; None when none arrived but the request may have been carried out."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=15)
        try:
            connection.connect()
        except OSError:
            connection.close()
            time.sleep(0.05)
            return {"ok": False}
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        except (OSError, HTTPException, ValueError):
            return None
        finally:
            connection.close()


@pytest.mark.limit(240)
async def test_after_any_number_of_kills_every_vm_is_in_one_queue_and_none_was_given_twice(tmp_path: Path) -> None:
    chance = random.Random(20)
    with Service(CONFIG, directory=tmp_path) as service:
        clients = [KillClient(service.port, random.Random(number)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(KILLS):
            await deferToThread(time.sleep, chance.uniform(0.3, 1.6))
            service.kill()
            service.start()
        await deferToThread(time.sleep, 1)
        for client in clients:
            client.done = True
        for client in clients:
            await deferToThread(client.join)
        await service.full()
        given = [vm for client in clients for vm in client.given]
        gone = {vm for client in clients for vm in client.gone}
        assert len(given) > KILLS, "hardly a VM was given"
        assert len(given) == len(set(given)), "a VM was given twice"
        running = {vm for pool in POOLS for vm in await service.queue(Queue.RUNNING, pool)}
        assert set(given) - gone <= running, "a VM that a client has is running no more"
        unclaimed = running - set(given)
        assert len(unclaimed) <= sum(client.unanswered for client in clients)
        queued = await service.everywhere(POOLS)
        assert {vm: places for vm, places in queued.items() if len(places) != 1} == {}
        assert int(await service.redis("GET", keys.TASKS_CLONE)) == 0
        service.stop()
        held = {vm["name"] for vm in json.loads((tmp_path / "dummy.yaml").read_text())["vms"]}
        assert held == set(queued), "the provider holds what no queue knows, or the other way round"
        print(f"\n{KILLS} kills, {len(given)} VMs given, {len(unclaimed)} taken by requests that were never answered")
