"""What is trained on: prompts with their images and fold, from pair tables."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.pairs import read_pairs
from ensembler.curation.pairs_images import check_folder, locate
from ensembler.errors import InputError, first_few
from ensembler.images.decode import ImageError
from ensembler.store.samples import NO_FOLD

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: Final = ["prompt", "image", "fold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Some prompts and the images of each.

    Attributes:
        rows: (n,) int64, where among all prompts they stand, ascending; targets are found by it.
        keys: (n,) what names each of them, whatever else is in the table: draws are seeded by it.
        images: of each, its images' paths.
    """

    rows: NDArray[np.int64]
    keys: Sequence[str]
    images: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class TrainingData:
    """All prompts of the tables, in alphabetical order, whatever the order of the tables' rows.

    Attributes:
        prompts: (n,) distinct texts, sorted, as an Arrow array.
        images: (k,) paths relative to the images' folder; those of one prompt next to each other.
        starts: (n + 1,) int64, where in `images` each prompt's begin.
        folds: (n,) int64; NO_FOLD for none, from which every checkpoint may learn.
    """

    prompts: pa.StringArray
    images: pa.StringArray
    starts: NDArray[np.int64]
    folds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def known_folds(self) -> list[int]:
        """The folds that can be held out, ascending."""
        return [int(fold) for fold in np.unique(self.folds) if fold != NO_FOLD]

    @cached_property
    def digest(self) -> str:
        """The sha256 of every prompt with its images' names and fold; images are not opened."""
        digest = hashlib.sha256()
        for row, fold in enumerate(self.folds.tolist()):
            paths = self.images[self.starts[row] : self.starts[row + 1]].to_pylist()
            digest.update(repr((self.prompts[row].as_py(), fold, paths)).encode())
        return digest.hexdigest()

    def check_fold(self, fold: int) -> None:
        """Refuse a fold that nothing could be held out of.

        Raises:
            InputError: no prompt is in it, or every one is.
        """
        if fold not in self.known_folds:
            raise InputError(
                f"no prompt is in fold {fold}, so there is nothing to hold out;"
                f" {self._said_folds()}"
            )
        if (self.folds == fold).all():
            raise InputError(f"every prompt is in fold {fold}, so none is left to learn from")

    def held_out(self, fold: int) -> Examples:
        """The prompts of a fold."""
        return self._examples(np.flatnonzero(self.folds == fold))

    def without(self, fold: int) -> Examples:
        """The prompts of all other folds, and those in none."""
        return self._examples(np.flatnonzero(self.folds != fold))

    def _said_folds(self) -> str:
        if not self.known_folds:
            return "the data has no folds: it needs a column fold"
        return f"the data has folds {first_few(self.known_folds, 20)}"

    def _examples(self, rows: NDArray[np.int64]) -> Examples:
        prompts = self.prompts.take(rows).to_pylist()
        bounds = zip(self.starts[rows], self.starts[rows + 1], strict=True)
        images = [tuple(self.images[first:last].to_pylist()) for first, last in bounds]
        return Examples(rows=rows, keys=prompts, images=images)


def load_data(tables: Sequence[str | Path], images: str | Path) -> TrainingData:
    """Read pair tables and look for their images.

    A pair that is there twice counts once.

    Args:
        tables: .tsv, .csv or .parquet with columns image, prompt and fold; see
            `ensembler.curation.pairs`.
        images: the folder that the images' paths are relative to.

    Raises:
        InputError: a table is not what it should be, a prompt is empty, a prompt or an image is in
            two folds, or images are missing.
        StoreError: a table is missing or broken.
    """
    import pyarrow as pa

    read = [_columns(block) for table in tables for block in read_pairs(Path(table))]
    pairs = pa.concat_tables(read)
    pairs = pairs.group_by(COLUMNS).aggregate([])
    pairs = pairs.sort_by([(name, "ascending") for name in COLUMNS]).combine_chunks()
    paths = _image_paths(pairs["image"].combine_chunks(), Path(images), tables)
    pairs = pairs.set_column(1, "image", pa.array(paths, pa.string()))
    data = _grouped(pairs)
    _check_images(pairs)
    return data


