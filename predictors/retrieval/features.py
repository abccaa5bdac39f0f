"""The predictor whose vectors are compared, by its definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ensembler.errors import PredictorError
from ensembler.files import sha256_json
from ensembler.predicting.checkpoints import file_digest, load_predictor
from ensembler.predicting.contract import Predictor
from ensembler.predicting.definition import PredictorDefinition, load_definition
from ensembler.predicting.versions import code_versions


def load_features(place: Path, device: str) -> Predictor:
    """Load the predictor that makes the features.

    Args:
        place: its definition, a TOML file whose paths are relative to it.
        device: as torch names it.

    Raises:
        PredictorError: it is not a definition, it has a checkpoint for each fold, or the predictor
            cannot be loaded.
    """
    definition = _definition(place)
    files = {role: place.parent / path for role, path in definition.files.items()}
    return load_predictor(definition.adapter, definition.config, files, device)


def features_digest(place: Path) -> str:
    """The sha256 of a predictor: its definition and the files it names, whatever lies beside them.

    References keep it. A spec records the digests of the definition and of the references, and so
    holds the files that the definition names to what the references were made with.

    Args:
        place: its definition.

    Raises:
        PredictorError: it is not a definition, or a file that it names cannot be read.
    """
    paths = [place.name, *_definition(place).files.values()]
    return sha256_json({path: file_digest(place.parent / path) for path in paths})


def features_key(place: Path, device: str) -> dict[str, Any]:
    """Plain data: all that an image's features depend on beside the image.

    Args:
        place: the predictor's definition.
        device: that it is on.

    Raises:
        PredictorError: as `features_digest` does.
    """
    return {
        "features": features_digest(place),
        "code": code_versions(_definition(place).adapter),
        "device": device,
    }


def _definition(place: Path) -> PredictorDefinition:
    if place.is_dir():
        raise PredictorError(
            f"{place} is a folder: name the definition of the predictor whose features are"
            f" compared, a TOML file, as in {place.name}/predictor.toml"
        )
    definition = load_definition(place)
    if definition.checkpoints:
        raise PredictorError(
            f"{place} has checkpoints of folds, and features of different models cannot be"
            " compared: name one model's files under [files]"
        )
    return definition
