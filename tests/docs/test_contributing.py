"""The provider that CONTRIBUTING.md shows is a package of its own: it keeps the contract, and serves a pool."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.service.process import Service, until

from .book import only

CONFIG = only("CONTRIBUTING.md", "yaml", "tiny")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which the package is installed: its module, its tests, and the metadata that pip would write."""
    project = tomllib.loads(only("CONTRIBUTING.md", "toml", "[project]"))["project"]
    site = tmp_path / "site"
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )
    (site / "vmpooler_tiny.py").write_text(only("CONTRIBUTING.md", "python", "class TinyProvider"))
    (site / "test_tiny.py").write_text(only("CONTRIBUTING.md", "python", "class TinyCase"))
    return site


def service(site: Path, directory: Path, config: str = CONFIG, *options: str) -> Service:
    return Service(config, *options, directory=directory, environ={"PYTHONPATH": str(site)})


def test_it_keeps_the_contract(site: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(site), "test_tiny.py"]
    tests = subprocess.run(command, cwd=site, capture_output=True, text=True, check=False)
    assert tests.returncode == 0, tests.stdout
    assert " passed" in tests.stdout


def test_it_serves_a_pool_without_a_change_of_the_service(site: Path, tmp_path: Path) -> None:
    with service(site, tmp_path / "run") as running:
        until(lambda: running.ready() == 2, "the pool is full")
        vm = running.request("POST", "/vm/debian-12").body["debian-12"]["hostname"]
        assert running.request("GET", f"/vm/{vm}").body[vm]["state"] == "running"
        assert running.request("POST", f"/vm/{vm}/snapshot").status == 202
        until(lambda: running.request("GET", f"/vm/{vm}").body[vm].get("snapshots"), "the snapshot is taken")
        until(lambda: running.ready() == 2, "the pool is full again")
        assert running.request("DELETE", f"/vm/{vm}").status == 200
        until(lambda: f"[-] [debian-12] '{vm}' destroyed" in running.said, "the VM is destroyed")


def test_its_pools_are_checked_with_the_configuration(site: Path, tmp_path: Path) -> None:
    check = service(site, tmp_path / "good", CONFIG, "--check-config")
    assert check.run() == 0
    assert check.said.endswith("vmpooler.yaml: ok\n")
    wrong = service(site, tmp_path / "wrong", CONFIG.replace("size: 2", "size: 2, datastore: x"), "--check-config")
    assert wrong.run() == 1
    assert wrong.said.endswith("pools[0].datastore: has no meaning on tiny\n")


def test_without_the_package_the_installed_classes_are_named(tmp_path: Path) -> None:
    check = service(tmp_path, tmp_path / "run", CONFIG, "--check-config")
    assert check.run() == 1
    assert check.said.endswith("providers.tiny: no such class of provider; say provider_class: dummy or vsphere\n")


def test_when_its_import_fails_only_its_own_pools_cannot_be_used(site: Path, tmp_path: Path) -> None:
    (site / "vmpooler_tiny.py").write_text("import an_sdk_that_is_missing")
    check = service(site, tmp_path / "own", CONFIG, "--check-config")
    assert check.run() == 1
    why = "of class tiny, which cannot be loaded: vmpooler_tiny:driver: ModuleNotFoundError: No module named 'an_sdk_"
    assert f"pools[0].provider: tiny is {why}" in check.said
    others = CONFIG.replace("provider: tiny", "provider: dummy")
    with service(site, tmp_path / "others", others) as running:
        until(lambda: running.ready() == 2, "the pool on another provider is full")
        assert f"providers.tiny: {why}" in running.said
