"""Folds by similarity: groups of similar pairs are dealt to folds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.deduplicating import find_leaders
from ensembler.curation.embedding_vectors import Stages, pair_vectors
from ensembler.curation.grouping import find_components, join_shared
from ensembler.curation.grouping_leaks import Leak, measure_leak
from ensembler.curation.neighbours_choice import make_index
from ensembler.curation.pairs import COLUMNS, pair_columns, read_pairs, write_pairs
from ensembler.errors import InputError
from ensembler.folds import group_folds

# Components are the default by what 15,000 DiffusionDB prompts show at .7: the largest has 220, all
# folds are of one size, and no near pair is left across them. Leaders leave 2.7 % of the prompts a
# near one in another fold, up to cosine .94. At .6 a quarter of the prompts is one component.
Grouping = Literal["components", "leaders"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """The result of dealing a pair table to folds.

    Attributes:
        sizes: rows in each group, the largest first.
        folds: rows in each fold, by its number.
        leak: what is left of similarity across folds.
        images: the two images that are the most similar across folds.
    """

    sizes: tuple[int, ...]
    folds: tuple[int, ...]
    leak: Leak
    images: tuple[str, str]

    @property
    def uneven(self) -> bool:
        """Whether the largest group alone exceeds the size of an even fold."""
        return self.sizes[0] * len(self.folds) > sum(self.folds)


def fold(
    pairs: Path,
    out: Path,
    *,
    threshold: float,
    folds: int,
    grouping: Grouping,
    vectors: Path | None = None,
    encoder: Path | None = None,
    advance: Stages,
) -> Folded:
    """Write a pair table with folds that split no group of similar rows and no image.

    Args:
        pairs: a pair table; see `read_pairs`. Folds that it has are replaced.
        out: the table to write.
        threshold: the cosine from which two rows are near, in (0, 1).
        folds: how many.
        grouping: components join all that chains of near rows connect; leaders join to each row
            what is near it and comes later, so that no chain grows, but near rows may be parted.
        vectors: of the rows, by image id; None embeds the prompts.
        encoder: what embeds them; None takes the one that is installed.
        advance: called with (stage, rows done, rows in all).

    Raises:
        InputError: there are fewer groups than folds, a file cannot be read or written, or lacks
            an image's vector.
        StoreError: likewise; or the encoder cannot be loaded.
    """
    with pair_vectors(pairs, out, vectors, encoder, advance) as (ids, unit):
        find = find_components if grouping == "components" else find_leaders
        index = make_index(unit, threshold)
        group = find(unit, threshold, index, partial(advance, "grouping rows"))
        group = join_shared(group, ids)
        _check_enough(pairs, group, folds)
        dealt = group_folds(ids[group], folds)
        leak = measure_leak(unit, dealt, threshold, partial(advance, "comparing folds"))
        _write(pairs, out, dealt)
    sizes = np.sort(np.unique(group, return_counts=True)[1])[::-1]
    return Folded(
        sizes=tuple(sizes.tolist()),
        folds=tuple(np.bincount(dealt).tolist()),
        leak=leak,
        images=(str(ids[leak.pair[0]]), str(ids[leak.pair[1]])),
    )


def _check_enough(pairs: Path, group: NDArray[np.int64], folds: int) -> None:
    groups = len(np.unique(group))
    if groups < folds:
        raise InputError(
            f"{pairs}: {len(group)} rows make {groups} groups, too few for {folds} folds; set a"
            " smaller --folds, or a higher --threshold"
        )


def _write(pairs: Path, out: Path, dealt: NDArray[np.int64]) -> None:
    """Write the pairs with their new folds in place of old ones."""
    import pyarrow as pa

    present = {*pair_columns(pairs), "fold"}
    columns = [name for name in COLUMNS if name in present]
    start = 0
    with write_pairs(out, columns) as writer:
        for block in read_pairs(pairs):
            kept = block.select([name for name in columns if name != "fold"])
            mine = pa.array(dealt[start : start + len(block)])
            writer.write(kept.append_column("fold", mine))
            start += len(block)
