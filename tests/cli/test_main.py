"""The entry point: help, suggestions, and errors as exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import click
import pytest

import ensembler as package
from ensembler.cli.main import cli
from ensembler.errors import SpecError


class Ran(NamedTuple):
    """What tests/conftest.py gives back from `ensembler(…)`."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
Patch = pytest.MonkeyPatch


def commands(group: click.Group, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group with the words that call it."""
    context, found = click.Context(group), []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
    return found


def test_help_lists_the_commands_in_the_order_of_the_story(ensembler: Run) -> None:
    ran = ensembler("--help")
    assert ran.code == 0
    assert ran.out.startswith("Usage: ensembler [OPTIONS] COMMAND [ARGS]...")
    listed = [line.split()[0] for line in ran.out.partition("Commands:\n")[2].splitlines()]
    assert listed == [
        "fit", "evaluate", "predict", "store", "data", "train", "recipe", "dump", "predictors",
        "spec", "study",
    ]  # fmt: skip


def test_python_runs_the_package_as_the_command() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "ensembler", "fitt"], check=False, capture_output=True, text=True
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert "did you mean 'fit'" in said.stderr


def test_every_command_loads_has_a_help_and_the_line_its_group_gives_it(ensembler: Run) -> None:
    found = commands(cli)
    assert len(found) > 12
    for path, command in found:
        assert command.name == path[-1]
        assert command.help
        assert ensembler(*path, "--help").code == 0


def test_every_command_that_reports_has_json() -> None:
    for path, command in commands(cli):
        options = {name for parameter in command.params for name in parameter.opts}
        assert ("--json" in options) != isinstance(command, click.Group), path


def test_every_option_says_what_it_changes_beginning_with_a_noun_or_a_verb() -> None:
    fragments = {"As", "How", "In", "Instead", "Of", "To", "What", "Where", "Whether", "Which"}
    for path, command in commands(cli):
        for option in command.params:
            if isinstance(option, click.Option):
                said = option.help or ""
                assert re.fullmatch(r"[A-Z].+[.]", said), (path, option.name)
                assert said.split()[0] not in fragments, (path, option.name)


def test_every_help_fits_a_terminal_of_80_columns(ensembler: Run, monkeypatch: Patch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for path, _ in commands(cli):
        lines = ensembler(*path, "--help").out.splitlines()
        assert max(map(len, lines)) <= 80, path


def test_an_option_of_several_commands_says_the_same_in_each() -> None:
    shared = {"--corpus", "--encoder", "--members", "--seed", "--study", "--jobs"}
    said: dict[str, set[str | None]] = {}
    for _, command in commands(cli):
        for option in command.params:
            if isinstance(option, click.Option) and option.opts[0] in shared:
                said.setdefault(option.opts[0], set()).add(option.help)
    assert {name: len(texts) for name, texts in said.items()} == dict.fromkeys(shared, 1)


def test_the_version_is_the_packages(ensembler: Run) -> None:
    assert ensembler("--version") == (0, f"ensembler, version {package.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fti"], "no command named 'fti'; did you mean 'fit'?"),
        (["spec", "verfy"], "no command named 'verfy'; did you mean 'verify'?"),
        (["spec", "zzz"], "no command named 'zzz'; known: export, show, verify"),
        (["fit"], "Missing argument 'OOF'"),
        (["fit", "oof", "oof"], "Got unexpected extra argument (oof)"),
        (["--nonsense"], "No such option"),
    ],
)
def test_a_call_that_makes_no_sense_exits_2_with_a_suggestion(
    arguments: list[str], message: str, ensembler: Run
) -> None:
    ran = ensembler(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (SpecError("the spec is not one"), 2, "Error: the spec is not one\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (click.Abort(), 130, "Interrupted.\n"),
        (click.ClickException("not so"), 2, "Error: not so\n"),
    ],
)
def test_errors_become_exit_codes(
    raised: BaseException,
    code: int,
    message: str,
    ensembler: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("ensembler.cli.study_list.study_paths", fail)
    ran = ensembler("study", "list")
    assert (ran.code, ran.out, ran.err.removeprefix("\n")) == (code, "", message)


@pytest.mark.parametrize("bug", [ZeroDivisionError, EOFError])
def test_a_bug_keeps_its_traceback(
    bug: type[Exception], monkeypatch: pytest.MonkeyPatch, ensembler: Run
) -> None:
    def fail() -> None:
        raise bug

    monkeypatch.setattr("ensembler.cli.study_list.study_paths", fail)
    with pytest.raises(bug):
        ensembler("study", "list")
