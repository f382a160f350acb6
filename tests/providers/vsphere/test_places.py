"""Placement of clones, migrations and template layers, and the settings that errors name as the cause."""

import json
from typing import Any

import attrs
import pytest
from pyVmomi import vim

from tests.providers.vsphere.case import TEMPLATE, VsphereCase
from tests.vcsim.simulator import Simulator
from vmpooler.domain.guest import Holder
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import specs, stamp
from vmpooler.providers.vsphere.inventory_lookup import Cluster, Host, Load
from vmpooler.providers.vsphere.session import address
from vmpooler.settings import General

CLUSTER = "DC0_C0"


def host(name: str, cpu: float = 0.1, memory: float = 0.1, healthy: bool = True) -> Host:
    return Host(name, name, healthy, Load(cpu, memory))


def cluster(*hosts: Host) -> Cluster:
    return Cluster("c", "pool", hosts)


def test_the_least_used_healthy_host_is_chosen_by_what_runs_out_first() -> None:
    hosts = [host("a", 0.1, 0.5), host("b", 0.4, 0.4), host("c", 0.0, 0.0, healthy=False)]
    assert cluster(*hosts).choose({}, 0).name == "b"


def test_vms_that_were_placed_since_count() -> None:
    hosts = [host("a", 0.10), host("b", 0.13)]
    placed = {"a": 0, "b": 0}
    for _ in range(10):
        placed[cluster(*hosts).choose(placed, 0).name] += 1
    assert placed == {"a": 6, "b": 4}


@pytest.mark.parametrize(
    ("hosts", "limit", "message"),
    [
        ([], 0, "none of the 0 hosts of cluster c is green"),
        ([host("a", healthy=False)], 0, "none of the 1 hosts of cluster c is green"),
        ([host("a", 0.91), host("b", 0.1, 0.95)], 0.9, "used above utilization_limit, 90%"),
    ],
)
def test_without_a_host_the_error_names_the_reason(hosts: list[Host], limit: float, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        cluster(*hosts).choose({}, limit)


def test_a_server_is_a_name_and_maybe_a_port() -> None:
    assert address("vcenter.example.com") == ("vcenter.example.com", 443, False)
    assert address("https://vcenter.example.com:8443/") == ("vcenter.example.com", 8443, False)
    assert address("http://127.0.0.1:8989") == ("127.0.0.1", 8989, True)


def test_a_stamp_is_read_back_and_another_s_annotation_is_none() -> None:
    text = stamp.stamped("alpha", "one", 1_700_000_000, "templates/debian")
    read = stamp.stamp_in(stamp.held(text, holder := Holder("jane", "an-id", 1_800_000_000.0, None)))
    assert read is not None
    assert (read.pool, read.name, read.created, read.holder) == ("alpha", "one", 1_700_000_000, holder)
    original = '{"name": "two", "created_by": "pooler", "base_template": "x/y", "creation_timestamp": "long ago"}'
    read = stamp.stamp_in(original)
    assert read is not None
    assert (read.pool, read.name, read.created) == ("", "two", 0)
    assert read.holder is None
    for odd in ("soon", 1e300, True, [1]):
        read = stamp.stamp_in(json.dumps({**json.loads(original), "owner": "jane", "checkout": odd, "end": odd}))
        assert read is not None
        assert read.holder == Holder("jane")
    for text in ("", "a note", "[1]", '{"name": "one"}'):
        assert stamp.stamp_in(text) is None


def test_disks_take_the_free_units_of_one_controller_after_the_other() -> None:
    devices: list[Any] = [vim.vm.device.ParaVirtualSCSIController(key=1000, busNumber=0, sharedBus="noSharing")]
    units = []
    for number in range(2 * specs.UNITS - 2):
        spec = specs.add_disk(devices, "[store] vm", "vm", f"id{number}", 1)
        assert spec is not None
        *controllers, disk = [change.device for change in spec.deviceChange]
        for controller in controllers:
            controller.key = disk.controllerKey = 1001
        devices += [*controllers, disk]
        units.append((disk.controllerKey, disk.unitNumber))
    free = [unit for unit in range(16) if unit != 7]
    assert units == [(key, unit) for key in (1000, 1001) for unit in free]


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_disk_is_known_by_its_file_also_below_snapshots(layers: int) -> None:
    devices = [vim.vm.device.ParaVirtualSCSIController(key=1000, busNumber=0, sharedBus="noSharing")]
    spec = specs.add_disk(devices, "[store] vm", "vm", "000007", 1)
    assert spec is not None
    disk = spec.deviceChange[-1].device
    for number in range(layers):
        name = f"[store] vm/vm-000007-extra-{number + 1:06}.vmdk"
        parent = None if number % 2 else disk.backing
        disk.backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName=name, diskMode="persistent", parent=parent
        )
    assert specs.add_disk([*devices, disk], "[store] vm", "vm", "000007", 1) is None
    assert specs.add_disk([*devices, disk], "[store] vm", "vm", "000008", 1) is not None


