"""Import of tables: DiffusionDB's metadata, the table of an image folder, any table of prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ensembler.curation.pairs import table_names
from ensembler.errors import InputError, first_few, unknown_name
from ensembler.store.importing.tables import is_table, read_schema, stream_columns

if TYPE_CHECKING:
    import pyarrow as pa

# What the columns are usually called, whatever their capitals.
IMAGE_NAMES: Final = ("image", "id", "imgid", "file_name", "filename", "image_name", "image_path")
PROMPT_NAMES: Final = ("prompt", "caption", "text")
DIFFUSIONDB: Final = ("image_name", "prompt", "part_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Names of columns, given by the user.

    Attributes:
        image: of the images' ids or paths; None looks for one of IMAGE_NAMES.
        prompt: None looks for one of PROMPT_NAMES.
    """

    image: str | None = None
    prompt: str | None = None


def is_diffusiondb(path: Path) -> bool:
    """Whether a table has the columns of DiffusionDB's metadata.

    Raises:
        StoreError: the table cannot be read.
    """
    return set(DIFFUSIONDB) <= set(table_names(path))


def read_diffusiondb(path: Path) -> Iterator[pa.Table]:
    """Read DiffusionDB's metadata.

    Args:
        path: metadata.parquet, or a part of it in any table.

    Yields:
        Tables of image and prompt. The image's path is the one below the data set's folder of
        images, `part-000001/NAME.png`.

    Raises:
        InputError: a column is missing.
        StoreError: the table is broken.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = read_schema(path).names
    for column in DIFFUSIONDB:
        if column not in names:
            raise InputError(
                f"{path}: {unknown_name('column', column, names)}; DiffusionDB's metadata have"
                f" {', '.join(DIFFUSIONDB)}"
            )
    types = {name: pa.int64() if name == "part_id" else pa.string() for name in DIFFUSIONDB}
    for batch in stream_columns(path, types):
        part = pc.utf8_lpad(batch["part_id"].cast(pa.string()), 6, "0")
        image = pc.binary_join_element_wise("part-", part, "/", batch["image_name"], "")
        # Joined by the last argument, here nothing; a row without a part or a name has no image.
        yield pa.table({"image": image, "prompt": batch["prompt"]})


def table_in(folder: Path) -> Path:
    """Find the only table in a folder of images.

    Raises:
        InputError: there is no such folder, or none or several tables in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of images with a table")
    tables = sorted(
        file for file in folder.iterdir() if is_table(file) and not file.name.startswith(".")
    )
    if len(tables) != 1:
        present = first_few(file.name for file in tables) or "none"
        remedy = f"give {tables[0]} itself, or another" if tables else "put one there"
        raise InputError(
            f"{folder} should hold one table of images and prompts; it has {present}: {remedy}"
        )
    return tables[0]


def table_columns(path: Path, named: Named) -> dict[str, str]:
    """Map our names of image, prompt and, if present, source and fold to the table's.

    Raises:
        InputError: there is no column of images or prompts, or several; the remedy names the
            option.
        StoreError: the table cannot be read.
    """
    names = table_names(path)
    found = {
        "image": _column(path, names, "image", named.image, IMAGE_NAMES),
        "prompt": _column(path, names, "prompt", named.prompt, PROMPT_NAMES),
    }
    return found | {name: name for name in ("source", "fold") if name in names}


def _column(
    path: Path, names: list[str], ours: str, named: str | None, usual: tuple[str, ...]
) -> str:
    """The table's name for one of our columns."""
    if named is not None:
        if named not in names:
            raise InputError(f"{path}: {unknown_name('column', named, names)}")
        return named
    found = [name for name in names if name.strip().lower() in usual]
    if len(found) == 1:
        return found[0]
    what = f"several columns of {ours}s ({first_few(found)})" if found else f"no column {ours!r}"
    raise InputError(
        f"{path} has {what}; its columns are {first_few(names, 12)}: name one with --{ours}-column"
    )
