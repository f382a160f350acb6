"""Any file content results in settings or in a ConfigError."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpooler.config import Loaded, load
from vmpooler.config.loader import SERVED
from vmpooler.domain.errors import ConfigError
from vmpooler.providers.dummy import Dummy
from vmpooler.providers.vsphere import Vsphere
from vmpooler.settings import Auth, General, Graphite, Graphs, Ldap, Pool, Redis, ServiceAccount

KINDS = (Auth, Dummy, General, Graphite, Graphs, Ldap, Pool, Redis, ServiceAccount, Vsphere)
FIELDS = sorted({key for kind in KINDS for key in kind.__annotations__})

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.binary(max_size=5)
)
keys = st.sampled_from(["dummy", "vsphere", "provider_class", "password_file", *FIELDS]) | scalars
values = st.recursive(
    scalars | st.sampled_from(["gce", "vsphere", "dummy", "a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=30,
)
sections = st.dictionaries(st.sampled_from([*SERVED, ":config", "statsd"]) | scalars, values, max_size=6)


def settings_or_mistakes(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(load(text, environ={}, base=Path("/nonexistent")), Loaded)


@settings(max_examples=150, deadline=None)
@given(sections | values)
def test_any_value_is_settings_or_mistakes(value: object) -> None:
    settings_or_mistakes(yaml.safe_dump(value))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.text("[]{}:-*&!|>'\"%@<=? \n\tab01", max_size=80))
def test_any_text_is_settings_or_mistakes(text: str) -> None:
    settings_or_mistakes(text)


def test_a_mapping_that_contains_itself_is_harmless() -> None:
    settings_or_mistakes("pools: &p [*p]")
    settings_or_mistakes("&all {config: *all, pools: [*all], <<: *all}")


def test_a_message_can_be_printed_whatever_was_in_the_file() -> None:
    text = '"\\ud800": 1\nconfig: {"a\\nb": 1, domain: "\\ud800"}'
    with pytest.raises(ConfigError) as caught:
        load(text, environ={}, base=Path("/"))
    assert str(caught.value).isascii()
    assert len(caught.value.mistakes) == len(str(caught.value).splitlines()) == 4
