"""What the store should hold and answer, in plain Python: dicts, sets and lists, and no thought of speed or crashes.

Each method is one transition. It answers, raises and tells as the store should.
"""

import attrs

from tests.store.model.failovers import Failovers


@attrs.define
class Model(Failovers):
    """The whole store."""
