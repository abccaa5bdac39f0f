"""`dump`: a predictor's out-of-fold rows of a store's images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ensembler.dumping.dump import BATCH, WORKERS, DumpReport
from ensembler.inference.devices import AUTO, find_devices

if TYPE_CHECKING:
    from ensembler.dumping.dump import Progress
    from ensembler.predicting.batches import Precision
    from ensembler.store.model import Dtype

__all__ = ["DumpReport", "dump"]


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
    """Embed a store's images with a predictor, out of fold, and add the rows as a member.

    Interrupted or killed, the same call goes on where it was.

    Args:
        store: the store's folder.
        name: of the new member.
        predictor: its definition, a TOML file.
        images: the folder of images named by id.
        device: as torch names it; "auto" takes the first CUDA device, or else the CPU.
        batch: as are all that follow, explained in `ensembler.dumping.dump.dump`.
        precision: float32, float16 or bfloat16.
        workers: threads that decode.
        dtype: what is stored, float32 or float16.
        partial: leave samples without an image without a row.
        failures: the list of images that gave no vector.
        work: a folder for what is embedded so far.
        image_cache: a folder for resized images.
        progress: called with (stage, done, total) after every batch.

    Returns:
        The member's record, and what was left out.

    Raises:
        InputError: images are missing, the device is none, or the work cannot go on.
        PredictorError: the definition or a checkpoint cannot be used.
        StoreError: the name is taken or no name, or the store cannot be written.
    """
    from ensembler.dumping.dump import dump as dump_member

    return dump_member(
        store,
        name,
        predictor=predictor,
        images=images,
        device=find_devices((device,))[0],
        batch=batch,
        precision=precision,
        workers=workers,
        dtype=dtype,
        partial=partial,
        failures=failures,
        work=work,
        image_cache=image_cache,
        progress=progress,
    )
