"""Responses as JSON text, from the fast and from the fallback encoder."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpooler.web.http import json as replies

NAMES = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15).map(lambda each: round(each, 3)) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_reply_is_indented_json(value: Any) -> None:
    assert replies.of(value).decode() == json.dumps(value, indent=2, ensure_ascii=False)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5))
def test_the_parts_of_a_reply_are_the_whole(reply: dict[str, Any]) -> None:
    assert b"".join(replies.parts(reply)) == replies.of(reply)


@pytest.mark.parametrize("value", ["\udc80 and \ud800", {"\ud800": 1}, 2**70, [-(2**64)]])
def test_what_the_quick_means_refuses_is_written_all_the_same(value: Any) -> None:
    assert json.loads(replies.of(value)) == json.loads(
        json.dumps(value).replace("\\udc80", "?").replace("\\ud800", "?")
    )
