"""A service of several processes that share one Redis."""

import re
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.service.process import Service, until
from tests.service.sockets import listening

AT_ONCE = 1.0
"""Seconds. Rounds that wait for their timer would take longer: five in a row are not all this early."""


@pytest.fixture
def config(spare_redis: RedisServer) -> str:
    return f"""
redis: {{socket: {spare_redis.socket}}}
providers: {{dummy: {{filename: dummy.yaml}}}}
pools: [{{name: debian-12, size: 2}}]
"""


def test_a_vm_given_by_one_process_is_replaced_at_once_by_another(config: str) -> None:
    with Service(config, "--role=api") as api, Service(config, "--role=manager") as manager:
        assert api.process is not None
        assert manager.process is not None
        until(lambda: api.ready() == 2, "the pool is full")
        for _ in range(5):
            assert api.request("POST", "/vm/debian-12").status == 200
            until(lambda: api.ready() == 2, "the VM is replaced", AT_ONCE)
        assert listening(manager.process.pid) == set()
        assert "the API" not in manager.said
        assert not Path(api.directory, "dummy.yaml").exists(), "the API has no provider"
        assert not re.search("cloned|loop", api.said)


def test_an_api_alone_gives_what_is_ready_and_a_manager_that_comes_later_replaces_it(config: str) -> None:
    with Service(config, "--role=api") as api:
        assert api.request("POST", "/vm/debian-12").status == 503
        assert api.request("POST", "/vm/nonsense").status == 404
        with Service(config, "--role=manager"):
            until(lambda: api.ready() == 2, "the pool is full")
        assert api.request("POST", "/vm/debian-12").status == 200
        assert api.ready() == 1
        with Service(config, "--role=manager"):
            until(lambda: api.ready() == 3, "the VM is replaced, and the one whose hypervisor is gone is filled beside")
