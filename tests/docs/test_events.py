"""The lists and numbers on the page about events are those of the code."""

import re

from vmpooler.domain.events import What
from vmpooler.domain.history import RANGES
from vmpooler.web.events.hub import USUAL
from vmpooler.web.events.subscriber import COMMENT, RETRY
from vmpooler.web.http.static_files import POLICY, TYPES
from vmpooler.web.views.pool import ORDER

from .book import PAGES

PAGE = PAGES["events.md"]


def test_it_has_every_kind_of_event_and_no_other() -> None:
    listed = re.search(r'"what": "checkout", *((?:// .*\n *)+)"pool"', PAGE)
    assert listed
    assert set(re.findall(r"[a-z_]+", listed[1])) == set(What)


def test_it_has_every_range_with_its_steps() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|", PAGE, re.M)
    steps = {name: (each.grain.seconds * each.group, each.grain.seconds * each.fine) for name, each in RANGES.items()}
    assert {name: (int(all), int(one)) for name, all, one in rows} == steps


def test_its_numbers_and_lists_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert POLICY in text
    assert f"every {USUAL.beat:g} seconds" in text
    assert f"nothing at all for {USUAL.stall:g} seconds" in text
    assert RETRY.decode().strip() in PAGE
    assert COMMENT == b":\n\n"
    assert all(f"`.{suffix}`" in text for suffix in TYPES)
    assert all(f'"{queue}": [' in text for queue in ORDER)
