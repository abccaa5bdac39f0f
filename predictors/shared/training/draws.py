"""Draws of the prompts and images of each step: new in every epoch, equal for equal seeds.

A draw is a function of seed, epoch and prompt: there is no state to save.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.training.data import Examples


@dataclass(frozen=True, slots=True)
class Draw:
    """One image of a prompt.

    Attributes:
        row: row of the prompt among all prompts of the data.
        image: its path, relative to the images' folder.
        seed: seed of its augmentation.
    """

    row: int
    image: str
    seed: int


def draw(examples: Examples, number: int, *, seed: int, epoch: int) -> Draw:
    """Draw the image of a prompt in an epoch; its images are equally likely.

    Args:
        examples: the prompts.
        number: index of one of them.
        seed: of the recipe.
        epoch: from 0.
    """
    text = f"{seed} {epoch} {examples.prompt(number)}".encode()
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    images = examples.images(number)
    return Draw(int(examples.rows[number]), images[drawn % len(images)], drawn)


def epoch_order(count: int, batch: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The prompts of each step of an epoch; those that do not fill a batch are left out of it.

    Args:
        count: prompts in all, at least `batch`.
        batch: prompts of a step.
        seed: of the recipe.
        epoch: from 0.

    Returns:
        (steps, batch) int64.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[: count // batch * batch].reshape(-1, batch)
