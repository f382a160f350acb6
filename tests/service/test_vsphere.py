"""The whole service with two simulated vCenters: what its clients get, and which VMs the vCenters then have."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.auth.certificates import Authority
from tests.ports import free_port
from tests.service.process import VMPOOLER, Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.proxy import Page, VcenterProxy, response
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter
from vmpooler.domain.model import Queue
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


def config(vcenters: dict[str, Vcenter], port: int, **instead: str) -> str:
    servers = {name: vcenter.simulator.url for name, vcenter in vcenters.items()} | instead
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
        until(lambda: service.request("GET", f"/vm/{one}").body[one].get("disk") == ["+5gb"], "the disk is reported")
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
        until(lambda: "foreign" in service.said, "a foreign VM is logged")
        service.stop()
        assert service.said.endswith("[*] stopped\n")
        assert "Traceback" not in service.said
    assert "foreign" in there("beta")


@pytest.mark.parametrize("page", [Page(), Page(response("WaitForUpdatesEx"))])
async def test_a_page_at_a_login_costs_no_pool_a_vm(vcenters: dict[str, Vcenter], page: Page) -> None:
    port, east = free_port(), vcenters["east"]

    def there() -> list[str]:
        return east.names("pools/alpha")

    def provider_state() -> str:
        return str(service.request("GET", "/readyz").body["providers"]["east"])

    async def queues() -> list[list[str]]:
        places = [keys.queue(each, "alpha") for each in (Queue.READY, Queue.RUNNING, Queue.COMPLETED)]
        return [sorted(await service.redis("SMEMBERS", place)) for place in places]

    with (
        VcenterProxy(east.simulator) as proxy,
        Listener(port),
        Service(config(vcenters, port, east=proxy.url)) as service,
    ):
        await service.full()
        given = service.request("POST", "/vm/alpha").body["alpha"]["hostname"]
        await service.full()
        before, vms = await queues(), there()
        proxy.show(RetrieveServiceContent=Page())
        east.end_sessions()
        until(lambda: provider_state() not in ("ok", "the session has ended"), "/readyz reports it", 40)
        said = provider_state()
        proxy.show(WaitForUpdatesEx=page)
        since = proxy.count("WaitForUpdatesEx")
        until(lambda: proxy.count("WaitForUpdatesEx") >= since + 3, "logins that get nothing", 40)
        assert await queues() == before
        assert there() == vms
        assert "the answer is no vSphere response (its root is html)" in said
        assert "the answer is no vSphere response" in provider_state()
        assert proxy.count("Destroy_Task") == proxy.count("PowerOffVM_Task") == 0
        assert "secret-page" not in service.said
        proxy.show()
        until(lambda: provider_state() == "ok", "it is over", 40)
        assert await queues() == before
        assert service.request("GET", f"/vm/{given}").body[given]["state"] == "running"


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
        until(lambda: f"vCenter {east.url}: the connection was cut" in service.said, "it is logged")
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
        assert "Traceback" not in service.said
        assert set(foreign) < set(vcenters["east"].names("pools/alpha"))


def again(vcenter: Vcenter, *pools: str) -> Vcenter:
    """Kill the vCenter, start it again without its former VMs, and create the templates and folders of these pools."""
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
    for wrong, message in {
        ("templates",): "vmpooler: --provider must be one of: east, west\n",
        ("nowhere", "--provider=west"): "vmpooler: there is no folder DC0/vm/nowhere\n",
        ("templates", "--provider=east"): "vmpooler: template DC0/vm/templates/alpha is not switched off\n",
    }.items():
        refused = run(*wrong)
        assert (refused.returncode, refused.stderr) == (1, message)


TROUBLED = """
redis: {{server: embedded}}
providers:
  east: {{provider_class: vsphere, server: "{east}", username: {user}, password: {password}}}
  away: {{provider_class: vsphere, server: "{away}", username: {user}, password: {password}}}
pools:
  - {{name: no-template, size: 1, provider: east, template: templates/none, folder: pools/alpha}}
  - {{name: no-datastore, size: 1, provider: east, template: templates/alpha, folder: pools/alpha, datastore: none}}
  - {{name: no-cluster, size: 1, provider: east, template: templates/alpha, folder: pools/alpha, clone_target: none}}
  - {{name: no-host, size: 1, provider: east, template: templates/alpha, folder: pools/alpha, clone_target: DC0_C0}}
  - {{name: no-folder, size: 1, provider: east, template: templates/alpha, folder: pools/none}}
  - {{name: no-room, size: 1, provider: east, template: templates/alpha, folder: pools/alpha}}
  - {{name: no-vcenter, size: 1, provider: away, template: templates/alpha, folder: pools/alpha}}
"""

CAUSES = {
    "no-template": "cloning failed: there is no template DC0/vm/templates/none, or the account may not see it: "
    "check template",
    "no-datastore": "cloning failed: there is no datastore none: check datastore",
    "no-cluster": "cloning failed: there is no cluster none: check clone_target",
    "no-host": "cloning failed: none of the 3 hosts of cluster DC0_C0 is green and out of maintenance",
    "no-folder": "the inventory failed: vCenter {east}: there is no folder DC0/vm/pools/none, or the account may not "
    "see it: check folder",
    "no-room": "cloning failed: the clone of templates/alpha: the datastore LocalDS_0 is full",
    "no-vcenter": "the inventory failed: vCenter {away}: there is no connection: connection refused",
}
"""The text of the log message, by pool."""


def is_logged(service: Service, text: str) -> bool:
    return text in service.said


def test_each_kind_of_trouble_is_one_line_that_names_the_setting_or_the_object(vcenters: dict[str, Vcenter]) -> None:
    east = vcenters["east"].simulator
    east.control(fail="CloneVM_Task:100:task:NoDiskSpace")
    for number in range(3):
        east.control(host=f"DC0_C0_H{number},1000,1000,true,green")
    urls = {"east": east.url, "away": f"http://127.0.0.1:{free_port()}"}
    with Service(TROUBLED.format(**urls, user=USER, password=PASSWORD)) as service:
        for pool, cause in CAUSES.items():
            text = f"[!] [{pool}] {cause.format(**urls)} (failure 1 in a row"
            until(partial(is_logged, service, text), text)
            (_,) = [line for line in service.said.splitlines() if f"[{pool}]" in line and "(failure 1 in a row" in line]
        assert service.said.count(f"vCenter {urls['away']}: connection refused; tries again") == 1
        assert "Traceback" not in service.said


@pytest.mark.parametrize(
    ("tls", "password", "cause"),
    [
        (False, "wrong", "the login was refused: check username and password"),
        (True, PASSWORD, "its certificate is not trusted (unable to get local issuer certificate): check ca_file"),
    ],
)
def test_a_vcenter_that_cannot_be_used_ends_the_start_with_one_line(
    tmp_path: Path, tls: bool, password: str, cause: str
) -> None:
    certificate, key = map(str, Authority(tmp_path, "own").issue("vcenter", "127.0.0.1")) if tls else ("", "")
    simulator = Simulator(certificate=certificate, key=key)
    simulator.start()
    config = f"""
redis: {{server: embedded}}
providers: {{east: {{provider_class: vsphere, server: "{simulator.url}", username: {USER}, password: {password}}}}}
pools: [{{name: one, size: 1, provider: east, template: a, folder: b}}]
"""
    try:
        service = Service(config, directory=tmp_path / "service")
        assert service.run() == 1
        (line,) = [line for line in service.said.splitlines() if cause in line]
        assert f"vCenter {simulator.url}: {cause}" in line
        assert "Traceback" not in service.said
    finally:
        service.end()
        simulator.remove()
