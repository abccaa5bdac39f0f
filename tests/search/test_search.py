"""What a study finds, against every point of its space and against the rules of thumb."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.statistics import Statistics
from ensembler.metrics import mean_cosine, unit_rows
from ensembler.search.candidate import Candidate, Trial, best_trial
from ensembler.search.run import run_study
from ensembler.search.scoring import Scored, Scorer
from ensembler.search.searching import search
from ensembler.search.space import Space
from ensembler.store.reader import Store

Make = Callable[..., Any]
KINDS = ("confidence", "noise", "mixed", "partial")


def best_of_all(space: Space, statistics: Statistics, rows: NDArray[np.int64]) -> float:
    """The optimum over every flag and centring, each point solved exactly."""
    scorer = Scorer(
        statistics, rows, None, columns=space.columns, bounds=space.definition.bounds, seed=0
    )
    alphas = list(itertools.product((0.0, 1.0), repeat=len(space.names)))
    points = [Candidate(centred=c, alphas=a) for c in space.centrings for a in alphas]
    return max(scored.value for scored in scorer.score(points))


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_study_meets_the_optimum_over_all_norms_of_eight_members(
    kind: str, generate: Make, write_store: Make, prepare: Make
) -> None:
    data = generate(kind)
    space, statistics = prepare(write_store(data.targets, data.members, groups=data.groups))
    rows = np.arange(len(statistics))
    found = search(space, statistics, rows, None)
    assert found.best.value == pytest.approx(best_of_all(space, statistics, rows), abs=1e-6)


@pytest.mark.parametrize("bounds", ["simplex", "nonnegative", "free"])
@pytest.mark.parametrize("weights", ["exact", "sampled"])
@pytest.mark.parametrize("kind", ["confidence", "partial"])
def test_no_study_is_worse_than_a_rule_of_thumb(
    kind: str, weights: str, bounds: str, generate: Make, write_store: Make, prepare: Make
) -> None:
    data = generate(kind, rows=120, members=4)
    store = write_store(data.targets, data.members, groups=data.groups)
    norms = ("none", "l2", "power")
    space, statistics = prepare(store, weights=weights, bounds=bounds, norms=norms, trials=50)
    rows = np.arange(len(statistics))
    scorer = Scorer(statistics, rows, None, columns=space.columns, bounds=bounds, seed=0)  # type: ignore[arg-type] # one of three
    rules = [
        Candidate(centred=centred, alphas=(1.0,) * 4, rule=rule)
        for centred in (False, True)
        for rule in ("uniform", "single_best", "greedy")
    ]
    found = search(space, statistics, rows, None)
    assert found.best.value >= max(scored.value for scored in scorer.score(rules)) - 1e-8
    assert found.best.value == max(trial.value for trial in found.trials)


@pytest.mark.parametrize(
    ("bounds", "lowest", "size"),
    [("simplex", 0.0, 1.0), ("nonnegative", 0.0, None), ("free", -1.0, None)],
)
@pytest.mark.parametrize("weights", ["exact", "sampled"])
def test_weights_keep_the_bounds_of_the_study(
    weights: str, bounds: str, lowest: float, size: float | None, small: Store, prepare: Make
) -> None:
    space, statistics = prepare(small, weights=weights, bounds=bounds, trials=40)
    found = search(space, statistics, np.arange(len(statistics)), None).weighting.weights
    assert min(found) >= lowest
    if size is None:
        assert max(map(abs, found)) == pytest.approx(1.0)
    else:
        assert sum(found) == pytest.approx(size)


def test_a_study_without_prior_gives_it_no_weight(small: Store, prepare: Make) -> None:
    for weights in ("exact", "sampled"):
        space, statistics = prepare(small, weights=weights, prior=False, trials=40)
        found = search(space, statistics, np.arange(len(statistics)), None)
        assert found.weighting.weights[0] == 0.0


@pytest.mark.parametrize(("centring", "allowed"), [("off", {False}), ("on", {True})])
def test_a_study_tries_no_other_centring_than_its_own(
    centring: str, allowed: set[bool], small: Store, prepare: Make
) -> None:
    space, statistics = prepare(small, centring=centring, trials=40)
    found = search(space, statistics, np.arange(len(statistics)), None)
    assert {trial.candidate.centred for trial in found.trials} == allowed


def test_two_norms_that_gain_only_together_are_found_by_flips_alone(
    small: Store, prepare: Make
) -> None:
    space, statistics = prepare(small, centring="off", patience=1)

    class Trap(Scorer):
        """Either of the first two norms alone costs a little, both together gain a lot."""

        def score(self, candidates: Sequence[Candidate], **rivals: Any) -> list[Scored]:  # noqa: ANN401 - whatever it takes
            return [
                replace(scored, value={0.0: 0.5, 1.0: 0.4, 2.0: 0.6}[sum(candidate.alphas[:2])])
                for candidate, scored in zip(
                    candidates, super().score(candidates, **rivals), strict=True
                )
            ]

    trap = Trap(statistics, np.arange(120), None, columns=space.columns, bounds="simplex", seed=0)
    start = [Candidate(centred=False, alphas=(0.0,) * 4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Space, "baselines", lambda _: start)
        found = run_study(space, trap)
    assert found.best.stage == "flip"
    assert found.best.candidate.alphas[:2] == (1.0, 1.0)


def test_powers_are_searched_where_a_study_allows_them(small: Store, prepare: Make) -> None:
    space, statistics = prepare(small, norms=("power",), trials=60)
    found = search(space, statistics, np.arange(len(statistics)), None)
    tried = {alpha for trial in found.trials for alpha in trial.candidate.alphas}
    assert len(tried) > 20
    assert 0.0 <= min(tried) < max(tried) <= 2.0


def test_a_study_runs_baselines_then_flips_then_the_sampler(small: Store, prepare: Make) -> None:
    space, statistics = prepare(small)
    trials = search(space, statistics, np.arange(len(statistics)), None).trials
    stages = [trial.stage for trial in trials]
    assert [stage for stage, _ in itertools.groupby(stages)] == ["baseline", "flip", "sampler"]
    assert [trial.index for trial in trials] == list(range(len(trials)))
    assert stages.count("baseline") == 10  # three rules, all-none and all-l2; each centring


def test_patience_counts_the_samplers_trials_without_a_gain(small: Store, prepare: Make) -> None:
    space, statistics = prepare(small, patience=16, batch=4)
    trials = search(space, statistics, np.arange(len(statistics)), None).trials
    sampled = [trial.value for trial in trials if trial.stage == "sampler"]
    before = max(trial.value for trial in trials if trial.stage != "sampler")
    assert len(sampled) >= 16
    assert max(sampled[-16:]) <= max([before, *sampled[:-16]]) + 1e-8


@pytest.mark.parametrize("trials", [1, 13, 31])
def test_trials_are_counted_in_all_and_baselines_always_run(
    trials: int, small: Store, prepare: Make
) -> None:
    space, statistics = prepare(small, trials=trials)
    found = search(space, statistics, np.arange(len(statistics)), None)
    assert len(found.trials) == max(trials, 10)


def test_jobs_and_the_random_sampler_do_not_change_what_a_seed_finds(
    small: Store, prepare: Make
) -> None:
    for sampler in ("tpe", "random"):
        space, statistics = prepare(small, sampler=sampler, trials=50, norms=("none", "power"))
        rows = np.arange(len(statistics))
        first, second = (search(space, statistics, rows, None, jobs=jobs) for jobs in (1, 3))
        assert first == second


def test_another_seed_proposes_other_trials(small: Store, prepare: Make) -> None:
    proposed = []
    for seed in (0, 1):
        space, statistics = prepare(small, seed=seed, norms=("power",), trials=40)
        trials = search(space, statistics, np.arange(len(statistics)), None).trials
        proposed.append([trial.candidate for trial in trials if trial.stage == "sampler"])
    assert proposed[0] != proposed[1]


def test_ties_go_to_fewer_columns_then_uncentred_then_fewer_norms_then_the_earlier() -> None:
    def trial(index: int, value: float, used: int, *, centred: bool, l2: int) -> Trial:
        candidate = Candidate(centred=centred, alphas=(1.0,) * l2 + (0.0,) * (3 - l2))
        return Trial(
            index=index, stage="flip", candidate=candidate, value=value, used=used, status="given"
        )

    trials = [
        trial(0, 0.5 - 1e-6, 1, centred=False, l2=0),  # worse than a tie
        trial(1, 0.5, 3, centred=False, l2=0),
        trial(2, 0.5, 2, centred=True, l2=0),
        trial(3, 0.5 - 5e-9, 2, centred=False, l2=2),
        trial(4, 0.5, 2, centred=False, l2=1),
        trial(5, 0.5, 2, centred=False, l2=1),
    ]
    assert best_trial(trials).index == 4


def test_the_43rd_place_gives_10_15_and_75_percent_to_its_three_groups(
    generate: Make, write_store: Make, prepare: Make
) -> None:
    data = generate("mixed", rows=100, members=8)
    names = ["blip-caption", *(f"clip-vit-{k}" for k in range(6)), "coca"]
    members = dict(zip(names, data.members.values(), strict=True))
    store = write_store(data.targets, members, groups=data.groups)
    space, statistics = prepare(store, "minaR0404_43rd")
    found = search(space, statistics, np.arange(len(statistics)), None)
    shares = [0.10, *[0.75 / 6] * 6, 0.15]
    assert found.weighting.weights == pytest.approx([0.0, *shares], abs=1e-15)
    assert len(found.trials) == 1
    units = np.stack([unit_rows(vectors) for vectors in members.values()])
    by_hand = mean_cosine(np.tensordot(shares, units, axes=1), data.targets)
    assert found.best.value == pytest.approx(by_hand, abs=1e-6)
