"""What each step learns from: drawn anew every epoch, and the same again for the same seed.

Nothing here remembers anything, so there is nothing to save: a draw is a function of seed, epoch
and prompt.
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
        row: of the prompt, among all of them.
        image: its path, relative to the images' folder.
        seed: of what is done to it.
    """

    row: int
    image: str
    seed: int


def draw(examples: Examples, number: int, *, seed: int, epoch: int) -> Draw:
    """The image of a prompt in an epoch: each of its images is as likely.

    Args:
        examples: the prompts.
        number: which of them.
        seed: of the recipe.
        epoch: from 0.
    """
    text = f"{seed} {epoch} {examples.keys[number]}".encode()
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    images = examples.images[number]
    return Draw(int(examples.rows[number]), images[drawn % len(images)], drawn)


def epoch_order(count: int, batch: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Which prompts each step of an epoch takes; those that fill no batch are left for another.

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
