"""Failures at a vCenter: no VM is made twice or lost, no foreign VM is touched, and the provider recovers."""

import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent

from tests.auth.certificates import Authority
from tests.providers.vsphere.case import TEMPLATE, VsphereCase, clock
from tests.vcsim.simulator import Simulator
from tests.vcsim.vcenter import Vcenter
from vmpooler.domain.guest import Holder
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import vms
from vmpooler.providers.vsphere.stamp import stamped
from vmpooler.settings import General, Pool

pytestmark = [pytest.mark.needs("vcsim"), pytest.mark.limit(90)]


async def error_of(work: Awaitable[Any]) -> str:
    with pytest.raises(ProviderError) as caught:
        await work
    return str(caught.value)


async def outcomes(works: list[Deferred[None]]) -> list[bool]:
    """Return for each work whether it succeeded. Asserts that every failure is a ProviderError."""
    results: Any = await DeferredList(works, consumeErrors=True)
    assert all(ok or failure.check(ProviderError) for ok, failure in results), results
    return [ok for ok, _ in results]


def lists(case: VsphereCase, pool: Pool, name: str) -> Callable[[], Awaitable[bool]]:
    """Return a condition: the VM is in the inventory of the pool."""

    async def is_listed() -> bool:
        return name in await case.provider.inventory(pool)

    return is_listed


async def heals(case: VsphereCase) -> None:
    """Wait until the inventory is available, then assert that the provider clones and destroys again."""

    async def works() -> bool:
        try:
            await case.provider.inventory(case.pool)
        except ProviderError:
            return False
        return True

    await case.until(works)
    await case.provider.clone(case.pool, "healed")
    await case.provider.destroy(case.pool, "healed")
    assert "healed" not in case.vcenter.names(case.pool.folder)


async def test_a_clone_whose_answer_is_lost_is_found_and_made_once(case: VsphereCase) -> None:
    case.simulator.control(fail="CloneVM_Task:1:lose")
    await case.provider.clone(case.pool, "one")
    assert case.simulator.calls()["CloneVM_Task"] == 1
    assert case.vcenter.names(case.pool.folder) == ["one"]
    assert (await case.provider.inventory(case.pool))["one"].powered_on


@pytest.mark.parametrize("how", ["drop", "503", "hang:1000", "soap:SystemError"])
async def test_a_clone_that_was_not_carried_out_fails_and_is_not_sent_again(case: VsphereCase, how: str) -> None:
    case.simulator.control(fail=f"CloneVM_Task:1:{how}")
    await error_of(case.provider.clone(case.pool, "one"))
    assert case.simulator.calls()["CloneVM_Task"] == 1
    assert case.vcenter.names(case.pool.folder) == []
    await heals(case)


async def test_a_clone_that_is_answered_too_late_is_found_and_made_once(simulator: Simulator) -> None:
    case = VsphereCase(simulator, timeout=2)
    await case.start()
    simulator.control(pre="CloneVM_Task:3000")
    await case.provider.clone(case.pool, "one")
    assert simulator.calls()["CloneVM_Task"] == 1
    assert case.vcenter.names(case.pool.folder) == ["one"]
    await case.stop()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("NoDiskSpace", "the datastore LocalDS_0 is full"),
        ("NoPermission", "the account lacks the right"),
        ("ResourceInUse", "ResourceInUse"),
        ("InsufficientResourcesFault", "InsufficientResourcesFault"),
        ("TaskInProgress", "TaskInProgress"),
        ("HostConnectFault", "HostConnectFault"),
        ("SystemError", "SystemError"),
    ],
)
async def test_a_clone_that_fails_says_why_and_leaves_nothing(case: VsphereCase, fault: str, message: str) -> None:
    case.simulator.control(fail=f"CloneVM_Task:1:task:{fault}")
    why = await error_of(case.provider.clone(case.pool, "one"))
    assert message in why
    assert TEMPLATE in why
    assert "\n" not in why
    assert dict(await case.provider.inventory(case.pool)) == {}
    await heals(case)


@pytest.mark.parametrize("method", ["PowerOffVM_Task", "Destroy_Task"])
@pytest.mark.parametrize("how", ["task:SystemError", "503", "drop", "lose"])
async def test_a_destruction_that_fails_succeeds_when_it_is_tried_again(
    case: VsphereCase, method: str, how: str
) -> None:
    await case.provider.clone(case.pool, "one")
    case.simulator.control(fail=f"{method}:1:{how}")
    await error_of(case.provider.destroy(case.pool, "one"))
    await case.provider.destroy(case.pool, "one")
    assert case.vcenter.names(case.pool.folder) == []


