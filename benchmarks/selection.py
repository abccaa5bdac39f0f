"""Selection of few members among many: from the pairs it needs, beside the statistics of all pairs.

`fit --blender weighted:members_at_most=15` does this before its study, on all rows and without each
fold: either from full statistics, or from each member by itself and the pairs of those selected.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.data import CACHE, Shape, fresh_cache, generated_store
from benchmarks.table import Line, Result
from benchmarks.timing import timed
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.weights.preselection import forward_selections, selects_centred
from ensembler.blending.pairs import KnownPairs, Pairs, ScarcePairs
from ensembler.fitting.inputs import fit_statistics, make_space, resolve_study
from ensembler.store.reader import Store

SHAPES = {
    "toy": (Shape(rows=300, members=12, dim=16),),
    "small": (Shape(rows=2_000, members=60, dim=384),),
    "full": (Shape(rows=8_000, members=60, dim=384), Shape(rows=8_000, members=200, dim=384)),
}
LIMIT = {"toy": 4, "small": 15, "full": 15}


def run(size: str) -> list[Result]:
    """One table for each shape of the size."""
    return [_compare(shape, LIMIT[size]) for shape in SHAPES[size]]


def _compare(shape: Shape, limit: int) -> Result:
    with generated_store(shape, "float32") as store:
        selected, lines = {}, []
        for name, scarce in (("all pairs", False), ("pairs looked at", True)):
            with fresh_cache():
                seconds, selected[name] = timed(partial(_select, store, limit, scarce=scarce))
                lines.append(Line(name=name, seconds=seconds, fact=_cached()))
    same = [np.array_equal(*pair) for pair in zip(*selected.values(), strict=True)]
    check(all(same), f"the selections differ in {same.count(False)} of {len(same)} cases")
    title = f"{limit} of many members, {shape}"
    return Result(title=title, lines=tuple(lines), fact="MB of cache")


def _select(store: Store, limit: int, *, scarce: bool) -> list[NDArray[np.int64]]:
    """The members selected for each fit."""
    _, definition = resolve_study("default", members=None, trials=None, seed=None)
    space = make_space(definition, store)
    statistics = fit_statistics(store, space, jobs=1, progress=None, pairs=not scarce)
    data, centred = Data(store=store, statistics=statistics, space=space), selects_centred(space)
    pairs: Pairs = KnownPairs(statistics.geometry(centred))
    if scarce:
        pairs = ScarcePairs(store, statistics, centred=centred)
    held_out: list[HeldFolds] = [
        NONE_HELD_OUT,
        *(frozenset({fold}) for fold in range(statistics.folds)),
    ]
    return forward_selections(data, held_out, limit, pairs)


def _cached() -> float:
    """The size of the cache in MB."""
    folder = Path(os.environ[CACHE])
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
