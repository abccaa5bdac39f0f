"""The story: make a store, dump members into it, fit a blend, evaluate it, predict with it."""

from ensembler.api.evaluating import EvaluationResult, evaluate
from ensembler.api.exporting import export_blend
from ensembler.api.fitting import FitResult, fit
from ensembler.api.predicting import Prediction, predict
from ensembler.api.storing import add_member, create_store
from ensembler.dumping.dump import DumpReport, dump

__all__ = [
    "DumpReport",
    "EvaluationResult",
    "FitResult",
    "Prediction",
    "add_member",
    "create_store",
    "dump",
    "evaluate",
    "export_blend",
    "fit",
    "predict",
]