@pytest.mark.parametrize("how", ["drop", "503", "hang:500", "soap:SystemError"])
async def test_a_wait_for_updates_that_fails_is_started_again(case: VsphereCase, how: str) -> None:
    await case.provider.clone(case.pool, "one")
    case.simulator.control(fail=f"WaitForUpdatesEx:2:{how}")
    case.vcenter.make(TEMPLATE, case.pool.folder, "two")

    async def is_listed() -> bool:
        return sorted(await case.provider.inventory(case.pool)) == ["one", "two"]

    await case.until(is_listed)
    await heals(case)


async def test_destructions_do_not_wait_for_clones_and_no_more_run_than_are_allowed(simulator: Simulator) -> None:
    case = VsphereCase(simulator, max_clones=2)
    await case.start()
    await case.provider.clone(case.pool, "old")
    simulator.control(delay="CloneVM_Task:1500", reset="")
    clones = [ensureDeferred(case.provider.clone(case.pool, f"new-{number}")) for number in range(4)]
    await case.provider.destroy(case.pool, "old")
    assert simulator.calls()["CloneVM_Task"] == 2
    assert not any(clone.called for clone in clones)
    assert await outcomes(clones) == [True] * 4
    await case.stop()


async def test_a_caller_that_is_cancelled_waits_no_longer_and_asks_no_more(case: VsphereCase) -> None:
    case.simulator.control(pre="CreateContainerView:1000")
    search = ensureDeferred(case.provider.find(case.pool, "nobody"))
    await deferLater(clock, 0.2)
    search.cancel()
    assert search.called
    with pytest.raises(CancelledError):
        await search
    await deferLater(clock, 1.2)
    assert case.simulator.calls()["CreateContainerView"] == 1


async def test_hundreds_of_operations_that_wait_for_their_turn_all_end_when_the_connection_is_cut(
    case: VsphereCase,
) -> None:
    await case.provider.clone(case.pool, "one")
    case.simulator.control(pre="CreateContainerView:3000")
    ends: list[object] = []
    for number in range(300):
        name = "one" if number < 8 else f"gone-{number}"
        ensureDeferred(case.provider.destroy(case.pool, name)).addBoth(ends.append)
    await deferLater(clock, 0.2)
    case.cut_off()

    async def all_ended() -> bool:
        return len(ends) == 300

    await case.until(all_ended)


async def test_a_vm_that_is_destroyed_while_it_waits_for_its_turn_is_never_ordered(simulator: Simulator) -> None:
    case = VsphereCase(simulator, max_clones=1)
    await case.start()
    simulator.control(delay="CloneVM_Task:1000", reset="")
    first, second = (ensureDeferred(case.provider.clone(case.pool, name)) for name in ("first", "second"))
    gone = ensureDeferred(case.provider.destroy(case.pool, "second"))
    assert await outcomes([first, second, gone]) == [True, False, True]
    assert simulator.calls()["CloneVM_Task"] == 1
    assert case.vcenter.names(case.pool.folder) == ["first"]
    await case.stop()


@pytest.mark.parametrize("method", ["RetrievePropertiesEx", "ModifyListView", "FindByInventoryPath"])
async def test_what_only_reads_is_sent_again(case: VsphereCase, method: str) -> None:
    case.simulator.control(fail=f"{method}:1:drop")
    await case.provider.clone(case.pool, "one")
    assert case.vcenter.names(case.pool.folder) == ["one"]


async def test_an_ended_session_is_replaced_and_what_was_asked_is_done(
    case: VsphereCase, logged: list[LogEvent]
) -> None:
    case.simulator.control(delay="CloneVM_Task:1500")
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    await deferLater(clock, 0.5)
    case.vcenter.end_sessions()
    await case.provider.clone(case.pool, "two")
    await clone
    assert case.vcenter.names(case.pool.folder) == ["one", "two"]
    assert case.simulator.calls()["CloneVM_Task"] == 2 + 1  # one call was refused because the session had ended
    lines = [formatEvent(event) for event in logged if event.get("server")]
    assert len([line for line in lines if "the session has ended; tries again" in line]) == 1


