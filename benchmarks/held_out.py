"""Held out: a fit with nested repeats, beside a fit without and beside a bare search."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.answers import check
from benchmarks.data import SHAPES, Shape, generated_store
from benchmarks.table import Line, Result
from benchmarks.timing import fastest, timed
from ensembler import api
from ensembler.fitting.inputs import fit_statistics, make_space, resolve_study
from ensembler.search.record import in_memory
from ensembler.search.run import Outcome
from ensembler.search.searching import search
from ensembler.store.reader import Store

RUNS = 3  # of each; the fastest counts


def run(size: str) -> list[Result]:
    """One table for each shape of the size."""
    return [_compare(shape) for shape in SHAPES[size]]


def _compare(shape: Shape) -> Result:
    with generated_store(shape) as store:
        return Result(title=f"held out, {shape}", lines=_lines(store))


def _lines(store: Store) -> tuple[Line, ...]:
    _, nested = resolve_study("default", members=None, trials=None, seed=None)
    plain = nested.model_copy(update={"validation": "none"})
    space = make_space(plain, store)
    statistics = fit_statistics(store, space, jobs=1, progress=None)  # cached for all that follows
    rows = np.arange(len(statistics))

    def alone() -> Outcome:
        return search(space, statistics, rows, None, record=in_memory())

    without, repeated = partial(api.fit, store, study=plain), partial(api.fit, store, study=nested)
    searched, scored, honest = alone(), without(), repeated()  # warms up
    check(scored.spec.blend == honest.spec.blend, "nested validation changed the blend")
    check(honest.held_out is not None, "the fit has no held-out score")
    check(
        abs(searched.best.value - honest.score) <= 1e-6,
        f"the search scored {searched.best.value}, the frozen blend {honest.score}",
    )
    seconds = fastest(
        RUNS,
        {
            "one search on all rows": lambda: timed(alone)[0],
            "fit without nested validation": lambda: timed(without)[0],
            "fit with nested validation": lambda: timed(repeated)[0],
        },
    )
    return tuple(Line(name=name, seconds=taken) for name, taken in seconds.items())
