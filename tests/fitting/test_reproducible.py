"""Same inputs and seed, same bytes: any number of jobs, any hash seed, any kill and resume."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ensembler import api
from ensembler.store.reader import Store

KILLER = Path(__file__).with_name("kill_fits.py")
MOMENTS = (
    *("trial-0", "trial-7", "trial-20", "trial-44", "write-0", "write-1", "write-30"),
    *("before-spec", "before-journal"),
)


def python(*arguments: object, **environment: str) -> None:
    """Run a fresh interpreter on this checkout."""
    subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )


def trials_of(journal: Path) -> list[tuple[object, ...]]:
    """Number, parameters, value and attributes of each recorded trial."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.load_study(
        study_name="ensembler", storage=JournalStorage(JournalFileBackend(str(journal)))
    )
    return [(t.number, t.params, t.value, t.user_attrs, t.state) for t in study.get_trials()]


@pytest.mark.parametrize("study", ["default", "plain"])
def test_any_number_of_jobs_writes_the_same_spec(study: str, small: Store, tmp_path: Path) -> None:
    for jobs in (1, 2, 4):
        api.fit(small, study=study, trials=25, jobs=jobs, spec=tmp_path / f"{jobs}.json")
    assert len({(tmp_path / f"{jobs}.json").read_bytes() for jobs in (1, 2, 4)}) == 1


def test_processes_with_other_hash_seeds_write_the_same_spec(small: Store, tmp_path: Path) -> None:
    code = "import sys, ensembler; ensembler.fit(sys.argv[1], trials=25, spec=sys.argv[2])"
    for seed in ("0", "1", "2"):
        python(
            "-c",
            code,
            small.path,
            tmp_path / f"{seed}.json",
            PYTHONHASHSEED=seed,
            ENSEMBLER_CACHE=str(tmp_path / f"cache-{seed}"),
        )
    assert len({(tmp_path / f"{seed}.json").read_bytes() for seed in ("0", "1", "2")}) == 1


@pytest.fixture(scope="module")
def killed(small: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each moment at which a fit was killed, and `whole`."""
    work = tmp_path_factory.mktemp("killed")
    python("-W", "ignore::DeprecationWarning", KILLER, small.path, work)
    return work


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_fit_killed_and_resumed_equals_one_that_was_not(moment: str, killed: Path) -> None:
    whole, resumed = killed / "whole", killed / moment
    assert trials_of(resumed / "ensemble.journal") == trials_of(whole / "ensemble.journal")
    assert (resumed / "ensemble.json").read_bytes() == (whole / "ensemble.json").read_bytes()
    assert {file.name for file in resumed.iterdir()} == {"ensemble.json", "ensemble.journal"}


def test_every_moment_of_the_list_was_killed(killed: Path) -> None:
    assert {folder.name for folder in killed.iterdir()} == {"whole", *MOMENTS}


def test_a_seed_and_a_study_change_the_spec(small: Store) -> None:
    fit: Callable[..., api.FitResult] = api.fit
    digests = {
        fit(small, trials=20, seed=seed, study=study).spec.digest
        for seed, study in ((0, "default"), (1, "default"), (0, "plain"))
    }
    assert len(digests) == 3