@pytest.mark.needs("vcsim")
async def test_a_clone_goes_where_the_settings_say(case: VsphereCase) -> None:
    vcenter, pool = case.vcenter, attrs.evolve(case.pool, clone_target=CLUSTER, datastore="LocalDS_1")
    case.simulator.control(host=f"{CLUSTER}_H0,4000,3000,false,green")
    case.simulator.control(host=f"{CLUSTER}_H1,100,100,true,green")
    await case.provider.clone(pool, "one")
    vm = vcenter.find(f"{pool.folder}/one")
    assert vm.runtime.host.name == f"{CLUSTER}_H2"
    assert [store.name for store in vm.datastore] == ["LocalDS_1"]
    assert {each.value for each in vm.config.extraConfig if each.key == "guestinfo.hostname"} == {"one"}
    assert '"created_by": "vmpooler"' in vm.config.annotation


@pytest.mark.needs("vcsim")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clone_target": "nowhere"}, "there is no cluster nowhere: check clone_target"),
        ({"datastore": "nowhere"}, "there is no datastore nowhere: check datastore"),
        ({"template": "templates/linux"}, "there is no template DC0/vm/templates/linux"),
    ],
)
async def test_a_clone_that_cannot_be_placed_says_which_setting_is_at_fault(
    case: VsphereCase, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProviderError, match=message):
        await case.provider.clone(attrs.evolve(case.pool, **wrong), "one")
    assert "CloneVM_Task" not in case.simulator.calls()


@pytest.mark.needs("vcsim")
async def test_a_cluster_without_a_healthy_host_gets_no_clones_until_it_has_one(case: VsphereCase) -> None:
    pool = attrs.evolve(case.pool, clone_target=CLUSTER)
    for number in range(3):
        case.simulator.control(host=f"{CLUSTER}_H{number},0,0,false,red")
    with pytest.raises(ProviderError, match=f"none of the 3 hosts of cluster {CLUSTER} is green"):
        await case.provider.clone(pool, "one")
    case.simulator.control(host=f"{CLUSTER}_H1,0,0,false,green")
    await case.provider.clone(pool, "one")


@pytest.mark.needs("vcsim")
async def test_a_vm_is_migrated_to_the_least_used_host_of_its_cluster(case: VsphereCase) -> None:
    pool = attrs.evolve(case.pool, clone_target=CLUSTER)
    case.simulator.control(host=f"{CLUSTER}_H2,4000,3000,false,green")
    await case.provider.clone(pool, "one")
    for before, after in (("H0", "H1"), ("H1", "H0")):
        assert case.vcenter.find(f"{pool.folder}/one").runtime.host.name == f"{CLUSTER}_{before}"
        await case.provider.migrate(pool, "one")
        vm = case.vcenter.find(f"{pool.folder}/one")
        assert (vm.runtime.host.name, vm.runtime.powerState) == (f"{CLUSTER}_{after}", "poweredOn")
    with pytest.raises(ProviderError, match="alpha has no clone_target to migrate one in"):
        await case.provider.migrate(case.pool, "one")
    with pytest.raises(ProviderError, match="there is no VM called never-was"):
        await case.provider.migrate(pool, "never-was")


@pytest.mark.needs("vcsim")
async def test_a_template_gets_a_layer_once(case: VsphereCase) -> None:
    assert await case.provider.prepare_templates("templates/linux") == ["templates/linux/debian"]
    assert await case.provider.prepare_templates("templates/linux") == []
    assert has_layer(case)
    await case.provider.clone(case.pool, "one")


@pytest.mark.needs("vcsim")
async def test_a_template_gets_a_layer_before_its_first_linked_clone_when_that_is_set(simulator: Simulator) -> None:
    case = VsphereCase(simulator, General(create_template_delta_disks=True))
    await case.start()
    await case.provider.clone(attrs.evolve(case.pool, create_linked_clone=False), "copied")
    assert not has_layer(case)
    case.vcenter.find(TEMPLATE).MarkAsTemplate()
    await case.provider.clone(case.pool, "linked")
    assert has_layer(case)
    assert case.vcenter.find(TEMPLATE).config.template
    await case.stop()


def has_layer(case: VsphereCase) -> bool:
    devices: list[Any] = case.vcenter.find(TEMPLATE).config.hardware.device
    backings: list[Any] = [each.backing for each in devices if isinstance(each, vim.vm.device.VirtualDisk)]
    return [backing.parent is not None for backing in backings] == [True]
