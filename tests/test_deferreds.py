"""A signal wakes those who wait, slots bound what runs at once, callers share one read, and shielded work outlives its
caller."""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from vmpooler.deferreds import Signal, SingleFlight, Slots, shield
from vmpooler.domain.errors import PoolEmpty


class Source:
    """A source of values; each read waits until the test supplies its result."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.readings: list[Deferred[str]] = []
        self.recent = SingleFlight(self._read, 0.25, self.clock)

    async def _read(self) -> str:
        self.readings.append(Deferred())
        return await self.readings[-1]

    def ask(self) -> Deferred[str]:
        return Deferred.fromCoroutine(self.recent.get())

    def finds(self, what: Any) -> None:
        self.readings[-1].callback(what)


def test_a_signal_wakes_only_those_who_wait_when_it_is_sent() -> None:
    signal = Signal[str]()
    signal.send("a")
    first, second = signal.wait(), signal.wait()
    signal.send("b")
    third = signal.wait()
    assert [result_of(first), result_of(second), third.called] == ["b", "b", False]
    signal.send("c")
    assert result_of(third) == "c"


def test_a_wait_that_is_cancelled_leaves_the_others_as_they_are() -> None:
    signal = Signal[str]()
    first, second, third = signal.wait(), signal.wait(), signal.wait()
    found: list[str] = []
    first.addCallback(found.append).addCallback(lambda _: second.cancel())
    second.addErrback(lambda failure: failure.trap(CancelledError))
    signal.send("a")
    assert [*found, result_of(third)] == ["a", "a"]


@pytest.mark.parametrize(("error", "count"), [(PoolEmpty("none"), 0), (RuntimeError("odd"), 1)])
def test_shielded_work_goes_on_without_its_caller_and_its_odd_failures_are_logged(
    error: Exception, count: int, logged_errors: list[LogEvent]
) -> None:
    work: Deferred[None] = Deferred()

    async def waits() -> None:
        await work

    caller = shield(waits())
    caller.addErrback(lambda failure: failure.trap(CancelledError))
    caller.cancel()
    assert not work.called
    work.errback(error)
    assert len(logged_errors) == count
    logged_errors.clear()


@pytest.fixture
def source() -> Source:
    return Source()


def result_of(asked: Deferred[str]) -> str:
    found: list[str] = []
    asked.addCallback(found.append)
    assert found, "no result yet"
    return found[0]


def test_all_who_ask_meanwhile_get_what_one_reading_finds(source: Source) -> None:
    first, second = source.ask(), source.ask()
    source.clock.advance(0.2)
    third = source.ask()
    source.finds("a")
    assert [result_of(each) for each in (first, second, third, source.ask())] == ["a"] * 4
    assert len(source.readings) == 1


def test_the_time_counts_from_when_the_reading_began(source: Source) -> None:
    source.ask()
    source.clock.advance(0.24)
    source.finds("old")
    assert result_of(source.ask()) == "old"
    source.clock.advance(0.01)
    asked = source.ask()
    source.finds("new")
    assert result_of(asked) == "new"


def test_who_asks_late_does_not_wait_for_a_reading_that_began_long_ago(source: Source) -> None:
    slow = source.ask()
    source.clock.advance(0.25)
    asked = source.ask()
    source.finds("new")
    assert result_of(asked) == "new"
    source.readings[0].callback("old")
    assert result_of(slow) == "old"
    assert result_of(source.ask()) == "new"


def test_a_clock_that_is_set_back_keeps_nothing_for_longer(source: Source) -> None:
    source.clock.advance(100)
    source.ask()
    source.finds("old")
    source.clock.rightNow = 50.0
    source.ask()
    assert len(source.readings) == 2


def test_what_is_forgotten_is_read_again_by_the_next(source: Source) -> None:
    before = source.ask()
    source.recent.forget()
    after = source.ask()
    source.readings[1].callback("after")
    source.readings[0].callback("before")
    assert (result_of(before), result_of(after), result_of(source.ask())) == ("before", "after", "after")


def test_a_failure_is_raised_for_those_who_wait_and_the_next_begins_anew(source: Source) -> None:
    asked = [source.ask(), source.ask()]
    source.readings[0].errback(RuntimeError("away"))
    for each in asked:
        failures: list[Any] = []
        each.addErrback(failures.append)
        assert failures[0].getErrorMessage() == "away"
    again = source.ask()
    source.finds("back")
    assert result_of(again) == "back"


def test_a_reading_that_fails_at_once_is_raised(source: Source) -> None:
    async def fails() -> str:
        raise RuntimeError("away")

    failures: list[Any] = []
    Deferred.fromCoroutine(SingleFlight(fails, 0.25, source.clock).get()).addErrback(failures.append)
    assert failures


def test_who_gives_up_spoils_it_for_nobody(source: Source) -> None:
    first, second = source.ask(), source.ask()
    first.addErrback(lambda failure: failure.trap(CancelledError))
    first.cancel()
    source.finds("a")
    assert result_of(second) == "a"


class Work:
    """Work in slots that goes on until the test ends it."""

    def __init__(self, count: int) -> None:
        self.slots = Slots(count)
        self.running: list[int] = []
        self.failing = False

    async def run(self, number: int, end: Deferred[None]) -> None:
        async with self.slots:
            if self.failing:
                raise PoolEmpty(str(number))
            self.running.append(number)
            try:
                await end
            finally:
                self.running.remove(number)


def test_slots_run_so_many_at_once_and_the_others_in_order() -> None:
    work, ends = Work(2), [Deferred[None]() for _ in range(5)]
    for number, end in enumerate(ends):
        Deferred.fromCoroutine(work.run(number, end))
    assert work.running == [0, 1]
    ends[1].callback(None)
    assert work.running == [0, 2]
    ends[0].callback(None)
    ends[2].callback(None)
    assert work.running == [3, 4]


def test_a_caller_that_is_cancelled_takes_no_slot_and_frees_the_one_it_has() -> None:
    work = Work(1)
    calls = [Deferred.fromCoroutine(work.run(number, Deferred())) for number in range(4)]
    for number in (1, 0):
        calls[number].cancel()
        calls[number].addErrback(lambda failure: failure.trap(CancelledError))
    assert work.running == [2]


def test_a_thousand_callers_that_wait_may_all_fail_at_once() -> None:
    """One inside the other they would exceed the recursion limit of Python, and some would never end."""
    work, end = Work(1), Deferred[None]()
    calls = [Deferred.fromCoroutine(work.run(number, end)) for number in range(2000)]
    failures: list[str] = []
    for call in calls[1:]:
        call.addErrback(lambda failure: failures.append(failure.getErrorMessage()))
    work.failing = True
    end.callback(None)
    assert failures == [str(number) for number in range(1, 2000)]
    work.failing = False
    assert Deferred.fromCoroutine(work.run(7, Deferred()))
    assert work.running == [7]
