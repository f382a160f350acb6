"""A complete service that sends its metrics to a real carbon."""

from functools import partial
from pathlib import Path

import pytest
from twisted.internet.threads import deferToThread

from tests.metrics.carbon import RealCarbon
from tests.service.process import Service, until

CONFIG = """
config: {{prefix: vm-}}
redis: {{server: embedded}}
providers: {{dummy: {{createvm_max_time: 0.5, destroyvm_max_time: 0.2}}}}
pools: [{{name: debian-12, size: 2}}]
graphite: {{server: 127.0.0.1, port: {port}, prefix: lab.vmpooler}}
"""


def _story(home: Path) -> None:
    with RealCarbon(home / "carbon") as carbon, Service(CONFIG.format(port=carbon.port)) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        vm = service.request("POST", "/vm/debian-12").body["debian-12"]["hostname"]
        service.request("DELETE", f"/vm/{vm}")
        for name in ("ready", "running", "clone", "destroy"):
            until(partial(carbon.values, f"lab.vmpooler.{name}.debian-12"), f"carbon has {name}")
        assert 0 <= max(carbon.values("lab.vmpooler.ready.debian-12")) <= 2
        assert 0 < max(carbon.values("lab.vmpooler.clone.debian-12")) < 2
        assert 0 <= max(carbon.values("lab.vmpooler.destroy.debian-12")) < 2
        service.stop()
        assert "[*] stopped" in service.said


@pytest.mark.limit(60)
async def test_a_real_carbon_keeps_the_metrics_of_the_service(tmp_path: Path) -> None:
    await deferToThread(_story, tmp_path)
