"""File modes, whatever the umask: other users can read nothing that the service writes, its group only the log."""

import stat
from pathlib import Path

from tests.service.process import QUICK, Service, until


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_only_its_user_enters_the_state_directory_and_only_its_group_reads_the_log(tmp_path: Path) -> None:
    service = Service(QUICK.replace("prefix: vm-", "logfile: service.log"), directory=tmp_path)
    state = tmp_path / ".vmpooler"
    state.mkdir(mode=0o777)
    state.chmod(0o777)
    log = tmp_path / "service.log"
    try:
        assert service.launch("--pidfile=service.pid", "--umask=0").wait(20) == 0
        until(lambda: log.exists() and "get a VM" in log.read_text(), "the daemon answers")
        assert mode(state) == "0o700", "also one that was there before, and open"
        assert mode(log) == "0o640"
        assert mode(state / "redis.sock") == "0o700"
        assert mode(state / "lock") == "0o600"
        log.rename(tmp_path / "moved")
        service.request("POST", "/vm/linux")
        until(log.exists, "a new log")
        assert mode(log) == "0o640"
    finally:
        service.end()
