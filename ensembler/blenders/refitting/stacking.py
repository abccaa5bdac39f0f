"""Blends as members: their out-of-fold rows, and the statistics of these."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import FittedBlend
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.buffers import make_buffer
from ensembler.blenders.refitting.memory import refit_once
from ensembler.blenders.refitting.strength import asked_folds
from ensembler.blending.build import build_statistics
from ensembler.blending.statistics import Geometry, Statistics
from ensembler.blends.tree import child_rows
from ensembler.store.model import MemberRecord
from ensembler.store.reader import Member

FEWEST = 2  # folds that a blend is refitted on the others of
STACKED = 4096  # rows that weights are solved on: those of one fold of 4,000 cost 7e-5 of the score

Fit = Callable[[HeldFolds], FittedBlend]  # fits without the held-out folds


def stacked_statistics(
    data: Data, children: Sequence[FittedBlend], held_out: HeldFolds
) -> Statistics | None:
    """The Gram statistics of blends on training rows, each row by a fit that did not know it.

    Args:
        data: to refit the blends on.
        children: fitted without the held-out folds.
        held_out: the folds whose targets nothing may know.

    Returns:
        The statistics in memory; rows of folds that are not asked, such as those held out, are
        absent and do not enter the means. None where fewer than FEWEST folds are left.
    """
    if len(data.inner_folds(held_out)) < FEWEST:
        return None
    members = [
        _as_member(
            f"child{number}",
            rows_out_of_fold(
                data, partial(refit_once, data, child), held_out, stacked_folds(data, held_out)
            ),
        )
        for number, child in enumerate(children)
    ]
    own = data.statistics
    with tempfile.TemporaryDirectory() as folder:
        targets = data.store.targets()
        built = build_statistics(Path(folder), members, targets, own.fold, own.weight)
        return replace(
            built,
            raw=_in_memory(built.raw),
            centred=_in_memory(built.centred),
            means=built.means.copy(),
            fold_sums=built.fold_sums.copy(),
            target_cosines=built.target_cosines.copy(),
        )


def stacked_folds(data: Data, held_out: HeldFolds) -> tuple[int, ...]:
    """The folds whose rows weights over blends are solved on."""
    return asked_folds(data, held_out, STACKED)


def rows_out_of_fold(
    data: Data, fit: Fit, held_out: HeldFolds, folds: Iterable[int]
) -> NDArray[np.float32]:
    """The rows of each fold under the blend that was fitted without it.

    Args:
        data: to fit on.
        fit: the blend without some folds.
        held_out: the folds whose targets nothing may know.
        folds: those whose rows are wanted, none of them held out.

    Returns:
        (N, d) unit rows by position; zero where the blend has none of its own and in other folds.
    """
    vectors = make_buffer(len(data.statistics), data.dim)
    for fold in folds:
        inner = held_out | {fold}
        for block in data.blended(fit(inner).blend, data.fold_rows(fold), inner):
            vectors[block.rows] = child_rows(block.blended)
    return vectors


def _as_member(name: str, vectors: NDArray[np.float32]) -> Member:
    """Rows as a member, which is what statistics are built of."""
    rows, dim = vectors.shape
    nowhere = "0" * 64  # no file, hence no digest
    record = MemberRecord(
        name=name, rows=rows, zero_rows=0, dim=dim, dtype="float32", sha256=nowhere
    )
    return Member(record=record, path=Path(name), rows=np.arange(rows), embeddings=vectors)


def _in_memory(geometry: Geometry) -> Geometry:
    return Geometry(**{each.name: getattr(geometry, each.name).copy() for each in fields(Geometry)})
