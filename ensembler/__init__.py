"""Blend out-of-fold embeddings: exact weights, honest scores, a frozen spec, a submission."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers, to which `as` says that a name is exported
    from ensembler.api import DumpReport as DumpReport
    from ensembler.api import EvaluationResult as EvaluationResult
    from ensembler.api import FitResult as FitResult
    from ensembler.api import Prediction as Prediction
    from ensembler.api import add_member as add_member
    from ensembler.api import create_store as create_store
    from ensembler.api import dump as dump
    from ensembler.api import evaluate as evaluate
    from ensembler.api import export_blend as export_blend
    from ensembler.api import fit as fit
    from ensembler.api import predict as predict
    from ensembler.errors import EnsemblerError as EnsemblerError
    from ensembler.errors import InputError as InputError
    from ensembler.errors import PredictorError as PredictorError
    from ensembler.errors import SpecError as SpecError
    from ensembler.errors import StoreError as StoreError
    from ensembler.errors import StudyError as StudyError
    from ensembler.inference.prediction import ImagePrediction as ImagePrediction
    from ensembler.search.definition import StudyDefinition as StudyDefinition
    from ensembler.spec.loading import load_spec as load_spec
    from ensembler.spec.model import EnsembleSpec as EnsembleSpec
    from ensembler.store.reader import Store as Store

__version__ = "0.1.0"

# Resolved on first use (PEP 562), so that `import ensembler` loads nothing heavy.
_EXPORTS = {
    "ensembler.api": "DumpReport EvaluationResult FitResult Prediction"
    " add_member create_store dump evaluate export_blend fit predict",
    "ensembler.errors": "EnsemblerError InputError PredictorError SpecError StoreError StudyError",
    "ensembler.inference.prediction": "ImagePrediction",
    "ensembler.search.definition": "StudyDefinition",
    "ensembler.spec.loading": "load_spec",
    "ensembler.spec.model": "EnsembleSpec",
    "ensembler.store.reader": "Store",
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names.split()}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
