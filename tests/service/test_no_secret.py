"""No secret is written or sent, whatever fails. The tests search all output of a service for secrets."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import PATIENCE, TWISTD, Service, until
from tests.vcsim.simulator import Simulator, binary

ROOT = Path(__file__).parents[2]

REDIS, LDAP, VCENTER, PASSWORD = "geheim-redis", "geheim-ldap", "geheim-vcenter", "geheim-password"
KNOWN, BROKEN, UNKNOWN = "geheimknown", "geheimbroken", "geheimunknown"
SECRET = "geheim"
"""A part of every secret."""


def config(redis: str, vcenter: str, away: int, carbon: int, password: str = REDIS) -> str:
    """Return a configuration full of secrets. No process listens on the port ``away``."""
    return f"""
config: {{prefix: vm-}}
redis: {{socket: {redis}, password: "{password}"}}
providers:
  dummy: {{filename: dummy.yaml}}
  lab: {{provider_class: vsphere, server: "{vcenter}", username: someone, password: {VCENTER}}}
auth:
  provider: ldap
  ldap:
    host: localhost
    port: {away}
    base: dc=example
    user_object: uid
    service_account_hash: {{user_dn: cn=vmpooler, password: {LDAP}}}
graphite: {{server: 127.0.0.1, port: {carbon}}}
limits: {{rate: 1000}}
pools:
  - {{name: debian-12, size: 2, provider: dummy}}
  - {{name: windows-11, size: 1, provider: lab, template: a, folder: b}}
"""


class Everything(Service):
    """A service that logs every event with all its fields."""

    def launch(self, *twistd: str) -> "subprocess.Popen[bytes]":
        return super().launch("-n", "--pidfile=", "--logger=tests.service.everything.everything")


@contextmanager
def carbon() -> Iterator[tuple[int, list[bytes]]]:
    """Listen for metrics. Yields the port, and the list of received lines."""
    taken: list[bytes] = []

    class Take(StreamRequestHandler):
        def handle(self) -> None:
            taken.extend(self.rfile)

    with ThreadingTCPServer(("127.0.0.1", 0), Take) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1], taken
        server.shutdown()


@pytest.fixture
def vcenter() -> Iterator[Simulator]:
    """A vCenter that refuses the configured login."""
    binary()
    simulator = Simulator()
    simulator.start()
    yield simulator
    simulator.remove()


class Client:
    """Sends requests, and keeps the responses with their headers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.on_event: list[str] = []

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> int:
        client = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        client.request(method, path, body.encode(), {name.replace("_", "-"): value for name, value in headers.items()})
        answer = client.getresponse()
        self.on_event.append(f"{answer.headers}{answer.read().decode()}")
        client.close()
        return answer.status


def asked(client: Client, vm: str) -> set[int]:
    """Send every kind of request that can carry a secret, and reads without one. Return the statuses."""
    basic = "Basic " + b64encode(f"ann:{PASSWORD}".encode()).decode()
    found = {client.ask("POST", "/token", Authorization=basic), client.ask("GET", "/token", Authorization=basic)}
    for token in (BROKEN, UNKNOWN):
        found.add(client.ask("GET", f"/token/{token}"))
        found.add(client.ask("DELETE", f"/token/{token}", Authorization=basic))
    for token in (KNOWN, BROKEN, UNKNOWN):
        for method, path, body in (
            ("POST", "/vm/debian-12", ""),
            ("POST", "/vm", '{"debian-12": 1}'),
            ("PUT", f"/vm/{vm}", '{"lifetime": 4, "tags": {"a": "b"}}'),
            ("POST", f"/vm/{vm}/disk/8", ""),
            ("POST", f"/vm/{vm}/snapshot", ""),
            ("DELETE", f"/vm/{vm}", ""),
        ):
            found.add(client.ask(method, path, body, X_Auth_Token=token))
    for path in ("status", "healthz", "readyz", "api/openapi.json", f"vm/{vm}", "summary/tag", "nothing"):
        found.add(client.ask("GET", f"/{path}"))
    for path in (f"vms/{vm}", "pools/debian-12", "pools/windows-11", "history"):
        found.add(client.ask("GET", f"/dashboard/{path}"))
    return found


