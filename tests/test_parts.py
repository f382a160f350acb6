import os
import subprocess
import sys
from pathlib import Path

from tests.parts import ALL_TESTS

NEEDY = """
import pytest

@pytest.mark.needs("curl")
def test_needy():
    pass

def test_content():
    pass
"""


def run(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run pytest with an empty PATH, on a test that needs curl and on one that needs nothing."""
    (folder / "test_needy.py").write_text(NEEDY)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("VMPOOLER_", "PYTEST_"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "-p",
        "tests.parts",
        "-o",
        "markers=needs",
        "-p",
        "no:cacheprovider",
        ".",
    ]
    environment = plain | {"PATH": "", "PYTHONPATH": str(Path(__file__).parents[1])} | environment
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_test_whose_part_is_missing_is_skipped_and_the_output_names_the_part(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert outcome.returncode == 0
    assert "Left out: 1 that need curl. To run them: make test-deps\n" in outcome.stdout
    assert "1 passed, 1 skipped" in outcome.stdout.splitlines()[-1]


def test_a_missing_part_is_an_error_where_all_tests_must_run(tmp_path: Path) -> None:
    outcome = run(tmp_path, **{ALL_TESTS: "1"})
    assert outcome.returncode == 1
    assert "1 passed, 1 error in" in outcome.stdout.splitlines()[-1]
