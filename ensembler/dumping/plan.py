"""Which checkpoint embeds which samples, so that no row comes from a model that saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, first_few
from ensembler.store.model import Checkpoint
from ensembler.work.entry import PENDING, Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One checkpoint over the samples of one fold.

    Attributes:
        fold: of the samples; -1 for those in none.
        checkpoint: its place among the definition's.
        layer: how many checkpoints of the same fold come before it.
        positions: (k,) int64 among the images, ascending.
    """

    fold: int
    checkpoint: int
    layer: int
    positions: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All passes of a dump.

    A dump's vectors are those of every layer, one layer after another, each of all images.

    Attributes:
        passes: those of one checkpoint follow each other.
        images: how many there are, of all folds.
        uncovered: fold → samples with an image that no checkpoint may embed.
    """

    passes: tuple[Pass, ...]
    images: int
    uncovered: Mapping[int, int]

    @property
    def layers(self) -> int:
        """The largest number of checkpoints of one fold."""
        return 1 + max(one.layer for one in self.passes)

    @property
    def total(self) -> int:
        """Images to embed in all, each as often as its fold has checkpoints."""
        return sum(len(one.positions) for one in self.passes)

    def done(self, entry: Entry) -> int:
        """Number of these that an entry has."""
        state = entry.state()
        return sum(int((state[self.rows(one)] != PENDING).sum()) for one in self.passes)

    def left(self, entry: Entry, batch: int) -> int:
        """Number of these in batches that an entry lacks."""
        return sum(len(entry.pending(batch, self.rows(one))) for one in self.passes)

    def rows(self, one: Pass) -> NDArray[np.int64]:
        """Positions of a pass's vectors among the dump's, ascending."""
        return one.layer * self.images + one.positions

    def listed(self, images: Sequence[str]) -> list[str]:
        """Labels that say what each of the dump's vectors is of.

        Args:
            images: of each image, what changes when it does.
        """
        return [f"{layer} {image}" for layer in range(self.layers) for image in images]


def make_plan(checkpoints: Sequence[Checkpoint], folds: NDArray[np.int64]) -> Plan:
    """Assign the images to checkpoints.

    A checkpoint of fold k embeds the samples of fold k. Samples in no fold (-1) may have been
    trained on by every one of them and stay without a row. A predictor without fold checkpoints
    embeds all samples, fold by fold, because it may be one that can forget a fold.

    Args:
        checkpoints: of the definition, in its order.
        folds: (images,) int64, of the sample that each is of; -1 for none.

    Raises:
        InputError: no image's sample is in a fold that has a checkpoint.
    """
    members = {int(fold): np.flatnonzero(folds == fold) for fold in np.unique(folds)}
    passes: list[Pass] = []
    for number, checkpoint in enumerate(checkpoints):
        for fold in members if checkpoint.fold is None else [checkpoint.fold]:
            if fold in members:
                layer = sum(one.fold == fold for one in passes)
                passes.append(
                    Pass(fold=fold, checkpoint=number, layer=layer, positions=members[fold])
                )
    if not passes:
        raise InputError(
            f"no row can be embedded: checkpoints are of folds"
            f" {first_few(sorted({c.fold for c in checkpoints if c.fold is not None})) or 'none'},"
            f" samples with an image in folds {first_few(members) or 'none'}; name the folds that"
            " the checkpoints have not seen"
        )
    covered = {one.fold for one in passes}
    uncovered = {fold: len(rows) for fold, rows in members.items() if fold not in covered}
    return Plan(passes=tuple(passes), images=len(folds), uncovered=uncovered)
