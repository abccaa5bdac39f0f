"""Curation: near-duplicates, groups and embeddings beside a plain script, and their growth.

The script is what people write: a flat faiss index, one range search over all rows, then a loop or
SciPy's connected components.
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
from benchmarks.timing import race
from ensembler.curation.deduplicating import find_leaders
from ensembler.curation.grouping import find_components

ROWS = {"toy": 400, "small": 20_000, "full": 200_000}
RUNS = {"toy": 1, "small": 3, "full": 1}
SAME = 1e-3  # share of rows that may differ: faiss decides in float32

Rows = NDArray[np.int64]


def run(size: str) -> list[Result]:
    """Tables of dedupe, fold, their growth and embed.

    Raises:
        NotInstalledError: faiss or sentence_transformers is not installed.
    """
    for package in ("faiss", "sentence_transformers"):
        if importlib.util.find_spec(package) is None:
            raise NotInstalledError(f"needs {package}: pip install 'oof-ensembler[curation]'")
    import faiss

    faiss.omp_set_num_threads(1)  # as for our matrix products
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        vectors = np.array(clustered_vectors(Path(folder) / "vectors.npy", ROWS[size]))
        tables = [_dedupe(size, vectors), _fold(size, vectors)]
    return [*tables, *grow(size), compare_encoders(size)]


def _dedupe(size: str, vectors: Vectors) -> Result:
    script, ours = "a plain faiss script", "ours: exact"
    raced = race(
        RUNS[size], {script: lambda: _script_kept(vectors), ours: lambda: _our_kept(vectors)}
    )
    off = float((raced[script].answer != raced[ours].answer).mean())
    check(off <= SAME, f"{off:.2%} of the rows stay by one way and go by the other")
    return Result(
        title=f"dedupe, {len(vectors):,} × {DIM}",
        lines=tuple(Line(name=n, seconds=run.seconds, fact=run.cpu) for n, run in raced.items()),
        fact="CPU s",
        decimals=1,
    )


def _fold(size: str, vectors: Vectors) -> Result:
    script, ours = "a plain faiss script, SciPy", "ours: components"
    whole = "ours, and what is left across folds"
    groups = race(
        RUNS[size],
        {script: lambda: _script_groups(vectors), ours: lambda: find_components(vectors, FOLD)},
    )
    counts = {name: len(np.unique(run.answer)) for name, run in groups.items()}
    off = abs(counts[script] - counts[ours]) / len(vectors)
    check(off <= SAME, f"the script finds {counts[script]} groups, ours {counts[ours]}")
    (leak,) = race(1, {whole: partial(fold_groups, vectors, groups[ours].answer)}).values()
    check(leak.answer.near == 0.0, f"{leak.answer.near:.2%} have a near row in another fold")
    lines = [Line(name=n, seconds=run.seconds, fact=run.cpu) for n, run in groups.items()]
    lines.append(
        Line(
            name=whole,
            seconds=groups[ours].seconds + leak.seconds,
            fact=groups[ours].cpu + leak.cpu,
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
    limits, neighbours = _script_search(vectors, DEDUPE)
    kept = np.ones(len(vectors), dtype=bool)
    for row in range(len(vectors)):
        if kept[row]:
            near = neighbours[limits[row] : limits[row + 1]]
            kept[near[near > row]] = False
    return kept


def _script_groups(vectors: Vectors) -> Rows:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    limits, near = _script_search(vectors, FOLD)
    graph = csr_array((np.ones(len(near), np.int8), near, limits), shape=(len(vectors),) * 2)
    label: Rows = connected_components(graph, directed=False)[1]
    return label


def _script_search(vectors: Vectors, threshold: float) -> tuple[Rows, Rows]:
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(vectors)
    limits, _, neighbours = index.range_search(vectors, threshold)
    return limits.astype(np.int64), neighbours
