"""The clock of a single process, which can be set while it runs."""

from pathlib import Path

from tests.parts import FAKETIME


class SetClock:
    """A wall clock so many seconds ahead of the machine's (negative: behind); the monotonic clock is the machine's.

    ``path`` is a file of its own. Processes that are started with ``environ`` follow :meth:`set` at once. It is not for
    a service with an embedded Redis, which waits for a program with ``time.sleep``: libfaketime 0.9.10 shifts the end
    of such a wait, though the monotonic clock is the machine's, and it fails.
    """

    def __init__(self, path: Path, ahead: int = 0) -> None:
        self._path = path
        self.set(ahead)

    @property
    def environ(self) -> dict[str, str]:
        """What the environment of its processes has besides."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, ahead: int) -> None:
        """Step to so many seconds ahead of the machine's clock."""
        draft = self._path.with_suffix(".new")
        draft.write_text(f"{ahead:+d}\n")
        draft.replace(self._path)
