"""Pools that are removed, renamed or moved between two starts: no VM is lost, and every change is reported."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import PATIENCE, TWISTD, Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter
from vmpooler.domain.model import Queue
from vmpooler.store import keys

pytestmark = pytest.mark.limit(150)

HEAD = """
config: {prefix: vm-}
redis: {server: embedded}
providers: {dummy: {filename: dummy.yaml}}
"""
BOTH = HEAD + "pools: [{name: a, size: 1}, {name: b, size: 2}]"
ONE = HEAD + "pools: [{name: a, size: 1}]"

ENDED = "2020-01-01 00:00:00 +0000"
"""The time of a checkout whose VM has reached the end of its lifetime."""


def configure(service: Service, yaml: str) -> None:
    (service.directory / "vmpooler.yaml").write_text(yaml)


def take(service: Service, pool: str) -> str:
    answer = service.request("POST", f"/vm/{pool}")
    assert answer.status == 200, answer
    return str(answer.body[pool]["hostname"])


def draining(service: Service, path: str = "/readyz") -> Any:
    return service.request("GET", path).body.get("draining", {})


def checked(directory: Path) -> str:
    command = [sys.executable, str(TWISTD), "vmpooler", "--check-config"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return done.stdout


async def verified(service: Service, pool: str) -> None:
    """Return when a pool was compared with its provider. Until then a VM's stamp takes precedence over its record."""
    end = time.monotonic() + PATIENCE
    while not await service.redis("SISMEMBER", keys.VERIFIED, pool):
        assert time.monotonic() < end
        time.sleep(0.05)


async def test_a_pool_that_is_removed_is_named_everywhere_until_its_last_vm_is_destroyed(tmp_path: Path) -> None:
    with Service(BOTH, directory=tmp_path) as service:
        await service.full()
        first, second = take(service, "b"), take(service, "b")
        await service.full()
        assert "draining" not in {*service.request("GET", "/status").body, *service.request("GET", "/readyz").body}
        configure(service, ONE)
        (warning,) = [line for line in checked(tmp_path).splitlines() if line.startswith("warning")]
        assert warning.startswith("warning: Redis: pool b: not configured any more")
        assert "2 ready, 2 running" in warning.replace("2 running, 2 ready", "2 ready, 2 running")
        service.stop()
        service.start()
        until(lambda: "[b] not configured any more: it is drained through provider dummy" in service.said, "the log")
        until(lambda: draining(service).get("b", {}).get("ready") == 0, "the ready ones are ended")
        for path in ("/readyz", "/status", "/status?view=draining"):
            assert draining(service, path)["b"]["running"] == 2
            assert "provider dummy" in draining(service, path)["b"]["message"]
        assert "draining" not in service.request("GET", "/status?view=queue").body
        assert service.request("GET", "/totalrunning").body == {"running": 2}
        refused = service.request("POST", f"/vm/{first}/disk/5")
        assert refused.status == 409
        assert "not configured any more" in refused.body["message"]
        assert service.request("GET", "/dashboard/pools/b").body["pool"]["draining"]
        assert service.request("GET", f"/vm/{first}").body[first]["state"] == "running"
        assert service.request("DELETE", f"/vm/{first}").status == 200
        until(lambda: f"[b] '{first}' destroyed" in service.said, "DELETE destroys")
        service.stop()
        service.start()
        until(lambda: draining(service).get("b", {}).get("running") == 1, "it keeps its time")
        await verified(service, "b")
        await service.redis("HSET", keys.record(second), "checkout", ENDED)
        event = ("what", "changed", "pool", "b", "vm", second, "when", "0", "by", "api")
        await service.redis("XADD", keys.EVENTS, "*", *event)  # starts the next round now
        until(lambda: not draining(service), "the end of its lifetime ends the rest")
        assert f"[b] '{second}' destroyed" in service.said
        assert service.request("GET", "/dashboard/pools/b").status == 404
        assert service.request("POST", f"/vm/{second}/snapshot").status == 409
        assert "vm-" not in json.dumps([*await service.everywhere(["b"])])
        assert not await service.redis("HEXISTS", keys.POOLS, "b")
        assert "warning" not in checked(tmp_path)
        assert "Traceback" not in service.said


