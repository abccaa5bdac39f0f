"""From a list of prompts to a corpus: read, embedded, its mean and covariance taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, StoreError, first_few, unknown_name
from ensembler.files import writable_file
from ensembler.metrics import unit_rows
from ensembler.store.corpus import save_corpus
from ensembler.store.encoder import Progress, load_encoder
from ensembler.store.importing.tables import SUFFIXES, is_table, read_columns, read_schema
from ensembler.store.reader import Store

PROMPT = "prompt"  # the column, whatever its capitals
NEAR = 0.9  # cosine with a target above which a prompt is the answer in other words
CHUNK = 1024  # prompts embedded and forgotten at once
FEWEST = 2  # prompts that have a covariance
KINDS = (*SUFFIXES, ".txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusReport:
    """How many prompts of a list a corpus is made of.

    Attributes:
        listed: its distinct prompts.
        near: of them, left out for being near a target.
        kept: those that the corpus is made of.
        dim: the dimension of the embeddings.
        encoder: its name.
    """

    listed: int
    near: int
    kept: int
    dim: int
    encoder: str


def read_prompts(path: Path, column: str | None = None) -> list[str]:
    """The distinct prompts of a list, in its order, without outer blanks.

    Args:
        path: a table (.csv, .tsv read without quoting, .parquet), or .txt with one in each line.
        column: of the table; None takes the one named prompt, whatever its capitals.

    Raises:
        InputError: the file is missing, broken or of another kind; no such column; no prompt.
    """
    try:
        texts = _cells(path, column) if is_table(path) else _lines(path, column)
    except StoreError as error:  # a table's own sentence serves here too
        raise InputError(str(error)) from error
    prompts = list(dict.fromkeys(text for raw in texts if raw and (text := raw.strip())))
    if not prompts:
        raise InputError(f"{path} has no prompt: all its {len(texts)} rows are empty")
    return prompts


def make_corpus(
    prompts: Sequence[str],
    out: str | Path,
    *,
    encoder: str | Path | None = None,
    exclude: str | Path | None = None,
    progress: Progress | None = None,
) -> CorpusReport:
    """Embed prompts and write their mean and covariance.

    Args:
        prompts: distinct texts.
        out: the file to create or replace.
        encoder: a sentence-transformers folder; None takes the one that is installed.
        exclude: a store near whose targets no prompt is kept, so that no corpus holds answers.
        progress: called with prompts done and in all.

    Raises:
        InputError: `out` cannot be written, fewer than FEWEST prompts are left, or the encoder is
            not the targets'.
        StoreError: the encoder cannot be loaded, or the store has no targets.
    """
    file = writable_file(out)
    targets = None if exclude is None else _distinct_targets(exclude)
    loaded = load_encoder(encoder)
    near, kept, total, products = 0, 0, np.zeros(1), np.zeros((1, 1))
    # Of one length together, as the encoder likes them; so the order of the list does not matter.
    ordered = sorted(prompts, key=lambda prompt: (len(prompt), prompt))
    for start in range(0, len(ordered), CHUNK):
        vectors = unit_rows(loaded.encode(ordered[start : start + CHUNK]))
        far = np.ones(len(vectors), dtype=bool) if targets is None else _far(vectors, targets)
        near, kept = near + int((~far).sum()), kept + int(far.sum())
        total = total + vectors[far].sum(axis=0)
        products = products + vectors[far].T @ vectors[far]
        if progress is not None:
            progress(start + len(vectors), len(ordered))
    if kept < FEWEST:
        left_out = f" ({near} are near targets of {exclude})" if near else ""
        raise InputError(
            f"{kept} of {len(prompts)} prompts are left{left_out}, and a covariance needs"
            f" {FEWEST} at least; give a longer list"
        )
    mean = total / kept
    covariance = (products - kept * np.outer(mean, mean)) / (kept - 1)
    save_corpus(
        file,
        mean=mean,
        covariance=(covariance + covariance.T) / 2.0,
        prompts=kept,
        encoder=loaded.record,
    )
    name = loaded.record.name
    return CorpusReport(listed=len(prompts), near=near, kept=kept, dim=len(mean), encoder=name)


def _cells(path: Path, column: str | None) -> list[str | None]:
    """A column of a table, as it is written."""
    import pyarrow as pa

    names = read_schema(path).names
    if column is None:
        alike = [name for name in names if name.lower() == PROMPT]
        if len(alike) != 1:
            several = f"the columns {first_few(alike)}" if alike else f"no column {PROMPT!r}"
            hint = unknown_name("column", PROMPT, names)
            raise InputError(f"{path} has {several} ({hint}); name one with --column")
        column = alike[0]
    elif column not in names:
        raise InputError(f"{path}: {unknown_name('column', column, names)}")
    cells: list[str | None] = read_columns(path, {column: pa.string()})[column].to_pylist()
    return cells


def _lines(path: Path, column: str | None) -> list[str]:
    if path.suffix.lower() != ".txt":
        raise InputError(f"{path} is not a list of prompts; give one of {first_few(KINDS)}")
    if column is not None:
        raise InputError(f"{path} is text without columns; leave --column out")
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}") from error


def _distinct_targets(store: str | Path) -> NDArray[np.float64]:
    """(k, d) of unit length: rows of one prompt share a target."""
    return unit_rows(np.unique(Store.open(store).targets(), axis=0))


def _far(vectors: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether a prompt is near none of the targets."""
    if vectors.shape[1] != targets.shape[1]:
        raise InputError(
            f"the prompts become {vectors.shape[1]} numbers, and the targets to keep away from have"
            f" {targets.shape[1]}; name the targets' encoder with --encoder"
        )
    far = np.ones(len(vectors), dtype=bool)
    for start in range(0, len(targets), CHUNK):
        far &= (vectors @ targets[start : start + CHUNK].T <= NEAR).all(axis=1)
    return far
