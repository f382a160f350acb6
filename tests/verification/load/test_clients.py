"""Fifty concurrent clients; every response is compared with the store."""

import time
from collections import Counter

import attrs
import pytest
import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.client import HTTPConnectionPool

from tests.service.process import Service
from tests.verification.load.replay import EventReplay
from vmpooler.domain.model import Queue
from vmpooler.store import keys

CONFIG = """
config: {{prefix: vm-, task_limit: 40, discovered_grace: 0.05}}
redis: {{server: embedded}}
providers: {{dummy: {{filename: dummy.yaml, createvm_max_time: 0.2, bootvm_max_time: 0.2}}}}
pools:
  - {{name: debian-12, alias: [linux], template: t/debian, folder: f/debian, size: 40}}
  - {{name: ubuntu-24, alias: [linux], template: t/ubuntu, folder: f/ubuntu, size: 25}}
  - {{name: windows-11, template: t/windows, folder: f/windows, size: 15}}
"""

CLIENTS, CHECKOUTS = 50, 2000
POOLS = {"debian-12": ["debian-12"], "ubuntu-24": ["ubuntu-24"], "windows-11": ["windows-11"]}
NAMES = {**POOLS, "linux": ["debian-12", "ubuntu-24"]}
ASKED = ["debian-12", "linux+linux", "windows-11", "ubuntu-24+debian-12", "linux", "debian-12+debian-12+windows-11"]


@attrs.frozen
class CheckoutAnswer:
    wanted: Counter[str]
    began: float
    ended: float
    status: int
    vms: tuple[str, ...]


class CheckoutClient:
    """Sends one checkout after the other, and deletes every second VM that it gets."""

    def __init__(self, url: str, pool: HTTPConnectionPool, number: int) -> None:
        self._url, self._pool, self._number = url, pool, number
        self.answers: list[CheckoutAnswer] = []
        self.deleted: list[str] = []

    async def run(self, checkouts: int) -> None:
        while sum(answer.status == 200 for answer in self.answers) < checkouts:
            answer = await self.checkout(ASKED[(self._number + len(self.answers)) % len(ASKED)])
            self.answers.append(answer)
            for vm in answer.vms[::2]:
                reply = await treq.delete(f"{self._url}/vm/{vm}", pool=self._pool)
                assert (await reply.json()) == {"ok": True}
                self.deleted.append(vm)

    async def checkout(self, path: str) -> CheckoutAnswer:
        began = time.time()
        reply = await treq.post(f"{self._url}/vm/{path}", pool=self._pool)
        body = await reply.json()
        hosts = [body[name]["hostname"] for name in dict.fromkeys(path.split("+"))] if body["ok"] else []
        vms = tuple(vm for host in hosts for vm in ([host] if isinstance(host, str) else host))
        return CheckoutAnswer(Counter(path.split("+")), began, time.time(), reply.code, vms)


@pytest.mark.limit(150)
async def test_no_vm_is_given_twice_and_no_client_is_refused_while_enough_are_ready() -> None:
    with Service(CONFIG.format()) as service:
        await service.full()
        pool = HTTPConnectionPool(reactor, persistent=True)
        pool.maxPersistentPerHost = CLIENTS
        clients = [CheckoutClient(f"{service.url}/api/v1", pool, number) for number in range(CLIENTS)]
        await gatherResults([Deferred.fromCoroutine(client.run(CHECKOUTS // CLIENTS)) for client in clients])
        await pool.closeCachedConnections()
        answers = [answer for client in clients for answer in client.answers]
        assert {answer.status for answer in answers} <= {200, 503}
        given = [vm for answer in answers for vm in answer.vms]
        assert len(given) == len(set(given)), "a VM was given twice"
        assert len(given) == sum(answer.wanted.total() for answer in answers if answer.status == 200)
        replay = EventReplay(await service.events())
        assert sorted(given) == sorted(event.vm for event in replay.events if event.what == "checkout")
        refused = [answer for answer in answers if answer.status == 503]
        assert [answer for answer in refused if enough(answer, replay)] == []
        await service.full()
        left = set(given) - {vm for client in clients for vm in client.deleted}
        assert {vm for name in POOLS for vm in await service.queue(Queue.RUNNING, name)} == left
        assert int(await service.redis("GET", keys.TASKS_CLONE)) == 0
        done = len(answers) - len(refused)
        print(f"\n{done} checkouts of {len(given)} VMs by {CLIENTS} clients, {len(refused)} refused")


def enough(refused: CheckoutAnswer, replay: EventReplay) -> bool:
    """Return whether enough VMs were ready during the whole refused request, according to the events."""
    spread = 0.002  # event ids have a resolution of a millisecond
    fewest = {name: replay.fewest_ready(name, refused.began - spread, refused.ended + spread) for name in POOLS}
    linux = max(0, refused.wanted["linux"])
    for name in POOLS:
        fewest[name] -= refused.wanted[name]
    return min(fewest.values()) >= 0 and fewest["debian-12"] + fewest["ubuntu-24"] >= linux
