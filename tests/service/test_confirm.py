"""``vmpooler confirm``: an operator gives up unknown VMs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.service.process import QUICK, VMPOOLER, Service, until


def vmpooler(directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command ``vmpooler`` in a folder."""
    command = [sys.executable, VMPOOLER, *words]
    return subprocess.run(
        list(map(str, command)), cwd=directory, capture_output=True, text=True, timeout=20, check=False
    )


async def test_what_the_mass_guard_protects_is_listed_and_with_yes_given_up() -> None:
    config = QUICK.replace("prefix: vm-", "discovered_grace: 0.01") + "providers: {dummy: {filename: dummy.yaml}}\n"
    with Service(config) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        given = [service.request("POST", "/vm/linux").body["linux"]["hostname"] for _ in range(2)]
        until(lambda: service.ready() == 2, "they are replaced")
        service.stop()
        (service.directory / ".vmpooler/appendonly.aof").unlink()
        service.start()
        until(lambda: "To give them up: vmpooler confirm debian-12" in service.said, "the guard holds")
        until(lambda: service.said.count("moved to 'running' queue again") == 2, "those in use are nobody else's")
        listed = vmpooler(service.directory, "confirm", "debian-12")
        names = listed.stdout.splitlines()[:-1]
        assert not set(given) & set(names)
        assert listed.stdout.endswith("2 VMs; to give them up: add --yes\n")
        assert (listed.returncode, listed.stderr) == (0, "")
        confirmed = vmpooler(service.directory, "confirm", "debian-12", "--yes")
        assert confirmed.stdout.splitlines() == [*names, "2 VMs given up"]
        service.request("POST", "/vm/linux")  # starts the next round; otherwise it starts within half a minute
        until(lambda: all(f"'{name}' destroyed" in service.said for name in names), "they are destroyed")
        assert vmpooler(service.directory, "confirm", "debian-12").stdout == "debian-12 has no unknown VMs\n"


def test_a_redis_is_found_whose_socket_had_to_be_elsewhere_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with Service(QUICK, directory=deep) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        socket = Path((deep / ".vmpooler/socket").read_text())
        assert socket.exists()
        assert vmpooler(deep, "confirm", "debian-12").stdout == "debian-12 has no unknown VMs\n"
        service.stop()
        assert not socket.parent.exists()
        assert "is the service started?" in vmpooler(deep, "confirm", "debian-12").stderr


def test_the_redis_of_the_demo_is_found(tmp_path: Path) -> None:
    with Service(None, "--demo", directory=tmp_path):
        done = vmpooler(tmp_path, "--demo", "confirm", "debian-12-x86_64")
    assert done.stdout == "debian-12-x86_64 has no unknown VMs\n"


@pytest.mark.parametrize(
    ("config", "pool", "message"),
    [
        (None, "debian-12", "vmpooler: no configuration: give --config FILE"),
        ("pools: [{name: a}]\n", "a", "pools[0].size: must be given"),
        (QUICK, "debian", "vmpooler: no such pool: debian"),
        (QUICK, "debian-12", "is the service started?"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, config: str | None, pool: str, message: str) -> None:
    if config is not None:
        (tmp_path / "vmpooler.yaml").write_text(config)
    done = vmpooler(tmp_path, "confirm", pool)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("vmpooler: ")
    assert message in line


def test_a_redis_that_is_away_is_reported(tmp_path: Path, spare_redis: RedisServer) -> None:
    spare_redis.kill()
    (tmp_path / "vmpooler.yaml").write_text(f"redis: {{socket: {spare_redis.socket}}}\npools: [{{name: a, size: 1}}]\n")
    done = vmpooler(tmp_path, "confirm", "a")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"vmpooler: Redis at {spare_redis.socket}: Redis is away")
