"""The published recipes step by step: how far, of what, in which order, by which optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch

from ensembler.images.decode import decode
from ensembler.images.resize import resized
from ensembler.predicting.batches import autocast
from ensembler.training.recipe import load_recipe
from predictors.shared.training.draws import epoch_order
from predictors.shared.training.schedule import phases
from tests.training.published.shrinking import (
    BATCH,
    BESTFITTING,
    FIFTH,
    FIRST,
    KNJCODE,
    PREFIX,
    STYLE,
)

if TYPE_CHECKING:
    from tests.training.published.conftest import RunRecipe

STAGE1 = [name for name in KNJCODE if name.endswith("stage1")]
SHARP = [name for name in KNJCODE if name not in STAGE1]
VECTORS = [*KNJCODE, *BESTFITTING, STYLE]
EPOCH_STEPS = 10 // BATCH  # ten prompts are in other folds


class Rates(NamedTuple):
    """Epochs in all, those of the head's warm-up, and the rates that the others fall between."""

    epochs: tuple[int, int]  # from, to
    warm: int
    first: float
    last: float


RATES = {
    f"{FIFTH}/convnext_large_stage1": Rates((15, 15), 3, 1e-4, 1e-6),
    f"{FIFTH}/convnext_large_stage2": Rates((5, 5), 0, 1e-5, 1e-7),
    f"{FIFTH}/clip_vit_stage1": Rates((15, 15), 3, 1e-4, 1e-6),
    f"{FIFTH}/clip_vit_stage2": Rates((5, 5), 0, 1e-5, 1e-7),
    f"{FIFTH}/convnext_xxlarge_stage1": Rates((10, 10), 1, 1e-4, 1e-6),
    f"{FIFTH}/convnext_xxlarge_stage2": Rates((3, 3), 0, 1e-6, 1e-7),
    f"{FIFTH}/convnext_xxlarge_extra": Rates((1, 1), 0, 1e-6, 1e-7),
    f"{FIFTH}/eva02_stage1": Rates((10, 10), 1, 1e-4, 1e-6),
    f"{FIFTH}/eva02_stage2": Rates((3, 3), 0, 1e-6, 1e-7),
    f"{FIFTH}/eva02_extra": Rates((1, 1), 0, 1e-6, 1e-7),
    **{f"{FIRST}/{model}_low_quality": Rates((2, 3), 0, 1e-4, 8e-5) for model in
       ("clip_vit", "convnext", "blip2_qformer")},
    **{f"{FIRST}/{model}_high_quality": Rates((3, 4), 0, 1e-4, 5e-5) for model in
       ("clip_vit", "convnext", "blip2_qformer")},
    PREFIX: Rates((30, 50), 0, 2e-5, 1e-6),  # the rates are ours
}  # fmt: skip


@pytest.mark.parametrize("name", RATES)
def test_the_rate_is_as_published_at_every_step(name: str) -> None:
    low, high = RATES[name].epochs
    steps = 100
    plan = phases(load_recipe(name), steps)
    assert low * steps <= plan[-1].last <= high * steps
    rates = [phase.rate(step) for phase in plan for step in range(phase.first, phase.last)]
    warm = RATES[name].warm * steps
    assert rates[:warm] == [1e-2] * warm
    first, last = RATES[name].first, RATES[name].last
    left = len(rates) - warm
    wanted = [
        last + (first - last) * (1 + math.cos(math.pi * step / (left - 1))) / 2
        for step in range(left)
    ]
    assert rates[warm:] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("name", KNJCODE)
def test_madgrad_moves_the_weights_at_these_rates_and_lets_only_matrices_decay(
    name: str, run_recipe: RunRecipe
) -> None:
    ran = run_recipe(name)
    plan = phases(ran.recipe, EPOCH_STEPS)
    rates = [phase.rate(step) for phase in plan for step in range(phase.first, phase.last)]
    assert len(ran.seen.optimisers) == len(rates)
    shapes = {key: one.ndim for key, one in ran.seen.weights[0].items()}
    for rate, (kind, groups) in zip(rates, ran.seen.optimisers, strict=True):
        assert kind == "MADGRAD"
        for group in groups:
            assert group.settings["lr"] == rate
            assert group.settings["momentum"] == 0.9
            assert group.settings["decoupled_decay"]
            wanted = {0.05 if _decays(key, shapes[key]) else 0.0 for key in group.names}
            assert wanted == {group.settings["weight_decay"]}


