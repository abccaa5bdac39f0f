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
from ensembler.dumping.record import joined_captions, lost_images, record_origin
from ensembler.errors import InputError, StoreError
from ensembler.files import writable_file
from ensembler.images.failures import Failure, write_failures
from ensembler.images.identity import file_identities
from ensembler.images.preprocess import Preprocess
from ensembler.images.sharing import shared_images
from ensembler.images.stream import can_be_read
from ensembler.predicting.batches import Precision
from ensembler.predicting.definition import load_definition
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
    """What `dump` stored.

    Attributes:
        member: the member's record.
        samples: rows of the store.
        failures: id → why its image gave no vector.
        failures_file: where these are listed; None where there are none.
        missing: samples without an image.
        uncovered: fold → samples with an image that no checkpoint may embed.
        resumed: images that an earlier run had embedded.
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
    cache_fault: str | None


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
    image_cache: str | Path | None = None,
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
            store. What this dump keeps there is removed when the member is in the store.
        image_cache: a folder to keep resized images in; None keeps those that several checkpoints
            of a fold share, and only while they run, in the work folder.
        progress: called after every batch.

    Returns:
        What was stored.

    Raises:
        InputError: images are missing, another run is at work, the work folder holds something
            else, the disk is full, or not a single image gave a vector.
        PredictorError: the definition or a checkpoint cannot be used.
        StoreError: the name is taken or no name, or the store cannot be written.
    """
    opened = Store.open(store)
    check_new_name(opened, name)
    _check_writable(opened)
    report = writable_file(failures or f"{name}.failures.csv")
    definition = load_definition(predictor)
    check_installed(definition.adapter, find_adapter(definition.adapter))
    found = find_sample_images(opened.samples.id, images, partial=partial)
    place = default_work(opened.path, name) if work is None else Path(work)
    with open_work(place) as held, shared_images(image_cache, place / RESIZED) as shared:
        job = make_job(
            definition,
            Path(predictor).parent,
            opened,
            found,
            device=device,
            batch=batch,
            precision=precision,
            workers=workers,
            progress=bound(progress, "learning") if progress else None,
        )
        plan = make_plan(job.checkpoints, opened.samples.fold[found.positions])
        made_from, listed = job.key(opened), plan.listed(file_identities(found.files.paths))
        begun = held.find(made_from, listed)
        resumed = 0
        if begun is not None:
            _try_again(begun, found)
            resumed = plan.total - plan.left(begun, batch)
        entry = embed_all(
            plan,
            job,
            begun,
            bound(held.entry, made_from, listed),
            dim=opened.manifest.dim,
            shared=shared,
            progress=bound(progress, "embedding") if progress else None,
        )
        whole = assemble(plan, entry)
        reasons = lost_images(entry, whole, plan.images)
        if reasons or report.exists():  # an earlier run's list must not stay
            failed = [Failure(position, why) for position, why in reasons.items()]
            write_failures(report, found.files, failed)
        if not len(whole.images):
            raise InputError(f"none of {len(reasons)} images gave a vector; {report} says why")
        member = add_vectors(
            opened.path,
            name,
            whole.vectors,
            rows=found.positions[whole.images],
            at=whole.at,
            dtype=dtype,
            captions=joined_captions(entry, whole, plan.images),
            origin=record_origin(job, entry, whole),
        )
        if work is None:
            shutil.rmtree(place)  # with what other versions of the member have left there
        else:
            held.remove(entry)
    return DumpReport(
        member=member,
        samples=len(opened.samples),
        failures={str(found.files.ids[position]): why for position, why in reasons.items()},
        failures_file=report if reasons else None,
        missing=len(opened.samples) - len(found.files),
        uncovered=plan.uncovered,
        resumed=resumed,
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


def _try_again(entry: Entry, found: SampleImages) -> None:
    made = entry.known(MADE)
    if made is None:
        return
    preprocess = Preprocess.model_validate(made["preprocessing"], strict=False)
    paths = found.files.paths
    readable = cache(lambda image: can_be_read(paths[image], preprocess))
    entry.try_again(lambda row: readable(row % len(paths)))
