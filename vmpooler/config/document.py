"""Reads the text of a configuration into mappings, lists and text."""

import re

import yaml
from yaml.constructor import SafeConstructor

from vmpooler.config.report import Report, key_shown
from vmpooler.domain.errors import ConfigError

LARGEST = 1_048_576
"""Maximum number of characters of a configuration."""

NULL, MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


def parse(text: str, report: Report) -> object:
    """Return the content of the YAML text. Every scalar except null is the text that was written.

    A key that a mapping has twice is added to ``report``. Raises ConfigError when the text is not YAML. The text
    may contain secrets, so the message has no part of it.
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
    """Return a key without the colon that files of Ruby vmpooler have before it (``:config:`` is a Ruby symbol)."""
    return key.removeprefix(":")


class _Loader(yaml.SafeLoader):
    """Loads YAML, and leaves the type of a scalar to its setting.

    So a password of 0123 stays as it is; with YAML's own types it would be the number 83.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML declares it without ClassVar
        first: [(tag, pattern) for tag, pattern in resolvers if tag in (NULL, MERGE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012 - PyYAML declares it without ClassVar
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
        """Return a mapping as it was written. Only here a key that is given twice differs from a merged one."""
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
    """Return what is wrong, without the name of an alias or a tag: ``password: *secret`` is read as an alias."""
    problem = error.problem or "it cannot be read"
    return re.split("['\"]", problem)[0].strip() if re.search(r"\b(alias|anchor|tag)\b", problem) else problem
