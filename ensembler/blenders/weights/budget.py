"""Members that fit into so many seconds an image: the best subset of those that do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Aside, Data
from ensembler.blenders.weights.fitted import training_problem
from ensembler.blending.weighting import Weighting
from ensembler.errors import InputError, first_few
from ensembler.search.pareto import pareto_front, within
from ensembler.store.reader import Store


def seconds_per_image(store: Store, names: Sequence[str]) -> NDArray[np.float64]:
    """(M,) what each of some members takes for an image, as its member.json says.

    Raises:
        InputError: a member does not say it.
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


def affordable(store: Store, names: Sequence[str], budget: float) -> NDArray[np.bool_]:
    """(M,) which of some members fit into a budget by themselves.

    Args:
        store: whose members.
        names: which.
        budget: seconds an image.

    Raises:
        InputError: none does, or a member does not say how long it takes.
    """
    seconds = seconds_per_image(store, names)
    if not (seconds <= budget).any():
        fastest = int(seconds.argmin())
        raise InputError(
            f"no member fits into {budget:g} s an image: the fastest is {names[fastest]!r}"
            f" with {seconds[fastest]:g} s; allow at least that"
        )
    return np.asarray(seconds <= budget)


def columns_within(
    data: Data, aside: Aside, weighting: Weighting, columns: NDArray[np.bool_], budget: float
) -> NDArray[np.bool_]:
    """The columns of the best members that fit into a budget together.

    Args:
        data: what to choose on.
        aside: folds whose targets nothing may know.
        weighting: whose centring and norms the subsets have.
        columns: (K,) which columns may have weight.
        budget: seconds an image.
    """
    seconds = seconds_per_image(data.store, data.names)
    if seconds[columns[1:]].sum() <= budget:
        return columns
    problem = training_problem(data, aside, centred=weighting.centred, alphas=weighting.alphas)
    definition = data.space.definition
    front = pareto_front(problem, columns, seconds, bounds=definition.bounds, seed=definition.seed)
    chosen = np.zeros(len(seconds), dtype=bool)
    chosen[list(within(front, budget).members)] = True
    return np.asarray(columns & np.r_[True, chosen])
