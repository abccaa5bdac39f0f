"""Same inputs and seed, same bytes: any number of jobs, any hash seed; kills: test_killed.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ensembler import api
from ensembler.store.reader import Store


def python(*arguments: object, **environment: str) -> None:
    """Run a fresh interpreter on this checkout."""
    subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )


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


def test_a_seed_and_a_study_change_the_spec(small: Store) -> None:
    fit: Callable[..., api.FitResult] = api.fit
    digests = {
        fit(small, trials=20, seed=seed, study=study).spec.digest
        for seed, study in ((0, "default"), (1, "default"), (0, "plain"))
    }
    assert len(digests) == 3
