"""What `import ensembler` and the command line's help load, and the public names."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ensembler

ROOT = Path(__file__).parents[1]
HEAVY = {
    *("joblib", "optuna", "pandas", "pyarrow", "rich", "scipy", "sentence_transformers"),
    *("sklearn", "threadpoolctl", "torch"),
}
HELP = "import sys; from ensembler.cli.main import cli; cli.main({}, standalone_mode=False)"


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after some code."""
    report = "\nimport sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return {name.partition(".")[0] for name in json.loads(done.stderr)}


def test_import_ensembler_loads_nothing_heavy_not_even_numpy() -> None:
    assert not loaded_by("import ensembler") & {*HEAVY, "numpy", "pydantic", "click"}


@pytest.mark.parametrize("arguments", [["--help"], ["store", "--help"], ["study", "--help"]])
def test_the_commands_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded_by(HELP.format(arguments)) & {*HEAVY, "numpy", "pydantic"}


@pytest.mark.parametrize("command", ["fit", "predict", "dump"])
def test_a_commands_own_help_loads_nothing_heavy(command: str) -> None:
    assert not loaded_by(HELP.format([command, "--help"])) & HEAVY


def test_every_public_name_resolves() -> None:
    for name in ensembler.__all__:
        assert getattr(ensembler, name).__module__.startswith("ensembler.")
    assert set(ensembler.__all__) <= set(dir(ensembler))


def test_type_checkers_see_the_names_that_there_are_from_the_same_modules() -> None:
    seen = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(Path(ensembler.__file__).read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }
    assert seen == ensembler._HOMES


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ensembler' has no attribute 'fitt'"):
        ensembler.fitt  # noqa: B018 - the look-up is the test
