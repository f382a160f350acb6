"""A log with every event and all its fields: ``twistd --logger=tests.service.everything.everything``."""

import sys

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from vmpooler.log import Lines


@implementer(ILogObserver)
class everything:
    """Writes each event in both log formats, then its traceback and all its fields, from the debug level up."""

    def __init__(self) -> None:
        self._out = sys.stdout  # kept here: twistd redirects sys.stdout to the log later
        self._kinds = [Lines(self._out, style) for style in ("plain", "json")]

    def __call__(self, event: LogEvent) -> None:
        for kind in self._kinds:
            kind(event)
        failure = event.get("log_failure")
        if failure is not None:
            print(failure.getTraceback(detail="verbose"), file=self._out)
        print({name: repr(value) for name, value in event.items()}, file=self._out, flush=True)
