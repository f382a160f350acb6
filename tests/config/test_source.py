"""The places where the configuration is searched, in order."""

from pathlib import Path

import pytest

from vmpooler.config import Source, find
from vmpooler.domain.errors import ConfigError


def test_the_option_comes_first_then_the_working_directory_then_the_environment(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    for name in ("etc/option.yaml", "etc/variable.yaml", "vmpooler.yaml"):
        (tmp_path / name).write_text(name)
    environ = {"VMPOOLER_CONFIG_FILE": "etc/variable.yaml", "VMPOOLER_CONFIG": "text"}

    option = find("etc/option.yaml", environ, tmp_path)
    assert option == Source("etc/option.yaml", str(folder / "option.yaml"), folder, folder / "option.yaml")
    here, variable = tmp_path / "vmpooler.yaml", folder / "variable.yaml"
    assert find(None, environ, tmp_path) == Source("vmpooler.yaml", str(here), tmp_path, here)
    here.unlink()
    assert find(None, environ, tmp_path) == Source("etc/variable.yaml", str(variable), folder, variable)
    assert find(None, {"VMPOOLER_CONFIG": "text"}, tmp_path) == Source("text", "VMPOOLER_CONFIG", tmp_path)


def test_none_at_all_is_an_error_that_names_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration: .*--config.*VMPOOLER_CONFIG_FILE.*--demo"):
        find(None, {"VMPOOLER_CONFIG": ""}, tmp_path)


def test_a_file_that_cannot_be_read_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    environ = {"VMPOOLER_CONFIG_FILE": "gone.yaml", "VMPOOLER_CONFIG": "text"}
    with pytest.raises(ConfigError, match=r"--config: cannot read /.*/x\.yaml: No such file or directory"):
        find("x.yaml", environ, tmp_path)
    with pytest.raises(ConfigError, match="VMPOOLER_CONFIG_FILE: cannot read"):
        find(None, environ, tmp_path)
    (tmp_path / "vmpooler.yaml").symlink_to("gone.yaml")
    with pytest.raises(ConfigError, match=r"vmpooler\.yaml: No such file"):
        find(None, environ, tmp_path)
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match="latin is not a file of UTF-8 text"):
        find("latin", environ, tmp_path)
