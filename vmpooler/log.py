"""Writes domain events and other log events as lines, in the format of Ruby vmpooler or as JSON."""

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
from vmpooler.domain.events import Event, What, line

_log = Logger()

TROUBLE = (What.QUARANTINED, What.FAILED, What.DELAYED, What.GAVE_UP, What.FLAGGED, What.EMPTY)
"""The kinds of event that are logged as warnings."""


def log_event(event: Event) -> None:
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
    logged = event.get("event")
    known = attrs.asdict(logged) if isinstance(logged, Event) else {}
    return json.dumps({"time": when, "level": level, "text": _text(event)} | ({"event": known} if known else {}))
