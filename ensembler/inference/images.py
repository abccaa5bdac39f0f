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
from ensembler.images.decode import ImageError, check_pillow
from ensembler.images.failures import Failure, write_failures
from ensembler.images.find import ImageFiles, find_images
from ensembler.images.stream import load_image
from ensembler.inference.blend import blend_blocks
from ensembler.inference.crew import Crew
from ensembler.inference.deadline import Deadline
from ensembler.inference.jobs import Job, find_members, make_jobs
from ensembler.inference.order import Expectation
from ensembler.inference.prediction import ImagePrediction
from ensembler.inference.run import Progress, Run
from ensembler.inference.settings import Settings, make_setups
from ensembler.inference.submission import check_sample
from ensembler.inference.work import open_work
from ensembler.predicting.checkpoints import checkpoint_folders
from ensembler.spec.model import EnsembleSpec
from ensembler.store.reader import MANIFEST

WRITING_S: Final = 1e-6  # kept for blending and writing a number; measured .3e-6 on two cores
FAILURES: Final = "failures.csv"  # beside the submission: images that could not be read


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
    A member that cannot be loaded, dies or does not fit into the deadline is dropped, and the
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
        PredictorError: a member cannot be made here, whatever the time; in a strict run also when
            it is dropped.
    """
    if out is not None:
        writable_file(out)
    check_pillow()
    files = _find(images)
    if sample is not None:
        check_sample(sample, files.ids, spec.dim)
    located = find_members(spec, checkpoint_folders(settings.checkpoints))
    setups = make_setups(settings, files)
    expectation = Expectation(spec)
    with _work_folder(settings.work, out) as folder, open_work(folder) as work:
        jobs = make_jobs(spec, located, files, work, setups[0].precision)

        def predict() -> ImagePrediction:
            prediction = _blend(spec, expectation, files, run)
            if out is not None:
                prediction.to_submission(out, sample)
                _write_failures(Path(out).with_name(FAILURES), files, prediction.failures)
            return prediction

        with Crew(setups, folder) as crew:
            run = Run(
                jobs={job.name: job for job in jobs},
                crew=crew,
                deadline=deadline or Deadline(),
                expectation=expectation,
                batch=settings.batch,
                strict=strict,
                progress=progress or _unheard,
                better=_unwritten if strict or out is None else predict,
                reserve_s=0.0 if out is None else WRITING_S * len(files) * spec.dim,
            )
            run.go()
        return predict()


def _find(folder: str | Path) -> ImageFiles:
    try:
        return find_images(folder)
    except InputError as error:
        raise InputError(
            f"{folder} is not a store of test embeddings (it has no {MANIFEST}), nor can it be read"
            f" as a folder of images: {error}"
        ) from error


def _blend(
    spec: EnsembleSpec, expectation: Expectation, files: ImageFiles, run: Run
) -> ImagePrediction:
    """The blend of the members that have finished."""
    blend = expectation.blend(run.finished)
    members = [run.jobs[member.name] for member in blend.members]
    plain = blend_blocks(
        spec, blend, files.ids, lambda start, stop: (job.block(start, stop) for job in members)
    )
    return ImagePrediction(
        **vars(plain),
        runs=tuple(run.runs),
        failures=tuple(_failures(files, [run.jobs[name] for name in run.finished])),
        expected_loss=expectation.loss(run.finished),
    )


def _failures(files: ImageFiles, jobs: Sequence[Job]) -> Iterator[Failure]:
    """Images that failed in a member: unread, or given NaN; each once, with what is wrong."""
    failed: dict[int, Job] = {}
    for job in jobs:
        for entry in job.entries:
            for position in np.flatnonzero(~entry.vectors.any(axis=1)).tolist():
                failed.setdefault(position, job)
    for position, job in sorted(failed.items()):
        try:
            load_image(files.paths[position], job.preprocess)
            yield Failure(position, f"has no vector of member {job.name!r} but zeros or NaN")
        except ImageError as error:
            yield Failure(position, error.reason)


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
