"""Tables beside the shards: the pairs in them, and the pairs that failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ensembler.curation.pairs import BREAKS, read_pairs, write_pairs
from ensembler.curation.resizing_shards import Shard
from ensembler.errors import InputError
from ensembler.files import atomic_write
from ensembler.store.importing.tables import BARE
from ensembler.store.samples import NO_FOLD

if TYPE_CHECKING:
    import pyarrow as pa

PAIRS: Final = "pairs.tsv"
FAILURES: Final = "failures.csv"


def check_tsv(path: Path) -> None:
    """Refuse pairs that the .tsv beside the shards cannot hold, before shards are made.

    Raises:
        InputError: a cell holds a tab or a line break.
    """
    import pyarrow.compute as pc

    for pairs in read_pairs(path):
        for name in ("image", "prompt"):
            has_break = pc.match_substring_regex(pairs[name], BREAKS.pattern)
            broken = pc.index(has_break, True).as_py()
            if broken >= 0:
                raise InputError(
                    f"{path}: image {pairs['image'][broken].as_py()!r} has a tab or a line break in"
                    f" its {name}, which a .tsv cannot hold; `ensembler data import` removes them"
                )


def write_tables(path: Path, out: Path, shards: Sequence[Shard], shard_rows: int) -> None:
    """Write both tables, in the order of the pairs.

    Args:
        path: the table of all pairs.
        out: the folder of the shards.
        shards: what became of each.
        shard_rows: pairs in every shard but the last.
    """
    import pyarrow as pa
    import pyarrow.csv

    failures = [failure for shard in shards for failure in shard.failures]
    columns = ("row", "image", "reason")
    listed = pa.Table.from_pylist(
        [failure.model_dump(include=set(columns)) for failure in failures],
        schema=pa.schema([("row", pa.int64()), ("image", pa.string()), ("reason", pa.string())]),
    )
    with atomic_write(out / FAILURES) as file:
        pyarrow.csv.write_csv(listed, file)
    with write_pairs(out / PAIRS, BARE) as writer:
        for number, (shard, pairs) in enumerate(
            zip(shards, read_pairs(path, shard_rows), strict=True)
        ):
            failed = {failure.row - number * shard_rows for failure in shard.failures}
            kept = pa.array([row not in failed for row in range(len(pairs))], pa.bool_())
            writer.write(_with_fold(pairs.filter(kept)))


def _with_fold(pairs: pa.Table) -> pa.Table:
    """The pairs with a column fold, -1 where the table has none."""
    import pyarrow as pa

    if "fold" in pairs.column_names:
        return pairs
    return pairs.append_column("fold", pa.array([NO_FOLD] * len(pairs), pa.int64()))
