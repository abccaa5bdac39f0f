"""A predictor's out-of-fold member, from the images of a store's samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial as bound
from pathlib import Path
from typing import Final

from ensembler.dumping.assembling import Assembled, assemble
from ensembler.dumping.embedding import embed_all
from ensembler.dumping.images import find_sample_images
from ensembler.dumping.job import Job, make_job
from ensembler.dumping.plan import Plan, make_plan
from ensembler.dumping.work import Work, working_in
from ensembler.errors import InputError
from ensembler.files import writable_file
from ensembler.images.failures import write_failures
from ensembler.predicting.batches import Precision
from ensembler.predicting.definition import load_definition
from ensembler.predicting.registry import check_installed, find_adapter
from ensembler.store.model import Dtype, MemberRecord, Origin
from ensembler.store.reader import Store
from ensembler.store.writer import add_vectors, check_new_name

BATCH: Final = 32
WORKERS: Final = 4

Progress = Callable[[str, int, int], None]  # called with (stage, done, total)


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpReport:
    """What `dump` stored.

    Attributes:
        member: the member's record.
        samples: rows of the store.
        failures: id → why its image gave no vector.
        failures_file: where these are listed; None where there are none.
        missing: samples without an image.
        uncovered: fold → samples with an image that no checkpoint may embed.
        resumed: images that an earlier run had embedded.
    """

    member: MemberRecord
    samples: int
    failures: Mapping[str, str]
    failures_file: Path | None
    missing: int
    uncovered: Mapping[int, int]
    resumed: int


def dump(
    store: str | Path,
    name: str,
    *,
    predictor: str | Path,
    images: str | Path,
    device: str = "cpu",
    batch: int = BATCH,
    precision: Precision = "float32",
    workers: int = WORKERS,
    dtype: Dtype = "float32",
    partial: bool = False,
    failures: str | Path | None = None,
    work: str | Path | None = None,
    progress: Progress | None = None,
) -> DumpReport:
    """Embed a store's samples out of fold and add them as a member.

    Interrupted or killed, the same call goes on where it was; on the same device the member's
    vectors are those of an uninterrupted run, byte for byte.

    Args:
        store: the store's folder.
        name: of the new member.
        predictor: its definition, a TOML file.
        images: the folder of images named by id.
        device: as torch names it.
        batch: images embedded at once.
        precision: of the arithmetic, under autocast.
        workers: threads that decode.
        dtype: what is stored.
        partial: leave out samples without an image, instead of refusing them.
        failures: where images that gave no vector are listed; by default `<name>.failures.csv`.
        work: a folder for what is embedded so far; by default `.<store>.<name>.dump` beside the
            store. It is removed when the member is in the store.
        progress: called after every batch.

    Returns:
        What was stored.

    Raises:
        InputError: images are missing, another run is at work, the work folder holds another
            dump's, the disk is full, or not a single image gave a vector.
        PredictorError: the definition or a checkpoint cannot be used.
        StoreError: the name is taken or no name, or the store cannot be written.
    """
    opened = Store.open(store)
    check_new_name(opened, name)
    listed = writable_file(failures or f"{name}.failures.csv")
    definition = load_definition(predictor)
    check_installed(definition.adapter, find_adapter(definition.adapter))
    found = find_sample_images(opened.samples.id, images, partial=partial)
    with working_in(default_work(opened.path, name) if work is None else Path(work)) as held:
        job = make_job(
            definition,
            Path(predictor).parent,
            opened,
            found,
            device=device,
            batch=batch,
            precision=precision,
            progress=bound(progress, "learning") if progress else None,
        )
        plan = make_plan(job.checkpoints, opened.samples.fold, found.present)
        held.begin(job.key(opened), len(opened.samples))
        resumed = held.done.images
        embed_all(
            plan,
            job,
            held,
            dim=opened.manifest.dim,
            workers=workers,
            progress=bound(progress, "embedding") if progress else None,
        )
        whole = assemble(plan, held)
        reasons = _failures(plan, held, whole)
        if reasons or listed.exists():  # an earlier run's list must not stay
            write_failures(listed, found.files, found.failures(reasons))
        if not len(whole.rows):
            raise InputError(f"none of {len(reasons)} images gave a vector; {listed} says why")
        texts = held.done.captions
        member = add_vectors(
            opened.path,
            name,
            whole.vectors,
            rows=whole.rows,
            at=whole.at,
            dtype=dtype,
            captions=[texts[row] for row in whole.rows.tolist()] if texts else None,
            origin=_origin(job, held, whole),
        )
        held.remove()
    return DumpReport(
        member=member,
        samples=len(opened.samples),
        failures={str(opened.samples.id[row]): why for row, why in reasons.items()},
        failures_file=listed if reasons else None,
        missing=len(opened.samples) - len(found.files),
        uncovered=plan.uncovered,
        resumed=resumed,
    )


def default_work(store: Path, name: str) -> Path:
    """The work folder that a dump takes when none is named: hidden, beside the store."""
    whole = store.resolve()
    return whole.with_name(f".{whole.name}.{name}.dump")


def _failures(plan: Plan, work: Work, whole: Assembled) -> dict[int, str]:
    """Positions of the samples without a vector from any checkpoint → why."""
    reasons: dict[int, str] = {}
    for number in range(len(plan.passes)):
        reasons |= work.done.failures[number]
    stored = set(whole.rows.tolist())
    return {row: why for row, why in sorted(reasons.items()) if row not in stored}


def _origin(job: Job, work: Work, whole: Assembled) -> Origin:
    made = work.done.made
    assert made is not None  # noqa: S101 - it has rows, so a predictor was loaded
    return Origin(
        predictor=job.adapter,
        config=dict(job.config),
        checkpoints=job.checkpoints,
        preprocessing=made.preprocessing,
        seconds_per_image=work.done.seconds_per_image,
        mean_norm=whole.mean_norm,
        device=job.device,
        encoder=made.encoder,
    )