def _columns(block: pa.Table) -> pa.Table:
    """The columns that count; without folds, all rows are in none."""
    import pyarrow as pa

    if "fold" not in block.column_names:
        block = block.append_column("fold", pa.array([NO_FOLD] * len(block), pa.int64()))
    return block.select(COLUMNS)


def _check_images(pairs: pa.Table) -> None:
    """Refuse an image that several prompts have, not all of them in one fold."""
    import pyarrow.compute as pc

    folds = pairs.group_by("image").aggregate([("fold", "min"), ("fold", "max")])
    torn = folds.filter(pc.not_equal(folds["fold_min"], folds["fold_max"]))
    if len(torn):
        first, *_ = torn.slice(0, 1).to_pylist()
        raise InputError(
            f"the image {first['image']!r} is in folds {first['fold_min']} and"
            f" {first['fold_max']}: a checkpoint would be judged on what it has learned from; give"
            " all its prompts one fold, as `ensembler data fold` does"
        )


def _grouped(pairs: pa.Table) -> TrainingData:
    """Pairs that are sorted by prompt, as prompts with their images."""
    prompts = pairs["prompt"].combine_chunks()
    folds = pairs["fold"].to_numpy()
    starts = _starts(prompts)
    for first, last in pairwise(starts.tolist()):
        if len(found := np.unique(folds[first:last])) > 1:
            raise InputError(
                f"the prompt {prompts[first].as_py()!r} is in folds {first_few(found)}: a"
                " checkpoint would be judged on what it has learned; give all its rows one fold"
            )
    return TrainingData(
        prompts=prompts.take(starts[:-1]),
        images=pairs["image"].combine_chunks(),
        starts=starts,
        folds=folds[starts[:-1]],
    )


def _starts(ordered: pa.StringArray) -> NDArray[np.int64]:
    """Where each distinct text of a sorted list begins, and where the last one ends."""
    import pyarrow.compute as pc

    other = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.flatnonzero(other) + 1, [len(ordered)]]).astype(np.int64)


def _image_paths(images: pa.StringArray, folder: Path, tables: Sequence[str | Path]) -> list[str]:
    """Paths below the folder; an image that is named without its suffix gets it."""
    check_folder(folder)
    paths: list[str] = images.to_pylist()
    outside = [path for path in paths if path.startswith("/") or ".." in path.split("/")]
    if outside:
        raise InputError(
            f"images must lie below {folder}, by paths relative to it: {first_few(outside)}"
        )
    missing = {path for path in paths if not os.path.isfile(os.path.join(folder, path))}  # noqa: PTH113, PTH118 - a Path for each of millions takes minutes
    found: dict[str, str] = {}
    lost: dict[str, str] = {}  # and why
    for path in sorted(missing):
        try:
            found[path] = locate(folder, path).relative_to(folder).as_posix()
        except ImageError as error:
            lost[path] = error.reason
    if lost:
        first, why = next(iter(lost.items()))
        raise InputError(
            f"{len(lost)} of {len(set(paths))} images are not in {folder}: {first_few(lost)}"
            f" ({_place_of(first, tables)}: it {why}); an image is named by its path below the"
            f" folder, with its suffix or without. `ensembler data filter --images {folder}` leaves"
            " out pairs without an image"
        )
    return [found.get(path, path) for path in paths]


def _place_of(image: str, tables: Sequence[str | Path]) -> str:
    """Where an image that was read from the tables is named first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for table in tables:
        images = pa.concat_tables(read_pairs(Path(table)))["image"]
        row = pc.index(images, image).as_py()
        if row >= 0:
            break
    return f"{table}, row {row + 1}"
