"""`ensembler recipe list` and `recipe show`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import NamedTuple

import pytest

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
    assert max(map(len, ran.out.splitlines())) <= 80
    described = json.loads(ensembler("recipe", "list", "--json").out)
    assert described.keys() == shipped("recipes").keys()
    said = " ".join(ran.out.split())
    assert said == " ".join(
        f"{name} ({one['predictor']}) {one['description']}" for name, one in described.items()
    )


def test_show_prints_the_file_with_its_comments(ensembler: Run) -> None:
    shown = ensembler("recipe", "show", NAME).out
    assert shown == shipped("recipes")[NAME].read_text(encoding="utf-8")
    assert Recipe.model_validate(tomllib.loads(shown), strict=False) == load_recipe(NAME)


def test_show_json_spells_every_key_out(ensembler: Run) -> None:
    shown = json.loads(ensembler("recipe", "show", NAME, "--json").out)
    assert shown.keys() == Recipe.model_fields.keys()
    assert Recipe.model_validate(shown, strict=False) == load_recipe(NAME)


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        (
            "knjcode_5th/clip_vit_stage",
            ["knjcode_5th/clip_vit_stage1", "knjcode_5th/clip_vit_stage2"],
        ),
        ("DGLASER2", ["dglaser2/clip_gpt2"]),
        ("knjcode_5th/eva_stage2", ["knjcode_5th/eva02_stage2"]),
    ],
    ids=["beginning", "other capitals", "misspelt"],
)
def test_show_offers_what_contains_the_word_or_is_nearest(
    ensembler: Run, asked: str, offered: list[str]
) -> None:
    ran = ensembler("recipe", "show", asked)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(f"did you mean {', '.join(map(repr, offered))}?\n")


def test_show_points_to_the_list_where_no_name_is_near(ensembler: Run) -> None:
    ran = ensembler("recipe", "show", "nothing/x")
    assert (ran.code, ran.out) == (2, "")
    assert "`ensembler recipe list` names those" in ran.err
    assert not any(name in ran.err for name in shipped("recipes"))
