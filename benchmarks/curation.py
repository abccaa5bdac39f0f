"""Curation: near-duplicates, groups and embeddings beside a plain script, and how they grow.

The script is what people write: a flat index of faiss, one range search over all rows, then a loop
or SciPy's connected components.
"""

from __future__ import annotations

import importlib.util
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.clusters import DIM, Vectors, clustered_vectors
from benchmarks.curation_embedding import compare_encoders
from benchmarks.curation_growth import DEDUPE, FOLD, FOLDS, fold_groups, grow
from benchmarks.environment import NotInstalledError
from benchmarks.table import Line, Result
from benchmarks.timing import raced
from ensembler.curation.deduplicating import find_leaders
from ensembler.curation.grouping import find_components

ROWS = {"toy": 400, "small": 20_000, "full": 200_000}
RUNS = {"toy": 1, "small": 3, "full": 1}
SAME = 1e-3  # share of rows that may be told otherwise: faiss decides in float32

Rows = NDArray[np.int64]


def run(size: str) -> list[Result]:
    """Tables of dedupe, fold, their growth and embed.

    Raises:
        NotInstalledError: faiss or the sentence encoder is not there.
    """
    for package in ("faiss", "sentence_transformers"):
        if importlib.util.find_spec(package) is None:
            raise NotInstalledError(f"needs {package}: pip install 'oof-ensembler[curation]'")
    import faiss

    faiss.omp_set_num_threads(1)  # as what multiplies matrices for ours
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        vectors = np.array(clustered_vectors(Path(folder) / "vectors.npy", ROWS[size]))
        tables = [_dedupe(size, vectors), _fold(size, vectors)]
    return [*tables, *grow(size), compare_encoders(size)]


def _dedupe(size: str, vectors: Vectors) -> Result:
    script, ours = "a plain faiss script", "ours: exact"
    found = raced(
        RUNS[size], {script: lambda: _script_kept(vectors), ours: lambda: _our_kept(vectors)}
    )
    off = float((found[script].answer != found[ours].answer).mean())
    check(off <= SAME, f"{off:.2%} of the rows stay by one way and go by the other")
    return Result(
        title=f"dedupe, {len(vectors):,} × {DIM}",
        lines=tuple(Line(name=n, seconds=one.seconds, fact=one.cpu) for n, one in found.items()),
        fact="CPU s",
        decimals=1,
    )


def _fold(size: str, vectors: Vectors) -> Result:
    script, ours = "a plain faiss script, SciPy", "ours: components"
    whole = "ours, and what is left across folds"
    groups = raced(
        RUNS[size],
        {script: lambda: _script_groups(vectors), ours: lambda: find_components(vectors, FOLD)},
    )
    told = {name: len(np.unique(one.answer)) for name, one in groups.items()}
    off = abs(told[script] - told[ours]) / len(vectors)
    check(off <= SAME, f"the script finds {told[script]} groups, ours {told[ours]}")
    (left,) = raced(1, {whole: partial(fold_groups, vectors, groups[ours].answer)}).values()
    check(left.answer.near == 0.0, f"{left.answer.near:.2%} have a near row in another fold")
    lines = [Line(name=n, seconds=one.seconds, fact=one.cpu) for n, one in groups.items()]
    lines.append(
        Line(
            name=whole,
            seconds=groups[ours].seconds + left.seconds,
            fact=groups[ours].cpu + left.cpu,
        )
    )
    return Result(
        title=f"{FOLDS} folds, {len(vectors):,} × {DIM}",
        lines=tuple(lines),
        fact="CPU s",
        decimals=1,
    )


def _our_kept(vectors: Vectors) -> NDArray[np.bool_]:
    return np.asarray(find_leaders(vectors, DEDUPE) == np.arange(len(vectors)))


def _script_kept(vectors: Vectors) -> NDArray[np.bool_]:
    limits, found = _script_search(vectors, DEDUPE)
    kept = np.ones(len(vectors), dtype=bool)
    for row in range(len(vectors)):
        if kept[row]:
            near = found[limits[row] : limits[row + 1]]
            kept[near[near > row]] = False
    return kept


def _script_groups(vectors: Vectors) -> Rows:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    limits, found = _script_search(vectors, FOLD)
    graph = csr_array((np.ones(len(found), np.int8), found, limits), shape=(len(vectors),) * 2)
    label: Rows = connected_components(graph, directed=False)[1]
    return label


def _script_search(vectors: Vectors, threshold: float) -> tuple[Rows, Rows]:
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(vectors)
    limits, _, found = index.range_search(vectors, threshold)
    return limits.astype(np.int64), found
