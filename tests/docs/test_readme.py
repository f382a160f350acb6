"""The configuration and the commands of the README work as it describes."""

import os
import subprocess
from pathlib import Path

import pytest

from vmpooler.config import load
from vmpooler.providers.dummy import Dummy

from .book import blocks, only
from .conftest import Service


def test_its_configuration_is_without_a_mistake_or_a_warning(folder: Path) -> None:
    found = load((folder / "vmpooler.yaml").read_text(), environ={}, base=folder)
    assert found.warnings == ()
    assert found.settings.redis.server == "embedded"
    assert all(isinstance(found.settings.providers[pool.provider], Dummy) for pool in found.settings.pools)


def test_its_command_checks_that_configuration(folder: Path, commands: list[list[str]]) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VMPOOLER_")}
    check = subprocess.run(commands[0], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert (check.returncode, check.stdout) == (0, f"{folder}/vmpooler.yaml: ok\n")


@pytest.mark.needs("curl")
def test_its_ten_lines_get_vms_and_give_one_back(service: Service) -> None:
    lines = only("README.md", "sh", "api=").replace("curl ", "curl --fail ")
    output = service.run(lines)
    assert len(lines.splitlines()) == 10
    assert output.count('"hostname": "vm-') == output.count('"hostname": [') == 2
    assert output.count('"state": "running"') == 1


@pytest.mark.needs("curl")
def test_its_first_curl_gets_a_vm(service: Service) -> None:
    (first,) = (block.text for block in blocks("README.md", "sh") if block.text.startswith("curl"))
    assert '"hostname": "vm-' in service.run(first)
