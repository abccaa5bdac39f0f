"""Whether the files still hold what the manifest's digests were taken of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ensembler.files import sha256_arrays
from ensembler.store.audit.finding import Finding, Kind
from ensembler.store.audit.survey import blocks
from ensembler.store.reader import SAMPLES, TARGETS, Member, Store
from ensembler.store.samples import samples_digest


def find_altered_store(store: Store) -> Iterator[Finding]:
    """Find samples or targets that differ from the manifest's digests, and targets with NaN."""
    rows = len(store.samples)  # a broken file stops here, with the reader's error
    if _samples_sha256(store) != store.manifest.samples.sha256:
        yield _altered(None, rows, SAMPLES, "restore it from a copy, or create the store again")
    record = store.manifest.targets
    if record is None:
        return
    targets = store.targets()
    if sha256_arrays(targets) != record.sha256:
        yield _altered(None, rows, TARGETS, "restore it from a copy, or create the store again")
    broken = sum(int((~np.isfinite(targets[block]).all(axis=1)).sum()) for block in blocks(rows))
    if broken:
        yield Finding(
            kind=Kind.NAN,
            member=None,
            rows=broken,
            message=f"{broken} of {rows} targets hold NaN or infinity; restore {TARGETS} from a"
            " copy, or create the store again",
        )


def find_altered_member(member: Member) -> Finding | None:
    """Find a member whose rows or embeddings differ from its digest."""
    if member.digest() == member.record.sha256:
        return None
    return _altered(
        member.name, len(member.rows), "rows.npy or embeddings.npy", f"add {member.name!r} again"
    )


def _altered(member: str | None, rows: int, file: str, remedy: str) -> Finding:
    return Finding(
        kind=Kind.HASH,
        member=member,
        rows=rows,
        message=f"{file} was changed after it was written: its sha256 is not the manifest's;"
        f" {remedy}",
    )


def _samples_sha256(store: Store) -> str | None:
    """The digest of the samples as they are now; None where JSON cannot hold them."""
    import pyarrow.parquet as pq

    try:
        return samples_digest(pq.read_table(store.path / SAMPLES))
    except ValueError:  # a weight is NaN, which the writer refuses
        return None
