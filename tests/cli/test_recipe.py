"""`ensembler recipe list` and `recipe show`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import NamedTuple

from ensembler.shipped import shipped
from ensembler.training.recipe import Recipe, load_recipe

NAME = "knjcode_5th/clip_vit_stage1"


class Ran(NamedTuple):
    """What tests/conftest.py gives back from `ensembler(…)`."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def test_list_names_every_recipe_with_its_predictor_and_description(ensembler: Run) -> None:
    ran = ensembler("recipe", "list")
    assert (ran.code, ran.err) == (0, "")
    lines = {line.split()[0]: line for line in ran.out.splitlines()}
    assert lines.keys() == shipped("recipes").keys()
    described = json.loads(ensembler("recipe", "list", "--json").out)
    for name, one in described.items():
        assert lines[name].split()[1] == one["predictor"]
        assert lines[name].endswith(one["description"])


def test_show_prints_the_file_with_its_comments(ensembler: Run) -> None:
    shown = ensembler("recipe", "show", NAME).out
    assert shown == shipped("recipes")[NAME].read_text(encoding="utf-8")
    assert Recipe.model_validate(tomllib.loads(shown), strict=False) == load_recipe(NAME)


def test_show_json_spells_every_key_out(ensembler: Run) -> None:
    shown = json.loads(ensembler("recipe", "show", NAME, "--json").out)
    assert shown.keys() == Recipe.model_fields.keys()
    assert Recipe.model_validate(shown, strict=False) == load_recipe(NAME)


def test_show_offers_the_nearest_recipe(ensembler: Run) -> None:
    ran = ensembler("recipe", "show", "knjcode_5th/clip_vit_stage")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean 'knjcode_5th/clip_vit_stage" in ran.err
