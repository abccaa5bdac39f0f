"""Target vectors of the prompts: made once for all folds, kept on disk, mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import map_array
from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json
from ensembler.metrics import unit_rows
from ensembler.store.encoder import load_encoder
from ensembler.store.model import EncoderRecord
from ensembler.training.contract import FoldJob

VECTORS: Final = "targets.npy"
RECORD: Final = "targets.json"
CHUNK: Final = 4096  # prompts encoded between two reports of progress


class Targets(NamedTuple):
    """The target vectors of all prompts.

    Attributes:
        vectors: (prompts, d) float32 of unit length, memory-mapped.
        encoder: the encoder that made them.
    """

    vectors: NDArray[np.float32]
    encoder: EncoderRecord


def make_targets(job: FoldJob) -> None:
    """Encode all prompts of a job's data, unless the targets are there.

    Raises:
        StoreError: the encoder cannot be loaded.
        InputError: existing targets are of another encoder or of other data, or they cannot be
            written.
    """
    loaded = load_encoder(job.encoder)
    made_from = {"data": job.digests["data"], "encoder": loaded.record.model_dump(mode="json")}
    record = job.shared / RECORD
    if record.exists():
        _check_made_from(job.shared, json.loads(record.read_bytes()), made_from)
        return
    prompts = job.data.prompts
    try:
        with atomic_write(job.shared / VECTORS) as file:
            for first in range(0, len(prompts), CHUNK):
                chunk = unit_rows(loaded.encode(prompts[first : first + CHUNK].to_pylist()))
                if not first:
                    shape = (len(prompts), chunk.shape[1])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(chunk.astype("<f4").tobytes())
                job.progress("encoding prompts", first + len(chunk), len(prompts))
        with atomic_write(record) as file:
            file.write(canonical_json(made_from))
    except OSError as error:
        raise InputError(
            f"{job.shared / VECTORS} cannot be written: {error.strerror or error}"
        ) from error


def _check_made_from(shared: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse targets of other data or of another encoder, known by their digests."""
    if there["data"] != now["data"]:
        raise InputError(
            f"{shared} has targets of the data with digest {there['data']}, but this data's"
            f" is {now['data']}; give the same data, or name another --out"
        )
    if there["encoder"] != now["encoder"]:
        name, digest = there["encoder"]["name"], there["encoder"]["sha256"]
        raise InputError(
            f"{shared} has targets of the encoder {name!r} ({digest}), but this is"
            f" {now['encoder']['name']!r} ({now['encoder']['sha256']}); give the same encoder, or"
            " name another --out"
        )


def open_targets(folder: Path) -> Targets:
    """Open the targets that `make_targets` made.

    Args:
        folder: the folder of all folds.
    """
    record = json.loads((folder / RECORD).read_bytes())
    vectors = map_array(folder / VECTORS)
    return Targets(vectors, EncoderRecord.model_validate(record["encoder"]))
