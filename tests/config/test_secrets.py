"""Secrets come from the configuration file, a separate file or the environment, and are never displayed."""

from pathlib import Path

import pytest

from vmpooler.config import load
from vmpooler.domain.errors import ConfigError
from vmpooler.process.options import Options, configuration
from vmpooler.providers.vsphere import Vsphere

POOL = "pools: [{name: a, size: 1, provider: dummy}]\n"
TWO_SECRETS = """
redis: {password: hunter2}
providers: {dummy: {}, v: {provider_class: vsphere, server: s, username: u, password_file: secret}}
"""


def password(redis: str, base: Path, **environ: str) -> str:
    return load(f"{POOL}redis: {redis}", environ=environ, base=base).settings.redis.password


def mistakes(text: str, base: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(POOL + text, environ={}, base=base)
    return caught.value.mistakes


def test_a_password_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" s3cret\n")
    assert password("{password_file: secret}", tmp_path) == " s3cret"
    assert password(f"{{password_file: {tmp_path}/secret}}", Path("/")) == " s3cret"


def test_the_environment_has_the_last_word(tmp_path: Path) -> None:
    assert password("{password: theirs}", tmp_path, VMPOOLER_REDIS_PASSWORD="ours") == "ours"
    assert password("", tmp_path, VMPOOLER_REDIS_PASSWORD="ours") == "ours"
    assert password("{password: theirs}", tmp_path, VMPOOLER_REDIS_PASSWORD="") == "theirs"


def test_each_provider_has_a_variable_of_its_own(tmp_path: Path) -> None:
    text = POOL + "providers: {v-1.b: {provider_class: vsphere, server: s, username: u}}\n"
    found = load(text, environ={"VMPOOLER_V_1_B_PASSWORD": "p"}, base=tmp_path).settings.providers["v-1.b"]
    assert found == Vsphere(server="s", username="u", password="p")


def test_a_file_that_cannot_be_used_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    problems = {
        "gone": "cannot read 'gone': No such file or directory",
        ".": "cannot read '.': Is a directory",
        "empty": "'empty' is empty",
        "binary": "'binary' is not a file of UTF-8 text",
        "[x]": "expected the path of a file, got a list",
    }
    for file, problem in problems.items():
        assert mistakes(f"redis: {{password_file: {file}}}", tmp_path) == (f"redis.password_file: {problem}",)
    assert mistakes("redis: {password: a, password_file: b}", tmp_path) == (
        "redis.password_file: password is given too; keep one of them",
    )


@pytest.mark.parametrize(
    "text",
    [
        "redis: {pasword: hunter2, port: x}",
        "redis: {password: [hunter2]}",
        'redis: {password: "hunter2\\n", port: x}',
        "redis: redis://:hunter2@redis",
        "redis: [password, hunter2]",
        "redis: {password: *hunter2}",
        "redis: {password: !hunter2 x}",
        "redis: {password: !hunter2!x y}",
        "redis: {password: hunter2: x}",
        "redis: {password: hunter2, password: hunter2}",
        "redis:\n  password: @hunter2\n",
        "vsphere: [{password: hunter2}]",
        "vsphere: {server: {password: hunter2}, username: u}",
    ],
)
def test_no_message_shows_a_secret(text: str, tmp_path: Path) -> None:
    assert "hunter2" not in "\n".join(mistakes(text, tmp_path))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_secret_that_everybody_on_the_machine_can_read_is_a_warning_with_its_cure(tmp_path: Path, mode: int) -> None:
    for name, text in (("secret", "hunter2"), ("vmpooler.yaml", POOL + TWO_SECRETS)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    warnings = configuration(Options(), {}, tmp_path)[0].warnings
    risk = "stands in {0}, which everybody on this machine can read: chmod o= {0}"
    expected = {
        f"providers.v.password: {risk.format(tmp_path / 'secret')}",
        f"redis.password: {risk.format(tmp_path / 'vmpooler.yaml')}",
    }
    assert set(warnings) == (expected if mode == 0o644 else set())


def test_a_file_without_a_secret_may_be_read_by_everybody(tmp_path: Path) -> None:
    (tmp_path / "vmpooler.yaml").write_text(POOL + TWO_SECRETS)
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "vmpooler.yaml").chmod(0o644)
    environ = {"VMPOOLER_REDIS_PASSWORD": "ours"}
    warnings = configuration(Options(), environ, tmp_path)[0].warnings
    assert [each.partition(":")[0] for each in warnings] == ["redis.password"], "an unused one is a secret too"
    (tmp_path / "vmpooler.yaml").write_text(POOL + TWO_SECRETS.replace("hunter2", '""'))
    assert configuration(Options(), environ, tmp_path)[0].warnings == ()


def test_settings_do_not_show_a_secret_either(tmp_path: Path) -> None:
    text = POOL + "redis: {password: hunter2}\nvsphere: {server: s, username: u, password: hunter2}"
    assert "hunter2" not in repr(load(text, environ={}, base=tmp_path))
