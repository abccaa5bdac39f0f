"""`ensembler predictors show`: all keys of a definition, and a definition to fill in."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from ensembler.frozen import Frozen
from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.definition import check_definition, load_definition
from ensembler.predicting.keys import config_keys
from ensembler.predicting.registry import find_adapter
from ensembler.predicting.skeleton import toml_skeleton

Run = Callable[..., Any]

OURS = [
    "blip", "blip2_qformer", "captioner", "clip_gpt2", "clip_vit", "coca", "convnext", "eva02",
    "interrogator", "retrieval", "style_metric", "tower",
]  # fmt: skip


class Inner(Frozen):
    depth: int = Field(ge=1, le=9, description="of it")
    wide: bool = True


class Outer(Frozen):
    name: str
    kind: Literal["a", "b"] = "b"
    inner: Inner | None = None
    sizes: tuple[int, ...] = (1, 2)
    counts: dict[str, int] = Field(min_length=1)


class Adapter:
    """An adapter with all kinds of config keys."""

    Config = Outer
    roles = find_adapter("tower").roles
    needs = ()
    install = "nothing"


def test_it_shows_roles_config_and_pip_line_of_a_predictor(ensembler: Run) -> None:
    shown = json.loads(ensembler("predictors", "show", "colours", "--json").out)
    definition = shown.pop("definition")
    assert shown == {
        "name": "colours",
        "package": "colours",
        "about": "Mean colours times a matrix.",
        "installed": True,
        "missing": [],
        "install": "pip install 'colours[models]'",
        "roles": {
            "weights": {"what": "a (3, d) matrix (.npy)", "required": True},
            "note": {"what": "text", "required": False},
        },
        "config": {
            "by_brightness": {
                "kind": "true or false",
                "about": "",
                "required": False,
                "default": False,
            },
            "size": {"kind": "integer", "about": "", "required": False, "default": 4},
        },
    }
    ran = ensembler("predictors", "show", "colours")
    assert ran.code == 0
    assert ran.out.endswith(definition)
    assert "colours (colours, installed): Mean colours" in ran.out
    assert "pip install 'colours[models]'" in ran.out


def test_one_whose_library_is_missing_is_shown_all_the_same(ensembler: Run) -> None:
    ran = ensembler("predictors", "show", "uninstalled")
    assert ran.code == 0
    assert "lacks a_library_that_nobody_has" in ran.out


def test_a_mistyped_name_is_answered_with_the_nearest(ensembler: Run) -> None:
    ran = ensembler("predictors", "show", "colour")
    assert ran.code == 2
    assert "did you mean 'colours'?" in ran.err


def test_keys_are_described_with_bounds_defaults_and_tables() -> None:
    found = {key.name: (key.kind, key.required, key.value) for key in config_keys(Outer)}
    assert found == {
        "name": ("text", True, "…"),
        "kind": ('"a" | "b"', False, "b"),
        "inner": ("table", False, None),
        "inner.depth": ("integer ≥ 1, ≤ 9", True, 1),
        "inner.wide": ("true or false", False, True),
        "sizes": ("list: integer", False, [1, 2]),
        "counts": ("table of name = integer", True, {"…": 0}),
    }


def test_what_must_be_given_stands_in_the_skeleton_and_is_accepted() -> None:
    data = tomllib.loads(toml_skeleton("all_kinds", Adapter))  # type: ignore[arg-type]  # cannot load
    assert data == {
        "adapter": "all_kinds",
        "config": {"name": "…", "counts": {"…": 0}},
        "files": {"weights": "weights"},
    }
    Outer.model_validate(data["config"], strict=False)


@pytest.mark.parametrize("name", OURS)
def test_a_skeleton_is_a_definition_and_switching_on_its_defaults_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    adapter = find_adapter(name)
    skeleton = toml_skeleton(name, adapter)
    skeleton = skeleton.replace('{adapter = "…"}', '{adapter = "blip"}')  # of interrogator
    whole = re.sub(r"^#(?=\w+ = \S)", "", skeleton.partition("#[[")[0], flags=re.MULTILINE)
    configs = []
    for number, text in enumerate((skeleton, whole)):
        place = tmp_path / f"{number}.toml"
        place.write_text(text)
        configs.append(check_definition(load_definition(place), adapter))
    assert configs[0] == configs[1]
    assert set(tomllib.loads(whole)["files"]) == set(adapter.roles)


@pytest.mark.parametrize("name", OURS)
def test_each_role_and_key_of_ours_says_what_it_is(name: str) -> None:
    adapter = find_adapter(name)
    assert name in registered(PREDICTORS)
    assert all(role.what for role in adapter.roles.values())
    assert [key.name for key in config_keys(adapter.Config) if not key.about] == []
