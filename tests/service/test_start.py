"""Start-up: what the service logs, loads and listens on, and how soon it gives a VM."""

import re
import subprocess
import sys
import time

from tests.service.process import QUICK, Answer, Service, until
from tests.service.sockets import listening


def test_the_demo_gives_a_vm_by_the_command_that_it_prints_and_only_to_this_machine() -> None:
    with Service(None, "--demo") as demo:
        assert demo.process is not None
        start = time.monotonic()
        found = re.search(r"get a VM: curl -X POST http://127\.0\.0\.1:(\d+)(\S+)", demo.said)
        assert found is not None, demo.said
        assert int(found[1]) == demo.port
        assert listening(demo.process.pid) == {("127.0.0.1", demo.port)}
        path, seconds = found[2], start + 15 - time.monotonic()
        answer = until(lambda: taken(demo, path), "a VM within 15 seconds of the start", seconds)
        assert answer.body["debian-12"]["hostname"].startswith("vm-")


def taken(service: Service, path: str) -> Answer | None:
    answer = service.request("POST", path)
    return answer if answer.status == 200 else None


IMPORTED = """
import sys
import vmpooler.process.service
from twisted.internet import reactor
from vmpooler.settings import Redis, Settings
from vmpooler.store.redis.client import Connection
from vmpooler.web.app import Api
from vmpooler.web.routes.openapi import document
Api(Settings(), Connection(Redis(), reactor), reactor, reactor.seconds)
print("pyVmomi" in sys.modules, document.cache_info().currsize)
"""


def test_a_start_does_not_take_the_time_to_load_what_may_not_be_needed() -> None:
    said = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert said.stdout == "False 0\n"


def test_a_start_says_what_runs_and_where() -> None:
    with Service(QUICK) as service:
        lines = [line.partition("] ")[2] for line in service.said.splitlines()]
        assert re.fullmatch(
            rf"\[\*\] vmpooler \S+, role all: 1 pools, an embedded Redis in {service.directory}/\.vmpooler", lines[0]
        )
        assert f"[*] the API: http://localhost:{service.port}/api/v1" in lines
        assert f"[*] get a VM: curl -X POST http://localhost:{service.port}/api/v1/vm/linux" in lines


def test_a_service_killed_with_9_and_started_again_goes_on_with_its_vms() -> None:
    config = QUICK + "providers: {dummy: {filename: dummy.yaml}}\n"
    with Service(config) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        host = service.request("POST", "/vm/linux").body["linux"]["hostname"]
        service.kill()
        service.start()
        assert service.request("GET", f"/vm/{host}").body[host]["state"] == "running"
