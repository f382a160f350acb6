"""The simulated hypervisor keeps its VMs when the process that simulates it dies."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.logger import LogEvent

from vmpooler.domain.guest import Holder
from vmpooler.providers.base import ProviderError
from vmpooler.providers.dummy import DummyProvider
from vmpooler.providers.dummy.simulation import SavedState
from vmpooler.testing import booted

from .dummies import EPOCH, DummyCase, started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vms.json"


async def test_after_a_crash_everything_is_as_it_was(file: Path) -> None:
    case = await started(filename=str(file))
    await booted(case)
    await case.finish(case.provider.add_disk(case.pool, "one", 5, "1"))
    await case.finish(case.provider.snapshot(case.pool, "one", "before"))
    await case.finish(case.provider.stamp(case.pool, "one", Holder("jané", "id", 1.0, 2.0)))
    case.dummy.plant("beta", "foreign", stamped=False)
    case.clock.advance(0)
    heir = await started(case.clock.seconds(), filename=str(file))
    assert heir.dummy.vms() == case.dummy.vms()
    assert dict(await heir.provider.inventory(heir.pool)) == dict(await case.provider.inventory(case.pool))
    heir.dummy.plant("alpha", "two", stamped=True)
    assert len({vm.address for vm in heir.dummy.vms().values()}) == 3


async def test_a_clone_in_flight_at_a_crash_goes_on(file: Path) -> None:
    case = await started(filename=str(file), createvm_max_time=10)
    ensureDeferred(case.provider.clone(case.pool, "one"))
    case.clock.advance(0)
    heir = await started(EPOCH + 1, filename=str(file))
    changed: list[str] = []
    heir.provider.changes(changed.append)
    assert (await heir.provider.inventory(heir.pool))["one"].cloning
    heir.clock.advance(10)
    assert (await heir.provider.inventory(heir.pool))["one"].hostname == "one"
    assert changed == ["alpha"]


async def test_a_failing_clone_and_a_destruction_in_flight_at_a_crash_leave_nothing(file: Path) -> None:
    case = await started(filename=str(file), createvm_max_time=10, createvm_fail_percent=100, destroyvm_max_time=10)
    ensureDeferred(case.provider.clone(case.pool, "failing"))
    case.dummy.plant("alpha", "dying", stamped=True)
    ensureDeferred(case.provider.destroy(case.pool, "dying"))
    case.clock.advance(0)
    heir = await started(EPOCH, filename=str(file))
    assert set(await heir.provider.inventory(heir.pool)) == {"failing", "dying"}
    heir.clock.advance(10)
    assert dict(await heir.provider.inventory(heir.pool)) == {}
    late = await started(EPOCH + 11, filename=str(file))
    assert dict(await late.provider.inventory(late.pool)) == {}


async def test_a_stop_writes_what_the_next_turn_would_have(file: Path) -> None:
    case = await started(filename=str(file))
    case.dummy.plant("alpha", "one", stamped=True)
    await case.provider.stop()
    await case.provider.start()
    assert list(await case.provider.inventory(case.pool)) == ["one"]


async def test_who_may_not_order_leaves_the_file_to_another_and_writes_when_it_may_again(file: Path) -> None:
    may_order = [True]
    old = DummyCase(filename=str(file))
    dummy = DummyProvider(old.settings, old.clock, old.clock.seconds, random.Random(1), may_order=may_order.pop)
    await dummy.start()
    dummy.plant("alpha", "one", stamped=True)
    may_order += [False]
    old.clock.advance(0)
    assert "one" not in file.read_text()
    may_order += [True]
    old.clock.advance(0.2)
    assert "one" in file.read_text()
    heir = DummyCase(filename=str(file))
    await heir.provider.prepare()
    await heir.provider.start()
    dummy.plant("alpha", "late", stamped=True)
    may_order += [False]
    await dummy.stop()
    heir.dummy.plant("alpha", "two", stamped=True)
    heir.clock.advance(0)
    assert set((await started(filename=str(file))).dummy.vms()) == {"one", "two"}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"---\nmock-vm:\n  name: one\n",
        b"[]",
        b'{"vms": []}',
        b'{"simulated hypervisor of vmpooler, version": 2, "vms": []}',
        b'{"simulated hypervisor of vmpooler, version": 1, "vms": [{"name": "one"}]}',
        b"\xff\xfe",
    ],
)
async def test_a_foreign_file_is_refused_and_left_alone(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ProviderError, match=f"{file}: .* move it away"):
        await started(filename=str(file))
    with pytest.raises(ProviderError, match=f"{file}: .* move it away"):
        await DummyCase(filename=str(file)).provider.prepare()
    assert file.read_bytes() == content


@pytest.mark.parametrize(("path", "what"), [("no-such-directory/vms.json", "written"), (".", "read")])
async def test_a_file_that_cannot_be_read_or_written_is_refused(tmp_path: Path, path: str, what: str) -> None:
    with pytest.raises(ProviderError, match=f"cannot be {what}"):
        await started(filename=str(tmp_path / path))


async def test_five_hundred_clones_at_once_are_one_write_and_little_work(file: Path) -> None:
    case = await started(filename=str(file), createvm_max_time=5, bootvm_max_time=5, destroyvm_max_time=5)
    before = time.process_time()
    clones = [ensureDeferred(case.provider.clone(case.pool, f"vm-{number}")) for number in range(500)]
    assert len(case.clock.getDelayedCalls()) == 500 + 1
    assert json.loads(file.read_text())["vms"] == []
    case.clock.advance(0)
    assert len(json.loads(file.read_text())["vms"]) == 500
    written = file.stat().st_ino
    case.clock.pump([0.1] * 100)
    assert all(clone.called for clone in clones)
    assert file.stat().st_ino == written
    spent = time.process_time() - before
    print(f"500 clones and boots: {spent:.2f} s of CPU")
    assert spent < 2


WRITER = """
import sys
from pathlib import Path
from vmpooler.providers.dummy.simulation import SavedState, SimulatedVm
memory = SavedState(Path(sys.argv[1]))
for turn in range(10**9):
    name = f"vm-{turn % 300}"
    memory.keep(SimulatedVm(name=name, pool="alpha", number=turn, hostname=name, cloned=1.5, booted=2.5))
    memory.write()
    if turn == 300:
        print("writing", flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_a_file_that_can_be_read(file: Path) -> None:
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            assert writer.stdout.readline() == b"writing\n"
            time.sleep(random.uniform(0, 0.05))
            writer.send_signal(signal.SIGKILL)
        assert len(SavedState(file).read()) == 300


async def test_a_disk_that_fails_later_is_logged_and_tried_again_at_the_next_change(
    tmp_path: Path, logged_errors: list[LogEvent]
) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    case = DummyCase(filename=str(directory / "vms.json"))
    await case.provider.start()
    (directory / "vms.json").unlink()
    directory.rmdir()
    case.dummy.plant("alpha", "one", stamped=True)
    case.clock.advance(0)
    assert "cannot be written" in str(logged_errors.pop())
    directory.mkdir()
    case.dummy.plant("alpha", "two", stamped=True)
    case.clock.advance(0)
    assert [vm.name for vm in SavedState(directory / "vms.json").read()] == ["one", "two"]
