"""The clock of a host, as some processes see it: it can be wrong, and be set while they run."""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.parts import FAKETIME


class HostClock:
    """A clock that differs by some seconds from that of the machine; 0 at first.

    Processes started with ``environ`` go by it. As on a real host, what counts the seconds since its start is not
    touched. Tests that use it need "faketime".
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "clock"
        self.set(0)

    @property
    def environ(self) -> Mapping[str, str]:
        """What makes a process go by this clock."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: float) -> None:
        """Have it differ by so many seconds from now on."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+g}\n")
        os.replace(draft, self._file)
