"""Candidates on a sample of the rows first: what is screened out, and that it costs nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.solver import Solution
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_cosines
from ensembler.fitting.held_out import search_held_out
from ensembler.metrics import unit_rows
from ensembler.search import ground, scoring
from ensembler.search.candidate import SCREENED, Candidate, Trial, best_trial
from ensembler.search.record import Record, in_memory
from ensembler.search.run import Outcome
from ensembler.search.scoring import Scorer
from ensembler.search.searching import scorer_of_all, search
from ensembler.search.space import Space

Make = Callable[..., Any]
ROWS, SAMPLE = 1600, 300


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SAMPLE", SAMPLE)


@pytest.fixture(params=["confidence", "noise", "mixed", "partial"])
def world(
    request: pytest.FixtureRequest, generate: Make, write_store: Make, prepare: Make
) -> tuple[Space, Statistics]:
    data = generate(request.param, rows=ROWS, members=6)
    store = write_store(data.targets, data.members, groups=data.groups)
    space, statistics = prepare(store)
    return space, statistics


def run(world: tuple[Space, Statistics], record: Record | None = None, jobs: int = 1) -> Outcome:
    return search(*world, np.arange(ROWS), None, record=record, jobs=jobs)


def new_scorer(world: tuple[Space, Statistics]) -> Scorer:
    space, statistics = world
    bounds = space.definition.bounds
    return Scorer(statistics, np.arange(ROWS), None, columns=space.columns, bounds=bounds, seed=0)


def trial_of(candidate: Candidate) -> Trial:
    return Trial(index=0, stage="flip", candidate=candidate, value=0.5, used=1, status="CONVERGED")


def in_full(world: tuple[Space, Statistics], candidates: list[Candidate]) -> NDArray[np.float64]:
    """What candidates score when no sample is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "SAMPLE", ROWS)
        return np.array([scored.value for scored in new_scorer(world).score(candidates)])


def test_the_optimum_over_all_norms_is_met_although_many_trials_are_screened_out(
    world: tuple[Space, Statistics],
) -> None:
    space, _ = world
    found = run(world)
    flags = itertools.product((0.0, 1.0), repeat=len(space.names))
    points = [Candidate(centred=c, alphas=a) for a in flags for c in space.centrings]
    assert found.best.value == pytest.approx(in_full(world, points).max(), abs=1e-6)
    assert sum(trial.status == SCREENED for trial in found.trials) > 10


def test_what_is_screened_out_is_worse_than_the_best_and_its_estimate_is_near_the_truth(
    world: tuple[Space, Statistics],
) -> None:
    found = run(world)
    screened = [trial for trial in found.trials if trial.status == SCREENED]
    values = in_full(world, [trial.candidate for trial in screened])
    assert (values < found.best.value).all()
    np.testing.assert_allclose([trial.value for trial in screened], values, rtol=0, atol=0.02)


def test_what_is_not_screened_out_scores_what_it_scores_on_all_rows(
    world: tuple[Space, Statistics],
) -> None:
    complete = [trial for trial in run(world).trials if trial.candidate.rule == "solved"]
    complete = [trial for trial in complete if trial.status != SCREENED]
    values = in_full(world, [trial.candidate for trial in complete])
    np.testing.assert_allclose([trial.value for trial in complete], values, rtol=0, atol=1e-7)


def test_jobs_and_a_resume_screen_the_same(world: tuple[Space, Statistics]) -> None:
    record = in_memory()
    whole = run(world, record)
    assert run(world, jobs=3).trials == whole.trials
    assert run(world, Record(record.study)).trials == whole.trials


@pytest.mark.parametrize("weights", ["exact", "sampled"])
def test_a_study_with_more_trials_goes_on_from_one_with_fewer(
    world: tuple[Space, Statistics], weights: str
) -> None:
    space, statistics = world
    definition = space.definition.model_copy(update={"weights": weights, "trials": 45})
    space = replace(space, definition=definition)
    whole = run((space, statistics))
    for trials in (13, 14, 15, 19, 35):  # in the middle of a batch
        record = in_memory()
        few = replace(space, definition=definition.model_copy(update={"trials": trials}))
        cut = run((few, statistics), record)
        assert cut.trials == whole.trials[: len(cut.trials)]
        assert run((space, statistics), Record(record.study)).trials == whole.trials
        screened = [trial for trial in cut.trials if trial.status == SCREENED]
        values = in_full(world, [trial.candidate for trial in screened])
        assert max(values, default=0.0) < cut.best.value


