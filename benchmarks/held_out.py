"""Held out: what the nested repeats of the search add to a fit."""

from __future__ import annotations

import numpy as np

from benchmarks.answers import check
from benchmarks.data import SHAPES, TOY, Shape, generated_store
from benchmarks.table import Line, Result
from benchmarks.timing import timed
from ensembler import api
from ensembler.fitting.inputs import fit_statistics, make_space, resolve_study
from ensembler.fitting.searching import search
from ensembler.search.record import in_memory
from ensembler.store.reader import Store


def run(size: str) -> list[Result]:
    """One table for each shape of the size."""
    return [_compare(shape) for shape in SHAPES[size]]


def _compare(shape: Shape) -> Result:
    with generated_store(TOY) as store:  # warms up: imports
        _lines(store)
    with generated_store(shape) as store:
        return Result(title=f"held out, {shape}", lines=_lines(store))


def _lines(store: Store) -> tuple[Line, ...]:
    _, nested = resolve_study("default", members=None, trials=None, seed=None)
    plain = nested.model_copy(update={"validation": "none"})
    space = make_space(plain, store)
    statistics = fit_statistics(store, space, jobs=1, progress=None)  # cached for all that follows
    rows = np.arange(len(statistics))
    alone, found = timed(lambda: search(space, statistics, rows, None, record=in_memory()))
    without, scored = timed(lambda: api.fit(store, study=plain))
    repeated, honest = timed(lambda: api.fit(store, study=nested))
    check(scored.spec.blend == honest.spec.blend, "nested validation changed the blend")
    check(honest.held_out is not None, "the fit has no held-out score")
    check(
        abs(found.best.value - honest.score) <= 1e-6,
        f"the search scored {found.best.value}, the frozen blend {honest.score}",
    )
    return (
        Line(name="fit without nested validation", seconds=without),
        Line(name="fit with nested validation", seconds=repeated),
        Line(name="  one search alone", seconds=alone),
    )