async def test_clones_and_destructions_outlive_a_connection_that_is_cut(case: VsphereCase) -> None:
    names = [f"vm-{number}" for number in range(6)]
    await DeferredList([ensureDeferred(case.provider.clone(case.pool, name)) for name in names[:3]])
    case.simulator.control(delay="CloneVM_Task:1000")
    clones = [ensureDeferred(case.provider.clone(case.pool, name)) for name in names[3:]]
    destructions = [ensureDeferred(case.provider.destroy(case.pool, name)) for name in names[:3]]
    await deferLater(clock, 0.3)
    case.simulator.control(down="1500ms")
    case.vcenter.close()
    assert await outcomes(clones) == [True] * 3
    await outcomes(destructions)
    for name in names[:3]:
        await case.provider.destroy(case.pool, name)
    assert case.vcenter.names(case.pool.folder) == names[3:]
    assert case.simulator.calls()["CloneVM_Task"] == 6


async def test_a_vcenter_that_hangs_is_reported_and_its_clones_succeed(simulator: Simulator) -> None:
    case = VsphereCase(simulator, timeout=3)
    await case.start()
    simulator.control(delay="CloneVM_Task:500")
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    await deferLater(clock, 0.3)
    simulator.signal(signal.SIGSTOP)
    began = time.monotonic()

    async def is_known() -> bool:
        try:
            await case.provider.inventory(case.pool)
        except ProviderError:
            return True
        return False

    await case.until(is_known)
    assert time.monotonic() - began < 15
    assert "no answer in time" in await error_of(case.provider.inventory(case.pool))
    simulator.signal(signal.SIGCONT)
    await clone
    assert case.vcenter.names(case.pool.folder) == ["one"]
    await case.stop()


async def test_a_vcenter_that_begins_anew_is_looked_at_afresh_and_its_other_vms_are_left_alone(
    case: VsphereCase,
) -> None:
    names = [f"vm-{number}" for number in range(4)]
    await DeferredList([ensureDeferred(case.provider.clone(case.pool, name)) for name in names])
    case.simulator.control(delay="CloneVM_Task:2000,", fail="Destroy_Task:0:drop")
    case.simulator.control(delay="PowerOffVM_Task:1000")
    works = [ensureDeferred(case.provider.destroy(case.pool, name)) for name in names]
    works += [ensureDeferred(case.provider.clone(case.pool, f"new-{number}")) for number in range(3)]
    await deferLater(clock, 0.3)
    case.simulator.kill()
    case.vcenter.close()
    case.simulator.start()  # all its data is lost, and it gives the same ids to other objects
    case.vcenter = Vcenter(case.simulator)
    case.vcenter.prepare(TEMPLATE, case.pool.folder, case.other_pool.folder)
    foreign = [f"foreign-{number}" for number in range(8)]
    for name in foreign:
        case.vcenter.make(TEMPLATE, case.pool.folder, name)
    await outcomes(works)
    calls = case.simulator.calls()
    assert (calls.get("Destroy_Task", 0), calls.get("PowerOffVM_Task", 0)) == (0, 1)  # prepare() switches one VM off
    await heals(case)
    assert case.vcenter.names(case.pool.folder) == foreign


async def test_a_wrong_password_ends_the_start_with_what_to_do(case: VsphereCase) -> None:
    stranger = case.another(password="wrong")
    why = await error_of(stranger.start())
    assert why == f"vCenter {case.simulator.url}: the login was refused: check username and password"


async def test_a_certificate_is_trusted_only_if_the_ca_file_says_so(vcsim: None, tmp_path: Path) -> None:
    own, other = Authority(tmp_path, "own"), Authority(tmp_path, "other")
    certificate, key = own.issue("vcenter", "127.0.0.1")
    simulator = Simulator(certificate=str(certificate), key=str(key))
    simulator.start()
    case = VsphereCase(simulator, ca_file=str(own.file))
    try:
        await case.start()
        assert dict(await case.provider.inventory(case.pool)) == {}
        for ca_file in (str(other.file), ""):
            assert "certificate is not trusted" in await error_of(case.another(ca_file=ca_file).start())
        insecure = case.another(ca_file="", insecure=True)
        await insecure.start()
        await insecure.stop()
    finally:
        await case.stop()
        simulator.remove()


async def test_a_vcenter_that_is_not_there_is_waited_for(case: VsphereCase) -> None:
    case.simulator.kill()
    other = case.another()
    starting = ensureDeferred(other.start())
    await deferLater(clock, 0.3)
    assert "connection refused" in await error_of(other.inventory(case.pool))
    case.vcenter.close()
    case.simulator.start()
    case.vcenter = Vcenter(case.simulator)
    case.vcenter.prepare(TEMPLATE, case.pool.folder)
    await starting
    assert dict(await other.inventory(case.pool)) == {}
    await other.stop()


