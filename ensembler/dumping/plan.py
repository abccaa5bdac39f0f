"""Which checkpoint embeds which samples, so that no row comes from a model that saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, first_few
from ensembler.store.model import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One checkpoint over the samples of one fold.

    Attributes:
        fold: of the samples; -1 for those in none.
        checkpoint: its place among the definition's.
        layer: how many checkpoints of the same fold come before it.
        positions: (k,) int64 of the samples that have an image, ascending.
    """

    fold: int
    checkpoint: int
    layer: int
    positions: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All passes of a dump.

    Attributes:
        passes: those of one checkpoint follow each other.
        uncovered: fold → samples with an image that no checkpoint may embed.
    """

    passes: tuple[Pass, ...]
    uncovered: Mapping[int, int]

    @property
    def layers(self) -> int:
        """The most checkpoints that one fold has."""
        return 1 + max(one.layer for one in self.passes)

    @property
    def images(self) -> int:
        """How many images are embedded in all, each as often as its fold has checkpoints."""
        return sum(len(one.positions) for one in self.passes)


def make_plan(
    checkpoints: Sequence[Checkpoint], folds: NDArray[np.int64], present: NDArray[np.bool_]
) -> Plan:
    """Share the samples out.

    A checkpoint of fold k embeds the samples of fold k. Samples in no fold (-1) may have been
    trained on by every one of them and stay without a row. A predictor without fold checkpoints
    embeds all samples, fold by fold, because it may be one that can forget a fold.

    Args:
        checkpoints: of the definition, in its order.
        folds: (samples,) int64, -1 for none.
        present: (samples,) bool, whether there is an image.

    Raises:
        InputError: no sample with an image is in a fold that has a checkpoint.
    """
    members = {int(fold): np.flatnonzero((folds == fold) & present) for fold in np.unique(folds)}
    members = {fold: rows for fold, rows in members.items() if len(rows)}
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
    return Plan(passes=tuple(passes), uncovered=uncovered)
