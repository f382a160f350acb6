"""The whole service on two simulated vCenters: what its clients get, what the vCenters then have."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.service.process import VMPOOLER, Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter
from vmpooler.store import keys

pytestmark = [pytest.mark.needs("vcsim"), pytest.mark.limit(150)]

CONFIG = """
:config:
  prefix: vm-
  vm_checktime: 0.05
  clone_target: DC0_C0
redis: {{server: embedded}}
:providers:
  :east: {{provider_class: vsphere, server: "{east}", username: {user}, password: {password}}}
  :west: {{provider_class: vsphere, server: "{west}", username: {user}, password: {password}, datacenter: DC0}}
:pools:
"""

POOL = """\
  - {{name: {name}, size: 3, provider: {provider}, template: templates/{name}, folder: pools/{name},
     datastore: LocalDS_1, probe_port: {port}, create_linked_clone: {linked}}}
"""

POOLS = {"alpha": "east", "beta": "east", "gamma": "west", "delta": "west"}


@pytest.fixture
def vcenters() -> Iterator[dict[str, Vcenter]]:
    """Two vCenters, each with the templates and folders of two pools."""
    binary()
    simulators = {"east": Simulator(net="127.1"), "west": Simulator(net="127.2")}
    vcenters = {}
    for name, simulator in simulators.items():
        simulator.start()
        pools = [pool for pool, provider in POOLS.items() if provider == name]
        vcenters[name] = Vcenter(simulator)
        vcenters[name].prepare("templates/base", *(f"pools/{pool}" for pool in pools))
        for pool in pools:
            vcenters[name].make("templates/base", "templates", pool)
    yield vcenters
    for vcenter in vcenters.values():
        vcenter.close()
    for simulator in simulators.values():
        simulator.remove()


def config(vcenters: dict[str, Vcenter], port: int) -> str:
    servers = {name: vcenter.simulator.url for name, vcenter in vcenters.items()}
    pools = [
        POOL.format(name=name, provider=provider, port=port, linked=str(name != "beta").lower())
        for name, provider in POOLS.items()
    ]
    return CONFIG.format(**servers, user=USER, password=PASSWORD) + "".join(pools)


async def test_pools_of_two_vcenters_are_filled_used_and_refilled(vcenters: dict[str, Vcenter]) -> None:
    port = free_port()

    def there(pool: str) -> list[str]:
        return vcenters[POOLS[pool]].names(f"pools/{pool}")

    with Listener(port), Service(config(vcenters, port)) as service:
        await service.full()
        assert {pool: len(there(pool)) for pool in POOLS} == dict.fromkeys(POOLS, 3)

        given = service.request("POST", "/vm/alpha+gamma")
        assert given.status == 200, given
        one, two = given.body["alpha"]["hostname"], given.body["gamma"]["hostname"]
        assert one in there("alpha")
        assert two in there("gamma")
        east = vcenters["east"]
        until(lambda: '"owner": "anonymous"' in east.find(f"pools/alpha/{one}").config.annotation, "the owner is noted")

        snapshot = _done(service, "POST", f"/vm/{one}/snapshot")[one]["snapshot"]
        until(lambda: snapshot in service.request("GET", f"/vm/{one}").body[one].get("snapshots", []), "a snapshot")
        _done(service, "POST", f"/vm/{one}/disk/5")
        until(lambda: east.disks(f"pools/alpha/{one}") == [5], "a disk")
        until(lambda: service.request("GET", f"/vm/{one}").body[one].get("disk") == ["+5gb"], "the disk is told")
        _done(service, "POST", f"/vm/{one}/snapshot/{snapshot}")
        until(lambda: east.disks(f"pools/alpha/{one}") == [], "the disk is gone again")

        assert service.request("DELETE", f"/vm/{two}").status == 200
        until(lambda: two not in there("gamma"), "what was given back is destroyed")
        await service.redis("HSET", keys.record(one), "checkout", "2020-01-01 00:00:00 +0000")
        three = service.request("POST", "/vm/alpha").body["alpha"]["hostname"]
        until(lambda: one not in there("alpha"), "what has lived long enough is destroyed")
        assert service.request("DELETE", f"/vm/{three}").status == 200
        await service.full()
        assert {pool: len(there(pool)) for pool in POOLS} == dict.fromkeys(POOLS, 3)

        lost, off = there("beta")[:2]
        east.destroy(f"pools/beta/{lost}")
        east.ask(east.find(f"pools/beta/{off}").PowerOffVM_Task())
        until(lambda: off not in there("beta"), "a VM that is off is replaced")
        await service.full()
        assert len(there("beta")) == 3
        east.make("templates/base", "pools/beta", "foreign")
        until(lambda: "foreign" in service.said, "a foreign VM is told of")
        service.stop()
        assert service.said.endswith("[*] stopped\n")
        assert "Traceback" not in service.said
    assert "foreign" in there("beta")


def _done(service: Service, method: str, path: str) -> dict[str, dict[str, str]]:
    answer = service.request(method, path)
    assert answer.status == 202, answer
    body: dict[str, dict[str, str]] = answer.body
    return body


async def test_a_vcenter_that_is_away_for_a_while_leaves_the_other_s_pools_alone_and_is_filled_again(
    vcenters: dict[str, Vcenter],
) -> None:
    port = free_port()
    with Listener(port), Service(config(vcenters, port)) as service:
        await service.full()
        east = vcenters["east"].simulator
        east.control(delay="CloneVM_Task:1000")
        for pool in ("alpha", "beta", "gamma"):
            assert service.request("POST", f"/vm/{pool}").status == 200
        east.control(down="3s")
        vcenters["east"].close()
        until(lambda: f"vCenter {east.url}: the connection was cut" in service.said, "it is told")
        assert service.request("POST", "/vm/delta").status == 200
        await service.full()
        service.stop()
        assert service.said.endswith("[*] stopped\n")
        assert "Traceback" not in service.said
    for pool, provider in POOLS.items():
        names = vcenters[provider].names(f"pools/{pool}")
        assert 3 <= len(names) <= 4, "three that are ready, and the one that was given"


async def test_a_vcenter_that_has_forgotten_everything_is_filled_again_and_what_is_foreign_there_stays(
    vcenters: dict[str, Vcenter],
) -> None:
    port = free_port()
    with Listener(port), Service(config(vcenters, port)) as service:
        await service.full()
        east = vcenters["east"]
        east.simulator.control(delay="CloneVM_Task:1000")
        for pool in ("alpha", "beta"):
            assert service.request("POST", f"/vm/{pool}").status == 200
        vcenters["east"] = again(east, "alpha", "beta")
        foreign = [f"foreign-{number}" for number in range(6)]
        for name in foreign:
            vcenters["east"].make("templates/base", "pools/alpha", name)
        until(lambda: len(vcenters["east"].names("pools/beta")) == 3, "beta is filled again", 60)
        until(lambda: len(vcenters["east"].names("pools/alpha")) == 3 + len(foreign), "alpha is filled again", 60)
        await service.full()
        assert "Traceback" not in service.said
        assert set(foreign) < set(vcenters["east"].names("pools/alpha"))


def again(vcenter: Vcenter, *pools: str) -> Vcenter:
    """The same vCenter, killed and begun anew."""
    simulator = vcenter.simulator
    vcenter.close()
    simulator.kill()
    simulator.start()
    vcenter = Vcenter(simulator)
    vcenter.prepare("templates/base", *(f"pools/{pool}" for pool in pools))
    for pool in pools:
        vcenter.make("templates/base", "templates", pool)
    return vcenter


def test_the_command_makes_templates_ready_for_linked_clones(vcenters: dict[str, Vcenter], tmp_path: Path) -> None:
    (tmp_path / "vmpooler.yaml").write_text(config(vcenters, 1024))

    def run(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(VMPOOLER), "template-deltas", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    west = vcenters["west"]
    west.ask(west.find("templates/gamma").PowerOffVM_Task())
    west.ask(west.find("templates/delta").PowerOffVM_Task())
    assert sorted(run("templates", "--provider=west").stdout.splitlines()) == [
        "templates/base",
        "templates/delta",
        "templates/gamma",
    ]
    assert run("templates", "--provider=west").stdout == "nothing in templates lacks a layer\n"
    for wrong, told in {
        ("templates",): "vmpooler: --provider must be one of: east, west\n",
        ("nowhere", "--provider=west"): "vmpooler: there is no folder DC0/vm/nowhere\n",
        ("templates", "--provider=east"): "vmpooler: template DC0/vm/templates/alpha is not switched off\n",
    }.items():
        refused = run(*wrong)
        assert (refused.returncode, refused.stderr) == (1, told)
