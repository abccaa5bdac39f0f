"""How Optuna records a result: COMPLETE, or PRUNED where a sample of the rows ruled a trial out.

A pruned trial's estimate is its value at step 0: neither Optuna nor a dashboard takes it for the
best.
"""

from __future__ import annotations

import math
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from ensembler.blending.solver import GIVEN, Status
from ensembler.errors import StudyError
from ensembler.search.candidate import SCREENED, Result

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
STATUSES = (*Status.__members__, GIVEN, SCREENED)


def as_recorded(result: Result) -> dict[str, Any]:
    """State and value, as `optuna.trial.create_trial` takes them."""
    if result.status == SCREENED:
        return {"state": TrialState.PRUNED, "intermediate_values": {0: result.value}}
    return {"state": TrialState.COMPLETE, "value": result.value}


def complete(storage: BaseStorage, trial_id: int, result: Result) -> None:
    """Give a running trial its result.

    Raises:
        RuntimeError: it has ended.
    """
    storage.set_trial_user_attr(trial_id, "used", result.used)
    storage.set_trial_user_attr(trial_id, "status", result.status)
    if result.status == SCREENED:
        storage.set_trial_intermediate_value(trial_id, 0, result.value)
        storage.set_trial_state_values(trial_id, TrialState.PRUNED)
    else:
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [result.value])


def result_of(trial: FrozenTrial) -> Result:
    """What a trial recorded.

    Raises:
        StudyError: it has not ended, or lacks what a fit records with a trial.
    """
    pruned = trial.state == TrialState.PRUNED
    values = list(trial.intermediate_values.values()) if pruned else trial.values
    match values, trial.user_attrs:
        case [int() | float() as value], {"used": int(used), "status": str(status)}:
            known = status in STATUSES and (status == SCREENED) == pruned
            if known and trial.state in DONE and math.isfinite(value):
                return Result(float(value), used, status)
    raise StudyError(
        f"trial {trial.number} of the recorded study is damaged: {trial.state.name}, values"
        f" {values}, {trial.user_attrs}; put back a copy of the file, or start afresh without"
        " --resume or --join"
    )
