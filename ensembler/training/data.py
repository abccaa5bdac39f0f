"""Training data: prompts with their images and folds, from pair tables."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
OUTSIDE: Final = r"^/|(^|/)\.\.(/|$)"  # in the path of an image that is not below the folder


@dataclass(frozen=True)
class TrainingData:
    """All prompts of the tables, sorted, so that the order of the tables' rows does not matter.

    Attributes:
        prompts: (n,) distinct texts, sorted, as an Arrow array.
        images: (k,) paths relative to the images' folder, prompt after prompt.
        starts: (n + 1,) int64, where each prompt's images begin in `images`.
        folds: (n,) int64; prompts with NO_FOLD are in no fold, and every checkpoint learns them.
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
        """The sha256 of all prompts with the names of their images and folds.

        It covers folds and starts as little-endian int64, then, for prompts and for images, their
        lengths in bytes as little-endian int64 and their UTF-8. Images are not opened.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        digest = hashlib.sha256()
        digest.update(self.folds.astype("<i8").tobytes())
        digest.update(self.starts.astype("<i8").tobytes())
        for texts in (self.prompts, self.images):
            digest.update(pc.binary_length(texts).to_numpy().astype("<i8").tobytes())
            everything = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
            digest.update(pc.binary_join(everything, "")[0].as_buffer())
        return digest.hexdigest()

    def check_fold(self, fold: int) -> None:
        """Refuse a fold that cannot be held out.

        Raises:
            InputError: no prompt is in it, or every prompt is.
        """
        if fold not in self.known_folds:
            raise InputError(
                f"no prompt is in fold {fold}, so there is nothing to hold out;"
                f" {self._describe_folds()}"
            )
        if (self.folds == fold).all():
            raise InputError(f"every prompt is in fold {fold}, so none is left to learn from")

    def held_out(self, fold: int) -> Examples:
        """The prompts of a fold."""
        return Examples(self, np.flatnonzero(self.folds == fold))

    def without(self, fold: int) -> Examples:
        """The prompts of all other folds and those without a fold."""
        return Examples(self, np.flatnonzero(self.folds != fold))

    def _describe_folds(self) -> str:
        if not self.known_folds:
            return "the data has no folds: add a column fold"
        return f"the data has folds {first_few(self.known_folds, 20)}"


@dataclass(frozen=True, slots=True)
class Examples:
    """A selection of prompts; texts and paths, which may be millions, stay in the data.

    Attributes:
        data: all prompts.
        rows: (n,) int64, rows of the selected prompts in the data and its targets, ascending.
    """

    data: TrainingData
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def prompt(self, number: int) -> str:
        """The text of one prompt of the selection."""
        text: str = self.data.prompts[self.rows[number]].as_py()
        return text

    def images(self, number: int) -> list[str]:
        """The paths of one prompt's images."""
        first, last = self.data.starts[self.rows[number] :][:2]
        paths: list[str] = self.data.images[first:last].to_pylist()
        return paths


def load_data(tables: Sequence[str | Path], images: str | Path) -> TrainingData:
    """Read pair tables and check that their images exist.

    A pair that occurs twice counts once.

    Args:
        tables: .tsv, .csv or .parquet with columns image, prompt and fold; see
            `ensembler.curation.pairs`.
        images: the folder that the images' paths are relative to.

    Raises:
        InputError: a table is malformed, a prompt is empty, a prompt or an image is in two folds,
            or images are missing.
        StoreError: a table is missing or broken.
    """
    import pyarrow as pa

    read = [_columns(block) for table in tables for block in read_pairs(Path(table))]
    pairs = pa.concat_tables(read)
    pairs = pairs.sort_by([(name, "ascending") for name in COLUMNS]).combine_chunks()
    pairs = pairs.filter(np.logical_or.reduce([_begins(pairs[name]) for name in COLUMNS]))
    paths = _image_paths(pairs["image"].combine_chunks(), Path(images), tables)
    data = _grouped(pairs.set_column(1, "image", paths))
    _check_images(paths, pairs["fold"].to_numpy())
    return data


def _columns(block: pa.Table) -> pa.Table:
    """The columns COLUMNS of a block; without a column fold, no row is in a fold."""
    import pyarrow as pa

    if "fold" not in block.column_names:
        block = block.append_column("fold", pa.array([NO_FOLD] * len(block), pa.int64()))
    return block.select(COLUMNS)


def _check_images(images: pa.StringArray, folds: NDArray[np.int64]) -> None:
    """Refuse an image whose prompts are in several folds."""
    import pyarrow.compute as pc

    which = images.dictionary_encode().indices.to_numpy()
    last = np.empty(len(images), np.int64)  # fold of each image, if all its rows agree
    last[which] = folds
    torn = np.flatnonzero(folds != last[which])
    if len(torn):
        image = images[torn[0]]
        several = np.unique(folds[pc.equal(images, image).to_numpy(zero_copy_only=False)])
        raise InputError(
            f"the image {image.as_py()!r} is in folds {first_few(several)}: a checkpoint would be"
            " validated on images that it was trained on; give all its prompts one fold, as"
            " `ensembler data fold` does"
        )


def _grouped(pairs: pa.Table) -> TrainingData:
    """The training data of pairs sorted by prompt."""
    import pyarrow.compute as pc

    prompts = pairs["prompt"].combine_chunks()
    folds = pairs["fold"].to_numpy()
    first = np.flatnonzero(_begins(prompts))
    starts = np.append(first, len(prompts))
    torn = np.flatnonzero(folds != np.repeat(folds[first], np.diff(starts)))
    if len(torn):
        prompt = prompts[torn[0]]
        several = np.unique(folds[pc.equal(prompts, prompt).to_numpy(zero_copy_only=False)])
        raise InputError(
            f"the prompt {prompt.as_py()!r} is in folds {first_few(several)}: a checkpoint would be"
            " validated on prompts that it was trained on; give all its rows one fold"
        )
    return TrainingData(
        prompts=prompts.take(first),
        images=pairs["image"].combine_chunks(),
        starts=starts,
        folds=folds[first],
    )


def _begins(ordered: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    """(n,) bool, True where a value differs from the one before."""
    import pyarrow.compute as pc

    other = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    return np.append(True, other)


def _image_paths(
    images: pa.StringArray, folder: Path, tables: Sequence[str | Path]
) -> pa.StringArray:
    """Paths of images below the folder; a missing suffix is added."""
    import pyarrow as pa
    import pyarrow.compute as pc

    check_folder(folder)
    outside = images.filter(pc.match_substring_regex(images, OUTSIDE))
    if len(outside):
        raise InputError(
            f"images must lie below {folder}, by paths relative to it:"
            f" {first_few(outside.to_pylist())}"
        )
    distinct = images.unique()
    missing = {path for path in distinct.to_pylist() if not os.path.isfile(f"{folder}/{path}")}  # noqa: PTH113 - a Path for each of millions takes minutes
    if not missing:
        return images
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
            f"{len(lost)} of {len(distinct)} images are not in {folder}: {first_few(lost)}"
            f" ({_place_of(first, tables)}: it {why}); an image is named by its path below the"
            f" folder, with or without its suffix. `ensembler data filter --images {folder}` leaves"
            " out pairs without an image"
        )
    return pa.array([found.get(path, path) for path in images.to_pylist()], pa.string())


def _place_of(image: str, tables: Sequence[str | Path]) -> str:
    """The table and row in which an image is first named."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for table in tables:
        images = pa.concat_tables(read_pairs(Path(table)))["image"]
        row = pc.index(images, image).as_py()
        if row >= 0:
            break
    return f"{table}, row {row + 1}"
