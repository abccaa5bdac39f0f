"""Embedding of a batch, through overflow in half precision and running out of memory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, PredictorError, unknown_name
from ensembler.predicting.contract import Captioner, Described, Predictor

Precision = Literal["float32", "float16", "bfloat16"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

# Phrases of torch's plain RuntimeErrors for a lack of memory: on the CPU, in cuBLAS and cuDNN, and
# on MPS.
_OUT_OF_MEMORY: Final = ("DefaultCPUAllocator: ", "_STATUS_ALLOC_FAILED", "out of memory")


class Embedded(NamedTuple):
    """A predictor's output for a batch.

    Attributes:
        vectors: (n, dim) float32, all finite; zeros where `finite` is false.
        captions: one text for each image; None where the predictor is not a captioner.
        finite: (n,) bool, false where a vector was NaN or infinite in float32 too.
    """

    vectors: NDArray[np.float32]
    captions: Sequence[str] | None
    finite: NDArray[np.bool_]


@dataclass(slots=True)
class BatchLimit:
    """The largest batch that a device takes, learned from running out of memory.

    Attributes:
        images: at most so many images are given at once; None while no batch was too large.
    """

    images: int | None = None


def embed_batch(
    predictor: Predictor,
    images: NDArray[np.uint8],
    precision: Precision = "float32",
    device: str = "cpu",
    limit: BatchLimit | None = None,
) -> Embedded:
    """Embed a batch.

    Half precision uses autocast; a part of the batch that overflows in it is done again in float32.
    A device that runs out of memory is given half as many images, down to one.

    Args:
        predictor: the predictor.
        images: (n, height, width, 3) uint8, resized as its `preprocess` says; n may be 0.
        precision: precision of the arithmetic; vectors are float32 in any case.
        device: a torch device name.
        limit: the limit that earlier batches found; lowered here, for the batches that follow.

    Raises:
        PredictorError: not even a single image fits, or the predictor breaks its contract.
    """
    limit = BatchLimit() if limit is None else limit
    parts: list[Described] = []
    start = 0
    while start < len(images) or not parts:
        size = len(images) - start if limit.images is None else limit.images
        part = images[start : start + size]
        described = _tried(predictor, part, precision, device)
        if described is None:
            if len(part) <= 1:
                raise PredictorError(
                    f"device {device!r} has too little memory for a single image of"
                    f" {predictor.preprocess.height} × {predictor.preprocess.width}; free some,"
                    " or use another device or a lower precision"
                )
            limit.images = len(part) // 2
        else:
            parts.append(described)
            start += len(part)
    return _joined(parts, captions=isinstance(predictor, Captioner))


def check_precision(precision: str) -> Precision:
    """Return the precision of a name.

    Raises:
        InputError: there is no such precision; the nearest is offered.
    """
    for valid in PRECISIONS:
        if precision == valid:
            return valid
    raise InputError(unknown_name("precision", precision, PRECISIONS))


def autocast(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """A context in which torch computes in `precision`; float32 needs none and loads no torch.

    Args:
        precision: precision of the arithmetic.
        device: a torch device name.
    """
    if precision == "float32":
        return nullcontext()
    import torch

    return torch.autocast(torch.device(device).type, dtype=getattr(torch, precision))  # type: ignore[no-any-return] # torch is not followed


def empty_cache() -> None:
    """Return the device memory that torch keeps for reuse; nothing where torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _tried(
    predictor: Predictor, images: NDArray[np.uint8], precision: Precision, device: str
) -> Described | None:
    """Embed a part of a batch, again in float32 where it overflowed; None if out of memory."""
    try:
        with autocast(precision, device):
            described = _described(predictor, images)
        if precision != "float32" and not np.isfinite(described.embeddings).all():
            described = _described(predictor, images)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        described = None
    if described is None:
        # Only here, past the handler: its traceback held the tensors that did not fit.
        empty_cache()
    return described


def _described(predictor: Predictor, images: NDArray[np.uint8]) -> Described:
    if isinstance(predictor, Captioner):
        described = predictor.describe(images)
    else:
        described = Described(predictor.embed(images), ())
    vectors, wanted = described.embeddings, (len(images), predictor.dim)
    if vectors.shape != wanted or vectors.dtype != np.float32:
        raise PredictorError(
            f"{type(predictor).__name__} returned {vectors.dtype}{vectors.shape} for"
            f" {len(images)} images instead of float32{wanted}: fix the adapter"
        )
    if isinstance(predictor, Captioner) and len(described.captions) != len(images):
        raise PredictorError(
            f"{type(predictor).__name__} returned {len(described.captions)} captions for"
            f" {len(images)} images: fix the adapter"
        )
    return described


def _joined(parts: Sequence[Described], *, captions: bool) -> Embedded:
    vectors = np.concatenate([part.embeddings for part in parts])
    finite = np.isfinite(vectors).all(axis=1)
    return Embedded(
        vectors=np.where(finite[:, None], vectors, np.float32(0.0)),
        captions=[text for part in parts for text in part.captions] if captions else None,
        finite=finite,
    )


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means a lack of memory; torch is used only if a predictor loaded it."""
    torch = sys.modules.get("torch")
    types = (MemoryError,) if torch is None else (MemoryError, torch.cuda.OutOfMemoryError)
    return isinstance(error, types) or any(phrase in str(error) for phrase in _OUT_OF_MEMORY)
