"""Resizing: images of pairs into WebDataset shards, at several sizes from one decode.

OUT/recipe.json     what the shards are made from
OUT/256/00000.tar   a shard of one size: of each pair KEY.jpg, KEY.json and KEY.txt, its prompt
OUT/00000.json      the pairs of a shard that failed; written last: with it the shard is whole
OUT/pairs.tsv       image, prompt and fold (-1: none) of all pairs that are in the shards
OUT/failures.csv    row, image and reason of the others

A pair's key is its row in the table, from 0, in nine digits. A shard holds a fixed range of rows,
in order, less those that failed; of several pairs with one image, each has it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ensembler.curation.pairs import digest_pairs, read_pairs
from ensembler.curation.pairs_images import WORKERS, check_folder, locate
from ensembler.curation.resizing_shards import (
    Form,
    Shard,
    check_webdataset,
    read_shard,
    write_shard,
)
from ensembler.curation.resizing_tables import FAILURES, check_tsv, write_tables
from ensembler.curation.resuming import resumed_work
from ensembler.errors import InputError
from ensembler.images.decode import ImageError, check_pillow
from ensembler.store.encoder import Progress

SHARD_ROWS: Final = 1 << 12  # pairs to a shard: some 200 MB at 384 pixels
AHEAD: Final = 4  # images on their way for each thread; bounds memory
FORMAT: Final = 1  # of the folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """The result of resizing a table's images.

    Attributes:
        pairs: how many the table has.
        written: how many are in the shards.
        failed: the others.
        shards: how many there are of each size.
        resumed: shards that an earlier run had made.
        failures: the file that lists the pairs that failed.
    """

    pairs: int
    written: int
    failed: int
    shards: int
    resumed: int
    failures: Path


def resize_images(
    pairs: Path,
    images: Path,
    out: Path,
    form: Form,
    *,
    shard_rows: int = SHARD_ROWS,
    workers: int = WORKERS,
    progress: Progress | None = None,
) -> Resized:
    """Write the images of a pair table as shards; resume an earlier run.

    A pair whose image is missing or cannot be read stops nothing. A resumed run leaves the bytes of
    an uninterrupted one, given the same release of Pillow.

    Args:
        pairs: a pair table; see `read_pairs`.
        images: the folder of the images; see `locate`.
        out: the folder to make, or one that an earlier run of the same began.
        form: what images are brought to.
        shard_rows: pairs to a shard.
        workers: threads that decode, resize and encode.
        progress: called with pairs done and in all after every shard.

    Raises:
        InputError: the table cannot be used, a cell of it holds a tab or a line break, no pair
            has an image, a size is not positive or given twice, `out` is of other pairs or another
            form (both are shown) or cannot be written, or a library is not installed.
        StoreError: the table is broken.
    """
    _check(form, images)
    digest, total = digest_pairs(pairs)
    check_tsv(pairs)
    _check_some_image(pairs, images)
    recipe = {
        **asdict(form),
        "format": FORMAT,
        "pairs": digest,
        "images": images.resolve().name,  # what is written names no machine
        "pairs to a shard": shard_rows,
    }
    shards: list[Shard] = []
    resumed = done = 0
    with resumed_work(out, recipe), ThreadPoolExecutor(workers) as pool:
        for size in form.sizes:
            (out / str(size)).mkdir(exist_ok=True)
        for number, block in enumerate(read_pairs(pairs, shard_rows)):
            shard = read_shard(out, number, len(block), form.sizes)
            if shard is None:
                shard = write_shard(
                    out,
                    number,
                    block,
                    done,
                    images=images,
                    form=form,
                    pool=pool,
                    ahead=AHEAD * workers,
                )
            else:
                resumed += 1
            shards.append(shard)
            done += len(block)
            if progress is not None:
                progress(done, total)
        write_tables(pairs, out, shards, shard_rows)
    failed = sum(len(shard.failures) for shard in shards)
    return Resized(
        pairs=total,
        written=total - failed,
        failed=failed,
        shards=len(shards),
        resumed=resumed,
        failures=out / FAILURES,
    )


def _check(form: Form, images: Path) -> None:
    """Refuse impossible settings before a table of millions is read."""
    check_pillow()
    check_webdataset()
    check_folder(images)
    if not form.sizes or min(form.sizes) < 1 or len(set(form.sizes)) < len(form.sizes):
        raise InputError(f"sizes {list(form.sizes)} must be positive, and each given once")
    if not 1 <= form.quality <= 100:
        raise InputError(f"quality = {form.quality} must be from 1 to 100")


def _check_some_image(pairs: Path, images: Path) -> None:
    """Refuse a folder in which no pair has an image; usually the first pair has one."""
    first: ImageError | None = None
    for block in read_pairs(pairs):
        for image in block["image"].to_pylist():
            try:
                locate(images, image)
            except ImageError as error:
                first = first or error
            else:
                return
    raise InputError(
        f"no pair of {pairs} has an image in {images}: the first would be {first}; name the folder"
        " that the images' paths start from"
    )
