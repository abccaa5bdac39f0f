"""The record of a fit's trials: a journal beside the spec, a database, or memory alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ensembler.errors import InputError

if TYPE_CHECKING:
    from ensembler.search.record import Record

JOURNAL = ".journal"  # beside the spec: ensemble.journal


@contextlib.contextmanager
def recorded(
    spec: str | Path | None,
    storage: str | None,
    identity: str,
    *,
    resume: bool,
    join: bool,
    jobs: int,
) -> Iterator[Record]:
    """The record of a fit, opened and closed.

    Args:
        spec: the file that the fit writes, or None.
        storage: a database's URL, or None.
        identity: the digest of all that decides the trials.
        resume: go on from what is recorded.
        join: share the database's study.
        jobs: threads.

    Raises:
        InputError: nothing is named to resume from or to join, or `spec` names no file in a folder
            that exists.
        StudyError: what is recorded cannot be used.
    """
    from ensembler.search.journal import journal_record
    from ensembler.search.record import in_memory

    if storage is not None:
        from ensembler.search.storage import storage_record

        with storage_record(storage, identity, resume=resume, join=join, jobs=jobs) as record:
            yield record
    elif join:
        raise InputError("nothing to join: name the storage that all processes share")
    elif spec is not None:
        if Path(spec).is_dir() or Path(spec).suffix == JOURNAL:
            raise InputError(f"{str(spec)!r} cannot be a spec's file; name one like ensemble.json")
        journal = Path(spec).with_suffix(JOURNAL)
        if not journal.parent.is_dir():
            raise InputError(f"the folder {journal.parent} does not exist; make it first")
        with journal_record(journal, identity, resume=resume) as record:
            yield record
    elif resume:
        raise InputError("nothing to resume from: name the spec's path or a storage")
    else:
        yield in_memory()
