"""A frozen spec applied to a folder of images: `submission.csv` inside a deadline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from ensembler.errors import InputError
from ensembler.files import writable_file
from ensembler.images.decode import check_pillow
from ensembler.images.failures import Failure, write_failures
from ensembler.images.find import ImageFiles, find_images
from ensembler.images.sharing import SharedImages, shared_images
from ensembler.inference.blend import blend_blocks
from ensembler.inference.crew import Crew
from ensembler.inference.deadline import Deadline
from ensembler.inference.embedding import MemberEmbedder, Progress
from ensembler.inference.jobs import Job, find_members, make_jobs
from ensembler.inference.missing import blend_of
from ensembler.inference.order import Expectation
from ensembler.inference.passes import Passes
from ensembler.inference.prediction import ImagePrediction, MemberRun
from ensembler.inference.schedule import MemberSchedule
from ensembler.inference.settings import Settings, make_setups
from ensembler.inference.submission import check_sample
from ensembler.inference.workers import Workers
from ensembler.predicting.checkpoints import checkpoint_folders
from ensembler.spec.model import EnsembleSpec
from ensembler.store.manifest import MANIFEST
from ensembler.work.store import RESIZED, open_work

WRITING_S: Final = 1e-6  # kept for blending and writing a number; measured .3e-6 on two cores


def predict_images(
    spec: EnsembleSpec,
    images: str | Path,
    settings: Settings,
    *,
    out: str | Path | None = None,
    sample: str | Path | None = None,
    strict: bool = False,
    deadline: Deadline | None = None,
    progress: Progress | None = None,
) -> ImagePrediction:
    """Embed a folder of images with every member of a spec and blend them.

    One member runs after another, the one that adds most per second first. Once the first has
    finished there is a valid submission at `out`, which each further one replaces by a better one.
    A member that cannot be made here, dies or does not fit into the deadline is dropped, and the
    others are weighted anew. When none is left every image gets the prior.

    Args:
        spec: the frozen blend.
        images: the folder.
        settings: checkpoints, devices and the like.
        out: the submission to write; None writes none.
        sample: a sample submission whose order to keep.
        strict: end with an error where a member would be dropped; `out` is then written only when
            all is done.
        deadline: by which all must be written; None takes the time it takes.
        progress: called with (member, images done, images in all).

    Returns:
        The prediction, ids sorted.

    Raises:
        InputError: a folder, file, device or setting cannot be used, or the ids of `sample` are not
            those of the images.
        PredictorError: no member can be made here, whatever the time; in a strict run, one of
            them cannot or is dropped.
    """
    if out is not None:
        writable_file(out)
    files = _find(images)
    check_pillow()
    if sample is not None:
        check_sample(sample, files.ids, spec.dim)
    found = find_members(spec, checkpoint_folders(settings.checkpoints), strict=strict)
    setups = make_setups(settings, files)
    expectation = Expectation(spec)
    with (
        _work_folder(settings.work, out) as folder,
        open_work(folder) as work,
        shared_images(settings.image_cache, folder / RESIZED) as shared,
    ):
        jobs = make_jobs(spec, found.located, files, work, setups)

        def predict() -> ImagePrediction:
            prediction = _blend(spec, expectation, files, schedule, shared)
            if out is not None:
                prediction.to_submission(out, sample)
                _write_failures(failures_path(out), files, prediction.failures)
            return prediction

        with Crew(setups, folder) as crew:
            reserve_s = 0.0 if out is None else WRITING_S * len(files) * spec.dim
            until = (deadline or Deadline()).earlier_by(reserve_s)
            schedule = MemberSchedule(
                jobs={job.name: job for job in jobs},
                embedder=MemberEmbedder(
                    workers=Workers(crew=crew, deadline=until),
                    passes=Passes(jobs, shared),
                    batch=settings.batch,
                    progress=progress or _unheard,
                ),
                expectation=expectation,
                strict=strict,
                on_finished=_unwritten if strict or out is None else predict,
                runs=[
                    MemberRun(m.name, len(m.origin.checkpoints), 0, 0, 0.0, found.unusable[m.name])
                    for m in spec.weighted.members
                    if m.name in found.unusable
                ],
            )
            schedule.run()
        return predict()


def failures_path(out: str | Path) -> Path:
    """The list of images that failed: beside the submission, under its name."""
    return Path(out).with_name(f"{Path(out).stem}.failures.csv")


def _find(folder: str | Path) -> ImageFiles:
    try:
        return find_images(folder)
    except InputError as error:
        raise InputError(
            f"{error} ({folder} is taken for a folder of images: it has no {MANIFEST}, as a store"
            " of test embeddings has)"
        ) from error


def _blend(
    spec: EnsembleSpec,
    expectation: Expectation,
    files: ImageFiles,
    schedule: MemberSchedule,
    shared: SharedImages,
) -> ImagePrediction:
    """The blend of the members that have finished."""
    blend, jobs = blend_of(spec, schedule.finished), schedule.jobs
    plain = blend_blocks(
        spec,
        blend,
        files.ids,
        lambda start, stop: {
            name: schedule.jobs[name].block(start, stop) for name in blend.members
        },
    )
    return ImagePrediction(
        **vars(plain),
        runs=tuple(schedule.runs),
        failures=tuple(_failures([jobs[name] for name in schedule.finished])),
        expected_loss=expectation.loss(schedule.finished),
        cache_fault=shared.fault,
    )


def _failures(jobs: Sequence[Job]) -> Iterator[Failure]:
    """Images that failed in a member: unread, or given NaN; each once, with what is wrong.

    Nothing is decoded here: this is the time that is kept for writing.
    """
    reasons: dict[int, str] = {}
    for job in jobs:
        for entry in job.whole():
            reasons |= entry.notes().unreadable
    for job in jobs:
        for entry in job.whole():
            for position in np.flatnonzero(~entry.vectors.any(axis=1)).tolist():
                reasons.setdefault(
                    position,
                    f"has no vector of member {job.name!r} but zeros or NaN; look at it, and"
                    " replace it if it is broken",
                )
    return (Failure(position, reason) for position, reason in sorted(reasons.items()))


@contextmanager
def _work_folder(work: str | Path | None, out: str | Path | None) -> Iterator[Path]:
    if work is not None:
        yield Path(work)
    elif out is not None:
        yield Path(out).with_name(f".{Path(out).name}.work")
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def _write_failures(path: Path, files: ImageFiles, failures: Sequence[Failure]) -> None:
    """Say which images failed; without any, only an earlier run's list is replaced."""
    if failures or path.exists():
        write_failures(path, files, failures)


def _unheard(member: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""


def _unwritten() -> None:
    """A strict run writes the whole blend or nothing."""
