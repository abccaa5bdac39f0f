"""The story: dump members into a store, fit a blend, evaluate it, predict with it."""

from ensembler.api.dumping import DumpReport, dump
from ensembler.api.evaluating import EvaluationResult, evaluate
from ensembler.api.exporting import export_blend
from ensembler.api.fitting import FitResult, fit
from ensembler.api.predicting import Prediction, predict

__all__ = [
    "DumpReport",
    "EvaluationResult",
    "FitResult",
    "Prediction",
    "dump",
    "evaluate",
    "export_blend",
    "fit",
    "predict",
]
