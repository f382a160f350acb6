"""A checkout, a VM that becomes ready and an event pass few files on their way through the service."""

import pytest

from benchmarks.hops import CHECKOUT, EVENT, READY, Way


@pytest.mark.limit(60)
@pytest.mark.parametrize(
    ("way", "most", "first", "last"),
    [
        (CHECKOUT, 9, "vmpooler/web/http/server.py", "vmpooler/store/redis/protocol.py"),
        (READY, 31, "vmpooler/manager/manager.py", "vmpooler/store/commands/transitions.py"),
        (EVENT, 7, "vmpooler/store/stream.py", "vmpooler/web/events/subscriber.py"),
    ],
    ids=lambda given: given.name if isinstance(given, Way) else "",
)
def test_a_way_passes_no_more_files_than_it_did(way: Way, most: int, first: str, last: str) -> None:
    """A change that adds a file to a way should replace another."""
    calls = way.calls()
    assert (calls[0], calls[-1]) == (first, last)
    files = dict.fromkeys(calls)
    assert len(files) <= most, list(files)
