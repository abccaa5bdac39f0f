"""A predictor's out-of-fold member, from the images of a store's samples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from functools import partial as bound
from pathlib import Path
from typing import Final

from ensembler.dumping.assembling import assemble
from ensembler.dumping.embedding import MADE, embed_all
from ensembler.dumping.images import SampleImages, find_sample_images
from ensembler.dumping.job import make_job
from ensembler.dumping.plan import make_plan
from ensembler.dumping.record import join_captions, lost_images, record_origin
from ensembler.errors import InputError, StoreError
from ensembler.files import writable_file
from ensembler.images.failures import Failure, write_failures
from ensembler.images.identity import file_identities
from ensembler.images.preprocess import Preprocess
from ensembler.images.sharing import shared_images
from ensembler.images.stream import can_be_read
from ensembler.predicting.batches import Precision
from ensembler.predicting.definition import load_definition
from ensembler.predicting.devices import AUTO, find_devices
from ensembler.predicting.registry import check_installed, find_adapter
from ensembler.store.model import Dtype, MemberRecord
from ensembler.store.reader import Store
from ensembler.store.writer import add_vectors, check_new_name
from ensembler.work.entry import Entry
from ensembler.work.store import RESIZED, open_work

BATCH: Final = 32
WORKERS: Final = 4

Progress = Callable[[str, int, int], None]  # called with (stage, done, total)


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpReport:
    """Report of what `dump` stored.

    Attributes:
        member: the member's record.
        samples: rows of the store.
        failures: id → why its image gave no vector.
        failures_file: where these are listed; None where there are none.
        missing: samples without an image.
        uncovered: fold → samples with an image that no checkpoint may embed.
        resumed: images that an earlier run had embedded.
        learned_in: the folder of what the predictor learned from the store, where its definition's
            is read-only; `predict` wants both among its checkpoint folders.
        cache_fault: why images were decoded more often than need be, as a full disk; None without
            a reason.
    """

    member: MemberRecord
    samples: int
    failures: Mapping[str, str]
    failures_file: Path | None
    missing: int
    uncovered: Mapping[int, int]
    resumed: int
    learned_in: Path | None
    cache_fault: str | None


def dump(
    store: str | Path,
    name: str,
    *,
    predictor: str | Path,
    images: str | Path,
    device: str = AUTO,
    batch: int = BATCH,
    precision: Precision = "float32",
    workers: int = WORKERS,
    dtype: Dtype = "float32",
    partial: bool = False,
    failures: str | Path | None = None,
    work: str | Path | None = None,
    image_cache: str | Path | None = None,
    progress: Progress | None = None,
) -> DumpReport:
    """Embed a store's samples out of fold and add them as a member.

    Interrupted or killed, the same call goes on where it was; on the same device the member's
    vectors are those of an uninterrupted run, byte for byte.

    Args:
        store: the store's folder.
        name: the new member's.
        predictor: its definition, a TOML file.
        images: the folder of images named by id.
        device: as torch names it; "auto" takes the first CUDA device, or else the CPU.
        batch: images embedded at once.
        precision: of the arithmetic, under autocast: float32, float16 or bfloat16.
        workers: threads that decode.
        dtype: of the numbers stored, float32 or float16.
        partial: leave out samples without an image, instead of refusing them.
        failures: where images that gave no vector are listed; by default `<name>.failures.csv`.
        work: a folder for what is embedded so far; by default `.<store>.<name>.dump` beside the
            store. What this dump keeps there is removed when the member is in the store.
        image_cache: a folder to keep resized images in; None keeps those that several checkpoints
            of a fold share, and only while they run, in the work folder.
        progress: called with (stage, done, total) after every batch.

    Returns:
        The member's record, and what was left out.

    Raises:
        InputError: images are missing, the device is not here, another run is at work, the work
            folder holds something else, the disk is full, or not a single image gave a vector.
        PredictorError: the definition or a checkpoint cannot be used.
        StoreError: the name is taken or not allowed, or the store cannot be written.
    """
    opened = Store.open(store)
    check_new_name(opened, name)
    _check_writable(opened)
    report = writable_file(failures or f"{name}.failures.csv")
    definition = load_definition(predictor)
    check_installed(definition.adapter, find_adapter(definition.adapter))
    sample_images = find_sample_images(opened.samples.id, images, partial=partial)
    place = default_work(opened.path, name) if work is None else Path(work)
    (device, *_) = find_devices((device,))  # last: it may import torch, which takes seconds
    with open_work(place) as work_store, shared_images(image_cache, place / RESIZED) as shared:
        job = make_job(
            definition,
            Path(predictor).parent,
            opened,
            sample_images,
            device=device,
            batch=batch,
            precision=precision,
            workers=workers,
            progress=bound(progress, "learning") if progress else None,
        )
        plan = make_plan(job.checkpoints, opened.samples.fold[sample_images.positions])
        made_from, listed = job.key(opened), plan.listed(file_identities(sample_images.files.paths))
        begun = work_store.find(made_from, listed)
        resumed = 0
        if begun is not None:
            _try_again(begun, sample_images)
            resumed = plan.total - plan.left(begun, batch)
        entry = embed_all(
            plan,
            job,
            begun,
            bound(work_store.entry, made_from, listed),
            dim=opened.manifest.dim,
            shared=shared,
            progress=bound(progress, "embedding") if progress else None,
        )
        whole = assemble(plan, entry)
        reasons = lost_images(entry, whole, plan.images)
        if reasons or report.exists():  # an earlier run's list must not stay
            failed = [Failure(position, why) for position, why in reasons.items()]
            write_failures(report, sample_images.files, failed)
        if not len(whole.images):
            raise InputError(f"none of {len(reasons)} images gave a vector; {report} says why")
        member = add_vectors(
            opened.path,
            name,
            whole.vectors,
            rows=sample_images.positions[whole.images],
            at=whole.at,
            dtype=dtype,
            captions=join_captions(entry, whole, plan.images),
            origin=record_origin(job, entry, whole),
        )
        if work is None:
            shutil.rmtree(place)  # with what other versions of the member have left there
        else:
            work_store.remove(entry)
    return DumpReport(
        member=member,
        samples=len(opened.samples),
        failures={str(sample_images.files.ids[position]): why for position, why in reasons.items()},
        failures_file=report if reasons else None,
        missing=len(opened.samples) - len(sample_images.files),
        uncovered=plan.uncovered,
        resumed=resumed,
        learned_in=next(iter(job.folders[1:]), None),
        cache_fault=shared.fault,
    )


def default_work(store: Path, name: str) -> Path:
    """The work folder that a dump takes when none is named: hidden, beside the store."""
    whole = store.resolve()
    return whole.with_name(f".{whole.name}.{name}.dump")


def _check_writable(store: Store) -> None:
    """Refuse a read-only store before the work, not after it."""
    if not os.access(store.path, os.W_OK):
        raise StoreError(
            f"{store.path} cannot be written: copy it to a folder that can be, and dump into the"
            " copy"
        )


def _try_again(entry: Entry, sample_images: SampleImages) -> None:
    made = entry.recorded(MADE)
    if made is None:
        return
    preprocess = Preprocess.model_validate(made["preprocessing"], strict=False)
    paths = sample_images.files.paths
    readable = cache(lambda image: can_be_read(paths[image], preprocess))
    entry.try_again(lambda row: readable(row % len(paths)))
