"""What a fit says beside its scores: leaks, folds, searches cut short, members hardly tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ensembler import api
from ensembler.blenders.data import Data
from ensembler.blending.solver import MAX_STEPS, Status
from ensembler.fitting.caveats import caveats
from ensembler.search.definition import StudyDefinition
from ensembler.store.audit import Kind, audit
from ensembler.store.reader import Store

Make = Callable[..., Any]
QUICK = StudyDefinition(trials=12, validation="none")
ROWS = 120


def _data(store: Store, prepare: Make) -> Data:
    space, statistics = prepare(store)
    return Data(store=store, statistics=statistics, space=space)


@pytest.fixture
def said_of(generate: Make, write_store: Make, prepare: Make) -> Callable[..., tuple[str, ...]]:
    """`said_of(change, folds=…)`: the caveats of a store with its first member changed."""

    def say(
        change: Callable[[Any], None] = lambda _: None, folds: list[int] | None = None
    ) -> tuple[str, ...]:
        data = generate("noise", rows=ROWS, members=2)
        change(data)
        store = write_store(data.targets, data.members, groups=data.groups, folds=folds)
        return caveats(_data(store, prepare), "CONVERGED")

    return say


def test_a_fit_without_a_blemish_has_no_caveat(said_of: Callable[..., tuple[str, ...]]) -> None:
    assert said_of() == ()


@pytest.mark.parametrize(("known", "covered"), [(1, 50), (1, 51), (2, 100), (2, 101), (3, 120)])
def test_a_leak_is_one_where_the_audit_says_so(
    known: int, covered: int, generate: Make, write_store: Make, prepare: Make
) -> None:
    data = generate("noise", rows=ROWS, members=2)
    data.members["m0"][covered:] = 0.0
    data.members["m0"][:known] = data.targets[:known]
    store = write_store(data.targets, data.members, groups=data.groups)
    said = caveats(_data(store, prepare), "CONVERGED")
    found = [finding for finding in audit(store) if finding.kind is Kind.LEAK]
    assert bool(said) == bool(found) == (known >= 0.02 * covered)
    for sentence in said:
        assert f"'m0' equals its target in {known} of {covered} rows: a leak?" in sentence


def test_folds_that_cannot_serve_are_told_of_and_kept_in_the_spec(
    generate: Make, write_store: Make
) -> None:
    data = generate("noise", rows=ROWS, members=2)
    store = write_store(data.targets, data.members, groups=data.groups, folds=[0, 1] * (ROWS // 2))
    result = api.fit(store, study=QUICK)
    (warning,) = result.warnings
    reason = "the store has 2 and 3 are needed"
    assert warning == f"folds: dealt anew, because {reason}; `ensembler store audit` tells more"
    assert (result.spec.scores.dealt_anew, result.spec.scores.folds) == (reason, 5)


@pytest.mark.parametrize(
    ("rows", "have", "tested"), [(1, "1 row", False), (9, "9 rows", False), (10, "10 rows", True)]
)
def test_a_member_of_few_rows_is_hardly_tested(
    rows: int, have: str, tested: bool, said_of: Callable[..., tuple[str, ...]]
) -> None:
    def keep(data: Any) -> None:  # noqa: ANN401 - what tests/conftest.py calls Generated
        data.members["m0"][rows:] = 0.0

    said = said_of(keep)
    assert [sentence.startswith(f"member 'm0' has {have} in ") for sentence in said] == (
        [] if tested else [True]
    )


def test_a_member_in_one_fold_alone_is_hardly_tested(
    said_of: Callable[..., tuple[str, ...]],
) -> None:
    folds: list[int] = []

    def keep_one_fold(data: Any) -> None:  # noqa: ANN401 - as above
        folds.extend(int(group[1:]) % 5 for group in data.groups)
        data.members["m0"][np.array(folds) != 3] = 0.0

    (sentence,) = said_of(keep_one_fold, folds)
    assert f"has {folds.count(3)} rows in 1 of 5 folds: its weight is hardly tested" in sentence


def test_a_fit_that_did_not_converge_is_named_with_its_fold(
    small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_STEPS > 1
    monkeypatch.setattr("ensembler.blending.solver.MAX_STEPS", 1)
    result = api.fit(small, trials=12)
    assert result.status == "MAX_ITERATIONS"
    ran_out = Status.MAX_ITERATIONS.value
    assert result.warnings == (
        f"the fit on all rows: {ran_out}",
        *(f"the fit without fold {fold}: {ran_out}" for fold in range(5)),
    )


def test_of_another_blender_its_own_fits_are_told_and_no_search(
    small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensembler.blending.solver.MAX_STEPS", 1)
    result = api.fit(
        small, blender="greedy", study=QUICK.model_copy(update={"validation": "nested"})
    )
    assert (result.status, result.warnings) == ("given", ())
    shrunk = api.fit(small, blender="weighted:shrinkage=0.625", trials=12)
    whole, *without = shrunk.warnings  # some folds converge at once from the weights of all
    assert whole == f"the fit on all rows: {Status.MAX_ITERATIONS.value}"
    assert without
    assert all(said.startswith("the fit without fold ") for said in without)


def test_given_weights_have_nothing_to_converge(small: Store) -> None:
    result = api.fit(small, study="plain", trials=12)
    assert (result.status, result.warnings) == ("given", ())
