"""``--workers``: several processes that answer on one port, supervised by the process that was started."""

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.service.process import QUICK, Client, Service, processes, until
from tests.service.test_endpoints import asked, certified
from vmpooler.domain.model import Queue

CLIENTS = 60
"""Enough connections that the probability of all reaching the same one of two processes is negligible."""


@pytest.fixture
def service() -> Iterator[Service]:
    """A service with a manager and two workers."""
    with Service(QUICK, "--workers=2") as service:
        until(lambda: "no longer empty" in service.said, "there are VMs")
        yield service


def workers(service: Service) -> list[int]:
    """Return the process ids of the workers in ascending order."""
    return sorted(pid for pid, line in processes(service.directory).items() if "--worker=" in line)


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_clients_are_spread_over_all_and_get_vms_of_one_service(service: Service) -> None:
    before = [open_files(pid) for pid in workers(service)]
    with ExitStack() as clients:
        for _ in range(CLIENTS):
            client = Client(service.port)
            clients.callback(client.close)
            client.connect()
            client.request("GET", "/healthz")
            client.getresponse().read()
        taken = [open_files(pid) - had for pid, had in zip(workers(service), before, strict=True)]
    assert sum(taken) >= CLIENTS
    assert min(taken) > 0
    given: set[str] = set()

    def taken_all() -> bool:
        answer = service.request("POST", "/vm/linux")
        if answer.status == 200:
            vm = answer.body["linux"]["hostname"]
            assert vm not in given
            given.add(vm)
        return len(given) == 8

    until(taken_all, "each of eight VMs is given once")


async def test_one_that_is_killed_is_started_again_and_its_clients_keep_their_vms(service: Service) -> None:
    vm = until(lambda: service.request("POST", "/vm/linux").body.get("linux"), "a VM")["hostname"]
    old = workers(service)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(workers(service)) - set(old)) == 2, "they are started again")
    until(lambda: service.said.count("answers, process") == 4, "they answer")
    assert service.request("GET", f"/vm/{vm}").body[vm]["state"] == "running"
    assert "Worker 1 ended" in service.said
    assert vm in await service.queue(Queue.RUNNING, "debian-12")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_they_end_with_the_service_when_their_clients_are_answered(service: Service, number: signal.Signals) -> None:
    assert service.stop(number) == -number
    assert not processes(service.directory)
    assert service.said.endswith("[*] stopped\n")
    assert service.said.count("[*] stopped") == 1


def test_none_outlives_a_service_that_is_killed(service: Service) -> None:
    service.kill()
    until(lambda: not processes(service.directory), "all have ended")


def test_they_share_a_port_with_tls(tmp_path: Path) -> None:
    key, certificate = certified(tmp_path)
    trusted = ssl.create_default_context(cafile=certificate)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    with Service(QUICK, "--workers=2", f"--listen={listen}") as service:
        port = int(service.said.partition("https://127.0.0.1:")[2].partition("/")[0])
        for _ in range(5):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
                trusted.wrap_socket(plain, server_hostname="localhost") as client,
            ):
                assert asked(client)


def test_processes_that_are_started_one_by_one_share_a_port_when_all_say_so() -> None:
    with Service(QUICK, "--share-port") as service:
        options = (f"--port={service.port}", "--role=api", f"--redis-socket={service.redis_socket}")
        with Service(QUICK, "--share-port", *options):
            alone = Service(QUICK, *options)
            try:
                assert alone.run() == 1
                assert "Address already in use" in alone.said
            finally:
                alone.end()


def test_a_port_that_another_service_shares_is_taken(service: Service) -> None:
    second = Service(QUICK, "--workers=2", f"--port={service.port}")
    try:
        assert second.run() == 1
        assert f"cannot listen on {service.port}: Address already in use" in second.said
    finally:
        second.end()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers=two",), "--workers: expected a number, got 'two'"),
        (("--workers=2", "--role=manager"), "--workers answer the API, which --role manager does not"),
        (
            ("--workers=2", "--listen=unix:api.sock"),
            "--workers: processes cannot share unix:api.sock; a TCP port they can",
        ),
    ],
)
def test_workers_that_cannot_be_are_refused(options: tuple[str, ...], message: str) -> None:
    service = Service(QUICK, *options)
    try:
        assert service.run() == 1
        assert message in " ".join(service.said.split())
    finally:
        service.end()
