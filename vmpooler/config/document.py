"""The text of a configuration -> mappings, lists and text."""

import re

import yaml
from yaml.constructor import SafeConstructor

from vmpooler.config.report import Report, key_shown
from vmpooler.domain.errors import ConfigError

LARGEST = 1_048_576
"""How many characters a configuration may have."""

NULL, MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


def parse(text: str, report: Report) -> object:
    """What the YAML text holds, with every scalar but null as the text that was written.

    A key that a mapping has twice is noted in ``report``. Raises ConfigError when the text is no YAML; its message
    quotes nothing of the text, which may hold secrets.
    """
    if len(text) > LARGEST:
        raise ConfigError([f"the configuration is larger than {LARGEST} characters"])
    try:
        loader = _Loader(text, report)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([f"{_place(error)}not valid YAML: {_problem(error)}"]) from None
    except yaml.YAMLError:
        raise ConfigError(["not valid YAML: a control character, or another one that YAML does not allow"]) from None
    except RecursionError:
        raise ConfigError(["the configuration is nested too deeply"]) from None


def plain(key: str) -> str:
    """A key without the colon that files of Ruby vmpooler have before it (``:config:`` is a Ruby symbol)."""
    return key.removeprefix(":")


class _Loader(yaml.SafeLoader):
    """YAML that leaves the meaning of a scalar to the setting it is for.

    So a password of 0123 stays that, where YAML's own types make it the number 83.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's way to say it
        first: [(tag, pattern) for tag, pattern in resolvers if tag in (NULL, MERGE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012 - PyYAML reads it so
        NULL: SafeConstructor.construct_yaml_null,
        "tag:yaml.org,2002:str": SafeConstructor.construct_yaml_str,
        "tag:yaml.org,2002:seq": SafeConstructor.construct_yaml_seq,
        "tag:yaml.org,2002:map": SafeConstructor.construct_yaml_map,
        None: SafeConstructor.construct_undefined,
    }

    def __init__(self, text: str, report: Report) -> None:
        super().__init__(text)
        self._report = report

    def compose_mapping_node(self, anchor: dict[object, yaml.Node]) -> yaml.MappingNode:
        """A mapping as it was written. Only here a key that was given twice differs from one that was merged."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            name = plain(key.value)
            if name in seen:
                self._report.mistake(f"line {key.start_mark.line + 1}", f"{key_shown(name)} is given twice")
            seen.add(name)
        return node


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong. The name of an alias or a tag is left out: ``password: *secret`` is read as an alias."""
    problem = error.problem or "it cannot be read"
    return re.split("['\"]", problem)[0].strip() if re.search(r"\b(alias|anchor|tag)\b", problem) else problem
