"""Filtering of pairs by rules; dropped pairs are counted by reason.

Verdicts are saved block by block in a work folder, so that a resumed run judges no block twice; the
table is written when all are known.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import read_array
from ensembler.curation.filtering_images import judge_images
from ensembler.curation.filtering_rules import Reason, Rules
from ensembler.curation.filtering_text import text_judge
from ensembler.curation.pairs import (
    digest_pairs,
    pair_columns,
    read_pairs,
    writable_pairs,
    write_pairs,
)
from ensembler.curation.pairs_images import WORKERS, check_folder
from ensembler.curation.resuming import map_if_whole, resumed_work
from ensembler.errors import InputError
from ensembler.files import atomic_write, sha256_json
from ensembler.images.decode import check_pillow
from ensembler.store.encoder import Progress

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK: Final = 1 << 12  # pairs per saved block of verdicts
KEPT: Final = len(Reason)  # a verdict is the position of its reason, or this


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """The result of filtering a pair table.

    Attributes:
        pairs: number of pairs read.
        kept: number of pairs kept.
        dropped: reason → number of pairs, for every reason that was checked.
        resumed: number of pairs that an earlier run had judged.
    """

    pairs: int
    kept: int
    dropped: dict[Reason, int]
    resumed: int


def filter_pairs(
    pairs: Path,
    out: Path,
    rules: Rules,
    *,
    images: Path | None = None,
    workers: int = WORKERS,
    progress: Progress | None = None,
) -> Filtered:
    """Write the pairs of a table that pass all rules, in its order; resume an earlier run.

    Args:
        pairs: a pair table; see `read_pairs`.
        out: the table to create or replace: .csv, .tsv or .parquet. Until it is
            written, verdicts are kept beside it, in `.NAME.filter`.
        rules: the rules.
        images: the folder of the images; where it is given, pairs whose image cannot be read are
            dropped. None where no rule needs images.
        workers: decoding threads.
        progress: called with (pairs judged, pairs in all).

    Raises:
        InputError: no rule and no images are given, a rule cannot be met or lacks the images, the
            table cannot be used, no pair is left, or the saved verdicts are of other rules or pairs
            (the message shows both digests).
        StoreError: the table is broken.
    """
    rules.check()
    reasons = _reasons(rules, images)
    writable_pairs(out)
    digest, total = digest_pairs(pairs)
    work = out.with_name(f".{out.name}.filter")
    folder = None if images is None else str(images.absolute())
    recipe = {
        "pairs": digest,
        "rules": sha256_json([asdict(rules), folder]),
        "pairs to a block": BLOCK,
    }
    counts, resumed = np.zeros(KEPT + 1, np.int64), 0
    judge = text_judge(rules)
    with resumed_work(work, recipe), ThreadPoolExecutor(workers) as pool:
        for number, block in enumerate(read_pairs(pairs, BLOCK)):
            verdicts = _kept_verdicts(work, number, len(block))
            if verdicts is None:
                verdicts = _judge(block, judge, rules, images, pool)
                with atomic_write(_file(work, number)) as file:
                    np.lib.format.write_array(file, verdicts, allow_pickle=False)
            else:
                resumed += len(block)
            counts += np.bincount(verdicts, minlength=KEPT + 1)
            if progress is not None:
                progress(int(counts.sum()), total)
        if counts[KEPT]:
            _write(pairs, out, work)
    shutil.rmtree(work, ignore_errors=True)
    dropped = {reason: int(counts[list(Reason).index(reason)]) for reason in reasons}
    if not counts[KEPT]:
        counted = ", ".join(f"{reason}: {count}" for reason, count in dropped.items() if count)
        raise InputError(
            f"none of the {total} pairs of {pairs} is left ({counted}); relax the rules"
        )
    return Filtered(pairs=total, kept=int(counts[KEPT]), dropped=dropped, resumed=resumed)


def _reasons(rules: Rules, images: Path | None) -> list[Reason]:
    """The reasons that are checked, in the order of `Reason`."""
    asked = set(rules.reasons)
    if images is not None:
        check_pillow()
        check_folder(images)
        asked.add(Reason.UNREADABLE)
    elif asked & {Reason.ASPECT, Reason.BLANK}:
        raise InputError("rules for images need the folder of the images: add --images")
    if not asked:
        raise InputError("no rule was given, so every pair would be kept; give at least one")
    return [reason for reason in Reason if reason in asked]


def _judge(
    block: pa.Table,
    judge: Callable[[str], Reason | None],
    rules: Rules,
    images: Path | None,
    pool: ThreadPoolExecutor,
) -> NDArray[np.uint8]:
    """The verdicts on a block, (rows,); images are decoded only of pairs whose prompt passed."""
    reasons = [judge(prompt) for prompt in block["prompt"].to_pylist()]
    if images is not None:
        named = enumerate(block["image"].to_pylist())
        undecided = {row: image for row, image in named if reasons[row] is None}
        judged = judge_images(images, list(undecided.values()), rules, pool)
        for row, reason in zip(undecided, judged, strict=True):
            reasons[row] = reason
    codes = {None: KEPT} | {reason: position for position, reason in enumerate(Reason)}
    return np.array([codes[reason] for reason in reasons], np.uint8)


def _write(pairs: Path, out: Path, work: Path) -> None:
    """Write the kept pairs."""
    import pyarrow as pa

    with write_pairs(out, pair_columns(pairs)) as writer:
        for number, block in enumerate(read_pairs(pairs, BLOCK)):
            verdicts = read_array(_file(work, number))
            writer.write(block.filter(pa.array(verdicts == KEPT)))


def _kept_verdicts(work: Path, number: int, rows: int) -> NDArray[np.uint8] | None:
    """The verdicts of an earlier run, (rows,); None where the block must be judged again."""
    verdicts = map_if_whole(_file(work, number))
    if verdicts is None or verdicts.shape != (rows,) or verdicts.dtype != np.uint8:
        return None
    return verdicts if verdicts.max() <= KEPT else None


def _file(work: Path, number: int) -> Path:
    return work / f"{number:05}.npy"
