"""The conformance suite: a stranger's honest blender passes, each dishonest one fails its claim."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.contract import Property
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.weights.fitted import FittedWeights, Solved, fit_weights
from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.testing.blenders import HELD, SEED, BlenderConformance, _blended
from ensembler.testing.worlds import World, make_world


@dataclass(frozen=True, kw_only=True)
class ByScore:
    """Members weighted by their own scores: an honest stranger."""

    name: ClassVar[str] = "by_score"
    properties: ClassVar[frozenset[Property]] = frozenset({Property.SCALE_INVARIANT})
    fallback: ClassVar[str] = "uniform"

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        return self.weigh(data, held_out, seed, lambda scored: scored)

    def weigh(
        self,
        data: Data,
        held_out: HeldFolds,
        seed: int,  # noqa: ARG002 - nothing is drawn
        change: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> FittedWeights:
        """Weights by a function of the scores."""

        def rule(problem: Problem) -> Solved:
            scored = scores(problem, np.eye(problem.columns)[1:])
            return Solved(np.r_[0.0, change(np.maximum(scored, 0.01))])

        return fit_weights(data, held_out, rule, centred=False, alphas=(1.0,) * len(data.names))


class TestAnHonestStranger(BlenderConformance):
    """It passes."""

    @pytest.fixture(scope="class")
    @classmethod
    def blender(cls) -> ByScore:
        return ByScore()


class Proud(ByScore):
    """Claims twice its score."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        fitted = super().fit(data, held_out, seed)
        return replace(fitted, objective=2.0 * fitted.objective)


class Restless(ByScore):
    """Draws without a seed."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        rng = np.random.default_rng()
        return self.weigh(data, held_out, seed, lambda scored: scored + rng.random(len(scored)))


class Flattering(ByScore):
    """Scores its rows with priors that know them."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        fitted = super().fit(data, held_out, seed)
        other = replace(fitted.weighting, weights=(1.0, *fitted.weighting.weights[1:]))
        return replace(fitted, weighting=other)


class Positional(ByScore):
    """Prefers the first member."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        return self.weigh(
            data, held_out, seed, lambda scored: scored / np.arange(1, len(scored) + 1)
        )


class Peeking(ByScore):
    """Knows the targets of every fold."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        known = super().fit(data, NONE_HELD_OUT, seed).weighting.weights
        return self.weigh(data, held_out, seed, lambda _: np.array(known[1:]) ** 4)


class Counting(ByScore):
    """Takes a row of any weight for one row."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        rows = ~np.isin(data.statistics.fold, list(held_out))
        scored = data.statistics.raw.cross[rows].mean(axis=0)
        return self.weigh(data, held_out, seed, lambda _: np.maximum(scored, 0.01) ** 4)


class Forgetful(ByScore):
    """Refits to something else."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        fitted = super().fit(data, held_out, seed)

        def equal(problem: Problem) -> Solved:
            return Solved(np.r_[0.5, np.ones(problem.columns - 1)])

        return replace(fitted, rule=equal)


class Contrary(ByScore):
    """Trusts whoever does worst."""

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        return self.weigh(data, held_out, seed, lambda scored: scored == scored.min())


class Promising(ByScore):
    """Promises what it does not keep."""

    properties: ClassVar[frozenset[Property]] = frozenset({Property.DUPLICATE_INVARIANT})


class Unequal(ByScore):
    """Two of the same options are not the same."""

    def __hash__(self) -> int:
        return id(self)


CLAIMS: list[tuple[type[ByScore], str]] = [
    (Unequal, "test_it_is_plain_options_and_says_what_it_is"),
    (Proud, "test_a_fit_says_how_it_ended_and_what_it_scores"),
    (Restless, "test_the_same_data_and_seed_give_the_same_bytes"),
    (Flattering, "test_vectors_score_what_the_fit_says"),
    (Positional, "test_the_order_of_members_changes_nothing"),
    (Peeking, "test_the_targets_of_held_out_folds_are_not_known"),
    (Counting, "test_a_row_of_weight_2_is_the_row_twice"),
    (Counting, "test_a_row_of_weight_0_changes_nothing"),
    (Forgetful, "test_a_refit_on_the_same_folds_is_the_fit"),
    (Contrary, "test_held_out_it_is_not_below_its_fallback_beyond_noise"),
    (Promising, "test_each_declared_property_holds"),
]


def try_claim(
    claim: str, blender: ByScore, make_data: Callable[[World], Data], empty: Path
) -> None:
    """Run one of the suite's tests on a blender, by its fixtures' names as pytest does."""
    world = make_world()
    data = make_data(world)
    fitted = blender.fit(data, HELD, SEED)
    fixtures = {
        "blender": blender, "make_data": make_data, "world": world, "data": data,
        "fitted": fitted, "unseen": _blended(fitted, data), "tmp_path": empty,
    }  # fmt: skip
    test = getattr(BlenderConformance(), claim)
    test(**{name: fixtures[name] for name in inspect.signature(test).parameters})


@pytest.mark.parametrize(("kind", "claim"), CLAIMS)
def test_a_dishonest_blender_fails_its_claim(
    kind: type[ByScore], claim: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def make_data(world: World) -> Data:
        return world.data(tmp_path_factory.mktemp("world"))

    with pytest.raises(AssertionError):
        try_claim(claim, kind(), make_data, tmp_path_factory.mktemp("empty"))
