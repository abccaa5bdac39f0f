"""A prompt corpus in brief: mean and covariance of the embeddings of prompts of no sample.

As a file, safetensors: the arrays `mean` (d,) and `covariance` (d, d), both float32, and one line
of metadata, `corpus`, in JSON: format, version, prompts, encoder (name, sha256) and the sha256 of
the arrays. Equal corpora are equal bytes. Nothing in the file is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ensembler.errors import InputError
from ensembler.files import atomic_write, canonical_json, sha256_arrays, writable_file
from ensembler.frozen import Frozen, Sha256
from ensembler.store.model import EncoderRecord
from ensembler.store.reader import Store

FORMAT: Final = "ensembler-corpus"
KEY: Final = "corpus"  # of the metadata: one, because safetensors gives several no order
ARRAYS: Final = ("mean", "covariance")
REMEDY: Final = "make it again with `ensembler data corpus`"


@dataclass(frozen=True, eq=False, kw_only=True)
class Corpus:
    """Mean and covariance of a prompt corpus: what targets look like in general.

    Attributes:
        mean: (d,) float64, of unit-length embeddings.
        covariance: (d, d) float64, about the mean.
        prompts: their number.
        encoder: the name of what embedded them.
        encoder_sha256: of its files; None where it is not known.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    prompts: int
    encoder: str
    encoder_sha256: str | None = None

    @property
    def sha256(self) -> str:
        """The digest of its numbers."""
        return sha256_arrays(self.mean, self.covariance)

    def check_fits(self, store: Store) -> None:
        """Refuse a corpus that does not match a store's targets.

        Raises:
            InputError: another dimension, or another encoder than the store says its targets have.
        """
        remedy = "make one with theirs: `ensembler data corpus PROMPTS --encoder …`"
        if len(self.mean) != store.manifest.dim:
            raise InputError(
                f"the corpus has {len(self.mean)} dimensions (encoder {self.encoder}), the targets"
                f" of {store.path} have {store.manifest.dim}; {remedy}"
            )
        targets = store.manifest.targets
        known = targets.encoder if targets else None
        if known and self.encoder_sha256 and known.sha256 != self.encoder_sha256:
            raise InputError(
                f"the corpus was embedded by another encoder ({self.encoder}) than the targets of"
                f" {store.path} ({known.name}); {remedy}"
            )


class _Record(Frozen):
    """The file's metadata."""

    format: Literal["ensembler-corpus"] = FORMAT
    version: Literal[1] = 1
    prompts: int = Field(ge=1)
    encoder: EncoderRecord
    sha256: Sha256  # of the arrays


def save_corpus(
    path: str | Path,
    *,
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    prompts: int,
    encoder: EncoderRecord,
) -> None:
    """Write a corpus, rounded to float32.

    Args:
        path: the file to create or replace.
        mean: (d,) of unit-length embeddings.
        covariance: (d, d) about the mean, symmetric.
        prompts: their number.
        encoder: what embedded them.

    Raises:
        InputError: there is no such folder, or a folder is there.
    """
    from safetensors.numpy import save

    arrays = {"mean": mean.astype("<f4"), "covariance": covariance.astype("<f4")}
    record = _Record(prompts=prompts, encoder=encoder, sha256=_digest(arrays))
    line = canonical_json(record.model_dump(mode="json")).decode()
    with atomic_write(writable_file(path)) as file:
        file.write(save(arrays, metadata={KEY: line}))


def corpus_for(store: Store, path: str | Path | None) -> Corpus | None:
    """The corpus given for a store; None where none is.

    Raises:
        InputError: as `load_corpus`, or it does not match the store's targets.
    """
    if path is None:
        return None
    corpus = load_corpus(path)
    corpus.check_fits(store)
    return corpus


def load_corpus(path: str | Path) -> Corpus:
    """Read a corpus.

    Raises:
        InputError: there is no such file, it is not a corpus, it is truncated or damaged, or its
            numbers are not those of a covariance.
    """
    file = Path(path)
    arrays, line = _read(file)
    try:
        record = _Record.model_validate_json(line)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"{file}: its metadata cannot be read ({where or KEY}: {fault['msg']}); {REMEDY}"
        ) from error
    array_fault = _fault(arrays)
    if array_fault is None and _digest(arrays) != record.sha256:
        array_fault = "its numbers are not those that were written"
    if array_fault is not None:
        raise InputError(f"{file}: {array_fault}; {REMEDY}")
    return Corpus(
        mean=arrays["mean"].astype(np.float64),
        covariance=arrays["covariance"].astype(np.float64),
        prompts=record.prompts,
        encoder=record.encoder.name,
        encoder_sha256=record.encoder.sha256,
    )


def _read(file: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """The arrays, and the line of metadata."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            line = (opened.metadata() or {}).get(KEY)
            if line is None or sorted(opened.keys()) != sorted(ARRAYS):
                raise InputError(f"{file} is a safetensors file, but not a corpus; {REMEDY}")
            return {name: opened.get_tensor(name) for name in ARRAYS}, line
    except FileNotFoundError as error:
        raise InputError(f"there is no corpus {file}; {REMEDY}") from error
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is not a whole safetensors file ({error}); {REMEDY}") from error


def _fault(arrays: dict[str, NDArray[Any]]) -> str | None:
    """What keeps arrays from being a mean and a covariance."""
    mean, covariance = arrays["mean"], arrays["covariance"]
    if any(array.dtype != np.float32 for array in arrays.values()):
        return f"its numbers are {mean.dtype} and {covariance.dtype}, not float32"
    if mean.ndim != 1 or covariance.shape != mean.shape * 2 or not len(mean):
        return f"a mean of shape {mean.shape} does not go with a covariance of {covariance.shape}"
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return "it holds NaN or infinity"
    if not np.array_equal(covariance, covariance.T):
        return "its covariance is not symmetric"
    return None


def _digest(arrays: dict[str, NDArray[Any]]) -> str:
    return sha256_arrays(*(arrays[name] for name in ARRAYS))
