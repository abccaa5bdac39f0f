"""One image of a prompt each epoch, drawn by seed, epoch and prompt alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from ensembler.training.data import Examples, TrainingData
from predictors.shared.training.draws import draw, epoch_order

IMAGES = [("a0", "a1", "a2"), ("b0",), ("c0", "c1", "c2")]


def examples(*prompts: str) -> Examples:
    images = [dict(zip("abc", IMAGES, strict=True))[prompt] for prompt in prompts]
    data = TrainingData(
        prompts=pa.array(prompts),
        images=pa.array([name for names in images for name in names]),
        starts=np.cumsum([0, *map(len, images)]),
        folds=np.zeros(len(prompts), np.int64),
    )
    return data.held_out(0)


def test_a_draw_depends_on_nothing_but_seed_epoch_and_prompt() -> None:
    alone, together = examples("c"), examples("a", "b", "c")
    for epoch in range(20):
        drawn = draw(alone, 0, seed=5, epoch=epoch), draw(together, 2, seed=5, epoch=epoch)
        assert drawn[0].image == drawn[1].image
        assert drawn[0].seed == drawn[1].seed


def test_each_image_of_a_prompt_has_its_turn() -> None:
    drawn = Counter(draw(examples("a"), 0, seed=0, epoch=epoch).image for epoch in range(600))
    assert drawn.keys() == set(IMAGES[0])
    assert min(drawn.values()) > 150  # of 200 expected, four standard deviations


def test_prompts_and_seeds_are_drawn_apart() -> None:
    def turns(key: str, seed: int) -> list[str]:
        epochs = range(30)
        return [draw(examples(key), 0, seed=seed, epoch=epoch).image[1] for epoch in epochs]

    assert turns("a", 0) != turns("c", 0)
    assert turns("a", 0) != turns("a", 1)


def test_an_epoch_takes_each_prompt_once_and_no_part_of_a_batch() -> None:
    order = epoch_order(11, 3, seed=0, epoch=0)
    assert order.shape == (3, 3)
    assert len(set(order.ravel())) == 9
    assert set(order.ravel()) <= set(range(11))


def test_epochs_are_in_other_orders() -> None:
    first, second = (epoch_order(50, 5, seed=0, epoch=epoch) for epoch in (0, 1))
    assert (first != second).any()
