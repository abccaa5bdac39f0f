"""Loading of a BLIP captioner from its folder."""

from __future__ import annotations

from pathlib import Path

from ensembler.errors import PredictorError
from predictors.shared.generating import Speaker, load_speaker
from predictors.shared.hf import model_type


def load_blip(folder: Path, *, device: str) -> Speaker:
    """Load a BLIP captioner for inference.

    Args:
        folder: the captioner's transformers folder.
        device: a torch device name.

    Raises:
        PredictorError: the folder holds another model, or its weights are incomplete.
    """
    kind = model_type(folder)
    if kind != "blip":
        raise PredictorError(
            f"{folder} holds a model of type {kind!r}, not a BLIP captioner; the adapter"
            " 'captioner' takes any image-to-text model"
        )
    return load_speaker(folder, device=device)
