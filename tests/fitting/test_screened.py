"""A trial that a sample of the rows ruled out: recorded, but never as the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from ensembler.search.candidate import SCREENED, Candidate, Result
from ensembler.search.journal import journal_record
from ensembler.search.record import Proposal, Record, in_memory
from ensembler.search.storage import storage_record

BATCH = [
    Proposal(
        index=index,
        stage="flip",
        candidate=Candidate(centred=False, alphas=(float(index),)),
        parameters={"alpha:m0": float(index)},
        distributions={"alpha:m0": FloatDistribution(0.0, 2.0)},
    )
    for index in range(3)
]
ESTIMATE = 0.7 + 0.1 + 0.1  # whose last digits a decimal text would lose
RESULTS = [Result(0.25, 1, "CONVERGED"), Result(ESTIMATE, 1, SCREENED), Result(0.5, 2, "given")]
Open = Callable[[bool], AbstractContextManager[Record]]


def score(batch: Sequence[Proposal]) -> list[Result]:
    return [RESULTS[proposal.index] for proposal in batch]


@pytest.fixture(params=["memory", "journal", "database"])
def open_record(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`open_record(resume)`: a record of each kind."""
    memory = in_memory()

    def run(resume: bool) -> AbstractContextManager[Record]:
        if request.param == "journal":
            return journal_record(tmp_path / "ensemble.journal", "0" * 64, resume=resume)
        if request.param == "database":
            url = f"sqlite:///{tmp_path / 'study.db'}"
            return storage_record(url, "0" * 64, resume=resume, join=False, jobs=1)
        return nullcontext(Record(memory.study) if resume else memory)

    return run


def test_what_was_screened_out_is_pruned_its_estimate_kept_and_never_the_best(
    open_record: Open,
) -> None:
    with open_record(False) as record:
        assert record.settle(BATCH, score) == RESULTS
    trials = record.study.get_trials()
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.COMPLETE,
    ]
    assert (trials[1].value, trials[1].intermediate_values) == (None, {0: ESTIMATE})
    assert record.study.best_trial.params == {"alpha:m0": 2.0}


def test_what_was_screened_out_is_looked_up_on_resuming(open_record: Open) -> None:
    with open_record(False) as record:
        record.settle(BATCH, score)

    def scored_again(_: Sequence[Proposal]) -> list[Result]:
        raise AssertionError

    with open_record(True) as record:
        assert record.size == 3
        assert record.settle(BATCH, scored_again) == RESULTS
