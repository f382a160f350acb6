"""The store against a model of it in plain Python: whatever is done in whatever order, Redis holds what the model says.

After every step the whole of Redis is compared, key by key, with which keys expire, and with the events: exactly those
that the model tells, each once. With MODEL_EXAMPLES=5000 in the environment, that many walks are taken by chance
instead of the same few, and one that fails is made as short as it can be.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.redis_server import RedisServer
from tests.store.direct import Direct
from tests.store.walks.clients import Clients
from tests.store.walks.compared import PLACES
from vmpooler.domain.events import What

USUAL = {*PLACES, What.CLONED, What.CHANGED, What.REQUESTED, What.MISSING, What.FAILED} - {What.EXPLAINED}
"""The kinds of event that a few walks come upon in any case."""


@pytest.fixture
def direct(redis_server: RedisServer) -> Iterator[Direct]:
    connection = Direct(redis_server.settings)
    yield connection
    connection.hang_up()


def test_whatever_is_done_redis_holds_what_the_model_says_and_tells_each_transition_once(direct: Direct) -> None:
    many = os.environ.get("MODEL_EXAMPLES")
    seen: set[str] = set()

    class Walk(Clients):
        def __init__(self) -> None:
            super().__init__(direct, seen)

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=int(many or 100),
            stateful_step_count=70,
            derandomize=many is None,
            phases=[Phase.generate, *([Phase.shrink] if many else [])],
            database=None,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
    assert seen >= USUAL, "the walks were too short to mean anything"
