"""A vision tower with its head: what an adapter embeds with and what training trains."""

from __future__ import annotations

from pathlib import Path

import torch

from ensembler.errors import PredictorError
from ensembler.images.preprocess import Preprocess
from predictors.shared.features import extract_features, feature_width
from predictors.shared.heads import make_head
from predictors.shared.tower_config import TowerConfig
from predictors.shared.vision import build_vision, own_state, vision_preprocess
from predictors.shared.weights import State, check_names, load_state, load_strictly

TOWER = "tower."  # before the tower's names in our checkpoints; the head's stand under "head."


class Tower(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Images → features → head → vectors, of unit length where the config says so.

    Its `state_dict` is our checkpoint's layout: `tower.*` and, unless there is no head, `head.*`.

    Attributes:
        tower: the timm model.
        head: from features to vectors.
        dim: numbers in a vector.
        preprocess: how it wants its images.
    """

    def __init__(self, config: TowerConfig) -> None:
        """Build it, newly initialised.

        Raises:
            PredictorError: the config names no model, or features that it has not.
        """
        super().__init__()
        self.config = config
        self.tower = build_vision(config)
        width = feature_width(self.tower, config.features)
        self.head = make_head(config.head, width)
        self.dim: int = config.head.dim or width
        self.preprocess: Preprocess = vision_preprocess(self.tower, config)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors of normalised images.

        Args:
            pixels: (n, 3, height, width) float, as `to_tensor` gives them.

        Returns:
            (n, dim).
        """
        config = self.config
        features = extract_features(self.tower, pixels, config.features, config.gem_power)
        vectors = self.head(features)
        if not config.normalise_output:
            return vectors
        return torch.nn.functional.normalize(vectors, dim=-1)


def load_tower(config: TowerConfig, path: Path) -> Tower:
    """A tower with its weights, ready to embed: in eval mode, without gradients, channels last.

    Args:
        config: as it was trained.
        path: our checkpoint; or, for a tower without a head, also one of timm or open_clip.
            Position embeddings of another image size are interpolated, as open_clip does.

    Raises:
        PredictorError: the file is not what it should be, or its weights are missing, unexpected
            or of another shape.
    """
    tower = Tower(config)
    state = load_state(path)
    if any(name.startswith(TOWER) for name in state):
        check_names(tower.state_dict(), state, path)
    elif config.head.kind == "none":
        state = {TOWER + name: tensor for name, tensor in state.items()}
    else:
        raise PredictorError(
            f"{path} holds no head.* and tower.* weights: it is a bare tower, whose head of kind"
            f" {config.head.kind!r} is missing. Give the checkpoint that training wrote, or say"
            ' head = {kind = "none"}'
        )
    load_strictly(tower, _fitted(tower, state, path), path)
    tower.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return tower


def _fitted(tower: Tower, state: State, path: Path) -> State:
    """The tower's part of a checkpoint under timm's names and at its size, the rest as it is."""
    vision = {n.removeprefix(TOWER): t for n, t in state.items() if n.startswith(TOWER)}
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(TOWER)}
    own = own_state(tower.tower, tower.config, vision, path)
    return {TOWER + name: tensor for name, tensor in own.items()} | rest
