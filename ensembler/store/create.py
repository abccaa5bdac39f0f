"""Making a store: samples, their folds, and what they are scored against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import map_array
from ensembler.errors import InputError, StoreError
from ensembler.files import atomic_folder, sha256_arrays
from ensembler.folds import group_folds
from ensembler.store.commit import replace_manifest, write_array, write_errors
from ensembler.store.encoder import Progress, load_encoder
from ensembler.store.importing.joining import Join
from ensembler.store.importing.sources import Source
from ensembler.store.importing.targets import Targets, read_targets
from ensembler.store.model import COLUMNS, EncoderRecord, Manifest, SamplesRecord, TargetsRecord
from ensembler.store.reader import MEMBERS, SAMPLES, TARGETS, Store
from ensembler.store.samples import NO_FOLD, read_samples, samples_digest

if TYPE_CHECKING:
    import pyarrow as pa

FOLDS: Final = 5  # dealt where nobody says how many
TEXTLESS: Final = frozenset(COLUMNS) - {"prompt"}  # columns kept where no texts are


def create_store(
    path: str | Path,
    samples_file: str | Path,
    *,
    targets: str | Path | NDArray[np.floating] | None = None,
    folds: int | None = None,
    encoder: str | Path | None = None,
    keep_texts: bool = True,
    progress: Progress | None = None,
) -> Store:
    """Make a store; it appears whole, or not at all.

    Targets come from a file, else from the samples' prompts; with neither, the store is one for
    test embeddings: without targets, and in no folds unless the table says so.

    Args:
        path: the folder to create; it must not exist, or be empty.
        samples_file: .csv, .tsv or .parquet with id or imgId, and any of prompt, fold, group,
            source and weight; further columns are kept as text. Its order is kept.
        targets: (n, d) in the samples' order; .npy in that order, or a file of vectors with ids.
        folds: how many folds to deal, by group; None deals FOLDS where the table has none.
        encoder: a sentence-transformers folder for the prompts; None takes MiniLM.
        keep_texts: keep the prompts in the store, and further columns.
        progress: called while prompts are encoded.

    Returns:
        The new store.

    Raises:
        StoreError: something is there already, a file cannot be used, or `path` cannot be written.
        InputError: an encoder is named, but no prompts are encoded; or a number of folds, but none
            are dealt.
    """
    folder, file = Path(path), Path(samples_file)
    _refuse_existing(folder)
    table = read_samples(file)
    if encoder is not None and (targets is not None or "prompt" not in table.column_names):
        reason = "the targets are given" if targets is not None else f"{file} has no column prompt"
        raise InputError(f"an encoder is for prompts, but {reason}; leave it out")
    to_deal = _folds_to_deal(table.column_names, folds, given=targets is not None)
    ids = np.asarray(table["id"].to_pylist(), dtype=np.str_)
    record: EncoderRecord | None = None
    scored: Targets | None = None
    if targets is not None:
        given = Path(targets) if isinstance(targets, str | Path) else targets
        scored = read_targets(given, ids)
    elif "prompt" in table.column_names:
        scored, record = _encode_prompts(file, table, ids, encoder, progress)
    table = _complete(table, to_deal)
    if not keep_texts:
        table = table.select([name for name in table.column_names if name in TEXTLESS])
    with write_errors(folder), atomic_folder(folder) as draft:
        _write(draft, table, scored, record)
    return Store.open(folder)


def _refuse_existing(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()):
            raise StoreError(f"{folder} exists and is not empty; name another folder, or delete it")
    elif folder.exists():
        raise StoreError(f"{folder} is a file; name another folder")


def _folds_to_deal(columns: Sequence[str], folds: int | None, *, given: bool) -> int | None:
    """How many folds to deal: those asked for, else FOLDS; None where none are dealt.

    Args:
        columns: of the samples.
        folds: how many are asked for.
        given: whether targets are given, beside the prompts that there may be.
    """
    if "fold" in columns:
        reason = "the samples have a column fold"
    elif not given and "prompt" not in columns:
        reason = "a store without targets needs none"
    elif folds is not None and folds < 2:
        raise InputError(f"{folds} folds: rows are held out by folds, so deal at least 2")
    else:
        return FOLDS if folds is None else folds
    if folds is not None:
        raise InputError(f"no folds are dealt, for {reason}; leave the number of folds out")
    return None


def _encode_prompts(
    file: Path,
    table: pa.Table,
    ids: NDArray[np.str_],
    encoder: str | Path | None,
    progress: Progress | None,
) -> tuple[Targets, EncoderRecord]:
    prompts = table["prompt"].to_pylist()
    blank = [row for row, prompt in enumerate(prompts) if not prompt.strip()]
    if blank:
        raise StoreError(
            f"{file}: row {blank[0] + 1}, id {str(ids[blank[0]])!r}, has an empty prompt"
            f" ({len(blank)} such rows), which makes no target; leave the sample out, or give"
            " --targets"
        )
    loaded = load_encoder(encoder)
    vectors = loaded.encode(prompts, progress)
    order = np.arange(len(ids))
    scored = Targets(
        source=Source(path=file, ids=None, vectors=vectors),
        join=Join(positions=order, rows=order, unknown=0),
        ids=ids,
        dim=vectors.shape[1],
    )
    return scored, loaded.record


def _complete(table: pa.Table, folds: int | None) -> pa.Table:
    """Add the columns that every store has, where the table lacks them.

    Args:
        table: as `read_samples` gives it.
        folds: how many to deal; None leaves every row in no fold where the table has none.

    Returns:
        The table in the order of COLUMNS, then its further columns.
    """
    import pyarrow as pa

    columns = {name: table[name] for name in table.column_names}
    if "group" not in columns:
        columns["group"] = _groups_of_prompts(table)
    if "source" not in columns:
        columns["source"] = pa.array([""] * table.num_rows, pa.string())
    if "fold" not in columns:
        groups = np.asarray(columns["group"].to_pylist(), dtype=np.str_)
        dealt = np.full(len(groups), NO_FOLD) if folds is None else group_folds(groups, folds)
        columns["fold"] = pa.array(dealt, pa.int64())
    further = [name for name in columns if name not in COLUMNS]
    return pa.table({name: columns[name] for name in (*COLUMNS, *further) if name in columns})


def _groups_of_prompts(table: pa.Table) -> pa.Array:
    """One group for each distinct prompt, else for each sample, named after its first sample."""
    import pyarrow as pa

    if "prompt" not in table.column_names:
        return table["id"]
    first: dict[str, str] = {}
    pairs = zip(table["prompt"].to_pylist(), table["id"].to_pylist(), strict=True)
    return pa.array([first.setdefault(prompt, id_) for prompt, id_ in pairs], pa.string())


def _write(
    draft: Path, table: pa.Table, scored: Targets | None, encoder: EncoderRecord | None
) -> None:
    import pyarrow.parquet as pq

    (draft / MEMBERS).mkdir()
    pq.write_table(table, draft / SAMPLES)
    record: TargetsRecord | None = None
    if scored is not None:
        file = draft / TARGETS
        write_array(file, scored.blocks(), (table.num_rows, scored.dim), "float32")
        record = TargetsRecord(sha256=sha256_arrays(map_array(file)), encoder=encoder)
    samples = SamplesRecord(
        rows=table.num_rows, columns=tuple(table.column_names), sha256=samples_digest(table)
    )
    dim = None if scored is None else scored.dim
    replace_manifest(draft, Manifest(dim=dim, samples=samples, targets=record))
