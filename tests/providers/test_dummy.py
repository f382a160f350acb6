"""The simulated hypervisor: the contract, the life of a simulated VM, and injected failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import LogEvent

from vmpooler.domain.guest import Holder
from vmpooler.providers.base import NoAnswer, ProviderError
from vmpooler.providers.dummy.simulation import SimulatedVm
from vmpooler.testing import ProviderContract, booted, cloned

from .dummies import EPOCH, DummyCase, started


class TestDummyKeepsTheContract(ProviderContract):
    @pytest.fixture(params=["in memory", "in a file"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DummyCase]:
        case = DummyCase(
            filename="" if request.param == "in memory" else str(tmp_path / "vms.json"),
            createvm_max_time=4,
            bootvm_max_time=8,
            destroyvm_max_time=2,
            createdisk_max_time=1,
            createsnapshot_max_time=1,
            revertsnapshot_max_time=1,
        )
        begin = ensureDeferred(case.provider.start())
        assert begin.called
        yield case
        ensureDeferred(case.provider.stop())
        assert case.clock.getDelayedCalls() == []


def error_of(work: Deferred[None]) -> str:
    """Return the text of the error with which the work has already failed."""
    errors: list[str] = []
    work.addErrback(lambda failure: errors.append(str(failure.value)))
    assert errors, "it has not failed"
    return errors[0]


async def test_a_vm_is_cloned_then_boots_then_answers_and_listeners_see_each_change() -> None:
    case = await started(createvm_max_time=10, bootvm_max_time=40)
    changed: list[float] = []
    case.dummy.changes(lambda pool: changed.append(case.clock.seconds()))
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    vm = case.dummy.vms()["one"]
    assert vm.booted is not None
    assert EPOCH + 2.5 <= vm.cloned <= EPOCH + 10
    assert vm.cloned + 10 <= vm.booted <= vm.cloned + 40

    case.clock.advance(2.4)
    guest = (await case.provider.inventory(case.pool))["one"]
    assert (guest.cloning, guest.powered_on, clone.called) == (True, False, False)
    case.clock.advance(vm.cloned - case.clock.seconds())
    assert clone.called
    guest = (await case.provider.inventory(case.pool))["one"]
    assert (guest.cloning, guest.powered_on, guest.hostname, guest.address) == (False, True, "", "")
    case.clock.advance(vm.booted - case.clock.seconds())
    guest = (await case.provider.inventory(case.pool))["one"]
    assert (guest.hostname, guest.address) == ("one", "127.1.0.2")
    await case.provider.probe(case.pool, guest)
    assert changed == pytest.approx([vm.cloned, vm.booted])


class Unasked(SimulatedVm):
    """A VM whose ``exists`` must not be called."""

    def exists(self, now: float) -> bool:
        raise AssertionError(f"{self.name} was asked")


async def test_a_look_at_a_pool_does_not_go_through_the_vms_of_others() -> None:
    case = await started()
    for pool in (case.pool, case.other_pool):
        await case.finish(case.provider.clone(pool, f"of-{pool.name}"))
    case.dummy.come_back(Unasked(**attrs.asdict(case.dummy.vms()["of-beta"], recurse=False)))
    assert set(await case.provider.inventory(case.pool)) == {"of-alpha"}
    with pytest.raises(AssertionError, match="of-beta was asked"):
        await case.provider.inventory(case.other_pool)


async def test_what_takes_no_time_is_still_not_done_within_the_call() -> None:
    case = await started()
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    assert not clone.called
    assert (await case.provider.inventory(case.pool))["one"].address
    case.clock.advance(0)
    assert clone.called
    destruction = ensureDeferred(case.provider.destroy(case.pool, "one"))
    assert not destruction.called
    case.clock.advance(0)
    assert destruction.called
    assert case.clock.getDelayedCalls() == []


async def test_every_vm_has_an_address_of_its_own_on_the_loopback() -> None:
    case = await started()
    for number in range(600):
        case.dummy.plant("alpha", f"vm-{number}", stamped=True)
    addresses = {vm.address for vm in case.dummy.vms().values()}
    assert len(addresses) == 600
    assert {address.split(".")[0] for address in addresses} == {"127"}


async def test_clones_fail_as_often_as_configured_and_leave_nothing() -> None:
    case = await started(createvm_max_time=10, createvm_fail_percent=30)
    errors: list[str] = []
    for number in range(1000):
        clone = ensureDeferred(case.provider.clone(case.pool, f"vm-{number}"))
        clone.addErrback(lambda failure: errors.append(str(failure.value)))
    assert len(case.dummy.vms()) == 1000
    case.clock.advance(10)
    assert 250 < len(errors) < 350
    assert all(error.startswith("injected failure: the clone of vm-") for error in errors)
    assert len(await case.provider.inventory(case.pool)) == 1000 - len(errors)


async def test_guests_fail_to_boot_and_to_answer_as_often_as_configured() -> None:
    case = await started(bootvm_fail_percent=20, vmready_fail_percent=40)
    for number in range(1000):
        ensureDeferred(case.provider.clone(case.pool, f"vm-{number}"))
    case.clock.advance(1000)
    up = [guest for guest in (await case.provider.inventory(case.pool)).values() if guest.hostname]
    assert 750 < len(up) < 850
    silent = 0
    for guest in up:
        try:
            await case.provider.probe(case.pool, guest)
        except NoAnswer:
            silent += 1
    assert 0.33 < silent / len(up) < 0.47


@pytest.mark.parametrize("verb", ["destroyvm", "createdisk", "createsnapshot", "revertsnapshot"])
async def test_an_injected_failure_takes_its_time_and_changes_nothing(verb: str) -> None:
    case = await started(**{f"{verb}_fail_percent": 100, f"{verb}_max_time": 60})
    provider, pool = case.provider, case.pool
    await booted(case)
    if verb == "revertsnapshot":
        await case.finish(provider.snapshot(pool, "one", "before"))
    before = case.dummy.vms()
    work = {
        "destroyvm": lambda: provider.destroy(pool, "one"),
        "createdisk": lambda: provider.add_disk(pool, "one", 5, "1"),
        "createsnapshot": lambda: provider.snapshot(pool, "one", "again"),
        "revertsnapshot": lambda: provider.revert(pool, "one", "before"),
    }[verb]
    failing = ensureDeferred(work())
    case.clock.advance(0)
    assert not failing.called
    case.clock.advance(60)
    assert error_of(failing).startswith("injected failure: ")
    assert case.dummy.vms() == before


async def test_inventories_find_guests_switched_off_or_renamed_as_often_as_configured_and_permanently() -> None:
    case = await started(getvm_poweroff_percent=10, getvm_rename_percent=10)
    for number in range(1000):
        case.dummy.plant("alpha", f"vm-{number}", stamped=True)
    guests = (await case.provider.inventory(case.pool)).values()
    off = {guest.name for guest in guests if not guest.powered_on}
    renamed = {guest.name for guest in guests if guest.hostname not in ("", guest.name)}
    assert 60 < len(off) < 140
    assert 50 < len(renamed) < 140
    again = (await case.provider.inventory(case.pool)).values()
    assert off < {guest.name for guest in again if not guest.powered_on}


async def test_changes_from_outside_are_listed_and_listeners_see_them() -> None:
    case = await started()
    dummy, changed = case.dummy, list[str]()
    await booted(case, "one")
    await booted(case, "two")
    dummy.changes(changed.append)
    dummy.switch_off("one")
    dummy.rename("two", "impostor")
    dummy.plant("alpha", "orphan", stamped=True)
    dummy.plant("alpha", "foreign", stamped=False)
    guests = await dummy.inventory(case.pool)
    assert [guest.powered_on for guest in guests.values()] == [False, True, True, True]
    assert [guest.hostname for guest in guests.values()] == ["", "impostor", "orphan", "foreign"]
    assert [guest.stamp is not None for guest in guests.values()] == [True, True, True, False]
    with pytest.raises(NoAnswer):
        await dummy.probe(case.pool, guests["one"])
    dummy.vanish("one")
    assert "one" not in await dummy.inventory(case.pool)
    assert changed == ["alpha"] * 5


async def test_a_vm_that_vanishes_ends_what_others_wait_for() -> None:
    case = await started(createvm_max_time=10, destroyvm_max_time=10, createdisk_max_time=10)
    clone = ensureDeferred(case.provider.clone(case.pool, "cloning"))
    case.dummy.plant("alpha", "dying", stamped=True)
    case.dummy.plant("alpha", "growing", stamped=True)
    destruction = ensureDeferred(case.provider.destroy(case.pool, "dying"))
    growth = ensureDeferred(case.provider.add_disk(case.pool, "growing", 5, "1"))
    for name in ("cloning", "dying", "growing"):
        case.dummy.vanish(name)
    assert error_of(clone) == "cloning has vanished"
    assert destruction.called
    case.clock.advance(10)
    assert error_of(growth) == "there is no VM called growing"


async def test_during_an_outage_calls_fail_while_work_goes_on() -> None:
    case = await started(createvm_max_time=10)
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    case.dummy.outage("no route to the hypervisor")
    with pytest.raises(ProviderError, match="no route to the hypervisor"):
        await case.provider.inventory(case.pool)
    assert error_of(ensureDeferred(case.provider.clone(case.pool, "two"))) == "no route to the hypervisor"
    case.clock.advance(10)
    assert clone.called
    case.dummy.outage(None)
    assert list(await case.provider.inventory(case.pool)) == ["one"]


async def test_a_foreign_vm_is_never_stamped() -> None:
    case = await started()
    case.dummy.plant("alpha", "foreign", stamped=False)
    with pytest.raises(ProviderError):
        await case.provider.stamp(case.pool, "foreign", Holder("jane"))
    assert (await case.provider.inventory(case.pool))["foreign"].stamp is None


async def test_a_provider_that_was_not_started_has_no_inventory() -> None:
    case = DummyCase()
    with pytest.raises(ProviderError, match="not running"):
        await case.provider.inventory(case.pool)


async def test_a_stop_lets_go_of_the_clock_and_of_everyone_who_waits() -> None:
    case = await started(createvm_max_time=10, destroyvm_max_time=10, createdisk_max_time=10)
    await cloned(case)
    case.dummy.plant("alpha", "two", stamped=True)
    works = [
        ensureDeferred(work)
        for work in (
            case.provider.clone(case.pool, "three"),
            case.provider.destroy(case.pool, "two"),
            case.provider.add_disk(case.pool, "one", 5, "1"),
        )
    ]
    await case.provider.stop()
    assert [error_of(work).split(";")[0] for work in works] == ["the simulated hypervisor was stopped"] * 3
    assert case.clock.getDelayedCalls() == []


async def test_a_listener_that_fails_hurts_no_other(logged_errors: list[LogEvent]) -> None:
    case = await started()
    changed: list[str] = []
    case.dummy.changes(lambda pool: changed.remove("never there"))
    case.dummy.changes(changed.append)
    case.dummy.plant("alpha", "one", stamped=True)
    assert changed == ["alpha"]
    assert logged_errors.pop()["pool"] == "alpha"


async def test_a_vm_that_is_being_destroyed_is_listed_switched_off_and_no_longer_cloning() -> None:
    case = await started(createvm_max_time=100, destroyvm_max_time=10)
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    ensureDeferred(case.provider.destroy(case.pool, "one"))
    assert error_of(clone) == "one was destroyed while it was being cloned"
    guest = (await case.provider.inventory(case.pool))["one"]
    assert (guest.cloning, guest.powered_on, guest.hostname) == (False, False, "")
    with pytest.raises(ProviderError, match="is being destroyed"):
        await case.provider.add_disk(case.pool, "one", 5, "1")
