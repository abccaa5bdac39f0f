"""EfficientNet-Lite as two predictors: features to compare, and class names as captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ensembler.frozen import Frozen
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Described, Role
from predictors.shared.text import ENCODER, load_text_head


class LiteConfig(Frozen):
    """Which of the pretrained models."""

    model: Literal["lite0", "lite1", "lite2"] = "lite0"


class EfficientNetLite:
    """EfficientNet-Lite's features before its classifier, 1280 numbers."""

    Config: ClassVar[type[Frozen]] = LiteConfig
    roles: ClassVar[Mapping[str, Role]] = {"weights": Role("a .pth file of the model's package")}
    needs: ClassVar[tuple[str, ...]] = ("efficientnet_lite_pytorch", "safetensors", "torch")
    install: ClassVar[str] = "oof-ensembler-efficientnet-lite"

    def __init__(self, config: LiteConfig, files: Mapping[str, Path], device: str) -> None:
        from efficientnet_lite_pytorch import EfficientNet

        from predictors.shared.weights import load_strictly, load_weights

        name = f"efficientnet-{config.model}"
        side = EfficientNet.get_image_size(name)
        mean, std = (127 / 255,) * 3, (128 / 255,) * 3
        self.dim, self.device = 1280, device
        self.preprocess = Preprocess(
            height=side, width=side, crop_pct=side / (side + 32), mean=mean, std=std
        )
        self.model = EfficientNet.from_name(name).eval().requires_grad_(requires_grad=False)
        load_strictly(self.model, load_weights(files["weights"]), files["weights"])
        self.model.to(device)

    @classmethod
    def load(cls, config: LiteConfig, files: Mapping[str, Path], *, device: str) -> Self:
        return cls(config, files, device)

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self.features(images).float().cpu().numpy()
        return vectors

    def features(self, images: NDArray[np.uint8]) -> Any:  # noqa: ANN401 - a tensor
        import torch

        from predictors.shared.pixels import to_tensor

        with torch.inference_mode():
            pixels = to_tensor(images, self.preprocess, self.device)
            return self.model.extract_features(pixels).mean((2, 3))


class EfficientNetLiteLabels(EfficientNetLite):
    """The name of the ImageNet class that EfficientNet-Lite sees, as a caption."""

    roles: ClassVar[Mapping[str, Role]] = {**EfficientNetLite.roles, "encoder": ENCODER}
    needs: ClassVar[tuple[str, ...]] = (*EfficientNetLite.needs, "sentence_transformers", "timm")

    def __init__(self, config: LiteConfig, files: Mapping[str, Path], device: str) -> None:
        from timm.data import ImageNetInfo

        super().__init__(config, files, device)
        self.names = ImageNetInfo().label_descriptions()
        self.head = load_text_head(files.get("encoder"))
        self.dim = self.head.dim

    def describe(self, images: NDArray[np.uint8]) -> Described:
        import torch

        with torch.inference_mode():
            seen = self.model._fc(self.features(images)).argmax(dim=1)
        return self.head.describe([[self.names[number]] for number in seen.tolist()])

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.describe(images).embeddings
