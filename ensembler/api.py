"""The story: fit a blend on a store, freeze it, predict with it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensembler.errors import InputError
from ensembler.inference.prediction import Prediction
from ensembler.report.spec_table import spec_table
from ensembler.report.tables import as_html, as_text
from ensembler.spec.loading import load_spec
from ensembler.spec.model import EnsembleSpec, HeldOut
from ensembler.store.reader import Store

if TYPE_CHECKING:
    import optuna

    from ensembler.fitting.inputs import Progress
    from ensembler.search.definition import StudyDefinition
    from ensembler.search.record import Record

__all__ = ["FitResult", "Prediction", "fit", "predict"]

JOURNAL = ".journal"  # what a spec's trials are kept under, beside it: ensemble.journal


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """A fitted blend; prints as a table.

    Attributes:
        spec: the frozen spec.
        status: how the solver ended for the best trial, a name of
            `ensembler.blending.solver.Status`; "given" where nothing was solved.
        study: the Optuna study with every trial.
        warnings: what to look at before trusting the scores.
        seconds: how long the fit took.
    """

    spec: EnsembleSpec
    status: str
    study: optuna.Study = field(repr=False)
    warnings: tuple[str, ...]
    seconds: float

    @property
    def score(self) -> float:
        """Mean cosine of the spec's weights on the rows that chose them."""
        return self.spec.scores.in_sample

    @property
    def held_out(self) -> HeldOut | None:
        """The honest score; None when the study's validation is "none"."""
        return self.spec.scores.held_out

    def __str__(self) -> str:
        return as_text(spec_table(self.spec))

    def _repr_html_(self) -> str:
        return as_html(spec_table(self.spec))


def fit(
    store: str | Path | Store,
    *,
    study: str | Path | StudyDefinition = "default",
    members: Sequence[str] | None = None,
    trials: int | None = None,
    seed: int | None = None,
    jobs: int = 1,
    spec: str | Path | None = None,
    storage: str | None = None,
    resume: bool = False,
    join: bool = False,
    progress: Progress | None = None,
) -> FitResult:
    """Tune a blend on a store's out-of-fold embeddings and score it honestly.

    Args:
        store: an opened store or its folder; it must have targets.
        study: a study's name, file or definition.
        members: names or patterns, instead of the study's.
        trials: instead of the study's.
        seed: instead of the study's.
        jobs: threads; the result is the same for any number.
        spec: where to write the frozen spec, with the trials' journal beside it; None writes none.
        storage: an Optuna storage URL for the trials, instead of the journal.
        resume: go on from the recorded trials.
        join: work on the storage's latest study of these inputs together with every other process
            that does, beginning it where there is none; on like processors and libraries all end
            with the same spec.
        progress: called with (stage, done, total) as work advances.

    Returns:
        The frozen spec, its scores and the study.

    Raises:
        StoreError: the store is broken, has no targets, or nothing to blend.
        StudyError: the study cannot be used or resumed, or its storage is lost.
        InputError: nothing is named to resume from or to join, or `spec` names no file in a folder
            that exists.
    """
    from threadpoolctl import threadpool_limits

    from ensembler.fitting.caveats import caveats
    from ensembler.fitting.freezing import freeze
    from ensembler.fitting.inputs import fit_statistics, make_space, resolve_study, study_identity
    from ensembler.fitting.searching import search, search_held_out

    begun = time.monotonic()
    opened = store if isinstance(store, Store) else Store.open(store)
    name, definition = resolve_study(study, members=members, trials=trials, seed=seed)
    space = make_space(definition, opened)
    # One thread for each product: the order of its sums must not depend on the machine's cores.
    with threadpool_limits(1):
        statistics = fit_statistics(opened, space, jobs=jobs, progress=progress)
        rows = np.arange(len(statistics))
        identity = study_identity(opened, space)
        with _recorded(spec, storage, identity, resume=resume, join=join, jobs=jobs) as record:
            outcome = search(
                space, statistics, rows, None, record=record, jobs=jobs, progress=progress
            )
            held_out = search_held_out(space, statistics, jobs=jobs, progress=progress)
            nested = held_out.nested if held_out else None
            frozen = freeze(name, opened, space, statistics, outcome, nested)
            if spec is not None:
                frozen.save(spec)
    return FitResult(
        spec=frozen,
        status=outcome.status,
        study=record.study,
        warnings=caveats(opened.samples, statistics, outcome.status, held_out),
        seconds=time.monotonic() - begun,
    )


def predict(spec: str | Path | EnsembleSpec, store: str | Path | Store) -> Prediction:
    """Blend a store of test embeddings as a frozen spec says.

    Args:
        spec: a spec or its file.
        store: an opened store or its folder.

    Returns:
        Ids and unit-length embeddings; `to_submission` writes the file.

    Raises:
        SpecError: the spec was changed, or does not fit the store.
        StoreError: the store is broken.
    """
    from ensembler.inference.blend import predict_store

    frozen = spec if isinstance(spec, EnsembleSpec) else load_spec(spec)
    return predict_store(frozen, store if isinstance(store, Store) else Store.open(store))


@contextlib.contextmanager
def _recorded(
    spec: str | Path | None,
    storage: str | None,
    identity: str,
    *,
    resume: bool,
    join: bool,
    jobs: int,
) -> Iterator[Record]:
    from ensembler.search.journal import journal_record
    from ensembler.search.record import in_memory

    if storage is not None:
        from ensembler.search.storage import storage_record

        with storage_record(storage, identity, resume=resume, join=join, jobs=jobs) as record:
            yield record
    elif join:
        raise InputError("nothing to join: name the storage that all processes share")
    elif spec is not None:
        if Path(spec).is_dir() or Path(spec).suffix == JOURNAL:
            raise InputError(f"{str(spec)!r} cannot be a spec's file; name one like ensemble.json")
        journal = Path(spec).with_suffix(JOURNAL)
        if not journal.parent.is_dir():
            raise InputError(f"the folder {journal.parent} does not exist; make it first")
        with journal_record(journal, identity, resume=resume) as record:
            yield record
    elif resume:
        raise InputError("nothing to resume from: name the spec's path or a storage")
    else:
        yield in_memory()