def test_a_candidate_is_screened_out_four_standard_errors_behind_and_only_then(
    world: tuple[Space, Statistics],
) -> None:
    space, statistics = world
    best = run(world).best
    scorer = new_scorer(world)
    rows = scorer.sample.rows
    assert len(rows) == SAMPLE
    others = list(space.flips(best.candidate))
    others += [replace(c, centred=not c.centred) for c in others]

    def cosines(candidate: Candidate) -> NDArray[np.float64]:
        weights = tuple(scorer.sample.solution(candidate.scaling).weights.tolist())
        weighting = Weighting(centred=candidate.centred, alphas=candidate.alphas, weights=weights)
        return weighting_cosines(statistics, weighting, rows, None)

    seen = set()
    for candidate in others:
        (scored,) = scorer.score([candidate], best=best)
        behind = cosines(best.candidate) - cosines(candidate)
        error = np.std(behind) / np.sqrt(SAMPLE) * np.sqrt(1.0 - SAMPLE / ROWS)  # equal weights
        hopeless = bool(behind.mean() > max(4.0 * error, 1e-6))
        assert (scored.status == SCREENED) == hopeless
        if hopeless:
            assert scored.value == pytest.approx(best.value - behind.mean(), abs=1e-12)
        seen.add(hopeless)
    assert True in seen


def test_later_candidates_of_a_batch_screen_nobody_out_and_earlier_ones_do(
    generate: Make, write_store: Make, prepare: Make
) -> None:
    data = generate("confidence", rows=ROWS, members=6)
    world = prepare(write_store(data.targets, data.members, groups=data.groups))
    scorer, best = new_scorer(world), run(world).best
    plain = [replace(best.candidate, alphas=alphas) for alphas in ((0.0,) * 6, (1.0,) * 6)]
    pairs = ((a, b) for a in plain for b in world[0].flips(a))
    first, behind = next(
        (trial_of(start), flip)
        for start, flip in pairs
        if scorer.score([flip], best=trial_of(start))[0].status != SCREENED
        and scorer.score([flip], best=best)[0].status == SCREENED
    )
    leader = best.candidate
    after, before = [behind, leader], [leader, behind]
    assert scorer.score(after, best=first)[0].status != SCREENED
    assert scorer.score(before, best=first)[1].status == SCREENED
    assert scorer.score([behind], best=first, batch=before)[0].status == SCREENED
    assert scorer.score([behind], best=first, batch=after)[0].status != SCREENED


@pytest.fixture
def half_noisy(generate: Make, write_store: Make, prepare: Make) -> tuple[Space, Statistics]:
    """Norms of odd members carry confidence, those of even ones are noise and nothing else."""
    data = generate("confidence", rows=ROWS, members=6)
    spread = np.random.default_rng(0).lognormal(size=(6, ROWS, 1))
    members = {
        name: vectors if m % 2 else unit_rows(vectors) * spread[m]
        for m, (name, vectors) in enumerate(data.members.items())
    }
    space, statistics = prepare(write_store(data.targets, members, groups=data.groups))
    return space, statistics


def test_flips_that_gain_on_the_sample_come_together_first_and_screen_out_each_alone(
    half_noisy: tuple[Space, Statistics],
) -> None:
    trials = run(half_noisy).trials
    first, *alone = [trial for trial in trials if trial.stage == "flip"][:7]
    assert first.candidate.alphas == (1.0, 0.0, 1.0, 0.0, 1.0, 0.0)
    assert {trial.status for trial in alone} == {SCREENED}
    before = max(trial.value for trial in trials if trial.stage == "baseline")
    assert sum(trial.value > before for trial in alone) == 3