async def test_an_api_and_a_manager_with_other_pools_say_so_and_agree_about_what_is_refused(
    spare_redis: RedisServer,
) -> None:
    head = f"redis: {{socket: {spare_redis.socket}}}\nproviders: {{dummy: {{filename: dummy.yaml}}}}\n"
    both, one = (head + f"pools: [{{name: debian-12, size: 1}}{more}]" for more in (", {name: b, size: 1}", ""))
    with Service(both, "--role=api") as api, Service(both, "--role=manager") as manager:
        until(lambda: api.ready("b") == 1, "the pool is full")
        vm = take(api, "b")
        assert "other_pools" not in api.request("GET", "/readyz").body
        configure(manager, one)
        manager.stop()
        manager.start()
        until(lambda: "b" in draining(api), "the leader drains it")
        (difference,) = until(lambda: api.request("GET", "/readyz").body.get("other_pools", {}).values(), "it is said")
        assert difference == "not b"
        assert api.request("POST", f"/vm/{vm}/disk/5").status == 409
        assert not [field for field in await _record(api, spare_redis, vm) if field.startswith("failed:")]
        until(lambda: "configured with other pools than here: also b" in manager.said, "the manager says it")
        assert api.said.count("configured with other pools than here") == 1
        assert api.request("DELETE", f"/vm/{vm}").status == 200
        until(lambda: f"[b] '{vm}' destroyed" in manager.said, "DELETE destroys")
        configure(api, one)
        api.stop()
        api.start()
        until(lambda: "all processes are configured with the same pools again" in manager.said, "they agree")
        assert "other_pools" not in api.request("GET", "/readyz").body


async def _record(service: Service, redis: RedisServer, vm: str) -> list[str]:
    service.redis_socket = redis.socket
    return list(await service.redis("HKEYS", keys.record(vm)))


VSPHERE = """
config: {{prefix: vm-, clone_target: DC0_C0, discovered_grace: 0.01, destroy_foreign: true}}
redis: {{server: embedded}}
providers:
{providers}
pools:
{pools}
"""


@pytest.fixture
def vcenters() -> Iterator[dict[str, Vcenter]]:
    binary()
    found = {}
    for number, name in enumerate(("east", "west")):
        simulator = Simulator(net=f"127.{number + 1}")
        simulator.start()
        found[name] = Vcenter(simulator)
        found[name].prepare("templates/base", "pools/alpha", "pools/other")
    yield found
    for vcenter in found.values():
        vcenter.close()
        vcenter.simulator.remove()


def vsphere(vcenters: dict[str, Vcenter], port: int, *pools: tuple[str, str, str], sections: str = "east west") -> str:
    """Return a configuration with these pools, each given as name, provider and folder."""
    sections_of = [
        f'  {name}: {{provider_class: vsphere, server: "{vcenters[name].simulator.url}", username: {USER},'
        f" password: {PASSWORD}, datacenter: DC0}}"
        for name in sections.split()
    ]
    pools_of = [
        f"  - {{name: {name}, size: 2, provider: {provider}, template: templates/base, folder: {folder},"
        f" datastore: LocalDS_1, probe_port: {port}, create_linked_clone: false}}"
        for name, provider, folder in pools
    ]
    return VSPHERE.format(providers="\n".join(sections_of), pools="\n".join(pools_of))


