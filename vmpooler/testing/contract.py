"""The contract of every provider, as tests, and what they need to know about the provider under test."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater

from vmpooler.domain.guest import Guest, Holder
from vmpooler.providers.base import NoAnswer, Provider, ProviderError
from vmpooler.settings import Pool

T = TypeVar("T")

TIMEOUT = 20.0
"""Seconds after which a condition that does not hold is a failure."""

PAUSE = 0.05
"""Seconds that a case on the reactor waits before it looks again."""


class ProviderCase(Protocol):
    """A started provider without VMs. Its clones, boots and destructions take some time."""

    provider: Provider
    pool: Pool
    other_pool: Pool

    async def finish(self, work: Awaitable[T]) -> T:
        """Let time pass until the work is done, and return its result."""

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Let time pass until the condition holds."""

    def cut_off(self) -> None:
        """Make the hypervisor unreachable."""

    def switch_off(self, name: str) -> None:
        """Switch a VM off, without the provider."""

    def disks(self, name: str) -> list[int]:
        """Return the sizes in GB of the extra disks that a VM has at the hypervisor."""


class ReactorCase(ProviderCase):
    """A case whose provider runs on the real reactor, in real time. A subclass has the other members."""

    async def finish(self, work: Awaitable[T]) -> T:
        """Return the result of the work, after a pause in which the provider receives earlier changes."""
        await deferLater(reactor, PAUSE)
        return await work

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Return when the condition holds. A ProviderError counts as not yet."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            with suppress(ProviderError):
                if await holds():
                    return
            await deferLater(reactor, PAUSE)
        raise AssertionError(f"the condition did not hold within {TIMEOUT:g} s")


