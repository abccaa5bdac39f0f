"""Recipes: read, checked, told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ensembler.errors import InputError
from ensembler.training.recipe import load_recipe

GOOD = """
epochs = 3
batch = 8
optimiser = {name = "madgrad", lr = 1e-4, lr_end = 1e-6}
config = {model = "test_vit.r160_in1k"}
"""


def load(folder: Path, text: str) -> Any:  # noqa: ANN401 - a recipe, or what pytest.raises sees
    path = folder / "recipe.toml"
    path.write_text(text)
    return load_recipe(path)


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    assert (recipe.loss.cosine, recipe.warmup, recipe.augment, recipe.ema) == (
        1.0,
        None,
        None,
        None,
    )


def test_a_description_does_not_change_the_digest_and_any_number_does(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    assert load(tmp_path, 'description = "mine"' + GOOD).digest == recipe.digest
    assert load(tmp_path, GOOD.replace("1e-4", "2e-4")).digest != recipe.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("epochs", "epoch"), "no key named 'epoch'; did you mean 'epochs'?"),
        (("lr_end", "lr_ende"), "optimiser: no key named 'lr_ende'; did you mean 'lr_end'?"),
        (("1e-6", "1e-3"), "lr_end is above optimiser.lr"),
        (("batch = 8", "batch = 8\naccumulate = 3"), "into accumulate = 3 equal parts"),
        (("batch = 8", "batch = 1"), "greater than or equal to 2"),
        (("epochs = 3", "epochs = 3\nwarmup = {epochs = 4, lr = 1e-2}"), "more than epochs = 3"),
        (("epochs = 3", "epochs = 3\nloss = {scale = 3.0}"), "no loss has a weight"),
        (("epochs = 3", "epochs = 3\naugment = {scale = [1.0, 0.5]}"), "swap them"),
        (("madgrad", "sgd"), "'adamw' or 'madgrad'"),
        (
            ("lr = 1e-4", "lr = 1e-4, sam_roh = 0.05"),
            "optimiser: no key named 'sam_roh'; did you mean 'sam_rho'?",
        ),
        (
            ("epochs = 3", "epochs = 3\nlora = {shard = 0.4}"),
            "lora: no key named 'shard'; did you mean 'share'?",
        ),
        (("epochs = 3", "epochs = 3\nfreez = 0.4"), "did you mean 'freeze'?"),
        (("epochs = 3", "epochs = 3\nfreeze = 1.5"), "less than or equal to 1"),
        (
            ("epochs = 3", "epochs = 3\nfreeze = 0.7\nlora = {share = 0.4}"),
            "freeze = 0.7 and lora.share = 0.4 add up to more than 1",
        ),
        (
            ("epochs = 3", "epochs = 3\nfreeze = 1\nreinitialise = 2"),
            "never be trained: freeze = 1",
        ),
        (
            ("epochs = 3", "epochs = 3\nreinitialise = 2\nwarmup = {epochs = 3, lr = 1e-2}"),
            "never be trained: all epochs are warm-up",
        ),
        (("epochs = 3", "epochs = "), "cannot be read as a recipe"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(InputError) as refused:
        load(tmp_path, GOOD.replace(*change))
    assert said in str(refused.value)
    assert "recipe.toml" in str(refused.value)


def test_a_message_lists_all_faults(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        load(tmp_path, "epoch = 3\nbatch = 0\n")
    for said in ("did you mean 'epochs'?", "batch: ", "optimiser: Field required"):
        assert said in str(refused.value)


def test_a_misspelt_file_is_offered_its_neighbour(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    with pytest.raises(InputError, match=r"did you mean 'recipe.toml'\?"):
        load_recipe(tmp_path / "recipes.toml")
