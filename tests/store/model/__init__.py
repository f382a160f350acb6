"""A model of the store's contents and replies in plain Python: dicts, sets and lists; speed and crashes do not matter.

Each method is one transition. It returns, raises, and records events as the store should.
"""

import attrs

from tests.store.model.failovers import FailoverTransitions


@attrs.define
class Model(FailoverTransitions):
    """The model of the whole store."""
