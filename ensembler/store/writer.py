"""Putting members into a store and taking them out."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import map_array
from ensembler.errors import StoreError, unknown_name
from ensembler.files import atomic_folder, canonical_json, sha256_arrays
from ensembler.frozen import Sha256
from ensembler.store.commit import exclusive, replace_manifest, write_array
from ensembler.store.encoder import Progress
from ensembler.store.importing.captions import encode_captions
from ensembler.store.importing.ids import attach_ids
from ensembler.store.importing.joining import (
    BLOCK_NUMBERS,
    Join,
    checked_blocks,
    common_dim,
    join_by_id,
)
from ensembler.store.importing.sources import Source, read_source
from ensembler.store.model import Dtype, MemberRecord, Origin, check_name
from ensembler.store.reader import MEMBERS, Store

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReport:
    """Report of what `add_member` stored.

    Attributes:
        member: the member's record.
        samples: rows of the store, with or without the member.
        unknown_dropped: rows left out because no sample has their id.
    """

    member: MemberRecord
    samples: int
    unknown_dropped: int

    @property
    def coverage(self) -> float:
        """The share of samples that have a vector of nonzero length."""
        return (self.member.rows - self.member.zero_rows) / self.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A member ready to be written; its vectors may still be in the files they came from."""

    name: str
    sources: Sequence[Source]
    join: Join
    ids: NDArray[np.str_]
    dtype: Dtype
    texts: pa.Table | None
    origin: Origin


def add_member(
    store: str | Path,
    name: str,
    files: Sequence[str | Path],
    *,
    ids: Sequence[str | Path] = (),
    dtype: Dtype = "float32",
    drop_unknown: bool = False,
    encoder: str | Path | None = None,
    keep_texts: bool = True,
    origin: Origin | None = None,
    progress: Progress | None = None,
) -> AddReport:
    """Add a member from files of vectors or captions, joined to the samples by id.

    Args:
        store: the store's folder.
        name: the member's; letters, digits and . _ + -.
        files: one, or several (such as one for each fold) that together are the member.
        ids: files of ids for files that hold none: one for all in order, or one for each.
        dtype: what is stored.
        drop_unknown: leave out rows whose id no sample has, instead of refusing them.
        encoder: a sentence-transformers folder for captions; None takes MiniLM.
        keep_texts: keep captions beside their vectors.
        origin: what made the member; the files' digests and the encoder are added to it.
        progress: called while captions are encoded.

    Returns:
        What was stored.

    Raises:
        StoreError: the name is taken or not allowed, a file cannot be used, ids are unknown or come
            twice, a value is NaN, infinite or too large, or the store cannot be written.
    """
    opened = Store.open(store)
    check_new_name(opened, name)
    _check_dtype(dtype)
    if not files:
        raise StoreError(f"no files for member {name!r}; give at least one")
    paths = [Path(file) for file in files]
    _refuse_same_file(paths)
    sources = [read_source(path) for path in paths]
    sources = attach_ids(sources, [Path(file) for file in ids], opened.samples)
    texts = [source for source in sources if source.texts is not None]
    if texts and len(texts) < len(sources):
        raise StoreError(
            f"{texts[0].path} holds captions, other files of member {name!r} vectors; make two"
            " members of them"
        )
    sample_ids = opened.samples.id
    join = join_by_id(sources, sample_ids, drop_unknown=drop_unknown)
    origin = origin or Origin()
    origin = origin.model_copy(update={"files": origin.files | _file_digests(paths)})
    captions = None
    if texts:
        captions = encode_captions(sources, join, sample_ids, encoder, progress)
        sources, join = [captions.source], captions.join
        origin = origin.model_copy(update={"encoder": captions.encoder})
    draft = _Draft(
        name=name,
        sources=sources,
        join=join,
        ids=sample_ids,
        dtype=dtype,
        texts=captions.texts if captions is not None and keep_texts else None,
        origin=origin,
    )
    return AddReport(
        member=_commit(opened.path, draft), samples=len(sample_ids), unknown_dropped=join.unknown
    )


