"""The page about authentication agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from tests.docs.book import PAGES, blocks
from vmpooler.auth.tls import PROBLEMS
from vmpooler.auth.wire import DOUBT, NONSENSE
from vmpooler.config import load
from vmpooler.settings import Auth, Ldap

PAGE = PAGES["auth.md"]


def test_its_configurations_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "ldap-password").write_text("secret\n")
    providers = []
    for block in blocks("auth.md", "yaml"):
        text = f"{block.text}\npools: [{{name: a, size: 1}}]"
        auth = load(text, environ={}, base=tmp_path).settings.auth
        assert auth is not None
        providers.append(auth.provider)
    assert providers == ["ldap", "ldap", "dummy"]


@pytest.mark.parametrize("kind", [Auth, Ldap])
def test_it_has_every_setting_with_its_default(kind: type[attrs.AttrsInstance]) -> None:
    defaults = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\| ", PAGE, re.MULTILINE))
    for field in attrs.fields(kind):
        if (kind, field.name) == (Auth, "ldap"):
            continue
        default = "" if field.default in (attrs.NOTHING, None) else str(field.default)
        assert defaults[field.name].strip("`") == (default.lower() if isinstance(field.default, bool) else default)


def test_it_has_what_the_log_says() -> None:
    for text in (DOUBT, NONSENSE, PROBLEMS[10], PROBLEMS[9], PROBLEMS[20].split(";")[0]):
        assert text in PAGE
