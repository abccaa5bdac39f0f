"""A fit killed at any moment and resumed ends, byte for byte, as one that nobody killed.

kill_fits.py does the killing, in a process for each number of jobs and each hash seed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ensembler.store.reader import Store

ROOT = Path(__file__).parents[2]
JOBS = (1, 2, 4)
# What a kill must at least have met, lest a change of the library hides a moment from the killer.
MOMENTS = (
    "at-open-cache-*raw*",  # while the statistics are built
    "at-os.rename-cache-*",
    "at-open-ensemble.journal.running",  # before a line of the journal, within it and after it
    "at-write-ensemble.journal.running",
    "at-fsync-after-write-ensemble.journal.running",
    "at-open-.ensemble.json.partial",  # while the spec is written
    "at-os.rename-.ensemble.json.partial",
    "at-os.rename-ensemble.journal.running",  # between spec and journal
)


@pytest.fixture(scope="module")
def works(small: Store, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What kill_fits.py leaves, for each number of jobs with a hash seed of its own."""
    works = [tmp_path_factory.mktemp(f"killed-{jobs}-jobs") for jobs in JOBS]
    killers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning"]  # of forks, where threads exist
            + [str(Path(__file__).with_name("kill_fits.py")), str(small.path), str(work)]
            + [str(number) for number in (jobs, share, len(JOBS))],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(share)},
        )
        for share, (jobs, work) in enumerate(zip(JOBS, works, strict=True))
    ]
    assert [killer.wait() for killer in killers] == [0] * len(JOBS)
    return works


class Outcome(NamedTuple):
    """What a fit left: its trials, but for their dates, and its spec."""

    trials: list[tuple[Any, ...]]
    spec: bytes


def outcome(folder: Path) -> Outcome:
    storage = JournalStorage(JournalFileBackend(str(folder / "ensemble.journal")))
    trials = optuna.load_study(study_name="ensembler", storage=storage).get_trials()
    return Outcome(
        [(t.number, t.params, t.value, t.user_attrs, t.state) for t in trials],
        (folder / "ensemble.json").read_bytes(),
    )


def test_other_jobs_and_hash_seeds_record_the_same_trials_and_write_the_same_spec(
    works: list[Path],
) -> None:
    first, *others = (outcome(work / "whole") for work in works)
    stages = {attributes["stage"] for _, _, _, attributes, _ in first.trials}
    assert stages == {"baseline", "flip", "sampler"}
    assert others == [first] * len(others)


@pytest.mark.parametrize("killed", ["at-*", "row", "delayed-*", "finished"])
def test_a_fit_killed_and_resumed_equals_one_that_was_not(killed: str, works: list[Path]) -> None:
    whole = outcome(works[0] / "whole")
    folders = [folder for work in works for folder in work.glob(killed)]
    assert len(folders) >= len(JOBS)
    for folder in folders:
        assert outcome(folder) == whole, (folder / "kills.txt").read_text()


def test_one_fit_was_killed_seven_times_in_a_row(works: list[Path]) -> None:
    for work in works:
        assert (work / "row" / "kills.txt").read_text().count("killed") == 7


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_moment_that_matters_was_met(moment: str, works: list[Path]) -> None:
    assert [folder for work in works for folder in work.glob(moment)]


def test_kills_leave_nothing_behind_once_the_fit_has_ended(works: list[Path]) -> None:
    for folder in (folder for work in works for folder in work.iterdir() if folder.is_dir()):
        kills = (folder / "kills.txt").read_text()
        own = {"kills.txt", "changes.txt", "log", "cache"}
        assert {p.name for p in folder.iterdir()} - own == {
            "ensemble.json",
            "ensemble.journal",
        }, kills
        assert not list((folder / "cache").glob("*.partial")), kills
        assert (folder / "log").read_text().endswith(")\n"), kills
