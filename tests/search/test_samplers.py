"""Optuna's samplers by name: every one repeats itself, and the unfit are refused with a remedy."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import cmaes
import numpy as np
import optuna
import pytest
import torch  # noqa: F401 - loaded before its threads are limited
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from threadpoolctl import threadpool_limits

from ensembler.errors import StudyError
from ensembler.fitting.inputs import make_space
from ensembler.search.candidate import Trial
from ensembler.search.definition import StudyDefinition
from ensembler.search.journal import journal_record
from ensembler.search.quiet import quiet_optuna
from ensembler.search.record import in_memory
from ensembler.search.samplers import SAMPLERS, SamplerName
from ensembler.search.searching import search
from ensembler.search.tpe import KnownSpaceTPE
from ensembler.store.reader import Store

if TYPE_CHECKING:
    from tests.conftest import InterruptedAt

Make = Callable[..., Any]
Whole = Callable[[str, str], tuple[Trial, ...]]
ROOT = Path(__file__).parents[2]
# Few trials, for gp takes its time, but past its ten random ones and over several batches.
SPACES: dict[str, dict[str, Any]] = {
    "weights": {
        "weights": "sampled",
        "norms": ("l2",),
        "centring": "off",
        "trials": 17,
        "members": ("m0", "m1"),
        "batch": 3,
        "patience": 20,
    },
    "powers": {
        "norms": ("l2", "power"),
        "centring": "off",
        "trials": 18,
        "members": ("m0", "m1"),
        "batch": 3,
        "patience": 20,
    },
}
INTERRUPTED_AT = (2, 8, 12, 13, 15)


def test_every_name_a_study_may_give_stands_in_the_table() -> None:
    assert set(SAMPLERS) == set(get_args(SamplerName))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a fit; besides, torch's threads wait for each other longer than gp's products take."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def whole(small: Store, prepare: Make) -> Whole:
    """`whole(sampler, space)`: the trials of a search that nothing interrupted, found once."""

    @cache
    def trials(sampler: str, space: str) -> tuple[Trial, ...]:
        prepared, statistics = prepare(small, **SPACES[space], sampler=sampler)
        return search(prepared, statistics, np.arange(len(statistics)), None).trials

    return trials


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_interruptions_and_jobs_do_not_change_what_a_sampler_proposes(
    sampler: str,
    space: str,
    whole: Whole,
    small: Store,
    prepare: Make,
    interrupted_at: InterruptedAt,
    tmp_path: Path,
) -> None:
    prepared, statistics = prepare(small, **SPACES[space], sampler=sampler)
    rows = np.arange(len(statistics))

    def run(*, resume: bool, jobs: int = 1) -> tuple[Trial, ...]:
        with journal_record(tmp_path / "j", "this study", resume=resume) as record:
            return search(prepared, statistics, rows, None, record=record, jobs=jobs).trials

    expected = whole(sampler, space)
    assert sum(trial.stage == "sampler" for trial in expected) >= 10
    moments = INTERRUPTED_AT[::3] if sampler == "gp" else INTERRUPTED_AT
    for moment in moments:
        with interrupted_at(moment), pytest.raises(KeyboardInterrupt):
            run(resume=moment != moments[0])
    assert run(resume=True, jobs=2) == expected


@pytest.mark.parametrize("sampler", ["cmaes", "gp"])  # the others: test_reproducible.py
def test_a_process_with_another_hash_seed_proposes_the_same(
    sampler: str, whole: Whole, small: Store, prepare: Make
) -> None:
    code = (
        "import json, sys, ensembler\n"
        "from ensembler.search.definition import StudyDefinition\n"
        f"study = StudyDefinition(validation='none', sampler={sampler!r}, **{SPACES['weights']})\n"
        "fitted = ensembler.fit(sys.argv[1], study=study)\n"
        "print(json.dumps([[trial.params, trial.value] for trial in fitted.study.trials]))\n"
    )
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(small.path)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
    )
    space, _ = prepare(small, **SPACES["weights"], sampler=sampler)
    expected = [[space.parameters(t.candidate), t.value] for t in whole(sampler, "weights")]
    assert json.loads(ran.stdout) == expected


def test_cmaes_learns_from_its_generations_although_every_trial_has_a_sampler_of_its_own(
    small: Store, prepare: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = []
    tell = cmaes.CMA.tell

    def telling(optimizer: cmaes.CMA, solutions: list[tuple[NDArray[np.float64], float]]) -> None:
        tell(optimizer, solutions)
        generations.append(optimizer.generation)

    monkeypatch.setattr(cmaes.CMA, "tell", telling)
    keys = {**SPACES["weights"], "sampler": "cmaes", "trials": 60, "patience": 60}
    space, statistics = prepare(small, **keys)
    search(space, statistics, np.arange(len(statistics)), None)
    assert generations == sorted(generations)
    assert max(generations) >= 3


def test_cmaes_takes_a_space_of_a_single_power(small: Store, prepare: Make) -> None:
    keys = {"sampler": "cmaes", "norms": ("power",), "centring": "off", "members": ("m0",)}
    space, statistics = prepare(small, **keys, trials=15)
    trials = search(space, statistics, np.arange(len(statistics)), None).trials
    assert len({trial.candidate.alphas for trial in trials if trial.stage == "sampler"}) > 5


def test_a_record_keeps_nothing_of_a_samplers_own(small: Store, prepare: Make) -> None:
    keys = {**SPACES["weights"], "sampler": "cmaes", "trials": 40, "patience": 40}
    space, statistics = prepare(small, **keys)
    record = in_memory()
    search(space, statistics, np.arange(len(statistics)), None, record=record)
    trials = record.study.get_trials()
    assert len(trials) == 40
    assert not any(trial.system_attrs for trial in trials)


def test_cmaes_says_nothing_of_the_flags_it_leaves_to_tpe(
    small: Store, prepare: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    space, statistics = prepare(small, **SPACES["weights"], sampler="cmaes")
    search(space, statistics, np.arange(len(statistics)), None)
    assert capfd.readouterr() == ("", "")


def test_cmaes_is_refused_where_nothing_is_continuous(small: Store) -> None:
    with pytest.raises(StudyError, match=r"'cmaes' searches continuous .* \"tpe\", .* \"power\""):
        make_space(StudyDefinition(sampler="cmaes"), small)


@pytest.mark.parametrize(
    ("sampler", "remedy"),
    [("cmaes", r"pip install 'oof-ensembler\[samplers\]'"), ("gp", "pip install torch")],
)
def test_a_sampler_without_its_package_is_refused_with_the_line_that_installs_it(
    sampler: SamplerName, remedy: str, small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StudyError, match=remedy):
        make_space(StudyDefinition(sampler=sampler, weights="sampled"), small)


def test_any_sampler_suits_a_study_that_leaves_nothing_open(small: Store) -> None:
    fixed = dict.fromkeys(small.names, 1.0)
    study = StudyDefinition(
        sampler="cmaes", weights="fixed", fixed=fixed, norms=("l2",), centring="off"
    )
    assert not make_space(study, small).distributions


def test_tpe_that_is_told_its_space_proposes_what_it_would_infer() -> None:
    space: dict[str, BaseDistribution] = {
        "norm:b": CategoricalDistribution(["none", "l2"]),
        "alpha:a": FloatDistribution(0.0, 2.0),
        "centring": CategoricalDistribution(["off", "on"]),
    }

    def proposed(make: Callable[[int], optuna.samplers.BaseSampler]) -> list[dict[str, Any]]:
        study = optuna.create_study(direction="maximize")
        for index in range(25):
            study.sampler = make(index)
            trial = study.ask(space)
            study.tell(trial, trial.params["alpha:a"] - (trial.params["centring"] == "on"))
        return [trial.params for trial in study.trials]

    with quiet_optuna():
        told = proposed(lambda index: KnownSpaceTPE(space, seed=index))
        assert told == proposed(lambda index: optuna.samplers.TPESampler(seed=index))
