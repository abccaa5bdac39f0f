"""The README's blocks that nothing replays: definitions, a plug-in, commands, held to the code.

tests/test_readme.py runs the tour; the README's other commands need images that are not committed,
and tests/end_to_end runs the like of them.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

import ensembler as en
from ensembler.cli.main import cli
from ensembler.predicting.definition import load_definition

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests" / "plugin"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACE = re.compile(r"^# (checkpoints/\S+\.toml)\n", re.MULTILINE)  # a definition's first line
COMMAND = re.compile(r"\bensembler [^|&;]+")


def blocks(language: str) -> list[str]:
    """What stands in the README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def definitions() -> dict[str, str]:
    """The predictors' definitions, by the file that each is said to be."""
    found: dict[str, str] = {}
    for block in blocks("toml"):
        _, *parts = PLACE.split(block)
        found |= dict(zip(parts[::2], parts[1::2], strict=True))
    return found


def commands() -> list[str]:
    """Every command line of ours in the console blocks."""
    lines = re.findall(r"^\$ (.+)$", "".join(blocks("console")), re.MULTILINE)
    return [found.strip() for line in lines for found in COMMAND.findall(line)]


@pytest.mark.parametrize("file", definitions())
def test_a_definition_is_one_that_its_adapter_takes(file: str, tmp_path: Path) -> None:
    place = tmp_path / file
    place.parent.mkdir(parents=True)
    place.write_text(definitions()[file], encoding="utf-8")
    definition = load_definition(place)
    assert definition.files or definition.checkpoints


def test_a_definition_that_another_names_is_printed_too() -> None:
    named = {
        str(Path(file).parent / path)
        for file, text in definitions().items()
        for path in tomllib.loads(text).get("files", {}).values()
        if path.endswith(".toml")
    }
    assert named
    assert named <= definitions().keys()


def test_every_toml_block_is_definitions_or_the_plugins_entry_points() -> None:
    package = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))
    (other,) = [block for block in blocks("toml") if not PLACE.match(block)]
    ((group, shown),) = tomllib.loads(other)["project"]["entry-points"].items()
    assert shown
    assert shown.items() <= package["project"]["entry-points"][group].items()


def test_the_table_of_adapters_has_every_one_of_ours_under_extras_that_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (table,) = re.findall(r"^\| adapter \|.*\n(?:\|.*\n)+", README, re.MULTILINE)
    rows = [line.split("|") for line in table.splitlines()[2:]]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row[1])]
    extras = {name for row in rows for name in re.findall(r"`(\w+)`", row[3])}
    assert sorted(names) == sorted(project["entry-points"]["ensembler.predictors"])
    assert extras <= project["optional-dependencies"].keys()


def test_the_map_has_every_package_in_the_order_of_the_import_rules_in_its_own_words() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rules = [name for layer in reversed(layers) for name in re.findall(r"ensembler\.(\w+)", layer)]
    packages = [name for name in rules if (ROOT / "ensembler" / name).is_dir()]
    (table,) = re.findall(r"^\| package \|.*\n(?:\|.*\n)+", README, re.MULTILINE)
    rows = [re.findall(r"`(\w+)` \| (.*) \|$", line)[0] for line in table.splitlines()[2:]]
    assert [name for name, _ in rows] == packages
    for name, words in rows:
        module = ast.parse((ROOT / "ensembler" / name / "__init__.py").read_text(encoding="utf-8"))
        assert (ast.get_docstring(module) or "").startswith(words)


def test_the_plugin_shown_is_the_one_that_the_tests_install() -> None:
    module = (PLUGIN / "efficientnet_lite_predictors.py").read_text(encoding="utf-8")
    (shown,) = [block for block in blocks("python") if block.startswith("class ")]
    assert f"\n\n\n{shown}\n\n" in module  # a whole class


def test_python_calls_what_is_public_with_arguments_that_it_takes() -> None:
    called = [
        node
        for block in blocks("python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("en.")
    ]
    assert called
    for call in called:
        name = ast.unparse(call.func).removeprefix("en.")
        assert name in en.__all__
        given = {str(keyword.arg): keyword.value for keyword in call.keywords}
        inspect.signature(getattr(en, name)).bind(*call.args, **given)


@pytest.mark.parametrize("line", commands())
def test_a_command_is_one_that_the_command_line_understands(line: str) -> None:
    _, *arguments = shlex.split(line.partition(" > ")[0])
    command: click.Command = cli
    context = click.Context(cli, info_name="ensembler")
    while isinstance(command, click.Group):
        _, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
    with command.make_context(line, arguments):  # parses; nothing is run
        pass
