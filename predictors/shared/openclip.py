"""How open_clip's models want their images, from what open_clip records of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import open_clip
from pydantic import ValidationError

from ensembler.errors import PredictorError
from ensembler.faults import faults_of
from ensembler.images.preprocess import Preprocess

# What open_clip does where it records nothing else.
USUAL: Final[Mapping[str, Any]] = {
    "mean": open_clip.OPENAI_DATASET_MEAN,
    "std": open_clip.OPENAI_DATASET_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
RESIZE: Final = {"shortest": "crop", "squash": "squash"}  # open_clip's word → ours


def openclip_preprocess(
    size: int | Sequence[int], recorded: Mapping[str, Any], where: str
) -> Preprocess:
    """How a model wants its images.

    Args:
        size: the side of an image, or height and width.
        recorded: open_clip's preprocessing config; keys that are missing or None are as usual, and
            keys that say nothing of images are not looked at.
        where: it is from, for messages.

    Raises:
        PredictorError: it records what `Preprocess` has no word for, such as images on a border.
    """
    height, width = (size, size) if isinstance(size, int) else size
    said = dict(USUAL) | {key: value for key, value in recorded.items() if value is not None}
    try:
        return Preprocess.model_validate(
            {
                "height": height,
                "width": width,
                "resize": RESIZE.get(said["resize_mode"], said["resize_mode"]),
                "interpolation": said["interpolation"],
                "mean": said["mean"],
                "std": said["std"],
            },
            strict=False,
        )
    except ValidationError as error:
        raise PredictorError(f"{where}: {faults_of(error, Preprocess)}") from error
