"""The targets: what members are scored against, each row of unit length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError, first_few
from ensembler.metrics import unit_rows
from ensembler.store.importing.array_files import vectors_of
from ensembler.store.importing.ids import attach_ids, cut_rows
from ensembler.store.importing.joining import Join, checked_blocks, common_dim, join_by_id
from ensembler.store.importing.sources import Source, read_source
from ensembler.store.importing.spelling import common_cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Targets joined to samples, still in the file they came from.

    Attributes:
        source: the file they are in.
        join: one row of it for every sample.
        ids: (samples,) text.
        dim: the dimension of the vectors.
    """

    source: Source
    join: Join
    ids: NDArray[np.str_]
    dim: int

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The targets in the samples' order, a block at a time.

        Yields:
            (rows, d) float32, rows of unit length.

        Raises:
            StoreError: a row is zero, NaN or infinite; it is named.
        """
        start = 0
        blocks = checked_blocks(
            [self.source],
            self.join,
            self.ids,
            np.dtype(np.float64),
            remedy="correct it, or leave the sample out",
        )
        for block in blocks:
            zero = np.flatnonzero(~block.any(axis=1))
            if len(zero):
                raise StoreError(
                    f"{self.source.path}: the target of id {str(self.ids[start + zero[0]])!r} is"
                    " zero, and has no direction; correct it or leave the sample out"
                )
            yield unit_rows(block).astype(np.float32)
            start += len(block)


def read_targets(given: Path | NDArray[np.floating], ids: NDArray[np.str_]) -> Targets:
    """Read targets for samples.

    Args:
        given: (samples, d) in their order; .npy in that order, or any file of vectors with ids
            (.parquet, .npz, CSV, the competition's long layout), in any order.
        ids: (samples,) text.

    Returns:
        The targets of exactly these samples.

    Raises:
        StoreError: the file is broken, holds texts, or lacks or exceeds the samples.
    """
    if isinstance(given, Path):
        path, source = given, read_source(given)
    else:
        path = Path("targets")
        source = Source(path=path, ids=None, vectors=vectors_of(path, given))
    if source.vectors is None:
        raise StoreError(
            f"{path} holds texts; targets are vectors: put the texts into the samples as the column"
            " prompt, and they are encoded"
        )
    if source.ids is None:
        (source,) = cut_rows([source], len(ids), f"a table of {len(ids)} samples")
        if len(source) != len(ids):
            raise StoreError(
                f"{path} has {len(source)} rows for {len(ids)} samples; without ids there must be"
                " one for each, in their order"
            )
        order = np.arange(len(ids))
        join = Join(positions=order, rows=order, unknown=0)
    else:
        known = source.ids
        (source,) = attach_ids([source], ())
        join = join_by_id([source], ids, drop_unknown=True)
        if join.unknown:
            extra = set(known.to_pylist()).difference(ids.tolist())
            cause = common_cause(extra, ids.tolist())
            raise StoreError(
                f"{path} has targets of {join.unknown} ids that no sample has:"
                f" {first_few(sorted(map(repr, extra)))}{cause}; correct them, or take them out"
            )
        if len(join) < len(ids):
            missing = np.delete(ids, join.positions)
            raise StoreError(
                f"{path} lacks the targets of {len(missing)} samples: {first_few(missing)};"
                " add them, or leave the samples out"
            )
    return Targets(source=source, join=join, ids=ids, dim=common_dim([source], None, str(path)))
