"""The best members that fit into a budget of seconds per image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.weights.fitted import training_problem
from ensembler.blending.weighting import Weighting
from ensembler.errors import InputError, first_few
from ensembler.search.pareto import pareto_front, within
from ensembler.store.reader import Store


def seconds_per_image(store: Store, names: Sequence[str]) -> NDArray[np.float64]:
    """(M,) the seconds per image that each of some members takes, by its member.json.

    Raises:
        InputError: a member's are not known.
    """
    records = {record.name: record for record in store.manifest.members}
    taken = [records[name].origin.seconds_per_image for name in names]
    silent = [name for name, seconds in zip(names, taken, strict=True) if seconds is None]
    if silent:
        raise InputError(
            f"{store.path}: no seconds per image are known of member {first_few(silent)}; add it"
            " by `ensembler dump`, which takes the time, or by `ensembler store add"
            " --seconds-per-image`, or leave it out with --members"
        )
    return np.array(taken, dtype=np.float64)


def affordable_members(store: Store, names: Sequence[str], budget: float) -> NDArray[np.bool_]:
    """(M,) which of some members fit into a budget, each by itself.

    Args:
        store: whose members.
        names: of the members.
        budget: seconds per image.

    Raises:
        InputError: none does, or a member's seconds are not known.
    """
    seconds = seconds_per_image(store, names)
    if not (seconds <= budget).any():
        fastest = int(seconds.argmin())
        raise InputError(
            f"no member fits into {budget:g} s per image: the fastest is {names[fastest]!r}"
            f" with {seconds[fastest]:g} s; allow at least that"
        )
    return np.asarray(seconds <= budget)


def columns_within(
    data: Data, held_out: HeldFolds, weighting: Weighting, columns: NDArray[np.bool_], budget: float
) -> NDArray[np.bool_]:
    """The columns of the best members that fit into a budget together.

    Args:
        data: to choose on.
        held_out: folds whose targets nothing may know.
        weighting: whose centring and norms the subsets have.
        columns: (K,) which columns may have weight.
        budget: seconds per image.
    """
    seconds = seconds_per_image(data.store, data.names)
    if seconds[columns[1:]].sum() <= budget:
        return columns
    problem = training_problem(data, held_out, centred=weighting.centred, alphas=weighting.alphas)
    definition = data.space.definition
    front = pareto_front(problem, columns, seconds, bounds=definition.bounds, seed=definition.seed)
    chosen = np.zeros(len(seconds), dtype=bool)
    chosen[list(within(front, budget).members)] = True
    return np.asarray(columns & np.r_[True, chosen])
