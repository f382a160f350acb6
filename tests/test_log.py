"""The content and the format of the log."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from vmpooler.domain.errors import StartError
from vmpooler.domain.events import Event, What, line
from vmpooler.log import Lines, LogFile

TIME = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]"


def event(what: What, vm: str = "vm-1", by: str = "manager", why: str = "", **more: str) -> Event:
    return Event(id="1-0", what=what, pool="debian", vm=vm, when=0.0, by=by, why=why, more=more)


def written(style: str, *, namespace: str = "vmpooler.x", level: Any = LogLevel.info, **fields: Any) -> str:
    """Return the text that one log event adds to a log."""
    out = io.StringIO()
    Lines(out, style)({"log_time": 1.5, "log_level": level, "log_namespace": namespace, **fields})
    return out.getvalue()


def failed() -> Failure:
    try:
        raise ValueError("oh")
    except ValueError:
        return Failure()


@pytest.mark.parametrize("what", What)
def test_every_kind_of_event_has_a_line_also_without_optional_fields(what: What) -> None:
    assert re.fullmatch(r"\[[ *+<>!?-]\] \[debian\] .*", line(event(what)))
    assert "{" not in line(event(what, vm="", why="{x}", seconds="", subject=":clone")).replace("{x}", "")


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (event(What.CLONED, seconds="2.50"), "[+] [debian] 'vm-1' cloned in 2.50 seconds"),
        (event(What.CHECKOUT, by="alice"), "[>] [debian] 'vm-1' moved from 'ready' to 'running' queue, for alice"),
        (
            event(What.FAILED, vm="", why="no space", subject=":clone", tries="3", seconds="20"),
            "[!] [debian] cloning failed: no space (failure 3 in a row, next try in 20 s)",
        ),
        (
            event(What.FLAGGED, vm="", why="all are unknown"),
            "[!] [debian] mass guard: all are unknown. To give them up: vmpooler confirm debian",
        ),
    ],
)
def test_an_event_is_logged_as_by_ruby_vmpooler(happened: Event, text: str) -> None:
    assert line(happened) == text


def test_text_from_clients_cannot_add_log_lines() -> None:
    assert not line(event(What.COMPLETED, by="eve\n[+] injected", why="a\r\nb\x1b[2J\x9b2J\u2028")).splitlines()[1:]


@pytest.mark.parametrize(
    ("level", "text", "marked"),
    [
        (LogLevel.info, "hello", "[*] hello"),
        (LogLevel.warn, "careful", "[!] careful"),
        (LogLevel.critical, "the end", "[!] the end"),
        (LogLevel.info, "[+] marked", "[+] marked"),
        (LogLevel.info, "not UTF-8: \udcff", r"[*] not UTF-8: \udcff"),
    ],
)
def test_a_plain_line_has_a_time_and_a_mark(level: Any, text: str, marked: str) -> None:
    assert re.fullmatch(rf"{TIME} {re.escape(marked)}\n", written("plain", log_format=text, level=level))


def test_a_json_line_has_the_level_and_the_event() -> None:
    text, happened = "x\n\u2028\udcff", event(What.CHECKOUT, by='J. "Doe"', why="{}", status="ok")
    found = json.loads(written("json", log_format="{text}", text=text, event=happened, level=LogLevel.warn))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.500[+-]\d\d:\d\d", found.pop("time"))
    assert found.pop("event") == {
        "id": "1-0",
        "what": "checkout",
        "pool": "debian",
        "vm": "vm-1",
        "when": 0.0,
        "by": 'J. "Doe"',
        "why": "{}",
        "more": {"status": "ok"},
    }
    assert found == {"level": "warn", "text": text}


def test_a_traceback_is_below_its_line_or_within_its_json() -> None:
    fields: dict[str, Any] = {"log_format": "[!] it failed", "log_failure": failed(), "level": LogLevel.critical}
    first, *rest = written("plain", **fields).splitlines()
    assert first.endswith("] [!] it failed")
    assert (rest[0], rest[-1]) == ("Traceback (most recent call last):", "builtins.ValueError: oh")
    (only,) = written("json", **fields).splitlines()
    assert json.loads(only)["text"].endswith("builtins.ValueError: oh")


@pytest.mark.parametrize(
    ("namespace", "level", "is_logged"),
    [
        ("twisted.web.server", LogLevel.info, False),
        ("log_legacy", LogLevel.info, False),
        ("twisted.internet", LogLevel.warn, True),
        ("vmpooler.store", LogLevel.debug, False),
        ("stderr", LogLevel.error, True),
    ],
)
def test_only_warnings_of_twisted_are_logged(namespace: str, level: Any, is_logged: bool) -> None:
    assert bool(written("plain", log_format="x", namespace=namespace, level=level)) is is_logged


def test_a_moved_log_file_is_reopened_also_after_its_folder_was_missing(tmp_path: Path) -> None:
    path, folder = tmp_path / "logs/vmpooler.log", tmp_path / "logs"
    log = LogFile(str(path))
    log.write("one\n")
    path.rename(tmp_path / "old")
    log.write("two\n")
    folder.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        log.write("lost\n")
    folder.mkdir()
    log.write("three\n")
    log.flush()
    assert (tmp_path / "old").read_text() == "one\n"
    assert (tmp_path / "away/vmpooler.log").read_text() == "two\n"
    assert path.read_text() == "three\n"
    log.close()


def test_a_log_file_that_cannot_be_written_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"cannot write to the log file .*/file/log \(.*\): change its owner"):
        LogFile(str(tmp_path / "file/log"))