async def test_a_missing_template_is_named_and_found_when_it_is_back(case: VsphereCase) -> None:
    await case.provider.clone(case.pool, "one")
    template = case.vcenter.find(TEMPLATE)
    case.vcenter.ask(template.Rename_Task("elsewhere"))
    case.vcenter.ask(template.Destroy_Task())
    why = await error_of(case.provider.clone(case.pool, "two"))
    assert why == f"there is no template DC0/vm/{TEMPLATE}, or the account may not see it: check template"
    folder, _, name = TEMPLATE.rpartition("/")
    case.vcenter.make(f"{case.pool.folder}/one", folder, name)
    await case.provider.clone(case.pool, "three")
    assert case.vcenter.names(case.pool.folder) == ["one", "three"]


@pytest.mark.parametrize("create_folders", [False, True])
async def test_a_missing_folder_is_an_error_until_it_is_there_or_made(
    simulator: Simulator, create_folders: bool
) -> None:
    case = VsphereCase(simulator, General(create_folders=create_folders))
    await case.start()
    case.vcenter.ask(case.vcenter.find(case.pool.folder).Destroy_Task())
    await deferLater(clock, 1.5)
    if not create_folders:
        why = await error_of(case.provider.inventory(case.pool))
        assert f"there is no folder DC0/vm/{case.pool.folder}" in why
        assert dict(await case.provider.inventory(case.other_pool)) == {}
        case.vcenter.folder(case.pool.folder)
    assert dict(await case.provider.inventory(case.pool)) == {}
    await case.provider.clone(case.pool, "one")
    assert case.vcenter.names(case.pool.folder) == ["one"]
    await case.stop()


async def test_what_others_do_to_a_vm_is_listed_and_listeners_see_it(case: VsphereCase) -> None:
    for name in ("one", "two"):
        await case.provider.clone(case.pool, name)
    changed: list[str] = []
    case.provider.changes(changed.append)
    case.vcenter.destroy(f"{case.pool.folder}/one")
    case.vcenter.ask(case.vcenter.find(f"{case.pool.folder}/two").PowerOffVM_Task())

    async def is_seen() -> bool:
        seen = await case.provider.inventory(case.pool)
        return list(seen) == ["two"] and not seen["two"].powered_on

    await case.until(is_seen)
    assert "alpha" in changed
    await case.provider.destroy(case.pool, "one")
    await case.provider.destroy(case.pool, "two")


async def test_a_foreign_vm_is_listed_without_a_stamp_and_never_destroyed(case: VsphereCase) -> None:
    case.vcenter.make(TEMPLATE, case.pool.folder, "foreign")
    await case.provider.clone(case.pool, "ours")
    annotation = case.vcenter.find(f"{case.pool.folder}/ours").config.annotation
    case.vcenter.make(f"{case.pool.folder}/ours", case.pool.folder, "copy", annotation)
    seen = await case.provider.inventory(case.pool)
    assert seen["foreign"].stamp is None
    for name in ("foreign", "copy"):
        assert "already" in await error_of(case.provider.clone(case.pool, name))
        await case.provider.destroy(case.pool, name)
    assert case.vcenter.names(case.pool.folder) == ["copy", "foreign", "ours"]


async def test_a_foreign_vm_is_destroyed_only_if_that_is_set_and_only_in_the_folder(simulator: Simulator) -> None:
    case = VsphereCase(simulator, General(destroy_foreign=True))
    await case.start()
    case.vcenter.make(TEMPLATE, case.pool.folder, "unwanted")
    case.vcenter.folder("elsewhere")
    case.vcenter.make(TEMPLATE, "elsewhere", "precious")

    async def is_listed() -> bool:
        return "unwanted" in await case.provider.inventory(case.pool)

    await case.until(is_listed)
    for name in ("unwanted", "precious"):
        await case.provider.destroy(case.pool, name)
    assert case.vcenter.names(case.pool.folder) == []
    assert case.vcenter.names("elsewhere") == ["precious"]
    await case.stop()


async def test_a_name_that_was_taken_a_moment_ago_is_neither_cloned_nor_destroyed(case: VsphereCase) -> None:
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    case.vcenter.make(TEMPLATE, case.pool.folder, "one")
    assert "there is a VM called one already" in await error_of(clone)
    await case.provider.destroy(case.pool, "one")
    assert case.vcenter.names(case.pool.folder) == ["one"]


