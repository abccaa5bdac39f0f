"""A store in numbers: what `ensembler store show` prints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.metrics import paired_cosine
from ensembler.store.importing.joining import BLOCK_NUMBERS
from ensembler.store.model import Dtype
from ensembler.store.reader import Member, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSummary:
    """A member in numbers.

    Attributes:
        rows: stored, of zero length or not.
        coverage: share of samples with a vector of nonzero length.
        alone: mean cosine with the targets over the rows it covers, rows weighted as the samples
            are; None without targets, or where those rows weigh nothing.
    """

    name: str
    rows: int
    coverage: float
    zero_rows: int
    dtype: Dtype
    captions: bool
    alone: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSummary:
    """A store in numbers.

    Attributes:
        folds: fold → its rows; -1 counts those in none.
        sources: source → its rows, the largest first.
        columns: further ones of the samples.
        dim: None for a store without targets and members.
    """

    store: str
    dim: int | None
    samples: int
    groups: int
    folds: dict[int, int]
    sources: dict[str, int]
    columns: tuple[str, ...]
    prompts: bool
    weights: bool
    targets: bool
    encoder: str | None
    digest: str
    members: tuple[MemberSummary, ...]


def summarise_store(path: str | Path) -> StoreSummary:
    """Describe a store; its embeddings are read once, block by block.

    Args:
        path: the store's folder.

    Returns:
        Its numbers.

    Raises:
        StoreError: it cannot be read.
    """
    store = Store.open(path)
    manifest, samples = store.manifest, store.samples
    targets = store.targets() if manifest.targets else None
    encoder = manifest.targets.encoder if manifest.targets else None
    return StoreSummary(
        store=str(path),
        dim=manifest.dim,
        samples=len(samples),
        groups=len(np.unique(samples.group)),
        folds=dict(sorted(Counter(samples.fold.tolist()).items())),
        sources=dict(Counter(samples.source.tolist()).most_common()),
        columns=tuple(samples.further),
        prompts=samples.prompt is not None,
        weights="weight" in manifest.samples.columns,
        targets=targets is not None,
        encoder=encoder.name if encoder else None,
        digest=store.digest,
        members=tuple(_summarise(m, targets, samples.weight) for m in store.members()),
    )


def _summarise(
    member: Member, targets: NDArray[np.float32] | None, weight: NDArray[np.float64]
) -> MemberSummary:
    record = member.record
    return MemberSummary(
        name=record.name,
        rows=record.rows,
        coverage=(record.rows - record.zero_rows) / len(weight),
        zero_rows=record.zero_rows,
        dtype=record.dtype,
        captions=record.captions,
        alone=None if targets is None else _mean_cosine(member, targets, weight),
    )


def _mean_cosine(
    member: Member, targets: NDArray[np.float32], weight: NDArray[np.float64]
) -> float | None:
    total = mass = 0.0
    step = max(1, BLOCK_NUMBERS // member.record.dim)
    for start in range(0, len(member.rows), step):
        vectors = member.embeddings[start : start + step]
        rows = member.rows[start : start + step]
        present = weight[rows] * vectors.any(axis=1)
        total += float(present @ paired_cosine(vectors, targets[rows]))
        mass += float(present.sum())
    return total / mass if mass > 0.0 else None
