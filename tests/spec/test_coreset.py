"""The coreset: enough of a store to solve its weights again, whatever its order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler import api
from ensembler.blending.priors import fold_sums, priors_out_of_fold
from ensembler.folds import evaluation_folds
from ensembler.inference.missing import resolve_blend
from ensembler.search.definition import StudyDefinition
from ensembler.spec.coreset import FEWEST, MOST
from ensembler.spec.model import Coreset
from ensembler.spec.numbers import decode_vector
from ensembler.spec.rescore import rescore
from ensembler.spec.thaw import thaw_weighted
from ensembler.store.reader import Store

Make = Callable[..., Any]


class Fitted(NamedTuple):
    """What tests/conftest.py gives as `fitted_oof`."""

    spec: Path
    result: api.FitResult


def rows_of(coreset: Coreset) -> NDArray[np.float32]:
    """(rows, numbers) all that the coreset has of each row."""
    arrays = [coreset.cosines, coreset.cross, coreset.lengths, coreset.weight]
    return np.column_stack([decode_vector(a).reshape(coreset.rows, -1) for a in arrays])


def test_weights_solved_again_from_the_coreset_score_as_the_full_ones(
    fitted_oof: Fitted, oof: Path
) -> None:
    store, spec = Store.open(oof), fitted_oof.result.spec
    samples = store.samples
    fold = evaluation_folds(samples.fold, samples.group)
    priors = priors_out_of_fold(fold_sums(store.targets(), samples.weight, fold))
    again = resolve_blend(spec, ())
    assert FEWEST <= spec.coreset.rows < len(samples)
    assert rescore(
        thaw_weighted(again), store, fold, priors, store.samples.weight
    ) == pytest.approx(spec.scores.in_sample, abs=0.01)
    assert again != spec.blend


def test_the_rows_taken_do_not_depend_on_the_order_of_the_samples(
    generate: Make, write_store: Make
) -> None:
    data = generate("partial", rows=1500, members=3)
    ids = [f"id{row}" for row in range(1500)]
    study = StudyDefinition(trials=1, validation="none", norms=("l2",), centring="off")
    coresets = []
    for rows in (np.arange(1500), np.random.default_rng(0).permutation(1500)):
        store = write_store(
            data.targets[rows],
            {name: vectors[rows] for name, vectors in data.members.items()},
            groups=[data.groups[row] for row in rows],
            ids=[ids[row] for row in rows],
        )
        coresets.append(rows_of(api.fit(store, study=study).spec.coreset))
    straight, shuffled = (rows[np.lexsort(rows.T.round(4))] for rows in coresets)
    assert len(straight) == MOST
    np.testing.assert_allclose(shuffled, straight, atol=1e-5)


def test_a_store_smaller_than_a_coreset_is_taken_whole(small: Store) -> None:
    study = StudyDefinition(trials=1, validation="none")
    assert api.fit(small, study=study).spec.coreset.rows == 120