def _decays(name: str, dimensions: int) -> bool:
    return dimensions > 1 and not name.endswith(("pos_embed", "cls_token"))


@pytest.mark.parametrize("name", STAGE1)
def test_stage_1_first_moves_the_head_alone_then_everything(
    name: str, run_recipe: RunRecipe
) -> None:
    seen = run_recipe(name).seen
    assert seen.moved(0, EPOCH_STEPS) == {"head.weight"}
    moved = seen.moved(EPOCH_STEPS, -1)
    assert "head.weight" in moved
    assert moved & {"tower.patch_embed.proj.weight", "tower.stem.0.weight"}


@pytest.mark.parametrize("name", SHARP)
def test_stage_2_looks_rho_uphill_before_each_step(name: str, run_recipe: RunRecipe) -> None:
    losses = run_recipe(name).seen.losses
    pairs = list(zip(losses[::2], losses[1::2], strict=True))
    assert pairs
    for here, above in pairs:
        squares = [((above.weights[key] - one) ** 2).sum() for key, one in here.weights.items()]
        assert math.sqrt(sum(squares)) == pytest.approx(0.05, rel=1e-3)
        assert (above.targets == here.targets).all()
        assert above.value > here.value


@pytest.mark.parametrize("name", STAGE1)
def test_stage_1_computes_each_batch_once(name: str, run_recipe: RunRecipe) -> None:
    seen = run_recipe(name).seen
    assert len(seen.losses) == len(seen.images)


@pytest.mark.parametrize("name", VECTORS)
def test_an_epoch_takes_one_image_of_each_prompt_that_is_not_held_out(
    name: str, run_recipe: RunRecipe, images: Path, encode_384: Callable[..., Any]
) -> None:
    ran = run_recipe(name)
    preprocess = ran.report.folds[0].result.preprocess
    others = [f"prompt {number}" for number in range(15) if number % 3]
    known = {one.tobytes(): text for one, text in zip(encode_384(others), others, strict=True)}
    passes = 2 if name in SHARP else 1
    losses = ran.seen.losses[::passes]
    taken = [[known[one.tobytes()] for one in loss.targets] for loss in losses]
    for first in range(0, len(taken), EPOCH_STEPS):
        epoch = [text for step in taken[first : first + EPOCH_STEPS] for text in step]
        assert len(epoch) == len(set(epoch)) == EPOCH_STEPS * BATCH
    for texts, pixels in zip(taken, ran.seen.images, strict=True):
        for text, one in zip(texts, pixels, strict=True):
            files = images.glob(f"{text.split()[1]}_*.png")
            whole = [resized(decode(file), preprocess) for file in files]
            assert any((one == each).all() for each in whole) == (name not in STAGE1)


@pytest.mark.parametrize(
    ("name", "seed"),
    [(name, 1071 if name.endswith("extra") else 71) for name in KNJCODE],
)
def test_prompts_come_in_the_order_of_the_published_seed(
    name: str, seed: int, run_recipe: RunRecipe, encode_384: Callable[..., Any]
) -> None:
    others = sorted(f"prompt {number}" for number in range(15) if number % 3)
    first = np.random.default_rng([seed, 0]).permutation(len(others))[:BATCH]
    wanted = encode_384([others[number] for number in first])
    assert (run_recipe(name).seen.losses[0].targets == wanted).all()


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        *((name, 256) for name in STAGE1),
        *((name, 128) for name in SHARP),
        (STYLE, 256),
        (PREFIX, 64),
    ],
)
def test_a_step_takes_the_published_batch(name: str, batch: int) -> None:
    assert epoch_order(1000, load_recipe(name).batch, seed=0, epoch=0).shape[1] == batch


@pytest.mark.parametrize("name", KNJCODE)
def test_multiplications_are_in_float16(name: str) -> None:
    matrix = torch.ones(2, 2)
    with autocast(load_recipe(name).precision, torch.device("cpu")):
        assert (matrix @ matrix).dtype == torch.float16
