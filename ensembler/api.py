"""The story: fit a blend on a store, freeze it, predict with it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensembler.errors import InputError, SpecError, first_few
from ensembler.inference.prediction import Prediction
from ensembler.report.spec_table import spec_table
from ensembler.report.tables import as_html, as_text
from ensembler.spec.loading import load_spec
from ensembler.spec.model import EnsembleSpec, HeldOut
from ensembler.store.reader import MANIFEST, Store

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
        storage: the URL of an SQL database for the trials, instead of the journal.
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


def predict(
    spec: str | Path | EnsembleSpec,
    source: str | Path | Store,
    *,
    out: str | Path | None = None,
    sample_submission: str | Path | None = None,
    strict: bool = False,
    checkpoints: Sequence[str | Path] = (),
    devices: Sequence[str] = ("auto",),
    batch: int | None = None,
    precision: str | None = None,
    workers: int | None = None,
    deadline: str | float | None = None,
    work: str | Path | None = None,
    image_cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Blend a store of test embeddings, or a folder of images, as a frozen spec says.

    Args:
        spec: a spec or its file.
        source: an opened store or its folder, or a folder of images; all but the next three
            arguments are for images alone.
        out: the submission to write; None leaves it to the result's `to_submission`.
        sample_submission: whose order `out` keeps; None sorts the ids.
        strict: refuse to blend without one of the spec's members.
        checkpoints: as are the next four and `work` and `image_cache`, explained in
            `ensembler.inference.settings.Settings`.
        devices: names as torch has them.
        batch: images at once.
        precision: float32, float16 or bfloat16.
        workers: threads that decode.
        deadline: seconds, or a text such as "8h30m", within which all is written; members that do
            not fit are dropped.
        work: the folder that vectors are kept in.
        image_cache: a folder for resized images.
        progress: called with (member, images done, images in all).

    Returns:
        Ids and unit-length embeddings; of images an `ImagePrediction`, which also tells how each
        member fared.

    Raises:
        SpecError: the spec was changed, or does not fit the store; in a strict run, the store lacks
            a member.
        StoreError: the store is broken.
        PredictorError: a member cannot be made from images here; in a strict run, one is dropped.
        InputError: the source is neither store nor images, or an argument cannot be used.
    """
    from ensembler.inference.deadline import Deadline, seconds_of
    from ensembler.inference.settings import Settings

    until = Deadline.after(None if deadline is None else seconds_of(deadline))
    frozen = spec if isinstance(spec, EnsembleSpec) else load_spec(spec)
    settings = Settings(
        checkpoints=tuple(checkpoints),
        devices=tuple(devices),
        batch=batch,
        precision=precision,
        workers=workers,
        work=work,
        image_cache=image_cache,
    )
    if isinstance(source, Store) or (Path(source) / MANIFEST).is_file():
        if deadline is not None or settings != Settings():
            raise InputError(
                f"{source} is a store of embeddings; checkpoints, devices, deadline and the like"
                " are for a folder of images"
            )
        return _predict_store(frozen, source, out, sample_submission, strict=strict)
    from ensembler.inference.images import predict_images

    return predict_images(
        frozen,
        source,
        settings,
        out=out,
        sample=sample_submission,
        strict=strict,
        deadline=until,
        progress=progress,
    )


def _predict_store(
    spec: EnsembleSpec,
    source: str | Path | Store,
    out: str | Path | None,
    sample: str | Path | None,
    *,
    strict: bool,
) -> Prediction:
    from ensembler.inference.blend import predict_store

    store = source if isinstance(source, Store) else Store.open(source)
    prediction = predict_store(spec, store)
    if strict and prediction.missing_members:
        raise SpecError(
            f"{store.path} lacks {first_few(prediction.missing_members)}; add them, or go without"
            " them by leaving out --strict"
        )
    if out is not None:
        prediction.to_submission(out, sample)
    return prediction


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
