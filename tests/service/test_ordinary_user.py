"""The service needs no rights: it runs as anybody, and writes nowhere but in its state directory."""

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
    """A user, and how a command is run with this user's rights."""

    user: int
    command: tuple[str, ...] = ()

    def suffice(self) -> bool:
        """Whether the programs and libraries of the tests can be run so: they may stand where only root can look."""
        if not self.command:
            return True
        if not shutil.which(self.command[0]):
            return False
        probe = [*self.command, sys.executable, "-c", PROBE]
        return subprocess.run(probe, cwd="/", env=environ(ROOT), capture_output=True, check=False).returncode == 0


def environ(installation: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(installation), "HOME": "/nonexistent"}


def rights() -> Rights:
    """The least that suffice. Where nobody's do not, with a look everywhere; else root's name without its power; and
    where a container forbids all of that, what was written is only looked for afterwards."""
    if os.geteuid() != 0:
        return Rights(os.geteuid())
    plain = ("setpriv", "--no-new-privs")
    nobody = (*plain, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    look = [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    none = ("--inh-caps=-all", "--bounding-set=-all")
    choices = [
        Rights(NOBODY, (*nobody, *none)),
        Rights(NOBODY, (*nobody, *look)),
        Rights(0, (*plain, *none)),
        Rights(0),
    ]
    return next(each for each in choices if each.suffice())


class Ordinary(Service):
    """A demo in a folder that cannot be written, of an installation that cannot be written either."""

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
        """What must stay as it is: everything but the state directory, and when it was changed."""
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
