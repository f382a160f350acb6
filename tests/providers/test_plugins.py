"""Providers as plug-ins: which are installed, and what a configuration gets from one that cannot be used."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import vmpooler
from vmpooler.config import load
from vmpooler.domain.errors import ConfigError
from vmpooler.providers.dummy import Dummy
from vmpooler.providers.plugins import GROUP, Drivers, PluginError, installed

ROOT = Path(vmpooler.__file__).parent
DUMMY = ("dummy", "vmpooler.providers.dummy:driver")
POOLS = "pools: [{name: a, size: 1, provider: dummy}, {name: b, size: 1, provider: lab}]\n"


def drivers(*found: tuple[str, str]) -> Drivers:
    return Drivers(EntryPoint(name, value, GROUP) for name, value in (DUMMY, *found))


def mistakes(text: str, known: Drivers) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        load(text, environ={}, base=Path(), drivers=known)
    return tuple(error.value.mistakes)


def test_the_two_providers_of_the_service_are_plug_ins() -> None:
    assert {"dummy", "vsphere"} <= set(installed().usable())


def test_the_rest_of_the_service_does_not_know_their_names() -> None:
    """``auth`` has a provider called dummy too, and files of Ruby vmpooler have a section called vsphere."""
    known = {ROOT / "config" / "ruby_vmpooler.py", ROOT / "config" / "auth.py", ROOT / "settings" / "auth.py"}
    known |= {*(ROOT / "auth").glob("*.py"), *(ROOT / "providers").glob("*/*.py")}
    texts = {path: path.read_text(encoding="utf-8").lower() for path in {*ROOT.rglob("*.py")} - known}
    assert [path for path, text in texts.items() if "vsphere" in text or "dummy" in text] == []


def test_an_unknown_class_is_answered_with_those_that_are_installed() -> None:
    known = drivers(("tiny", "no.such.module:driver"))
    assert mistakes("providers: {lab: {provider_class: huge}}\n" + POOLS, known) == (
        "providers.lab.provider_class: expected dummy or tiny, got 'huge'",
    )
    assert mistakes("providers: {lab: {}}\n" + POOLS, known) == (
        "providers.lab: no such class of provider; say provider_class: dummy or tiny",
    )
    assert mistakes(POOLS, known) == (
        "pools[1].provider: 'lab' is not configured; the installed classes are dummy, tiny",
    )


@pytest.mark.parametrize(
    ("entry_point", "reason"),
    [
        ("no.such.module:driver", "no.such.module:driver: ModuleNotFoundError: No module named 'no'"),
        ("vmpooler.providers.dummy:nothing", "AttributeError: .* has no attribute 'nothing'"),
        ("vmpooler.providers.dummy:Dummy", "vmpooler.providers.dummy:Dummy is not a ProviderDriver"),
        ("vmpooler.providers.dummy:driver", "vmpooler.providers.dummy:driver has settings of kind 'dummy', not 'tiny'"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named_with_the_reason(entry_point: str, reason: str) -> None:
    known = drivers(("tiny", entry_point))
    assert known.names == ("dummy", "tiny")
    assert list(known.usable()) == ["dummy"]
    with pytest.raises(PluginError, match=reason):
        known.get("tiny")


def test_two_packages_with_a_provider_of_one_name_are_a_mistake_and_the_same_one_found_twice_is_none() -> None:
    with pytest.raises(PluginError, match="several packages have a provider called dummy: other:driver, vmpooler"):
        drivers(("dummy", "other:driver")).get("dummy")
    assert drivers(DUMMY).get("dummy").settings is Dummy


def test_a_plug_in_that_cannot_be_loaded_is_a_mistake_of_its_own_pools_only() -> None:
    known = drivers(("tiny", "no.such.module:driver"))
    why = "of class tiny, which cannot be loaded: no.such.module:driver: ModuleNotFoundError: No module named 'no'"
    text = "providers: {lab: {provider_class: tiny, colour: red}}\n"
    assert mistakes(text + POOLS, known) == (f"pools[1].provider: lab is {why}",)
    found = load(text + "pools: [{name: a, size: 1, provider: dummy}]", environ={}, base=Path(), drivers=known)
    assert found.warnings == (f"providers.lab: {why}",)
    assert found.settings.providers == {"dummy": Dummy()}


def test_a_pool_that_names_no_provider_does_not_move_to_another_when_its_plug_in_cannot_be_loaded() -> None:
    known = drivers(("tiny", "no.such.module:driver"))
    (text,) = mistakes("providers: {tiny: {}, dummy: {}}\npools: [{name: a, size: 1}]", known)
    assert text.startswith("pools[0].provider: tiny is of class tiny, which cannot be loaded")
