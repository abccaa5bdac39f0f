"""A blender's out-of-fold rows as a member of a store, for a later blend to build on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.refitting.memory import fit_once
from ensembler.blenders.refitting.stacking import rows_out_of_fold
from ensembler.errors import StoreError
from ensembler.store.commit import exclusive, replace_manifest
from ensembler.store.create import create_store
from ensembler.store.model import MemberRecord, Origin
from ensembler.store.reader import SAMPLES, TARGETS, Store
from ensembler.store.writer import add_vectors, check_new_name


def out_of_fold_rows(data: Data, blender: Blender, seed: int) -> NDArray[np.float32]:
    """Out-of-fold rows: each by the whole fit, choices and all, that did not know its fold.

    Args:
        data: to fit on.
        blender: to fit.
        seed: of the fits.

    Returns:
        (N, d) unit rows by position; zero where no member of the blend has the row.
    """
    folds = data.inner_folds(NONE_HELD_OUT)
    return rows_out_of_fold(
        data, lambda held_out: fit_once(data, blender, held_out, seed), NONE_HELD_OUT, folds
    )


def export_member(
    path: str | Path, name: str, data: Data, blender: Blender, seed: int
) -> MemberRecord:
    """Add a blender's out-of-fold rows to a store of the same samples, made if there is none.

    A store that is made has the samples and targets of the data's, in the folds that the rows are
    held out by.

    Args:
        path: the store's folder.
        name: of the new member.
        data: to fit on.
        blender: whose rows.
        seed: of the fits.

    Returns:
        The member's record.

    Raises:
        StoreError: the name is taken or not a name, or the store at `path` has other samples, or
            these in another order, or cannot be written.
    """
    folder = Path(path)
    if not folder.is_dir() or not any(folder.iterdir()):
        _copy_samples(data, folder)
    store = Store.open(folder)
    check_new_name(store, name)
    if not np.array_equal(store.samples.id, data.store.samples.id):
        raise StoreError(
            f"{folder} has other samples than {data.store.path}, or in another order; name a new"
            " folder for the blend's rows"
        )
    vectors = out_of_fold_rows(data, blender, seed)
    rows = np.flatnonzero(vectors.any(axis=1))
    made_by = {"blender": blender.name, "seed": seed, "store": data.store.digest}
    return add_vectors(
        folder,
        name,
        vectors,
        rows=rows,
        at=rows,
        dtype="float32",
        captions=None,
        origin=Origin(config={**made_by, "members": list(data.names)}),
    )


def _copy_samples(data: Data, folder: Path) -> None:
    """Make a store of the same samples and targets, without members."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(data.store.path / SAMPLES)
    place = table.column_names.index("fold")
    table = table.set_column(place, "fold", pa.array(data.statistics.fold, pa.int64()))
    with tempfile.TemporaryDirectory() as beside:
        samples = Path(beside) / SAMPLES
        pq.write_table(table, samples)
        create_store(folder, samples, targets=data.store.path / TARGETS)
    original = data.store.manifest.targets
    with exclusive(folder) as made:
        targets = made.manifest.targets
        if original is not None and targets is not None:  # their file does not name the encoder
            targets = targets.model_copy(update={"encoder": original.encoder})
        replace_manifest(folder, made.manifest.model_copy(update={"targets": targets}))
