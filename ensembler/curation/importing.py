"""Import of pairs into one pair table: image, prompt, source, and fold if the source has one.

Inside a prompt, tabs, line breaks and several blanks become one blank: a .tsv could not hold them,
and MiniLM's tokenizer does not see them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ensembler.curation.importing_coco import read_coco
from ensembler.curation.importing_tables import (
    Named,
    is_diffusiondb,
    read_diffusiondb,
    table_columns,
    table_in,
)
from ensembler.curation.pairs import stream_named, write_pairs
from ensembler.curation.pairs_images import locate
from ensembler.errors import InputError
from ensembler.images.decode import ImageError
from ensembler.store.importing.tables import is_table
from ensembler.store.samples import NO_FOLD

if TYPE_CHECKING:
    import pyarrow as pa

NO_PROMPT: Final = "no prompt"
NO_IMAGE: Final = "no image"


class Format(StrEnum):
    """The format of a source of pairs."""

    COCO = "coco"  # captions in COCO's JSON: images and annotations
    DIFFUSIONDB = "diffusiondb"  # its metadata: image_name, prompt, part_id
    FOLDER = "folder"  # of images, with one table
    TABLE = "table"  # such as the competition's prompts.csv


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The result of importing a source.

    Attributes:
        format: what it was read as.
        pairs: how many were written.
        dropped: reason → how many were left out.
    """

    format: Format
    pairs: int
    dropped: dict[str, int]


def guess_format(source: Path) -> Format:
    """Guess a source's format from its name and, for a table, its columns.

    Raises:
        InputError: the source does not exist, or its suffix is not known.
        StoreError: a table cannot be read.
    """
    if source.is_dir():
        return Format.FOLDER
    if not source.exists():
        raise InputError(f"there is no file or folder {source}")
    if source.suffix.lower() == ".json":
        return Format.COCO
    if not is_table(source):
        raise InputError(
            f"{source}: its name does not show its format; set --format to one of"
            f" {', '.join(Format)}"
        )
    return Format.DIFFUSIONDB if is_diffusiondb(source) else Format.TABLE


def import_pairs(
    source: Path,
    out: Path,
    *,
    format: Format | None = None,  # noqa: A002 - the field's word
    named: Named | None = None,
    origin: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Write the pairs of a source as a pair table, in the source's order.

    Pairs without a prompt, without an image's name or, of a folder, without the image's file are
    left out and counted.

    Args:
        source: a file or a folder.
        out: the table to create or replace: .csv, .tsv or .parquet.
        format: what the source is; None guesses.
        named: the columns of images and prompts in a table; None knows the usual names.
        origin: what stands in the column source; None keeps the source's own, or takes the
            format's name, and of a folder or a table its own.
        progress: called with the pairs read so far.

    Raises:
        InputError: the source is not of the format, a column is missing or not the only one of its
            kind, no pair is left, or `out` cannot be written.
        StoreError: a table is broken.
    """
    kind = guess_format(source) if format is None else format
    table = table_in(source) if kind is Format.FOLDER else source
    if named is not None and kind not in (Format.FOLDER, Format.TABLE):
        raise InputError(
            f"{source} is read as {kind}, whose columns have fixed names; drop --image-column"
            " and --prompt-column"
        )
    columns, blocks = _open(kind, table, named or Named())
    label = origin or (source.stem if kind in (Format.FOLDER, Format.TABLE) else str(kind))
    images = source if kind is Format.FOLDER else None
    read, kept, dropped = 0, 0, Counter[str]()
    with write_pairs(out, columns) as writer:
        for block in blocks:
            pairs = _sound(block, dropped, images)
            writer.write(_with_source(pairs, columns, label, replace=origin is not None))
            read, kept = read + len(block), kept + len(pairs)
            if progress is not None:
                progress(read)
        if not kept:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
            raise InputError(f"{source} has no pairs ({reasons or 'no rows'}); nothing was written")
    return Imported(format=kind, pairs=kept, dropped=dict(sorted(dropped.items())))


def _open(kind: Format, table: Path, named: Named) -> tuple[Sequence[str], Iterator[pa.Table]]:
    """The columns to write, and the blocks of pairs."""
    if kind is Format.COCO:
        return ("image", "prompt", "source"), read_coco(table)
    if kind is Format.DIFFUSIONDB:
        return ("image", "prompt", "source"), read_diffusiondb(table)
    found = table_columns(table, named)
    columns = ("image", "prompt", "source", *(("fold",) if "fold" in found else ()))
    return columns, stream_named(table, found)


def _sound(block: pa.Table, dropped: Counter[str], images: Path | None) -> pa.Table:
    """The complete pairs, their texts tidied; the others are counted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in ("image", "prompt"):
        text = pc.utf8_trim_whitespace(pc.fill_null(block[name], ""))
        if name == "prompt":
            text = pc.replace_substring_regex(text, pattern=r"\s+", replacement=" ")
        block = block.set_column(block.column_names.index(name), name, text)
    pairs = _keep(block, pc.not_equal(block["prompt"], ""), NO_PROMPT, dropped)
    pairs = _keep(pairs, pc.not_equal(pairs["image"], ""), NO_IMAGE, dropped)
    if images is not None:
        there = [_is_there(images, image) for image in pairs["image"].to_pylist()]
        pairs = _keep(pairs, pa.array(there, pa.bool_()), NO_IMAGE, dropped)
    return pairs


def _keep(
    pairs: pa.Table, sound: pa.ChunkedArray | pa.Array, reason: str, dropped: Counter[str]
) -> pa.Table:
    kept = pairs.filter(sound)
    if len(kept) < len(pairs):
        dropped[reason] += len(pairs) - len(kept)
    return kept


def _is_there(folder: Path, image: str) -> bool:
    try:
        locate(folder, image)
    except ImageError:
        return False
    return True


def _with_source(pairs: pa.Table, columns: Sequence[str], label: str, *, replace: bool) -> pa.Table:
    """The columns to write, with the source filled in, and -1 for a missing fold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if replace or "source" not in pairs.column_names:
        source = pa.array([label] * len(pairs), pa.string())
    else:
        source = pc.fill_null(pairs["source"], "")
    filled = {name: pairs[name] for name in ("image", "prompt")} | {"source": source}
    if "fold" in columns:
        filled["fold"] = pc.fill_null(pairs["fold"], NO_FOLD)
    return pa.table(filled)
