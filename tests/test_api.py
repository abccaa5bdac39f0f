"""`ensembler.fit` on the committed store, and on stores with something odd about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import ensembler as en
from ensembler.metrics import unit_rows
from ensembler.search.definition import StudyDefinition
from ensembler.spec.loading import load_spec
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.store.reader import Store

Make = Callable[..., Any]
QUICK = StudyDefinition(trials=12, validation="none")


class Fitted(NamedTuple):
    """What tests/conftest.py gives as `fitted_oof`."""

    spec: Path
    result: en.FitResult


def naive_in_sample(spec: EnsembleSpec, store: Store, naive_cosines: Make) -> float:
    """A spec's score on a store, row by row, each row with the prior of the other folds."""
    targets, fold, weight = store.targets(), store.samples.fold, store.samples.weight
    units = unit_rows(targets) * weight[:, None]
    priors = np.stack([unit_rows(units[fold != own].sum(axis=0, keepdims=True))[0] for own in fold])
    members = spec.weighted.members
    cosines = naive_cosines(
        [store.member(member.name).block(0, len(fold)) for member in members],
        targets,
        priors,
        weights=[spec.weighted.prior.weight, *(member.weight for member in members)],
        alphas=[member.alpha for member in members],
        means=[decode_vector(m.mean) for m in members if m.mean is not None] or None,
    )
    return float(np.average(cosines, weights=weight))


def test_the_committed_store_reaches_585_held_out(fitted_oof: Fitted) -> None:
    result = fitted_oof.result
    assert result.held_out is not None
    assert result.held_out.score >= 0.585
    assert result.held_out.interval[0] < result.held_out.score < result.held_out.interval[1]
    assert all(lead.interval[0] > 0.0 for lead in result.held_out.versus.values())
    assert result.spec.weighted.centred
    assert result.warnings == ()
    assert len(result.study.trials) == result.spec.provenance.trials


def test_the_specs_score_is_that_of_its_numbers_on_the_vectors(
    fitted_oof: Fitted, oof: Path, naive_cosines: Make
) -> None:
    expected = naive_in_sample(load_spec(fitted_oof.spec), Store.open(oof), naive_cosines)
    assert fitted_oof.result.score == pytest.approx(expected, abs=1e-12)
    assert fitted_oof.result.study.best_value == pytest.approx(expected, abs=1e-6)


def test_the_written_spec_is_the_one_returned(fitted_oof: Fitted) -> None:
    assert load_spec(fitted_oof.spec) == fitted_oof.result.spec
    assert fitted_oof.spec.read_bytes() == fitted_oof.result.spec.canonical()


def test_a_result_is_short_where_it_is_printed_unasked(fitted_oof: Fitted) -> None:
    result = fitted_oof.result
    assert result.held_out is not None
    spec = (
        f"EnsembleSpec(score={result.score:.4f}, held_out={result.held_out.score:.4f},"
        f" members=10, digest={result.spec.digest[:12]!r})"
    )
    assert repr(result.spec) == spec
    assert repr(result).startswith(
        f"FitResult(spec={spec}, blender='weighted', status='CONVERGED', "
    )
    assert len(repr(result)) < 200


def test_row_weights_enter_score_and_search(
    generate: Make, write_store: Make, naive_cosines: Make
) -> None:
    data = generate("partial", rows=120, members=3)
    weight = np.random.default_rng(0).uniform(0.0, 3.0, 120)
    folds = [int(group[1:]) % 5 for group in data.groups]
    store = write_store(data.targets, data.members, groups=data.groups, folds=folds, weight=weight)
    weighted = en.fit(store, study=QUICK)
    expected = naive_in_sample(weighted.spec, store, naive_cosines)
    assert weighted.score == pytest.approx(expected, abs=1e-12)


def test_the_order_of_samples_does_not_matter(generate: Make, write_store: Make) -> None:
    data = generate("partial", rows=120, members=3)
    ids = [f"id{row}" for row in range(120)]
    order = np.random.default_rng(1).permutation(120)
    straight, shuffled = (
        en.fit(
            write_store(
                data.targets[rows],
                {name: vectors[rows] for name, vectors in data.members.items()},
                groups=[data.groups[row] for row in rows],
                ids=[ids[row] for row in rows],
            ),
            trials=20,
        )
        for rows in (np.arange(120), order)
    )
    assert straight.held_out is not None
    assert shuffled.held_out is not None
    assert shuffled.score == pytest.approx(straight.score, abs=1e-7)
    assert shuffled.held_out.score == pytest.approx(straight.held_out.score, abs=1e-5)
    assert shuffled.held_out.interval == pytest.approx(straight.held_out.interval, abs=1e-5)


def test_a_member_that_equals_its_targets_is_taken_alone_with_a_warning(
    write_store: Make,
) -> None:
    targets = np.random.default_rng(0).normal(size=(7, 16)).astype(np.float32)
    result = en.fit(write_store(targets, {"leaked": targets}))
    (member,) = result.spec.weighted.members
    assert (member.weight, member.norm) == (1.0, "none")
    assert result.spec.weighted.prior.weight == 0.0
    assert not result.spec.weighted.centred
    assert result.score == pytest.approx(1.0, abs=1e-12)
    leak, few_rows = result.warnings
    assert leak.startswith("member 'leaked' equals its target in 7 of 7 rows: a leak?")
    assert few_rows.startswith("member 'leaked' has 7 rows in 5 of 5 folds")


def test_members_of_weight_0_are_scored_but_not_in_the_blend(
    generate: Make, write_store: Make
) -> None:
    data = generate("noise", rows=120, members=2)
    members = {**data.members, "opposite": -data.targets}
    result = en.fit(write_store(data.targets, members, groups=data.groups), trials=20)
    assert "opposite" not in {member.name for member in result.spec.weighted.members}
    assert result.spec.scores.members["opposite"].loss_without == 0.0
    assert "opposite" in str(result)


def test_a_member_alone_and_a_blend_of_the_prior_alone_can_be_frozen(
    generate: Make, write_store: Make, tmp_path: Path
) -> None:
    data = generate("noise", rows=60, members=1)
    members = {"good": data.members["m0"], "opposite": -data.targets}
    store = write_store(data.targets, members, groups=data.groups)
    alone = en.fit(store, members=["good"], trials=12, spec=tmp_path / "alone.json")
    assert len(alone.spec.weighted.members) == 1
    prior = en.fit(store, members=["opposite"], trials=12, spec=tmp_path / "prior.json")
    assert prior.spec.weighted.members == ()
    assert load_spec(tmp_path / "prior.json").weighted.prior.weight == 1.0


def test_free_weights_may_be_negative_and_score_as_frozen(
    generate: Make, write_store: Make, naive_cosines: Make
) -> None:
    data = generate("noise", rows=120, members=1)
    folds = [int(group[1:]) % 5 for group in data.groups]
    mistake, own = np.random.default_rng(0).normal(size=(2, *data.targets.shape))
    members = {"seer": data.targets + mistake, "mistake": mistake + 0.1 * own}
    store = write_store(data.targets, members, groups=data.groups, folds=folds)
    result = en.fit(store, study=QUICK.model_copy(update={"bounds": "free"}))
    weights = {member.name: member.weight for member in result.spec.weighted.members}
    assert weights["mistake"] < 0.0 < weights["seer"]
    expected = naive_in_sample(result.spec, store, naive_cosines)
    assert result.score == pytest.approx(expected, abs=1e-12)
    assert result.study.best_value == pytest.approx(expected, abs=1e-6)
