"""The configurations shipped with the service: the demo, and the example that documents every setting."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import attrs
import pytest
import yaml

from vmpooler.config import load
from vmpooler.providers.dummy import Dummy
from vmpooler.providers.vsphere import Vsphere
from vmpooler.settings import (
    Auth,
    General,
    Graphite,
    Graphs,
    Ldap,
    Limits,
    Pool,
    Redis,
    ServiceAccount,
    Settings,
)

EXAMPLE = (Path(__file__).parents[2] / "vmpooler.yaml.example").read_text(encoding="utf-8")
COMMENTED_OUT = re.compile(r"^( *)#(?=[a-z])", re.MULTILINE)
SECTIONS = {
    "config": General,
    "redis": Redis,
    "pools": Pool,
    "dummy": Dummy,
    "vcenter-1": Vsphere,
    "auth": Auth,
    "ldap": Ldap,
    "service_account_hash": ServiceAccount,
    "graphite": Graphite,
    "graphs": Graphs,
    "limits": Limits,
}
FIELDS = [
    (section, field.name)
    for section, kind in SECTIONS.items()
    for field in attrs.fields(kind)
    if field.metadata["part"] is None
]


def documented() -> Iterator[tuple[str, str, str, str]]:
    """Yield section, name, value and comment of every setting in the example, commented out or not."""
    section, comment = "", ""
    for line in EXAMPLE.splitlines():
        if line.lstrip().startswith("# "):
            comment += line.lstrip()[1:]
        elif setting := re.fullmatch(r" *(?:- )?#?([a-z_0-9-]+):(?: (.+))?", line):
            name, value = setting.groups()
            if value is None:
                section = name
            else:
                yield section, name, value, comment.strip()
            comment = ""


def text_of(default: object) -> object:
    """Return a default in the form that YAML's BaseLoader returns: as text."""
    if isinstance(default, tuple):
        return list(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


DOCUMENTED = {(section, name): (value, comment) for section, name, value, comment in reversed(list(documented()))}


@pytest.mark.parametrize(("section", "name"), FIELDS)
def test_the_example_has_every_setting_with_its_sentence_and_default(section: str, name: str) -> None:
    field = attrs.fields_dict(SECTIONS[section])[name]
    value, comment = DOCUMENTED[section, name]
    assert comment.startswith(field.metadata["text"])
    if field.default is attrs.NOTHING:
        assert "Required." in comment
    else:
        default = re.search(r"Default: (?!that of config)(.*)\.$", comment)
        assert yaml.load(default[1] if default else value, yaml.BaseLoader) == text_of(field.default)  # noqa: S506 - BaseLoader returns only text
    assert ("Default: that of config." in comment) == bool(field.metadata["inherits"])
    if field.metadata["secret"]:
        assert f"{name}_file" in comment


def test_the_example_has_no_setting_that_there_is_not() -> None:
    assert set(DOCUMENTED) - set(FIELDS) == {("vcenter-1", "provider_class"), ("tagfilter", "url")}
    assert attrs.fields(Settings).tagfilter.metadata["text"] in EXAMPLE


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    found = load(EXAMPLE, environ={}, base=tmp_path)
    assert found.warnings == ()
    assert found.settings.redis.server == "embedded"
    assert {pool.provider for pool in found.settings.pools} == {"dummy"}


def test_the_example_loads_with_every_line_in_force(tmp_path: Path) -> None:
    found = load(COMMENTED_OUT.sub(r"\1", EXAMPLE), environ={}, base=tmp_path).settings
    assert set(found.providers) == {"dummy", "vcenter-1"}
    assert found.auth is not None
    assert found.auth.ldap is not None
    assert found.auth.ldap.service_account_hash is not None
    assert found.graphite is not None
    assert found.general == load(EXAMPLE, environ={}, base=tmp_path).settings.general


def test_the_demo_has_three_pools_and_stays_at_home(tmp_path: Path) -> None:
    found = load(files("vmpooler").joinpath("demo.yaml").read_text(encoding="utf-8"), environ={}, base=tmp_path)
    settings = found.settings
    assert found.warnings == ()
    assert [pool.size for pool in settings.pools] == [5, 4, 2]
    assert settings.pools[0].alias == ("debian-12",)
    assert settings.redis.server == "embedded"
    assert settings.general.listen.startswith("127.0.0.1:")
    assert settings.general.state_directory == str(tmp_path / ".vmpooler")
    dummy = settings.providers["dummy"]
    assert isinstance(dummy, Dummy)
    assert dummy.filename.startswith(settings.general.state_directory)
    assert 0 < dummy.createvm_max_time + dummy.bootvm_max_time < 15, "the first VM is ready within 15 seconds"