def test_whether_a_flip_is_tried_together_with_others_needs_a_sample(
    half_noisy: tuple[Space, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "SAMPLE", ROWS)
    scorer = new_scorer(half_noisy)
    candidates = list(half_noisy[0].flips(Candidate(centred=False, alphas=(0.0,) * 6)))
    assert scorer.foretell(candidates) == {}
    *alone, together = [t.candidate.alphas for t in run(half_noisy).trials if t.stage == "flip"][:7]
    assert together == (1.0, 0.0, 1.0, 0.0, 1.0, 0.0)
    assert together not in alone


def test_what_is_foretold_is_the_mean_on_the_sample_of_each_solved_candidate(
    half_noisy: tuple[Space, Statistics],
) -> None:
    _, statistics = half_noisy
    scorer = new_scorer(half_noisy)
    solved = [Candidate(centred=True, alphas=(a, *(0.0,) * 5)) for a in (1.0, 0.0, 1.0)]
    found = scorer.foretell([*solved, replace(solved[0], rule="uniform")])
    assert list(found) == solved[:2]
    for candidate, value in found.items():
        weights = tuple(scorer.sample.solution(candidate.scaling).weights.tolist())
        weighting = Weighting(centred=True, alphas=candidate.alphas, weights=weights)
        cosines = weighting_cosines(statistics, weighting, scorer.sample.rows, None)
        assert value == pytest.approx(cosines.mean(), abs=1e-7)


def test_candidates_of_which_the_sample_has_no_row_are_solved_on_all_rows(
    half_noisy: tuple[Space, Statistics],
) -> None:
    _, statistics = half_noisy
    lengths = statistics.raw.lengths.copy()
    lengths[new_scorer(half_noisy).sample.rows] = 0.0
    elsewhere = replace(statistics, raw=replace(statistics.raw, lengths=lengths))
    members = np.array([False, *[True] * 6])
    scorer = Scorer(elsewhere, np.arange(ROWS), None, columns=members, bounds="simplex", seed=0)
    plain = [Candidate(centred=False, alphas=(alpha,) * 6) for alpha in (0.0, 1.0)]
    assert scorer.foretell(plain) == {}
    found = scorer.score(plain, best=trial_of(plain[0]))
    assert [scored.status for scored in found] == ["CONVERGED"] * 2


def test_the_best_is_solved_on_all_rows_again_only_if_the_sample_has_another_optimum(
    half_noisy: tuple[Space, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    best = run(half_noisy).best.candidate
    scorer = new_scorer(half_noisy)
    scored = scorer.score([best])[0]
    asked = []

    def solve_again(*start: Any) -> Solution:  # noqa: ANN401 - a scaling and weights
        asked.append(start)
        return replace(solution, value=scored.value + 1e-3)

    solution = scorer.sample.solution(best.scaling)
    monkeypatch.setattr(scorer.ground, "solve", solve_again)
    assert scorer.finish(best) == scored
    assert not asked
    worse = replace(solution, value=solution.value - 1e-3)
    monkeypatch.setattr(scorer.sample, "solution", lambda _: worse)
    assert scorer.finish(best).value == scored.value + 1e-3
    assert len(asked) == 1


def test_there_is_no_sample_where_few_rows_carry_the_weight(
    world: tuple[Space, Statistics],
) -> None:
    space, statistics = world
    weight = np.ones(ROWS)
    weight[:6] = ROWS
    heavy = replace(statistics, weight=weight)
    found = run((space, heavy))
    assert not any(trial.status == SCREENED for trial in found.trials)


@pytest.mark.parametrize("lent", [True, False])
def test_the_targets_of_a_fold_do_not_move_a_repeat_without_it(
    lent: bool, generate: Make, write_store: Make, prepare: Make
) -> None:
    data = generate("confidence", rows=ROWS, members=4)
    folds = np.array([int(group[1:]) % 5 for group in data.groups])
    aside = folds == 2
    changed = data.targets.copy()
    changed[aside] = np.random.default_rng(0).normal(size=changed[aside].shape)
    repeats = []
    for targets in (data.targets, changed):
        store = write_store(targets, data.members, groups=data.groups, folds=folds)
        space, statistics = prepare(store)
        whole = scorer_of_all(space, statistics) if lent else None
        if whole:
            search(space, statistics, np.arange(ROWS), None, whole=whole)
        found = search(space, statistics, np.flatnonzero(~aside), 2, whole=whole)
        repeats.append((found.trials, found.weighting))
    assert repeats[0] == repeats[1]


def test_a_repeat_finds_the_same_with_problems_of_its_own_as_with_lent_ones(
    world: tuple[Space, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = search_held_out(*world, jobs=1, progress=None)
    lent = search_held_out(*world, jobs=1, progress=None, whole=scorer_of_all(*world))
    monkeypatch.setattr(ground, "SMALL_TO_CUT", 0)
    made = search_held_out(*world, jobs=1, progress=None, whole=scorer_of_all(*world))
    assert own is not None
    for other in (lent, made):
        assert other is not None
        difference = own.nested.cosines.mean() - other.nested.cosines.mean()
        assert abs(difference) < 1e-4  # another sample may let another candidate through


def test_a_repeats_sample_is_what_the_fits_leaves_without_the_fold(
    world: tuple[Space, Statistics],
) -> None:
    space, statistics = world
    whole = new_scorer(world)
    rows = np.flatnonzero(statistics.fold != 1)
    scorer = Scorer(
        statistics, rows, 1, columns=space.columns, bounds="simplex", seed=0, whole=whole
    )
    kept = whole.sample.rows[statistics.fold[whole.sample.rows] != 1]
    np.testing.assert_array_equal(scorer.sample.rows, kept)


def test_a_trial_screened_out_is_never_the_best() -> None:
    plain = Candidate(centred=False, alphas=(0.0,))
    one, two = (
        Trial(index=i, stage="flip", candidate=plain, value=value, used=1, status=status)
        for i, (value, status) in enumerate([(0.5, "CONVERGED"), (0.6, SCREENED)])
    )
    assert best_trial([one, two]) is one