@pytest.mark.needs("vcsim")
def test_a_wrong_password_of_a_vcenter_is_not_printed(
    spare_redis: RedisServer, vcenter: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    service = Everything(config(spare_redis.socket, vcenter.url, 1, 1, password=""), directory=tmp_path)
    assert service.run() == 1
    assert "the login was refused" in service.said
    assert around(service.said) == []


@pytest.mark.limit(120)
async def test_no_secret_is_written_or_sent_whatever_fails(
    spare_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with carbon() as (port, metrics):
        away = free_port()
        with Everything(config(spare_redis.socket, f"localhost:{away}", away, port)) as service:
            client = Client(service.port)
            until(lambda: "AUTH" in service.said, "the password of Redis is wrong as yet")
            asked(client, "vm-none")
            service.redis_socket = spare_redis.socket
            await service.redis("HSET", f"vmpooler__token__{KNOWN}", "user", "ann", "created", "x")
            await service.redis("SET", f"vmpooler__token__{BROKEN}", "not what it should be")
            await service.redis("CONFIG", "SET", "requirepass", REDIS)
            until(lambda: service.ready() > 0, "a VM is ready")
            ear = HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
            ear.request("GET", "/api/v1/events")
            events = ear.getresponse()
            vm = given(service, KNOWN)
            until(lambda: "[windows-11] the inventory failed" in service.said, "the vCenter is away")
            assert asked(client, vm) >= {200, 202, 401, 404, 500, 503}
            until(lambda: f"{vm}' is " in service.said or f"{vm}' destroyed" in service.said, "the VM has gone")
            until(lambda: metrics, "metrics are sent")
            spare_redis.kill()
            until(lambda: service.request("GET", "/status").status == 503, "Redis is missed")
            asked(client, vm)
            service.stop()
            with suppress(ConnectionError):
                client.on_event.append(events.read().decode())
            ear.close()
            check = checked(service.directory)
            written = {
                str(path.relative_to(service.directory)): path.read_text(errors="replace")
                for path in service.directory.rglob("*")
                if path.is_file() and path.name != "vmpooler.yaml"
            }
    assert f'"vm":"{vm}"' in client.on_event[-1], "events were sent"
    assert "dummy.yaml" in written
    assert "WRONGTYPE" in written["output"], "a defect was logged"
    texts = {**written, "answers": "\n".join(client.on_event), "metrics": repr(metrics), "--check-config": check}
    assert {where: around(text) for where, text in texts.items() if SECRET in text} == {}


def given(service: Service, token: str) -> str:
    answer = service.request("POST", "/vm/debian-12", token)
    assert answer.status == 200, answer
    return str(answer.body["debian-12"]["hostname"])


def checked(folder: Path) -> str:
    """Return the output of ``--check-config`` for this configuration, and for a copy with mistakes."""
    said = ""
    text = (folder / "vmpooler.yaml").read_text()
    for name, content in (("good", text), ("bad", text.replace("password:", "pasword:").replace("size:", "siz:"))):
        (folder / name).mkdir()
        (folder / name / "vmpooler.yaml").write_text(content)
        command = [sys.executable, str(TWISTD), "-n", "--pidfile=", "vmpooler", "--check-config"]
        done = subprocess.run(command, cwd=folder / name, env=os.environ, capture_output=True, text=True, check=False)
        said += done.stdout + done.stderr
    assert "vmpooler.yaml: ok" in said
    assert "unknown key" in said
    return said


def around(text: str) -> list[str]:
    """Return the first five lines that contain a secret, each cut to 300 characters."""
    return [json.dumps(line[:300]) for line in text.splitlines() if SECRET in line][:5]