@pytest.mark.needs("vcsim")
async def test_a_renamed_pool_fills_beside_the_old_one_in_the_same_folder(vcenters: dict[str, Vcenter]) -> None:
    port, east = free_port(), vcenters["east"]
    with Listener(port), Service(vsphere(vcenters, port, ("alpha", "east", "pools/alpha"))) as service:
        await service.full()
        first, second = take(service, "alpha"), take(service, "alpha")
        await service.full()
        configure(service, vsphere(vcenters, port, ("beta", "east", "pools/alpha")))
        service.stop()
        service.start()
        await service.full()
        until(lambda: draining(service)["alpha"]["ready"] == draining(service)["alpha"]["completed"] == 0, "it drains")
        until(lambda: len(east.names("pools/alpha")) == 4, "two that are ready, two that run")
        assert draining(service)["alpha"]["running"] == 2
        assert await service.queue(Queue.DISCOVERED, "beta") == set()
        assert "discovered" not in service.said
        assert "mass guard" not in service.said
        assert service.request("DELETE", f"/vm/{first}").status == 200
        until(lambda: first not in east.names("pools/alpha"), "DELETE destroys")
        # now two configured pools share the folder
        both = [("alpha", "east", "pools/alpha"), ("beta", "east", "pools/alpha")]
        configure(service, vsphere(vcenters, port, *both))
        service.stop()
        service.start()
        await service.full()
        assert draining(service) == {}
        assert len(east.names("pools/alpha")) == 5
        assert await service.queue(Queue.RUNNING, "alpha") == {second}
        assert "discovered" not in service.said
        # now no configured pool uses the folder of the removed pools
        configure(service, vsphere(vcenters, port, ("gamma", "east", "pools/other")))
        service.stop()
        service.start()
        await service.full()
        until(lambda: list(draining(service)) == ["alpha"], "the one with no VM in use is forgotten")
        until(lambda: east.names("pools/alpha") == [second], "only what is in use is left")
        await service.redis("HSET", keys.record(second), "checkout", ENDED)
        assert service.request("DELETE", f"/vm/{second}").status == 200
        until(lambda: east.names("pools/alpha") == [], "and then it is not")
        until(lambda: not draining(service), "it is forgotten")
        assert "Traceback" not in service.said


@pytest.mark.needs("vcsim")
async def test_a_pool_that_moves_keeps_what_stands_at_its_former_place(vcenters: dict[str, Vcenter]) -> None:
    port, east, west = free_port(), vcenters["east"], vcenters["west"]
    with Listener(port), Service(vsphere(vcenters, port, ("alpha", "east", "pools/alpha"))) as service:
        await service.full()
        first, second = take(service, "alpha"), take(service, "alpha")
        await service.full()
        old = set(east.names("pools/alpha"))
        assert len(old) == 4
        configure(service, vsphere(vcenters, port, ("alpha", "west", "pools/alpha"), sections="west"))
        service.stop()
        service.start()
        until(lambda: len(west.names("pools/alpha")) == 2, "the pool is filled at the new place")
        moved = service.request("GET", "/readyz").body["moved"]["alpha"]
        assert moved.startswith("4 of its VMs stood at provider east")
        assert "which is not configured" in moved
        assert service.request("GET", "/status").body["moved"]["alpha"] == moved
        assert await service.queue(Queue.RUNNING, "alpha") == {first, second}
        assert service.request("DELETE", f"/vm/{first}").status == 200
        assert set(east.names("pools/alpha")) == old
        assert await service.queue(Queue.COMPLETED, "alpha") == old - {second}
        assert await service.queue(Queue.READY, "alpha") <= {*west.names("pools/alpha")}

        configure(service, vsphere(vcenters, port, ("alpha", "west", "pools/alpha")))
        service.stop()
        service.start()
        until(lambda: east.names("pools/alpha") == [second], "what was ended meanwhile is destroyed there")
        await service.full()
        assert await service.queue(Queue.RUNNING, "alpha") == {second}

        configure(service, vsphere(vcenters, port, ("alpha", "west", "pools/other")))
        service.stop()
        service.start()
        await service.full()
        assert await service.queue(Queue.READY, "alpha") == {*west.names("pools/alpha")}, "ready ones are still given"
        third = take(service, "alpha")
        assert third in west.names("pools/alpha")
        until(lambda: len(west.names("pools/other")) == 1, "and replaced at the new place")
        for vm in (second, third):
            assert service.request("DELETE", f"/vm/{vm}").status == 200
        until(lambda: east.names("pools/alpha") == [], "what is deleted is destroyed where it stands")
        until(lambda: len(west.names("pools/alpha")) == 1, "there too")
        assert "mass guard" not in service.said
        assert "discovered" not in service.said
        assert "Traceback" not in service.said
