"""The trials' journal beside the spec, and other storages: fresh, resumed, refused."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ensembler import api
from ensembler.errors import InputError, StudyError
from ensembler.search import sole_writer
from ensembler.search.claims import SharedRecord
from ensembler.search.dashboard import recorded_storage
from ensembler.search.definition import StudyDefinition
from ensembler.search.journal import journal_record
from ensembler.search.record import Record
from ensembler.store.reader import Store

if TYPE_CHECKING:
    from tests.conftest import InterruptedAt

Fit = Callable[..., api.FitResult]
QUICK = StudyDefinition(validation="none")  # held-out scores record nothing


@pytest.fixture
def fit(small: Store, tmp_path: Path) -> Fit:
    """Fit `small` into tmp_path / "ensemble.json"."""

    def run(**settings: object) -> api.FitResult:
        given = {"study": QUICK, "spec": tmp_path / "ensemble.json", "trials": 30} | settings
        return api.fit(small, **given)  # type: ignore[arg-type] # as the test gave them

    return run


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def complete_trials(url: str) -> dict[str, list[int]]:
    """The indices of each study's complete trials, in order."""
    storage = optuna.storages.RDBStorage(url)
    found = {}
    for name in optuna.get_all_study_names(storage):
        trials = optuna.load_study(study_name=name, storage=storage).get_trials()
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        found[name] = sorted(trial.user_attrs["index"] for trial in complete)
    storage.engine.dispose()
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_journal_is_an_optuna_study_with_every_trial(fit: Fit, tmp_path: Path) -> None:
    result = fit()
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "ensemble.journal"))
    )
    study = optuna.load_study(study_name="ensembler", storage=storage)
    assert len(study.trials) == result.spec.provenance.trials == 30
    assert [t.value for t in study.trials] == [t.value for t in result.study.trials]
    assert study.best_value == result.study.best_value
    assert set(contents(tmp_path)) == {"ensemble.json", "ensemble.journal"}


def test_the_study_of_a_result_outlives_its_journal(fit: Fit, tmp_path: Path) -> None:
    result = fit()
    (tmp_path / "ensemble.journal").unlink()
    assert len(result.study.trials) == 30


def test_resuming_with_more_trials_goes_on_where_the_study_ended(
    fit: Fit, small: Store, tmp_path: Path
) -> None:
    fit(trials=21)
    longer = fit(trials=40, resume=True)
    at_once = api.fit(small, study=QUICK, trials=40, spec=tmp_path / "once.json")
    assert longer.spec.digest == at_once.spec.digest
    assert [t.params for t in longer.study.trials] == [t.params for t in at_once.study.trials]


@pytest.mark.parametrize("trial", [3, 11, 27])
def test_sampled_weights_are_proposed_alike_after_an_interruption(
    trial: int, fit: Fit, small: Store, interrupted_at: InterruptedAt
) -> None:
    sampled = StudyDefinition(weights="sampled", norms=("none", "power"), validation="none")
    with interrupted_at(trial), pytest.raises(KeyboardInterrupt):
        fit(study=sampled)
    resumed, whole = fit(study=sampled, resume=True), api.fit(small, study=sampled, trials=30)
    assert [t.params for t in resumed.study.trials] == [t.params for t in whole.study.trials]
    assert resumed.spec.digest == whole.spec.digest


