"""Turns domain events into log lines, and writes lines in the format of Ruby vmpooler or as JSON."""

import json
import os
from datetime import datetime
from functools import partial
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import IO

import attrs
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from zope.interface import implementer

from vmpooler.domain.errors import StartError
from vmpooler.domain.events import Event, What

_log = Logger()

ONE_LINE = dict.fromkeys([*range(32), *range(127, 160), 0x2028, 0x2029], " ")
"""Replaces control characters and line separators: text from outside must not start a line of its own."""


PHRASES = {
    What.CLONE: "[ ] {who} is being cloned",
    What.CLONED: "[+] {who} cloned in {seconds} seconds",
    What.READY: "[>] {who} moved from 'pending' to 'ready' queue, {seconds} seconds after its clone was ordered",
    What.CHECKOUT: "[>] {who} moved from 'ready' to 'running' queue, for {by}",
    What.UNCLAIMED: "[<] {who} goes back to 'ready' queue once its stamp is clear: {why}",
    What.RETURNED: "[<] {who} moved from 'running' back to 'ready' queue: {why}",
    What.RESTORED: "[>] {who} moved to 'running' queue again, for {by}: {why}",
    What.QUARANTINED: "[!] {who} quarantined, moved to 'running' queue: {why}",
    What.COMPLETED: "[!] {who} {why}, moved from '{queue}' to 'completed' queue",
    What.DESTROYED: "[-] {who} destroyed in {seconds} seconds",
    What.DISCOVERED: "[?] {who} has been discovered",
    What.EXPLAINED: "[!] {who} {why}, removed from 'discovered' queue",
    What.MISSING: "[!] {who} is missing from the inventory",
    What.FOUND: "[>] {who} is back in the inventory",
    What.SETTLED: "[!] {who} stood in several queues, removed from: {why}",
    What.CHANGED: "[+] {who} set: {why}",
    What.REQUESTED: "[ ] {who} {kind} {argument} was asked for by {by}",
    What.DONE: "[+] {who} {kind} {argument} is done",
    What.DELAYED: "[!] {who} {kind} {argument} failed: {why} (try {tries}, next in {seconds} s)",
    What.GAVE_UP: "[!] {who} {kind} {argument} is given up after {tries} tries: {why}",
    What.FAILED: "[!] {who} {subject} failed: {why} (failure {tries} in a row, next try in {seconds} s)",
    What.RECOVERED: "[*] {who} {subject} works again",
    What.FLAGGED: "[!] {who} mass guard: {why}. To give them up: vmpooler confirm {pool}",
    What.UNFLAGGED: "[*] {who} mass guard lifted",
    What.EMPTY: "[!] {who} is empty",
    What.FILLED: "[*] {who} is no longer empty",
}

TROUBLE = (What.QUARANTINED, What.FAILED, What.DELAYED, What.GAVE_UP, What.FLAGGED, What.EMPTY)

SUBJECTS = {
    ":clone": "cloning",
    ":inventory": "the inventory",
    ":missing": "the inventory",
    ":answers": "probing",
    ":power": "switching VMs on",
}


def line(event: Event) -> str:
    """Return the text of an event in the log. The marks are those of Ruby vmpooler: docs/compatibility.md#log-lines."""
    more = dict.fromkeys(("queue", "seconds", "tries", "kind", "argument"), "?") | dict(event.more)
    more["seconds"] = more["seconds"] or "?"
    more["subject"] = SUBJECTS.get(event.more.get("subject", ""), "the last operation" if event.vm else "the provider")
    who = f"[{event.pool}] '{event.vm}'" if event.vm else f"[{event.pool}]"
    text = PHRASES[event.what].format(who=who, pool=event.pool, by=event.by, why=event.why, **more)
    return text.translate(ONE_LINE)


def tell(event: Event) -> None:
    """Write an event to the log: a listener of the event stream."""
    level = LogLevel.warn if event.what in TROUBLE else LogLevel.info
    _log.emit(level, "{text}", text=line(event), event=event)


class LogFile(WatchedFileHandler):
    """A file that lines are appended to.

    If the file was moved away, as logrotate does, a new one is created, which at most its group may read. Raises
    StartError when the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            super().__init__(path, encoding="utf-8")
        except OSError as error:
            raise StartError(
                f"cannot write to the log file {path} ({error.strerror}): "
                "change its owner or permissions, or set config.logfile to another"
            ) from None

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, opener=partial(os.open, mode=0o640))

    def write(self, text: str) -> None:
        """Append ``text`` to the file."""
        self.reopenIfNeeded()
        self.stream = self.stream or self._open()
        self.stream.write(text)


@implementer(ILogObserver)
class Lines:
    """Writes log events as lines. Events of Twisted itself are written from level warning up."""

    def __init__(self, out: IO[str] | LogFile, style: str) -> None:
        self._out = out
        self._render = _json if style == "json" else _plain

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        level = event.get("log_level", LogLevel.info)
        namespace = event.get("log_namespace", "")
        chatty = namespace.startswith(("twisted.", "log_legacy")) and level < LogLevel.warn
        if level is LogLevel.debug or chatty:
            return
        self._out.write(self._render(event, level.name) + "\n")
        self._out.flush()


def _text(event: LogEvent) -> str:
    """Return the text of the line; the traceback of a failure follows below it."""
    text = formatEvent(event)
    failure = event.get("log_failure")
    return f"{text}\n{failure.getTraceback().rstrip()}" if failure is not None else text


def _plain(event: LogEvent, level: str) -> str:
    text = _text(event)
    mark = "" if text.startswith("[") else "[!] " if level in ("warn", "error", "critical") else "[*] "
    written = f"[{datetime.fromtimestamp(event['log_time']):%Y-%m-%d %H:%M:%S}] {mark}{text}"
    return written.encode(errors="backslashreplace").decode()  # text from outside may contain what UTF-8 cannot encode


def _json(event: LogEvent, level: str) -> str:
    when = datetime.fromtimestamp(event["log_time"]).astimezone().isoformat(timespec="milliseconds")
    told = event.get("event")
    known = attrs.asdict(told) if isinstance(told, Event) else {}
    return json.dumps({"time": when, "level": level, "text": _text(event)} | ({"event": known} if known else {}))
