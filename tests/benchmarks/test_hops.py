"""A checkout passes few files on its way from the socket to Redis."""

import pytest

from benchmarks.hops import calls_of_a_checkout

MOST = 11
"""Files of the service. A change that adds one should replace another."""


@pytest.mark.limit(60)
def test_a_checkout_passes_no_more_files_than_it_did() -> None:
    files = list(dict.fromkeys(calls_of_a_checkout()))
    assert files[0] == "vmpooler/web/http/server.py"
    assert files[-1] == "vmpooler/store/redis/protocol.py"
    assert len(files) <= MOST
