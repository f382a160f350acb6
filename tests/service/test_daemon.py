"""A service that runs as a daemon, and its log."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.service.process import QUICK, Service, processes, until

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[[ *+<>!?-]\] .+")
"""A line of a plain log: a time, a mark, a text."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Service]:
    """A service, not started yet, that will run as a daemon."""
    service = Service(QUICK.replace("prefix: vm-", "logfile: logs/vmpooler.log"), directory=tmp_path)
    yield service
    service.end()


def start(daemon: Service, *twistd: str) -> int:
    """Start it as a daemon, wait until it answers, and return the process id from its pid file."""
    assert daemon.launch("--pidfile=service.pid", *twistd).wait(20) == 0
    until(lambda: answers(daemon), "the daemon answers")
    return int((daemon.directory / "service.pid").read_text())


def answers(daemon: Service) -> bool:
    try:
        return daemon.request("GET", "/status").status == 200
    except ConnectionRefusedError:
        return False


def test_a_daemon_writes_its_log_also_after_the_log_was_moved_and_ends_by_its_pidfile(daemon: Service) -> None:
    pid = start(daemon)
    log, moved = daemon.directory / "logs/vmpooler.log", daemon.directory / "logs/vmpooler.log.1"
    until(lambda: log.read_text().count("'ready' queue") == 2, "the pool is full")
    log.rename(moved)
    host = daemon.request("POST", "/vm/linux").body["linux"]["hostname"]
    until(lambda: log.exists() and f"'{host}' moved from 'ready' to 'running' queue" in log.read_text(), "a new log")
    os.kill(pid, signal.SIGTERM)
    until(lambda: not processes(daemon.directory), "it ends")
    assert not (daemon.directory / "service.pid").exists()
    assert daemon.said == ""
    lines = (moved.read_text() + log.read_text()).splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert lines[-1].endswith("[*] stopped")


def test_the_log_file_of_twistd_itself_goes_before_that_of_the_configuration(daemon: Service) -> None:
    start(daemon, "--logfile=own.log")
    assert "[*] the API:" in (daemon.directory / "own.log").read_text()
    assert not (daemon.directory / "logs").exists()


def test_a_daemon_whose_port_is_in_use_says_so_where_it_was_started_and_in_its_log(daemon: Service) -> None:
    with Service(QUICK, f"--listen=127.0.0.1:{daemon.port}", directory=daemon.directory / "other") as other:
        assert other.process is not None
        assert daemon.launch("--pidfile=service.pid").wait(20) == 1
    assert f"cannot listen on {daemon.port}: Address already in use" in daemon.said
    (line,) = (daemon.directory / "logs/vmpooler.log").read_text().splitlines()
    assert LINE.fullmatch(line)
    assert not (daemon.directory / "service.pid").exists()


async def test_every_line_of_a_json_log_can_be_read_and_none_holds_a_secret(spare_redis: RedisServer) -> None:
    config = f"""
config: {{log_format: json}}
redis: {{socket: {spare_redis.socket}, password: geheim-1}}
auth: {{provider: dummy}}
statsd: {{server: nowhere}}
providers: {{dummy: {{}}, broken: {{provider_class: dummy, createvm_fail_percent: 100}}}}
pools: [{{name: debian-12, size: 1, provider: dummy}}, {{name: solaris, size: 1, provider: broken}}]
"""
    with Service(config) as service:
        service.redis_socket = spare_redis.socket
        assert "AUTH" in service.said, "the password is wrong as yet"
        await service.redis("HSET", "vmpooler__token__geheim-2", "user", 'J. "Doe"\n\u2028', "created", "x")
        await service.redis("CONFIG", "SET", "requirepass", "geheim-1")
        until(lambda: service.ready() > 0, "a VM is ready")
        assert service.request("POST", "/vm/debian-12", "geheim-2").status == 200
        until(lambda: "for J." in service.said and "failure" in service.said, "they are logged")
        spare_redis.kill()
        until(lambda: service.request("GET", "/status").status == 503, "Redis is missed")
        service.stop()
        lines = [json.loads(line) for line in service.said.splitlines()]
    assert all({"time", "level", "text"} <= line.keys() for line in lines)
    (given,) = [line["event"] for line in lines if line.get("event", {}).get("what") == "checkout"]
    assert given["pool"] == "debian-12"
    assert given["by"].startswith("J.")
    assert [line["text"] for line in lines if "statsd" in line["text"]]
    assert "geheim" not in json.dumps(lines)
