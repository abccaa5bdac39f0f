"""The preprocessing of open_clip's models, from open_clip's own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import open_clip
from pydantic import ValidationError

from ensembler.errors import PredictorError
from ensembler.faults import faults_of
from ensembler.images.preprocess import Preprocess

# open_clip's defaults, where a model's record has no value.
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
    """The preprocessing of an open_clip model.

    Args:
        size: the side of an image, or height and width.
        recorded: open_clip's preprocessing config; keys that are missing or None take the defaults,
            and keys that do not concern images are ignored.
        where: the source of the config, for messages.

    Raises:
        PredictorError: the config cannot be expressed as a `Preprocess`, such as padded images.
    """
    height, width = (size, size) if isinstance(size, int) else size
    settings = dict(USUAL) | {key: value for key, value in recorded.items() if value is not None}
    try:
        return Preprocess.model_validate(
            {
                "height": height,
                "width": width,
                "resize": RESIZE.get(settings["resize_mode"], settings["resize_mode"]),
                "interpolation": settings["interpolation"],
                "mean": settings["mean"],
                "std": settings["std"],
            },
            strict=False,
        )
    except ValidationError as error:
        raise PredictorError(f"{where}: {faults_of(error, Preprocess)}") from error
