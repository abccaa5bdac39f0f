"""Every published recipe, from the libraries' files to a predictor that is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.torch import load_file

from ensembler.errors import InputError
from ensembler.images.decode import decode
from ensembler.images.resize import resized
from ensembler.metrics import paired_cosine
from ensembler.predicting.contract import Predictor
from ensembler.shipped import shipped
from ensembler.training.recipe import load_recipe
from tests.training.published.shrinking import TINY

if TYPE_CHECKING:
    from tests.training.published.conftest import RunRecipe

HELD_OUT = range(0, 15, 3)  # the numbers of fold 0's prompts


def test_every_recipe_that_comes_along_is_run_here() -> None:
    assert shipped("recipes").keys() == TINY.keys()


@pytest.mark.parametrize("name", TINY)
def test_a_recipe_says_what_it_is_and_how_it_is_started(name: str) -> None:
    assert load_recipe(name).description.endswith(".")
    assert load_recipe(name).predictor == TINY[name].adapter
    text = shipped("recipes")[name].read_text(encoding="utf-8")
    assert f"ensembler train {TINY[name].adapter} --recipe {name} " in text


@pytest.mark.parametrize("system", sorted({name.split("/")[0] for name in TINY}))
def test_a_systems_study_names_its_recipes(system: str) -> None:
    text = shipped("studies")[system].read_text(encoding="utf-8")
    named = set(re.findall(rf"\b{system}/\w+", text))
    assert named
    assert named <= shipped("recipes").keys()


@pytest.mark.parametrize("name", TINY)
def test_a_recipe_trains_a_predictor_that_scores_as_promised(
    name: str,
    run_recipe: RunRecipe,
    load_trained: Callable[[str], Predictor],
    images: Path,
    encode_384: Callable[..., Any],
) -> None:
    ran, predictor = run_recipe(name), load_trained(name)
    seen = [resized(decode(images / f"{one}_0.png"), predictor.preprocess) for one in HELD_OUT]
    targets = encode_384([f"prompt {one}" for one in HELD_OUT])
    cosines = paired_cosine(predictor.embed(np.stack(seen)), targets)
    # A score is computed in the recipe's precision, a prediction in float32.
    slack = 1e-5 if ran.recipe.precision == "float32" else 1e-3
    assert cosines.mean() == pytest.approx(ran.report.folds[0].result.best_score, abs=slack)


@pytest.mark.parametrize("name", [name for name, tiny in TINY.items() if tiny.after])
def test_a_later_stage_begins_with_the_best_of_the_one_before(
    name: str, run_recipe: RunRecipe
) -> None:
    ran = run_recipe(name)
    assert isinstance(ran.begun, Path)
    best = load_file(ran.begun / "fold0" / "best.safetensors")
    begun = ran.seen.weights[0]
    assert begun.keys() == best.keys()
    assert all(begun[key].equal(best[key]) for key in best)


def test_the_command_takes_a_recipe_by_its_name(
    ensembler: Callable[..., Any], table: Path, images: Path, tmp_path: Path
) -> None:
    options = ["--data", table, "--images", images, "--fold", "9", "--out", tmp_path / "out"]
    ran = ensembler("train", "eva02", "--recipe", "knjcode_5th/eva02_stage1", *options)
    assert ran.code == 2
    assert "no prompt is in fold 9" in ran.err  # so the recipe was read, and its config checked


def test_a_misspelt_recipe_is_offered_its_neighbour() -> None:
    with pytest.raises(InputError, match=r"in \.toml\); did you mean 'knjcode_5th/eva02_stage1'\?"):
        load_recipe("knjcode_5th/eva2_stage1")
