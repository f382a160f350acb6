"""The clock of a simulated host. It can be wrong, and can be set while the processes that use it run."""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.parts import FAKETIME


class HostClock:
    """A clock that differs by some seconds from that of the machine; 0 at first.

    Processes that are started with ``environ`` use it. As on a real host, setting it does not change the clocks that
    count seconds since the start of the host. Tests that use it need "faketime".
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "clock"
        self.set(0)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables that make a process use this clock."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: float) -> None:
        """Set its difference from the machine's clock, in seconds."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+g}\n")
        os.replace(draft, self._file)
