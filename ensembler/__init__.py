"""Blend out-of-fold embeddings: exact weights, honest scores, a frozen spec, a submission."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ensembler.api import (
        DumpReport,
        EvaluationResult,
        FitResult,
        Prediction,
        dump,
        evaluate,
        export_blend,
        fit,
        predict,
    )
    from ensembler.errors import (
        EnsemblerError,
        InputError,
        PredictorError,
        SpecError,
        StoreError,
        StudyError,
    )
    from ensembler.inference.prediction import ImagePrediction
    from ensembler.spec.model import EnsembleSpec
    from ensembler.store.reader import Store

__version__ = "0.1.0"

# Resolved on first use (PEP 562), so that `import ensembler` loads nothing heavy.
_HOMES = {
    "DumpReport": "ensembler.api",
    "EnsembleSpec": "ensembler.spec.model",
    "EnsemblerError": "ensembler.errors",
    "EvaluationResult": "ensembler.api",
    "FitResult": "ensembler.api",
    "ImagePrediction": "ensembler.inference.prediction",
    "InputError": "ensembler.errors",
    "Prediction": "ensembler.api",
    "PredictorError": "ensembler.errors",
    "SpecError": "ensembler.errors",
    "Store": "ensembler.store.reader",
    "StoreError": "ensembler.errors",
    "StudyError": "ensembler.errors",
    "dump": "ensembler.api",
    "evaluate": "ensembler.api",
    "export_blend": "ensembler.api",
    "fit": "ensembler.api",
    "predict": "ensembler.api",
}

__all__ = [
    "DumpReport",
    "EnsembleSpec",
    "EnsemblerError",
    "EvaluationResult",
    "FitResult",
    "ImagePrediction",
    "InputError",
    "Prediction",
    "PredictorError",
    "SpecError",
    "Store",
    "StoreError",
    "StudyError",
    "dump",
    "evaluate",
    "export_blend",
    "fit",
    "predict",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