async def test_a_vm_of_ours_is_known_even_when_its_annotation_was_edited_or_it_was_moved(case: VsphereCase) -> None:
    for name in ("edited", "moved"):
        await case.provider.clone(case.pool, name)
    edited, moved = (case.vcenter.find(f"{case.pool.folder}/{name}") for name in ("edited", "moved"))
    case.vcenter.ask(edited.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="do not delete")))
    case.vcenter.ask(case.vcenter.folder("elsewhere").MoveIntoFolder_Task([moved]))
    await deferLater(clock, 1)
    found = await case.provider.find(case.pool, "moved")
    assert found is not None
    assert found.stamp is not None
    for name in ("edited", "moved"):
        await case.provider.destroy(case.pool, name)
    assert case.vcenter.names(case.pool.folder) == case.vcenter.names("elsewhere") == []


@pytest.mark.parametrize("how", ["soap:SystemError", "soap:NoPermission"])
async def test_a_clone_whose_task_cannot_be_watched_is_found_all_the_same(case: VsphereCase, how: str) -> None:
    case.simulator.control(fail=f"ModifyListView:3:{how}")
    await case.provider.clone(case.pool, "one")
    assert case.simulator.calls()["CloneVM_Task"] == 1
    assert case.vcenter.names(case.pool.folder) == ["one"]


async def test_a_vm_of_that_name_which_another_service_made_elsewhere_is_left_alone(case: VsphereCase) -> None:
    case.vcenter.folder("theirs")
    theirs = stamped("another-pool", "one", 1.0, TEMPLATE)
    case.vcenter.make(TEMPLATE, "theirs", "one", theirs)
    await case.provider.destroy(case.pool, "one")
    assert case.vcenter.names("theirs") == ["one"]


async def test_whatever_is_written_on_a_foreign_vm_it_is_listed(case: VsphereCase) -> None:
    case.vcenter.make(TEMPLATE, case.pool.folder, "odd", "[" * 100_000)
    await case.until(lists(case, case.pool, "odd"))
    assert (await case.provider.inventory(case.pool))["odd"].stamp is None


async def test_the_log_has_each_new_reason_for_being_away(case: VsphereCase, logged: list[LogEvent]) -> None:
    case.simulator.control(fail="Login:1:soap:InvalidLogin")
    case.vcenter.end_sessions()

    async def is_logged() -> bool:
        return any("check username and password" in formatEvent(event) for event in logged)

    await case.until(is_logged)


async def test_the_host_of_a_vm_and_when_it_was_switched_on_are_known(case: VsphereCase) -> None:
    before = time.time()
    await case.provider.clone(case.pool, "one")

    async def is_known() -> bool:
        guest = (await case.provider.inventory(case.pool))["one"]
        vm = case.vcenter.find(f"{case.pool.folder}/one")
        return guest.host == vm.runtime.host.name and guest.booted is not None and guest.booted > before - 1

    await case.until(is_known)


async def test_a_vm_that_stays_off_is_an_error_with_the_reason(case: VsphereCase) -> None:
    await case.provider.clone(case.pool, "one")
    case.switch_off("one")

    async def is_off() -> bool:
        return not (await case.provider.inventory(case.pool))["one"].powered_on

    await case.until(is_off)
    case.simulator.control(fail="PowerOnVM_Task:1:task:InsufficientResourcesFault")
    with pytest.raises(ProviderError, match="the power-on of one: InsufficientResourcesFault"):
        await case.provider.power_on(case.pool, "one")
    await case.provider.power_on(case.pool, "one")
    assert (await case.provider.inventory(case.pool))["one"].powered_on


async def test_a_vm_that_was_not_made_by_this_service_is_not_switched_on(case: VsphereCase) -> None:
    case.vcenter.make(TEMPLATE, case.pool.folder, "foreign")
    case.switch_off("foreign")
    with pytest.raises(ProviderError, match="foreign was not made by this service"):
        await case.provider.power_on(case.pool, "foreign")


async def test_a_holder_that_the_inventory_never_shows_is_an_error(
    case: VsphereCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vms, "UPDATE_TIMEOUT", 0.5)
    await case.provider.clone(case.pool, "one")
    nobody = Holder("")  # reads back as no holder
    assert "the stamp of one is not seen" in await error_of(case.provider.stamp(case.pool, "one", nobody))
