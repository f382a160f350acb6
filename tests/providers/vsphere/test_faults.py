"""Errors of a call, and what they say about the outcome of the request."""

import pytest
from twisted.logger import LogEvent, formatEvent

from vmpooler.providers.vsphere.errors import Doubtful, failure


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ConnectionResetError()])
def test_who_waits_no_longer_does_not_know_the_outcome_and_that_is_no_defect(
    error: Exception, logged: list[LogEvent]
) -> None:
    assert isinstance(failure(error, "the logout"), Doubtful)
    assert not logged


def test_an_unexpected_answer_is_logged_with_its_traceback(logged_errors: list[LogEvent]) -> None:
    assert isinstance(failure(KeyError("x"), "the clone"), Doubtful)
    assert formatEvent(logged_errors.pop()) == "[!] the clone: an answer that was not expected"
