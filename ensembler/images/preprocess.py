"""How a model wants its images, as data, so that members that want the same share a decode."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ensembler.store.model import Frozen


class Preprocess(Frozen):
    """From an RGB image of any size to a model's input.

    Up to the size it is done once for all members that ask for the same (`geometry`), in uint8;
    mean and std are applied by the predictor, on its device.
    """

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    # crop: the shorter side is brought to size / crop_pct, then the centre is cut out.
    # squash: both sides are, whatever the aspect was.
    resize: Literal["crop", "squash"] = "crop"
    crop_pct: float = Field(default=1.0, gt=0.0, le=1.0)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of channels in 0..1
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def geometry(self) -> tuple[int, int, str, float, str]:
        """What decides the resized uint8 image: equal geometries share it."""
        return self.height, self.width, self.resize, self.crop_pct, self.interpolation