def test_resuming_a_finished_study_scores_nothing_again(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit()
    appended: list[object] = []
    monkeypatch.setattr("ensembler.search.record.Record.append", lambda *a: appended.append(a))
    assert fit(resume=True).spec.digest == first.spec.digest
    assert appended == []


@pytest.mark.parametrize("changed", [{"seed": 1}, {"members": ["m0", "m1"]}, {"study": "plain"}])
def test_resuming_another_study_is_refused_and_leaves_all_as_it_was(
    changed: dict[str, Any], fit: Fit, tmp_path: Path
) -> None:
    fit()
    before = contents(tmp_path)
    with pytest.raises(StudyError, match="another study: store, members, definition or seed"):
        fit(resume=True, **changed)
    assert {name: contents(tmp_path)[name] for name in before} == before
    fit(resume=True)


def test_resuming_on_another_store_is_refused(
    fit: Fit, tmp_path: Path, generate: Callable[..., Any], write_store: Callable[..., Store]
) -> None:
    fit()
    data = generate("partial", rows=120, members=4, seed=1)
    other = write_store(data.targets, data.members, groups=data.groups)
    with pytest.raises(StudyError, match="store, members, definition or seed differ"):
        api.fit(other, study=QUICK, spec=tmp_path / "ensemble.json", trials=30, resume=True)


def test_a_refused_resume_leaves_nothing_behind(fit: Fit, tmp_path: Path) -> None:
    fit()
    before = contents(tmp_path)
    with pytest.raises(StudyError, match="definition or seed differ"):
        fit(resume=True, seed=5)
    assert contents(tmp_path) == before


def test_resuming_with_fewer_trials_than_were_recorded_is_refused(fit: Fit) -> None:
    fit(trials=30)
    with pytest.raises(StudyError, match="30 trials are recorded, this study ends after 1"):
        fit(resume=True, trials=12)


def test_resuming_what_was_never_begun_is_refused(fit: Fit, url: str) -> None:
    with pytest.raises(StudyError, match=r"nothing to resume: neither .*\.running nor"):
        fit(resume=True)
    with pytest.raises(InputError, match="nothing to resume from: name the spec's path"):
        fit(resume=True, spec=None)
    with pytest.raises(StudyError, match="nothing to resume: sqlite"):
        fit(resume=True, spec=None, storage=url)


def test_without_resume_a_fit_starts_afresh(
    fit: Fit, tmp_path: Path, interrupted_at: InterruptedAt
) -> None:
    with interrupted_at(12), pytest.raises(KeyboardInterrupt):
        fit(seed=5)
    assert (tmp_path / "ensemble.journal.running").exists()
    begun = (tmp_path / "ensemble.journal.running").read_bytes()
    fit()
    kept = {"ensemble.json", "ensemble.journal", "ensemble.journal.interrupted-1"}
    assert set(contents(tmp_path)) == kept
    assert (tmp_path / "ensemble.journal.interrupted-1").read_bytes() == begun
    first = contents(tmp_path)
    fit()
    assert contents(tmp_path)["ensemble.json"] == first["ensemble.json"]


def test_each_resume_that_was_forgotten_keeps_what_was_there_and_tells(
    fit: Fit, tmp_path: Path, interrupted_at: InterruptedAt, caplog: pytest.LogCaptureFixture
) -> None:
    begun = []
    with caplog.at_level(logging.INFO, "ensembler"):
        for trial in (12, 3, 5):
            with interrupted_at(trial), pytest.raises(KeyboardInterrupt):
                fit()
            begun.append((tmp_path / "ensemble.journal.running").read_bytes())
    kept = [tmp_path / f"ensemble.journal.interrupted-{n}" for n in (1, 2)]
    assert [path.read_bytes() for path in kept] == begun[:2]
    told = "keeps the trials of a fit that was interrupted; renamed to ensemble.journal.running, it"
    assert [message[: message.index(", it") + 4] for message in caplog.messages] == [
        f"{path} {told}" for path in kept
    ]
    kept[0].replace(tmp_path / "ensemble.journal.running")
    fit(resume=True)


def test_a_fit_that_fails_leaves_the_old_spec_and_journal(
    fit: Fit, tmp_path: Path, interrupted_at: InterruptedAt
) -> None:
    fit()
    before = contents(tmp_path)
    with interrupted_at(12), pytest.raises(KeyboardInterrupt):
        fit(seed=1)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("step", ["_found_or_made", "locked"])
def test_a_fit_that_ends_as_another_opens_its_journal_is_gone_on_with(
    step: str, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal is renamed between two steps of --resume, which then finds the finished one."""
    whole = fit()
    journal, running = (tmp_path / f"ensemble.journal{end}" for end in ("", ".running"))
    journal.replace(running)
    taken = getattr(sole_writer, step)

    def ended(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on as they came
        if running.exists() and running.stat().st_size:
            running.replace(journal)
        return taken(*given, **named)

    monkeypatch.setattr(sole_writer, step, ended)
    monkeypatch.setattr(Record, "append", None)  # nothing is scored again
    assert fit(resume=True).spec.digest == whole.spec.digest


def test_a_disk_that_is_full_is_told_and_the_fit_goes_on_when_it_is_not(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit()
    (tmp_path / "ensemble.journal").unlink()
    append, appended = JournalFileBackend.append_logs, 0

    def full(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        nonlocal appended
        appended += 1
        if appended > 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, logs)

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", full)
        with pytest.raises(StudyError, match=r"running cannot be written \(No space left on dev"):
            fit()
    assert fit(resume=True).spec.digest == whole.spec.digest


@pytest.mark.parametrize("name", ["ensemble.journal", "ensemble.journal.running"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_the_journals_place_is_refused(
    name: str, resume: bool, fit: Fit, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StudyError, match=rf"{name} (is a folder|cannot be written \(Is a dir)"):
        fit(resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_looking_at_a_database_that_is_none_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"cannot be opened: there is no file '.*new\.db'"):
        recorded_storage(f"sqlite:///{tmp_path / 'new.db'}")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StudyError, match="cannot be opened: "):
        recorded_storage(f"sqlite:///{tmp_path / 'empty.db'}")
    assert contents(tmp_path) == {"empty.db": b""}


def test_looking_at_a_database_shows_its_studies(fit: Fit, url: str) -> None:
    fit(spec=None, storage=url, trials=12)
    assert len(recorded_storage(url).get_all_studies()) == 1


def test_other_rules_of_the_search_are_another_study(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit()
    monkeypatch.setattr("ensembler.fitting.inputs.RULES", 0)
    with pytest.raises(StudyError, match="records another study"):
        fit(resume=True)


def test_a_second_fit_into_the_same_journal_is_refused_and_harms_nothing(
    fit: Fit, tmp_path: Path
) -> None:
    with journal_record(tmp_path / "ensemble.journal", "0" * 64, resume=False):
        running = contents(tmp_path)
        for resume in (False, True):
            with pytest.raises(StudyError, match=r"another fit is writing .*ensemble\.journal"):
                fit(resume=resume)
        assert contents(tmp_path) == running


@pytest.mark.parametrize("made", [Path.touch, lambda lock: lock.symlink_to("nobody")])
def test_a_lock_that_someone_left_beside_the_journal_is_not_waited_for(
    made: Callable[[Path], None],
    fit: Fit,
    tmp_path: Path,
    interrupted_at: InterruptedAt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with interrupted_at(12), pytest.raises(KeyboardInterrupt):
        fit()
    made(tmp_path / "ensemble.journal.running.lock")

    def waiting(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} s")

    monkeypatch.setattr("time.sleep", waiting)
    assert len(fit(resume=True).study.trials) == 30


def test_a_record_of_other_trials_is_noticed(fit: Fit, tmp_path: Path) -> None:
    fit()
    journal = tmp_path / "ensemble.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    first, second = (n for n, line in enumerate(lines) if b"uniform" in line)  # each centring's
    lines[first], lines[second] = lines[second], lines[first]
    journal.write_bytes(b"".join(lines))
    with pytest.raises(StudyError, match=r"trial 0 of the recorded study is not the one"):
        fit(resume=True)


def test_a_storage_keeps_every_fresh_study_and_resumes_the_latest(
    fit: Fit, url: str, interrupted_at: InterruptedAt
) -> None:
    whole = fit(spec=None, storage=url, trials=15)
    with interrupted_at(12, SharedRecord), pytest.raises(KeyboardInterrupt):
        fit(spec=None, storage=url, trials=15)
    resumed = fit(spec=None, storage=url, trials=15, resume=True)
    assert sorted(complete_trials(url).values()) == [list(range(15))] * 2
    assert resumed.spec.digest == whole.spec.digest
    assert [t.params for t in resumed.study.trials] == [t.params for t in whole.study.trials]


def test_a_storage_serves_several_studies(fit: Fit, url: str) -> None:
    fit(spec=None, storage=url, trials=12)
    fit(spec=None, storage=url, trials=12, seed=1)
    assert len(complete_trials(url)) == 2
    assert fit(spec=None, storage=url, trials=12, resume=True).spec.provenance.seed == 0
