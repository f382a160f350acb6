"""Finds the configuration, and checks who can read its file."""

import os
import stat
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from vmpooler.domain.errors import ConfigError

NONE = (
    "no configuration: give --config FILE, put a vmpooler.yaml here, or set VMPOOLER_CONFIG_FILE or VMPOOLER_CONFIG; "
    "to try the service out without any, give --demo"
)


class Source(NamedTuple):
    """A configuration that was found.

    ``where`` is its origin, for people. Relative paths in it start from ``base``. ``file`` is None if it was not in a
    file.
    """

    text: str
    where: str
    base: Path
    file: Path | None = None


def find(config_option: str | None, environ: Mapping[str, str], cwd: Path) -> Source:
    """Return the file of ``--config``, else ./vmpooler.yaml, else VMPOOLER_CONFIG_FILE's, else VMPOOLER_CONFIG itself.

    Raises ConfigError when none of them exists, or when the first one that exists cannot be read.
    """
    if config_option:
        return _file(cwd / config_option, "--config")
    if os.path.lexists(cwd / "vmpooler.yaml"):
        return _file(cwd / "vmpooler.yaml", "configuration")
    if name := environ.get("VMPOOLER_CONFIG_FILE"):
        return _file(cwd / name, "VMPOOLER_CONFIG_FILE")
    if text := environ.get("VMPOOLER_CONFIG"):
        return Source(text, "VMPOOLER_CONFIG", cwd)
    raise ConfigError([NONE])


def demo(cwd: Path) -> Source:
    """Return the configuration of ``--demo``."""
    text = files("vmpooler").joinpath("demo.yaml").read_text(encoding="utf-8")
    return Source(text, "the demo's configuration", cwd)


def _file(path: Path, named_by: str) -> Source:
    try:
        return Source(path.read_text(encoding="utf-8"), str(path), path.parent, path)
    except OSError as error:
        raise ConfigError([f"{named_by}: cannot read {path}: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([f"{named_by}: {path} is not a file of UTF-8 text"]) from error


def exposed(file: Path) -> str:
    """Return the warning about a file with a secret that all users of this machine can read; empty if they cannot."""
    if not file.stat().st_mode & stat.S_IROTH:
        return ""
    return f"stands in {file}, which everybody on this machine can read: chmod o= {file}"
