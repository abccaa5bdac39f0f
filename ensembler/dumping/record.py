"""What a store keeps of a dumped member beside its vectors: captions, origin; and what was lost."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from ensembler.dumping.assembling import Assembled
from ensembler.dumping.embedding import MADE
from ensembler.dumping.job import DumpJob
from ensembler.errors import InputError
from ensembler.store.model import EncoderRecord, Origin
from ensembler.work.entry import NOT_FINITE, Entry

_BROKEN: Final = "its vector is NaN or infinite"


def lost_images(entry: Entry, whole: Assembled, images: int) -> dict[int, str]:
    """Reasons why images have no vector from any checkpoint, by image, ascending.

    Args:
        entry: of all layers.
        whole: the member.
        images: to a layer.
    """
    broken = np.flatnonzero(entry.state() == NOT_FINITE).tolist()
    reasons = dict.fromkeys(broken, _BROKEN) | entry.notes().unreadable
    stored = set(whole.images.tolist())
    by_image = {row % images: why for row, why in sorted(reasons.items())}
    return {image: why for image, why in sorted(by_image.items()) if image not in stored}


def join_captions(entry: Entry, whole: Assembled, images: int) -> list[str] | None:
    """The text of each of a member's rows; those of several checkpoints are joined by " | ".

    Args:
        entry: of all layers.
        whole: the member.
        images: to a layer.

    Returns:
        (rows,) texts; None where the predictor gives none.

    Raises:
        InputError: the entry has lost texts.
    """
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for row, text in sorted(entry.notes().captions.items()):
        texts[row % images].append(text)
    if not texts:
        return None
    lacking = [image for image in whole.images.tolist() if image not in texts]
    if lacking:
        raise InputError(
            f"{entry.folder} has lost the captions of {len(lacking)} images; delete it, and run the"
            " same command again"
        )
    return [" | ".join(texts[image]) for image in whole.images.tolist()]


def record_origin(job: DumpJob, entry: Entry, whole: Assembled) -> Origin:
    """The origin of a dumped member.

    Args:
        job: with what its images were embedded.
        entry: of all layers.
        whole: the member, of one row at least.

    Returns:
        Its seconds per image are those of one checkpoint, decoding included where it was waited
        for, in three digits.
    """
    made, note = entry.recorded(MADE), entry.notes()
    encoder = made["encoder"]
    return Origin(
        predictor=job.adapter,
        config=dict(job.config),
        checkpoints=job.checkpoints,
        preprocessing=made["preprocessing"],
        seconds_per_image=float(f"{note.seconds / note.images:.3g}") if note.images else None,
        mean_norm=whole.mean_norm,
        device=job.device,
        encoder=encoder and EncoderRecord.model_validate(encoder),
    )
