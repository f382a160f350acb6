"""Shutdown: a service that receives SIGTERM or SIGINT."""

import signal
import time

import pytest

from tests.service.process import QUICK, Client, Service, processes, until

SLOW = QUICK + "providers: {dummy: {createvm_max_time: 1000000}}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_nothing_is_in_flight_and_leaves_nothing_running(number: signal.Signals) -> None:
    with Service(QUICK) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        start = time.monotonic()
        assert service.stop(number) == -number
        assert time.monotonic() - start < 8
        assert not processes(service.directory)
        assert service.said.endswith("[*] stopped\n")
        assert "stopping" not in service.said


async def test_a_request_in_flight_is_answered_no_new_client_connects_and_redis_ends_last() -> None:
    with Service(QUICK) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        process = service.process
        assert process is not None
        await service.redis("CLIENT", "PAUSE", 1500)
        client = Client(service.port)
        client.request("POST", "/vm/linux")
        assert service.request("GET", "/nowhere").status == 404, "what was sent before this has been read"
        process.terminate()
        until(
            lambda: "stopping: waits up to 10 s for the answers to clients" in service.said, "it says what it waits for"
        )
        with pytest.raises(ConnectionRefusedError):
            service.request("GET", "/status")
        assert client.answer().status == 200
        assert process.wait(5) == -signal.SIGTERM
        assert not processes(service.directory)
        assert "[!]" not in service.said.partition("stopping")[2], "nobody missed Redis"


def test_work_that_does_not_end_is_given_up_after_ten_seconds() -> None:
    with Service(SLOW) as service:
        until(lambda: service.said.count("is being cloned") == 2, "the clones are under way")
        start = time.monotonic()
        ask(service, signal.SIGTERM)
        assert service.stop() == -signal.SIGTERM, "asked twice is as good as once"
        assert 9 < time.monotonic() - start < 25
        assert not processes(service.directory)
        assert "Traceback" not in service.said


def test_who_is_in_a_hurry_presses_control_c_once_more() -> None:
    with Service(SLOW) as service:
        until(lambda: service.said.count("is being cloned") == 2, "the clones are under way")
        start = time.monotonic()
        ask(service, signal.SIGINT)
        assert service.stop(signal.SIGINT) == -signal.SIGINT
        until(lambda: not processes(service.directory), "Redis ends too")
        assert time.monotonic() - start < 8
        assert "Traceback" not in service.said


def ask(service: Service, number: signal.Signals) -> None:
    """Send it a signal while it has work in flight, and return when it has logged that it is stopping."""
    assert service.process is not None
    service.process.send_signal(number)
    until(lambda: "stopping: waits up to 10 s for work on VMs" in service.said, "it says what it waits for")


@pytest.mark.parametrize("sign", ["role all", "starting its loop"])
def test_it_can_be_stopped_while_it_starts(sign: str) -> None:
    with Service(QUICK) as service:
        service.kill()
        before = len(service.said)
        service.launch()
        until(lambda: sign in service.said[before:], "it starts")
        assert service.stop() == -signal.SIGTERM
        assert not processes(service.directory)
        assert "Traceback" not in service.said
        assert service.said.endswith("[*] stopped\n")
