"""A model's preprocessing as data, so that members with the same needs share a decode."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ensembler.frozen import Frozen


class Preprocess(Frozen):
    """The steps from an RGB image of any size to a model's input.

    Resizing is done once, in uint8, for all members with the same `geometry`; the predictor applies
    mean and std on its device.
    """

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    # crop: the shorter side is resized to size / crop_pct, then the centre is cut out.
    # squash: both sides are resized to it, whatever the aspect ratio.
    resize: Literal["crop", "squash"] = "crop"
    crop_pct: float = Field(default=1.0, gt=0.0, le=1.0)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of channels in 0..1
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def geometry(self) -> tuple[int, int, str, float, str]:
        """The settings that decide the resized uint8 image; images of equal geometry are shared."""
        return self.height, self.width, self.resize, self.crop_pct, self.interpolation
