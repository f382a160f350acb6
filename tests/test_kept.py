"""A program that ends by itself is restarted, after a longer pause for each end in a row, until it is stopped."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from vmpooler.embedded.supervisor import PAUSES, STEADY, Child, Kept


class RestartedProgram:
    """A program whose runs end by themselves after ``lives`` seconds. The runs numbered in ``broken`` fail to start."""

    def __init__(self, lives: float = 0, broken: frozenset[int] = frozenset()) -> None:
        self.clock = Clock()
        self.lives = lives
        self.starts: list[float] = []
        self._broken = broken
        self.kept = Kept("the program", self._spawn, self.clock, steady=True)

    def _spawn(self) -> Child:
        self.starts.append(self.clock.seconds())
        if len(self.starts) in self._broken:
            raise OSError("no such file")
        child = Child()
        self.clock.callLater(self.lives, child.ended.callback, "exit code 1")
        return child

    def pauses(self) -> list[float]:
        """Return the seconds between the end of each run and the start of the next."""
        return [
            round(after - before - self.lives, 3) for before, after in zip(self.starts, self.starts[1:], strict=False)
        ]

    async def stop(self) -> None:
        """Stop it, and return when it no longer runs."""
        ended = Deferred.fromCoroutine(self.kept.stop(1))
        self.clock.advance(self.lives)
        await ended


@pytest.mark.parametrize("broken", [frozenset[int](), frozenset({2, 3})])
async def test_it_is_restarted_after_longer_and_longer_pauses(broken: frozenset[int]) -> None:
    program = RestartedProgram(broken=broken)
    program.kept.start()
    program.clock.pump([0.01] * 3000)
    assert program.pauses() == pytest.approx([*PAUSES, PAUSES[-1]], abs=0.05)
    await program.stop()


async def test_a_long_run_resets_the_pause_before_a_restart() -> None:
    program = RestartedProgram(lives=STEADY + 1)
    program.kept.start()
    program.clock.pump([0.05] * 6000)
    assert program.pauses()[:3] == pytest.approx([PAUSES[0]] * 3, abs=0.25)
    await program.stop()


async def test_a_stop_during_a_pause_prevents_the_restart() -> None:
    program = RestartedProgram()
    program.kept.start()
    program.clock.pump([0.01] * 20)
    starts = len(program.starts)
    ended = Deferred.fromCoroutine(program.kept.stop(1))
    assert ended.called
    program.clock.pump([1.0] * 30)
    assert len(program.starts) == starts
    await ended
