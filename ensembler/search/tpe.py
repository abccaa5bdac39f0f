"""TPE that is told its space.

Optuna's own infers it from the distributions of all trials, which takes as long as the proposal
itself when a sampler is made anew for every trial.
"""

from __future__ import annotations

from collections.abc import Mapping

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial


class KnownSpaceTPE(TPESampler):
    """Proposes what TPESampler does, for a study whose trials all have the same parameters.

    Args:
        space: the distribution of each parameter, none of a single value.
        seed: of the proposal.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int) -> None:
        super().__init__(seed=seed)
        self._space = dict(sorted(space.items()))  # the order in which Optuna draws

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002 - Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002 - as above
    ) -> dict[str, BaseDistribution]:
        """The space, whatever trials there are."""
        return self._space
