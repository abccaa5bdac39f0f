"""Vision tower, Q-Former and head as one module, and the tower's weights from a whole BLIP-2.

The library can load the parts from a whole model's folder, but initialises them anew without an
error; so they are built here and loaded by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from transformers import Blip2QFormerModel as QFormer
from transformers import Blip2VisionModel

from ensembler.errors import PredictorError
from predictors.blip2_qformer.config import Blip2QFormerConfig
from predictors.shared.headed import Headed
from predictors.shared.hf import load_config, load_image_processor, preprocess_of
from predictors.shared.weights import StateDict, check_finite

# Parts of a whole model that the Q-Former's image side does not use: the language model of a
# captioner; the text side and the projections of a model for retrieval.
UNUSED: Final = (
    "language_model.",
    "language_projection.",
    "embeddings.",
    "itm_head.",
    "text_projection.",
    "vision_projection.",
)


class Blip2Tower(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Images → patches → outputs of the Q-Former's queries."""

    def __init__(self, config: Any) -> None:  # noqa: ANN401 - of transformers
        super().__init__()
        self.vision_model = Blip2VisionModel(config.vision_config)
        self.qformer = QFormer(config.qformer_config)
        width = config.qformer_config.hidden_size
        self.query_tokens = torch.nn.Parameter(torch.zeros(1, config.num_query_tokens, width))

    def no_weight_decay(self) -> set[str]:
        """Names of the query and position embeddings; the method is timm's convention."""
        places = ("class_embedding", "position_embedding")
        return {"query_tokens", *(f"vision_model.embeddings.{name}" for name in places)}

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """The query vectors, (n, queries, width), of (n, 3, height, width) normalised pixels."""
        patches = self.vision_model(pixel_values=pixels).last_hidden_state
        answers = self.qformer(
            query_embeds=self.query_tokens.expand(len(pixels), -1, -1),
            encoder_hidden_states=patches,
        )
        return answers.last_hidden_state


class Blip2QFormerModel(Headed):
    """Images → query vectors → pooling → head → vectors.

    The blocks that a recipe freezes or adapts are the vision tower's; the Q-Former is above them.
    """

    config: Blip2QFormerConfig

    def __init__(self, config: Blip2QFormerConfig, folder: Path) -> None:
        """Build the model, newly initialised.

        Args:
            config: pooling and head.
            folder: a transformers folder of BLIP-2, whose config and image processor are read.

        Raises:
            PredictorError: the folder holds another kind of model, or no image processor.
        """
        architecture = load_config(folder)
        if architecture.model_type != "blip-2":
            raise PredictorError(
                f"{folder} holds a model of type {architecture.model_type!r}, not a BLIP-2"
            )
        preprocess = preprocess_of(load_image_processor(folder), folder)
        width = architecture.qformer_config.hidden_size
        super().__init__(config, Blip2Tower(architecture), width, preprocess)

    @property
    def stem(self) -> Sequence[torch.nn.Module]:
        """The modules below the lowest block."""
        return [self.tower.vision_model.embeddings]

    @property
    def blocks(self) -> Sequence[torch.nn.Module]:
        """The vision tower's layers, bottom to top."""
        return list(self.tower.vision_model.encoder.layers)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """The pooled queries, (n, width), for (n, 3, height, width) normalised pixels."""
        answers = self.tower(pixels)
        return answers[:, 0] if self.config.pooling == "first" else answers.mean(1)


def read_tower(folder: Path) -> StateDict:
    """Read the weights of vision tower and Q-Former from a whole model's shards.

    The language model's weights, large as they are, are not read. Unknown weights are kept, so that
    loading refuses them by name.

    Args:
        folder: a folder as `save_pretrained` writes it, in safetensors.

    Returns:
        Tensors by their name in the model, in the type that they are stored in.

    Raises:
        PredictorError: a shard is missing or cannot be read, or a weight is not finite.
    """
    state: StateDict = {}
    for shard in _shards(folder):
        try:
            with safe_open(shard, framework="pt") as opened:
                names = [name for name in opened.keys() if not name.startswith(UNUSED)]  # noqa: SIM118 - no dict
                state |= {name: opened.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise PredictorError(
                f"{shard} cannot be read as weights: {error}; save the model in safetensors"
            ) from error
    check_finite(state, folder)
    return state


def _shards(folder: Path) -> list[Path]:
    """A model's single weights file, or the files that its index lists."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").exists() or not index.exists():
        return [folder / "model.safetensors"]
    try:
        listed = json.loads(index.read_bytes())["weight_map"].values()
        # Names only: an index must not lead out of the folder, whose digest is checked.
        return [folder / Path(name).name for name in sorted(set(listed))]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise PredictorError(f"{index} is not an index of weights: {error!r}") from error
