"""The numbers of a frozen spec: vectors as text, weights and exponents in their bounds."""

from __future__ import annotations

import base64
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

WEIGHT_DIGITS: Final = 9  # significant digits of a weight: beyond them the score does not move


def encode_vector(values: NDArray[np.floating]) -> str:
    """Any array as base64 of its little-endian float32 bytes in C order."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def decode_vector(text: str) -> NDArray[np.float32]:
    """The one-dimensional float32 array behind `encode_vector`'s text.

    Raises:
        ValueError: not base64, not whole float32 numbers, or not finite.
    """
    content = base64.b64decode(text, validate=True)
    if len(content) % 4:
        raise ValueError(f"a vector of {len(content)} bytes does not hold whole float32 numbers")
    vector = np.frombuffer(content, dtype="<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("a vector holds NaN or infinity")
    return vector


def _check_vector(text: str) -> str:
    decode_vector(text)
    return text


Vector = Annotated[str, AfterValidator(_check_vector)]
Norm = Literal["none", "l2", "power"]
Weight = Annotated[float, Field(ge=-1e9, le=1e9)]  # free weights stay far below; sums stay finite
Alpha = Annotated[float, Field(ge=-4.0, le=4.0)]  # the bounds keep powers of lengths finite
ALPHAS: Final = {"none": 0.0, "l2": 1.0}