def add_vectors(
    store: str | Path,
    name: str,
    vectors: NDArray[np.floating],
    *,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    dtype: Dtype,
    captions: Sequence[str] | None,
    origin: Origin,
) -> MemberRecord:
    """Add a member from vectors whose samples are known.

    Args:
        store: the store's folder.
        name: the member's.
        vectors: (m, d), memory-mapped or not.
        rows: (n,) positions of samples, ascending and unique.
        at: (n,) where among `vectors` that of each row is.
        dtype: what is stored.
        captions: (n,) the texts behind the vectors; None where there are none.
        origin: what made the member.

    Raises:
        StoreError: the name is taken or not allowed, a value is NaN, infinite or too large, or the
            store cannot be written.
    """
    import pyarrow as pa

    opened = Store.open(store)
    check_new_name(opened, name)
    _check_dtype(dtype)
    ids = opened.samples.id
    texts = None
    if captions is not None:
        columns = {"id": pa.array(ids[rows].tolist(), pa.string()), "caption": list(captions)}
        texts = pa.table(columns)
    draft = _Draft(
        name=name,
        sources=[Source(path=Path(name), ids=None, vectors=vectors)],
        join=Join(positions=rows, rows=at, unknown=0),
        ids=ids,
        dtype=dtype,
        texts=texts,
        origin=origin,
    )
    return _commit(opened.path, draft)


def check_new_name(store: Store, name: str) -> None:
    """Check a name before the work that makes its member.

    Raises:
        StoreError: it is not allowed, or taken.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise StoreError(str(error)) from error
    if name in store.names:
        remove = shlex.join(["ensembler", "store", "remove", str(store.path), name])
        raise StoreError(
            f"{store.path} has a member {name!r} already; take it out first with `{remove}`, or"
            " choose another name"
        )


def remove_member(store: str | Path, name: str) -> None:
    """Take a member out; the manifest forgets it first, then its folder goes.

    Args:
        store: the store's folder.
        name: the member's.

    Raises:
        StoreError: no such member, or the store cannot be written.
    """
    with exclusive(Path(store)) as opened:
        manifest = opened.manifest
        members = tuple(record for record in manifest.members if record.name != name)
        if len(members) == len(manifest.members):
            raise StoreError(f"{opened.path}: {unknown_name('member', name, opened.names)}")
        dim = manifest.dim if manifest.targets or members else None
        replace_manifest(opened.path, manifest.model_copy(update={"members": members, "dim": dim}))
        shutil.rmtree(opened.path / MEMBERS / name, ignore_errors=True)  # unlisted: not a member


def _check_dtype(dtype: str) -> None:
    if dtype not in get_args(Dtype):
        raise StoreError(f"{dtype!r} is not stored; known: {', '.join(get_args(Dtype))}")


def _commit(path: Path, draft: _Draft) -> MemberRecord:
    with exclusive(path) as opened:
        check_new_name(opened, draft.name)
        dim = common_dim(draft.sources, opened.manifest.dim, f"the store {path}")
        folder = path / MEMBERS / draft.name
        shutil.rmtree(folder, ignore_errors=True)  # what a kill before the commit left
        with atomic_folder(folder) as unfinished:
            record = _write(unfinished, draft, dim)
        members = (*opened.manifest.members, record)
        replace_manifest(path, opened.manifest.model_copy(update={"members": members, "dim": dim}))
    return record


def _write(folder: Path, draft: _Draft, dim: int) -> MemberRecord:
    import pyarrow.parquet as pq

    rows, file = draft.join.positions, folder / "embeddings.npy"
    blocks = checked_blocks(
        draft.sources,
        draft.join,
        draft.ids,
        np.dtype(draft.dtype),
        remedy="predict it again, or leave the row out (a member may lack rows)",
    )
    write_array(folder / "rows.npy", [rows], rows.shape, "int64")
    write_array(file, blocks, (len(rows), dim), draft.dtype)
    embeddings = map_array(file)
    if draft.texts is not None:
        pq.write_table(draft.texts, folder / "captions.parquet")
    record = MemberRecord(
        name=draft.name,
        rows=len(rows),
        zero_rows=_zero_rows(embeddings),
        dim=dim,
        dtype=draft.dtype,
        captions=draft.texts is not None,
        sha256=sha256_arrays(rows, embeddings),
        origin=draft.origin,
    )
    (folder / "member.json").write_bytes(canonical_json(record.model_dump(mode="json")))
    return record


def _zero_rows(embeddings: NDArray[np.floating]) -> int:
    step = max(1, BLOCK_NUMBERS // embeddings.shape[1])
    starts = range(0, len(embeddings), step)
    return sum(int((~embeddings[at : at + step].any(axis=1)).sum()) for at in starts)


def _refuse_same_file(paths: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise StoreError(f"{path} is given twice; give each file once")
        seen.add(path.resolve())


def _file_digests(paths: Sequence[Path]) -> dict[str, Sha256]:
    """The sha256 of each file, by its name, with as many parent folders as tell all apart."""
    whole = [path.resolve() for path in paths]
    for depth in count(1):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len(set(names)) == len(set(whole)):
            break
    digests = {}
    for name, path in zip(names, paths, strict=True):
        with path.open("rb") as content:
            digests[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return digests
