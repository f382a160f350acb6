"""The service needs no privileges: it runs as any user, and writes only to its state directory."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.service.process import TWISTD, Service, until
from vmpooler.embedded.program import guarded

ROOT = Path(__file__).parents[2]

NOBODY = 65534

PROBE = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import vmpooler.process.service']))"


@attrs.frozen
class Rights:
    """A user id, and the command prefix that runs a program with this user's rights."""

    user: int
    command: tuple[str, ...] = ()

    def suffice(self) -> bool:
        """Return whether the programs and libraries of the tests run this way: only root may be able to read them."""
        if not self.command:
            return True
        if not shutil.which(self.command[0]):
            return False
        probe = [*self.command, sys.executable, "-c", PROBE]
        return subprocess.run(probe, cwd="/", env=environ(ROOT), capture_output=True, check=False).returncode == 0


def environ(installation: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(installation), "HOME": "/nonexistent"}


def rights() -> Rights:
    """Return the least rights that suffice.

    The choices, in this order: the user nobody; nobody with permission to read every file; root without capabilities;
    plain root. Plain root is left where a container forbids the others: the test then only checks afterwards what was
    written.
    """
    if os.geteuid() != 0:
        return Rights(os.geteuid())
    plain = ("setpriv", "--no-new-privs")
    nobody = (*plain, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    reads = [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    none = ("--inh-caps=-all", "--bounding-set=-all")
    choices = [
        Rights(NOBODY, (*nobody, *none)),
        Rights(NOBODY, (*nobody, *reads)),
        Rights(0, (*plain, *none)),
        Rights(0),
    ]
    return next(each for each in choices if each.suffice())


class Ordinary(Service):
    """A demo that runs in a read-only folder, from a read-only installation."""

    def __init__(self, directory: Path, rights: Rights) -> None:
        super().__init__(None, directory=directory)
        self.here, self.installation, self.state = directory / "here", directory / "lib", directory / "here/.vmpooler"
        self._rights = rights
        leave = shutil.ignore_patterns("__pycache__", "dropin.cache")
        for part in ("vmpooler", "twisted"):
            shutil.copytree(ROOT / part, self.installation / part, ignore=leave)
        self.state.mkdir(parents=True)
        for path in (self.installation, *self.installation.rglob("*"), self.here, directory):
            path.chmod(0o555 if path.is_dir() else 0o444)
        directory.chmod(0o755)
        os.chown(self.state, rights.user, rights.user if rights.user != os.geteuid() else -1)

    def launch(self, *twistd: str) -> "subprocess.Popen[bytes]":
        program = guarded([sys.executable, TWISTD, "--pidfile=", "-n", "vmpooler", "--demo", f"--port={self.port}"])
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self._rights.command, *program],
                cwd=self.here,
                env=environ(self.installation),
                stdout=output,
                stderr=output,
            )
        return self.process

    def fixed(self) -> dict[Path, float]:
        """Return the modification times of all that must not change: everything but the state directory."""
        found = [self.here, *self.here.iterdir(), self.installation, *self.installation.rglob("*")]
        return {path: path.stat().st_mtime for path in found if path != self.state}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="vmpooler-test-")).resolve()
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.limit(60)
def test_an_ordinary_user_with_a_state_directory_and_nothing_else_to_write_gets_a_vm(folder: Path) -> None:
    user = rights()
    with Ordinary(folder, user) as service:
        before = service.fixed()
        until(lambda: service.ready("debian-12-x86_64") > 0, "a VM is ready")
        assert service.request("POST", "/vm/debian-12").status == 200
        assert service.process is not None
        assert Path(f"/proc/{service.process.pid}").stat().st_uid == user.user
        service.stop()
        assert service.fixed() == before
        assert "Traceback" not in service.said
        assert "plugin" not in service.said, "twistd cannot keep its list of plugins, and nobody needs to know"
        assert service.said.splitlines()[-1].endswith("stopped")
        assert {path.stat().st_uid for path in service.state.iterdir()} == {user.user}
