"""A service that cannot start prints one line that says what to do, and exits with code 1."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from tests.service.process import QUICK, TWISTD, Service, processes


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service in the test's folder, without a configuration and not started."""
    service = Service(None, directory=tmp_path)
    yield service
    service.end()


def refusal(service: Service, config: str | None = None) -> str:
    """Run the service until it exits, and return the one line that it prints, without the time."""
    if config is not None:
        (service.directory / "vmpooler.yaml").write_text(config)
    assert service.run() == 1
    assert "Traceback" not in service.said
    assert not processes(service.directory), "something was left running"
    (line,) = [line for line in service.said.splitlines() if "[*]" not in line]
    return re.sub(r"^\[\d[^]]*\] ", "", line)


def test_without_a_configuration_it_says_where_one_can_stand(service: Service) -> None:
    line = refusal(service)
    assert line.startswith("vmpooler: no configuration: give --config FILE, put a vmpooler.yaml here")
    assert line.endswith("give --demo")


def test_malformed_yaml_is_refused_with_its_line(service: Service) -> None:
    assert re.match(r"vmpooler: \S+/vmpooler.yaml: line 2, column 1: not valid YAML", refusal(service, "pools: [\n"))


def test_all_mistakes_are_printed_at_once(service: Service) -> None:
    (service.directory / "vmpooler.yaml").write_text("pols: []\nconfig: {lisen: 1}\npools: [{name: a, size: five}]\n")
    assert service.run() == 1
    mistakes = [line.partition("vmpooler.yaml: ")[2] for line in service.said.splitlines()]
    assert mistakes == [
        "pols: unknown section; did you mean pools?",
        "config.lisen: unknown key; did you mean listen?",
        "pools[0].size: expected a whole number, got 'five'",
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--role=boss", "--role: expected one of all, api, manager, got 'boss'"),
        ("--port=70000", "--port/--listen: expected a port of at most 65535"),
        ("--listen=what ever", "--port/--listen: expected a port, an address and port, or a Twisted endpoint"),
        ("--health-listen=4570", "--health-listen: is for a manager whose process does not answer the API itself"),
        ("--config=a.yaml", "--demo brings its own configuration: leave out --config"),
    ],
)
def test_options_that_make_no_sense_are_named_below_the_usage(option: str, message: str, tmp_path: Path) -> None:
    service = Service(None, "--demo", option, directory=tmp_path)
    assert service.run() == 1
    assert message in service.said.splitlines()[-1]
    assert "Traceback" not in service.said


def test_a_port_in_use(service: Service) -> None:
    with socket.create_server(("127.0.0.1", service.port)):
        line = refusal(service, QUICK)
    assert line == (
        f"[!] vmpooler: cannot listen on {service.port}: Address already in use; choose another with --port or --listen"
    )


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("tcp:http", "invalid literal"),
        ("unix:/nowhere/socket", "No such file or directory"),
        ("ssl:0:privateKey=/nowhere.pem", "No such file or directory"),
        ("no.such.host.invalid:1", ""),
    ],
)
def test_an_endpoint_that_cannot_be(listen: str, why: str, tmp_path: Path) -> None:
    service = Service(QUICK, f"--listen={listen}", directory=tmp_path)
    assert re.match(rf"\[!\] vmpooler: cannot listen on {listen}: .*{why}.*; choose another", refusal(service))


def test_a_port_for_the_health_of_a_manager_that_cannot_be(service: Service) -> None:
    (service.directory / "vmpooler.yaml").write_text(
        "config: {health_listen: what ever}\npools: [{name: a, size: 1}]\n"
    )
    assert service.run() == 1
    assert "config.health_listen: expected a port, an address and port, or a Twisted endpoint" in service.said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        manager = Service(
            "redis: {socket: nowhere}\npools: [{name: a, size: 1}]\n", "--role=manager", f"--health-listen={port}"
        )
        assert manager.run() == 1
    assert f"cannot listen on {port}: Address already in use; choose another with --health-listen" in manager.said
    manager.end()


@pytest.mark.parametrize("setting", ["state_directory", "logfile"])
def test_a_folder_or_a_log_that_cannot_be_written(service: Service, setting: str) -> None:
    (service.directory / "file").touch()
    config = QUICK.replace("prefix: vm-", f"{setting}: file/below")
    (service.directory / "vmpooler.yaml").write_text(config)
    assert service.launch("--pidfile=").wait(20) == 1, "as a daemon, for only that has a log file"
    what = {"state_directory": "state directory", "logfile": "log file"}[setting]
    path = service.directory / "file/below"
    assert re.fullmatch(
        rf"vmpooler: cannot write to the {what} {path} \(.+\): change .*, or set config.{setting} to .*\n", service.said
    )


def test_a_second_service_on_the_same_folder(service: Service) -> None:
    with Service(QUICK) as first:
        assert first.process is not None
        line = refusal(service, QUICK.replace("prefix: vm-", f"state_directory: {first.directory}/.vmpooler"))
        assert line.startswith(f"vmpooler: another service (process {first.process.pid}) uses the state directory")
        assert first.request("GET", "/status").status == 200


def test_a_part_of_a_service_on_a_redis_that_no_other_part_can_reach(tmp_path: Path) -> None:
    line = refusal(Service(QUICK, "--role=api", directory=tmp_path))
    assert line.startswith("vmpooler: --role api: an embedded Redis serves one process only")


def test_the_file_of_the_imaginary_vms_is_something_else(service: Service) -> None:
    (service.directory / "letter").write_text("Dear Sir or Madam")
    line = refusal(service, QUICK + "providers: {dummy: {filename: letter}}\n")
    assert line.startswith(f"[!] cannot start: {service.directory}/letter: not the VMs of a simulated hypervisor")
    assert (service.directory / "letter").read_text() == "Dear Sir or Madam"


class OldRedis(StreamRequestHandler):
    """Answers PING and INFO as Redis 5 does."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            for line in self.rfile:
                if line == b"PING\r\n":
                    self.wfile.write(b"+PONG\r\n")
                elif line == b"INFO\r\n":
                    self.wfile.write(b"$20\r\nredis_version:5.0.14\r\n")


def test_a_redis_that_is_too_old(service: Service) -> None:
    with ThreadingTCPServer(("127.0.0.1", 0), OldRedis) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        port = server.server_address[1]
        config = QUICK.replace("server: embedded", f"server: 127.0.0.1, port: {port}")
        line = refusal(service, config)
        server.shutdown()
    assert line == f"[!] cannot start: Redis at 127.0.0.1:{port} is version 5.0.14: at least 6.2 is needed, upgrade it"


@pytest.mark.parametrize(
    ("config", "code", "output"),
    [
        (QUICK, 0, "{file}: ok\n"),
        (QUICK + "statsd: {server: x}\n", 0, "warning: statsd: not served by this version, ignored\n{file}: ok\n"),
        ("pools: [{name: a}]\n", 1, "{file}: pools[0].size: must be given\n"),
    ],
)
def test_a_configuration_is_checked_and_nothing_started(tmp_path: Path, config: str, code: int, output: str) -> None:
    file = tmp_path / "vmpooler.yaml"
    file.write_text(config)
    command = [sys.executable, TWISTD, "-n", "--pidfile=", "vmpooler", "--check-config"]
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, output.format(file=file), "")
    assert [each.name for each in tmp_path.iterdir()] == ["vmpooler.yaml"]