def begin(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Begin the work without letting time pass."""
    return ensureDeferred(work)


async def cloned(case: ProviderCase, name: str = "one") -> Guest:
    """Clone a VM and return its guest as soon as the clone ends."""
    await case.finish(case.provider.clone(case.pool, name))
    return (await case.provider.inventory(case.pool))[name]


async def booted(case: ProviderCase, name: str = "one") -> Guest:
    """Clone a VM and return its guest once it reports an address."""
    await cloned(case, name)

    async def is_up() -> bool:
        return bool((await case.provider.inventory(case.pool))[name].address)

    await case.until(is_up)
    return (await case.provider.inventory(case.pool))[name]


def on_the_reactor(tests: type[T]) -> type[T]:
    """Mark the coroutines of a class for pytest-twisted."""
    for test in vars(tests).values():
        if inspect.iscoroutinefunction(test):
            pytest_twisted.ensureDeferred(test)
    return tests


@on_the_reactor
class ProviderContract:
    """What every provider does."""

    async def test_without_vms_the_inventory_is_empty(self, case: ProviderCase) -> None:
        assert dict(await case.finish(case.provider.inventory(case.pool))) == {}

    async def test_out_of_reach_the_inventory_is_an_error_and_not_empty(self, case: ProviderCase) -> None:
        await booted(case)
        case.cut_off()
        with pytest.raises(ProviderError):
            await case.finish(case.provider.inventory(case.pool))

    async def test_it_is_of_use_until_it_is_out_of_reach_and_then_says_why(self, case: ProviderCase) -> None:
        await case.finish(case.provider.start())
        assert case.provider.trouble() == "", "to start it again changes nothing"
        case.cut_off()

        async def says_why() -> bool:
            return bool(case.provider.trouble())

        await case.until(says_why)

    async def test_a_clone_under_way_is_listed_as_such(self, case: ProviderCase) -> None:
        clone = begin(case.provider.clone(case.pool, "one"))

        async def is_listed() -> bool:
            return "one" in await case.provider.inventory(case.pool)

        await case.until(is_listed)
        assert (await case.provider.inventory(case.pool))["one"].cloning
        await case.finish(clone)
        assert not (await case.provider.inventory(case.pool))["one"].cloning

    async def test_a_clone_is_powered_on_and_has_our_stamp(self, case: ProviderCase) -> None:
        guest = await cloned(case)
        assert (guest.powered_on, guest.cloning) == (True, False)
        assert guest.stamp is not None
        assert (guest.stamp.pool, guest.stamp.name, guest.stamp.holder) == (case.pool.name, "one", None)
        assert guest.stamp.created > 0

    async def test_a_name_that_is_taken_is_not_cloned_again(self, case: ProviderCase) -> None:
        clone = begin(case.provider.clone(case.pool, "one"))
        with pytest.raises(ProviderError):
            await case.finish(case.provider.clone(case.pool, "one"))
        await case.finish(clone)
        with pytest.raises(ProviderError):
            await case.finish(case.provider.clone(case.pool, "one"))
        assert list(await case.provider.inventory(case.pool)) == ["one"]

    async def test_a_booted_guest_has_its_vm_s_name_an_address_and_answers(self, case: ProviderCase) -> None:
        guest = await booted(case)
        assert guest.hostname == "one"
        await case.finish(case.provider.probe(case.pool, guest))

    async def test_a_guest_that_has_not_booted_does_not_answer(self, case: ProviderCase) -> None:
        guest = await cloned(case)
        with pytest.raises(NoAnswer):
            await case.finish(case.provider.probe(case.pool, guest))

    async def test_a_pool_lists_its_own_vms_only(self, case: ProviderCase) -> None:
        await cloned(case)
        assert dict(await case.provider.inventory(case.other_pool)) == {}

    async def test_a_vm_is_found_from_any_pool(self, case: ProviderCase) -> None:
        guest = await booted(case)
        assert await case.finish(case.provider.find(case.pool, "one")) == guest
        assert await case.finish(case.provider.find(case.other_pool, "one")) == guest
        assert await case.finish(case.provider.find(case.pool, "two")) is None

    async def test_a_destroyed_vm_is_gone_and_its_name_free(self, case: ProviderCase) -> None:
        await booted(case)
        await case.finish(case.provider.destroy(case.pool, "one"))
        assert dict(await case.provider.inventory(case.pool)) == {}
        assert await case.provider.find(case.pool, "one") is None
        await cloned(case)

    async def test_a_vm_that_is_not_there_counts_as_destroyed(self, case: ProviderCase) -> None:
        await case.finish(case.provider.destroy(case.pool, "never-was"))

    async def test_two_destructions_of_one_vm_both_succeed(self, case: ProviderCase) -> None:
        await booted(case)
        first = begin(case.provider.destroy(case.pool, "one"))
        await case.finish(case.provider.destroy(case.pool, "one"))
        await case.finish(first)
        assert dict(await case.provider.inventory(case.pool)) == {}

    async def test_a_vm_destroyed_during_its_clone_is_gone_and_its_clone_fails(self, case: ProviderCase) -> None:
        clone = begin(case.provider.clone(case.pool, "one"))
        failed: list[object] = []
        clone.addErrback(lambda failure: failed.append(failure.value))
        await case.finish(case.provider.destroy(case.pool, "one"))
        await case.finish(clone)
        assert isinstance(failed[0], ProviderError)
        assert dict(await case.provider.inventory(case.pool)) == {}

    async def test_a_caller_who_gives_up_leaves_a_vm_that_can_be_destroyed(self, case: ProviderCase) -> None:
        clone = begin(case.provider.clone(case.pool, "one"))
        clone.cancel()
        with pytest.raises(CancelledError):
            await clone
        destruction = begin(case.provider.destroy(case.pool, "one"))
        destruction.cancel()
        with pytest.raises(CancelledError):
            await destruction
        await case.finish(case.provider.destroy(case.pool, "one"))
        assert dict(await case.provider.inventory(case.pool)) == {}

    async def test_a_vm_that_is_off_is_switched_on_and_boots_and_one_that_is_on_is_left_as_it_is(
        self, case: ProviderCase
    ) -> None:
        await booted(case)
        case.switch_off("one")

        async def is_off() -> bool:
            return not (await case.provider.inventory(case.pool))["one"].powered_on

        async def answers() -> bool:
            return bool((await case.provider.inventory(case.pool))["one"].address)

        await case.until(is_off)
        await case.finish(case.provider.power_on(case.pool, "one"))
        assert (await case.provider.inventory(case.pool))["one"].powered_on
        await case.until(answers)
        await case.finish(case.provider.power_on(case.pool, "one"))
        guest = (await case.provider.inventory(case.pool))["one"]
        await case.finish(case.provider.probe(case.pool, guest))

    async def test_two_who_switch_a_vm_on_both_succeed(self, case: ProviderCase) -> None:
        await cloned(case)
        case.switch_off("one")
        first = begin(case.provider.power_on(case.pool, "one"))
        await case.finish(case.provider.power_on(case.pool, "one"))
        await case.finish(first)

    async def test_the_holder_is_read_back_until_there_is_none(self, case: ProviderCase) -> None:
        await cloned(case)
        whole = Holder("jané", "an-id", 1_800_000_000.0, 1_800_003_600.0)
        for holder in (whole, attrs.evolve(whole, until=None), Holder("jane", since=1.0), Holder("jane"), None):
            await case.finish(case.provider.stamp(case.pool, "one", holder))
            stamp = (await case.provider.inventory(case.pool))["one"].stamp
            assert stamp is not None
            assert (stamp.holder, stamp.pool, stamp.name) == (holder, case.pool.name, "one")

    async def test_a_revert_takes_the_disks_back(self, case: ProviderCase) -> None:
        provider, pool = case.provider, case.pool
        await booted(case)
        await case.finish(provider.add_disk(pool, "one", 5, "1"))
        await case.finish(provider.snapshot(pool, "one", "before"))
        await case.finish(provider.add_disk(pool, "one", 7, "2"))
        assert case.disks("one") == [5, 7]
        await case.finish(provider.revert(pool, "one", "before"))
        assert case.disks("one") == [5]

    async def test_a_disk_that_is_asked_for_again_is_attached_once(self, case: ProviderCase) -> None:
        provider, pool = case.provider, case.pool
        await booted(case)
        for id in ("first", "second", "first"):
            await case.finish(provider.add_disk(pool, "one", 5, id))
        assert case.disks("one") == [5, 5]

    async def test_a_snapshot_that_is_there_counts_as_taken_and_stays_as_it_is(self, case: ProviderCase) -> None:
        provider, pool = case.provider, case.pool
        await booted(case)
        await case.finish(provider.snapshot(pool, "one", "before"))
        await case.finish(provider.add_disk(pool, "one", 5, "3"))
        await case.finish(provider.snapshot(pool, "one", "before"))
        await case.finish(provider.revert(pool, "one", "before"))
        assert case.disks("one") == []

    async def test_what_is_not_there_is_neither_reverted_to_nor_changed(self, case: ProviderCase) -> None:
        provider, pool = case.provider, case.pool
        await booted(case)
        for work in (
            provider.revert(pool, "one", "never-taken"),
            provider.revert(pool, "never-was", "before"),
            provider.snapshot(pool, "never-was", "before"),
            provider.add_disk(pool, "never-was", 5, "4"),
            provider.stamp(pool, "never-was", None),
            provider.power_on(pool, "never-was"),
        ):
            with pytest.raises(ProviderError):
                await case.finish(work)

    async def test_listeners_are_called_for_a_boot_and_for_a_destruction(self, case: ProviderCase) -> None:
        notified: list[str] = []
        case.provider.changes(notified.append)

        async def is_notified() -> bool:
            return bool(notified)

        await cloned(case)
        notified.clear()
        await case.until(is_notified)
        assert (await case.provider.inventory(case.pool))["one"].address
        notified.clear()
        await case.finish(case.provider.destroy(case.pool, "one"))
        await case.until(is_notified)
        assert set(notified) == {case.pool.name}

    async def test_a_stopped_provider_answers_with_an_error(self, case: ProviderCase) -> None:
        await case.finish(case.provider.stop())
        with pytest.raises(ProviderError):
            await case.finish(case.provider.inventory(case.pool))
