"""The exact solver against SciPy and a grid, and what any maximum must keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.solver import TIE, Bounds, Status, normalise, solve
from ensembler.metrics import unit_rows

if TYPE_CHECKING:
    from tests.blending.conftest import Vector, World

ALPHAS = [0.0, 1.0, 0.5, 1.0]
ALL = np.ones(5, dtype=bool)
MEMBERS = np.array([False, True, True, True, True])
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weighted": {"weighted": True},
    "spread": {"scale": "spread"},
    "huge": {"scale": "huge"},
    "missing": {"missing": 0.2},
    "twins": {"twins": 1e-2},
    "half": {"stored": "float16"},
}

seeds = st.integers(0, 2**32 - 1)
worlds = st.sampled_from(sorted(KINDS))
every_bounds: list[Bounds] = ["simplex", "nonnegative", "free"]


def columns_as_vectors(problem: Problem, world: World, prior: Callable[..., Vector]) -> Vector:
    """(K, n, d) float64 the prior and the members, divided by their mean length."""
    rows = [prior(world, row, problem.selection.held_out) for row in problem.selection.rows]
    columns = [np.stack(rows)]
    for m, stored in enumerate(world.embeddings.astype(np.float64)):
        mean = problem.selection.statistics.means[m].astype(np.float64) * problem.selection.centred
        x = np.where(stored.any(axis=1)[:, None], stored - mean, 0.0)
        length = np.linalg.norm(x, axis=1)
        power = np.power(length, -problem.alphas[m], out=np.zeros_like(length), where=length > 0)
        columns.append(x * power[:, None] / problem.scale[m + 1])
    return np.stack(columns)


def scipy_maximum(vectors: Vector, target: Vector, share: Vector) -> float:
    """The best of eight SLSQP runs over the simplex, on the vectors themselves."""

    def loss(u: Vector) -> tuple[float, Vector]:
        total = np.einsum("k,kid->id", u, vectors)
        length = np.linalg.norm(total, axis=1)
        cosine = np.einsum("id,id->i", total, target) / length
        slope = np.einsum("kid,id->ki", vectors, target - cosine[:, None] * total / length[:, None])
        return -float(share @ cosine), -(slope / length) @ share

    count = len(vectors)
    starts = np.random.default_rng(0).dirichlet(np.ones(count), 8)
    runs = [
        minimize(
            loss,
            start,
            jac=True,
            method="SLSQP",
            bounds=[(1e-9, 1.0)] * count,  # not 0: there a row may lose its only column
            constraints={"type": "eq", "fun": lambda u: u.sum() - 1.0, "jac": np.ones_like},
            options={"ftol": 1e-14, "maxiter": 300},
        )
        for start in starts
    ]
    return float(max(-run.fun for run in runs))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_maximum_is_scipys(
    make_world: Callable[..., World], oracle_prior: Callable[..., Vector], kind: str, centred: bool
) -> None:
    for seed in range(3):
        world = make_world(seed, rows=40, members=4, **KINDS[kind])
        problem = world.problem(ALPHAS, centred=centred)
        vectors = columns_as_vectors(problem, world, oracle_prior)
        expected = scipy_maximum(
            vectors, unit_rows(world.targets), world.weight / world.weight.sum()
        )
        solution = solve(problem, ALL)
        assert solution.status is Status.CONVERGED
        assert solution.value == pytest.approx(expected, rel=0, abs=1e-7)


@settings(max_examples=60)
@given(
    seed=seeds, kind=worlds, centred=st.booleans(), bounds=st.sampled_from(every_bounds),
    prior=st.booleans(),
)  # fmt: skip
def test_never_below_the_uniform_blend_or_any_single_column(
    make_world: Callable[..., World],
    seed: int,
    kind: str,
    centred: bool,
    bounds: Bounds,
    prior: bool,
) -> None:
    problem = make_world(seed, members=4, **KINDS[kind]).problem(
        ALPHAS, centred=centred, precision="float64" if bounds == "free" else "float32"
    )
    columns = ALL if prior else MEMBERS
    uniform = MEMBERS * problem.scale
    plain = scores(problem, np.vstack([uniform, np.eye(5)[columns]]))
    solution = solve(problem, columns, bounds=bounds)
    assert solution.value >= plain[1:].max()
    assert solution.value >= plain[0] - TIE
    again = scores(problem, (solution.weights * problem.scale)[None, :])[0]
    assert again == pytest.approx(solution.value, rel=0, abs=1e-7)


@settings(max_examples=40)
@given(seed=seeds, kind=worlds, centred=st.booleans())
def test_weights_are_scaled_as_their_bounds_say(
    make_world: Callable[..., World], seed: int, kind: str, centred: bool
) -> None:
    problem = make_world(seed, members=4, **KINDS[kind]).problem(
        ALPHAS, centred=centred, precision="float64"
    )
    simplex, nonnegative, free = (solve(problem, ALL, bounds=bounds) for bounds in every_bounds)
    assert simplex.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (simplex.weights >= 0.0).all()
    assert nonnegative.weights.max() == 1.0
    assert (nonnegative.weights >= 0.0).all()
    assert np.abs(free.weights).max() == 1.0
    assert simplex.value == pytest.approx(nonnegative.value, abs=1e-12)
    assert free.value >= nonnegative.value - TIE


def test_a_column_that_is_not_allowed_has_no_weight(make_world: Callable[..., World]) -> None:
    problem = make_world(1, members=4).problem(ALPHAS, centred=True)
    some = np.array([True, False, True, False, True])
    for bounds in every_bounds:
        assert (solve(problem, some, bounds=bounds).weights[~some] == 0.0).all()
    alone = solve(problem, np.eye(5, dtype=bool)[2])
    assert alone.weights.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_no_allowed_column_is_refused(make_world: Callable[..., World]) -> None:
    with pytest.raises(ValueError, match="at least one column"):
        solve(make_world(1).problem(), np.zeros(4, dtype=bool))


def opposed_world(make_world: Callable[..., World], seed: int) -> World:
    """Three members of which two point against each other: several optima."""
    world = make_world(seed, rows=[4, 8, 30][seed % 3], dim=[2, 3, 6][seed // 3 % 3], folds=3)
    rng = np.random.default_rng(seed)
    world.embeddings[1] = rng.normal(size=world.embeddings[1].shape) * 0.5 - world.embeddings[0]
    world.embeddings[2] = rng.normal(size=world.embeddings[2].shape)
    return world


def test_opposed_members_reach_the_optimum_of_a_fine_grid(make_world: Callable[..., World]) -> None:
    parts = 60
    grid = np.array(
        [
            (0, a, b, parts - a - b)
            for a in range(parts + 1)
            for b in range(parts + 1 - a)
        ]
    )  # fmt: skip
    for seed in range(45):
        problem = opposed_world(make_world, seed).problem(precision="float64")
        solution = solve(problem, np.array([False, True, True, True]))
        assert solution.value >= scores(problem, grid / parts).max() - TIE


def test_free_weights_use_an_opposed_member(make_world: Callable[..., World]) -> None:
    world = make_world(3, members=2)
    rng = np.random.default_rng(3)
    world.embeddings[0] = world.targets + rng.normal(size=world.targets.shape)
    world.embeddings[1] = rng.normal(size=world.targets.shape) - world.targets
    problem = world.problem(precision="float64")
    columns = np.array([False, True, True])
    assert solve(problem, columns).weights.tolist() == [0.0, 1.0, 0.0]
    free = solve(problem, columns, bounds="free")
    assert free.weights[1] > 0.0 > free.weights[2]
    assert free.value > solve(problem, columns).value + 0.01


@pytest.mark.parametrize("norm", [0.0, 1.0])
@pytest.mark.parametrize("bounds", every_bounds)
def test_a_perfect_member_takes_all_the_weight(
    make_world: Callable[..., World], norm: float, bounds: Bounds
) -> None:
    for seed in range(5):
        world = make_world(seed, rows=50)
        world.embeddings[1] = world.targets * 3.0
        problem = world.problem([norm] * 3, precision="float64" if bounds == "free" else "float32")
        solution = solve(problem, np.ones(4, dtype=bool), bounds=bounds)
        assert solution.weights.tolist() == [0.0, 0.0, 1.0, 0.0]
        assert solution.value == pytest.approx(1.0, abs=1e-7)


def test_a_duplicated_member_changes_nothing(make_world: Callable[..., World]) -> None:
    for seed in range(5):
        once = make_world(seed, rows=40, members=4)
        twice = make_world(seed, rows=40, members=5)
        twice.embeddings[:4] = once.embeddings
        twice.embeddings[4] = once.embeddings[1]
        twice.targets[:], twice.fold[:] = once.targets, once.fold
        before = solve(once.problem(ALPHAS, centred=True), ALL)
        after = solve(twice.problem([*ALPHAS, ALPHAS[1]], centred=True), np.ones(6, dtype=bool))
        assert after.value == pytest.approx(before.value, rel=0, abs=1e-7)
        together = after.weights[:5] + after.weights[5] * np.eye(5)[2]
        np.testing.assert_allclose(together, before.weights, rtol=0, atol=1e-4)


@pytest.mark.parametrize("centred", [False, True])
def test_the_scale_of_a_member_does_not_matter(
    make_world: Callable[..., World], centred: bool
) -> None:
    world = make_world(2, rows=40, members=4, missing=0.2)
    before = solve(world.problem(ALPHAS, centred=centred), ALL)
    world.embeddings[:] *= np.float32(2.0) ** np.array([30, -40, 8, -8])[:, None, None]
    after = solve(world.problem(ALPHAS, centred=centred), ALL)
    assert after.value == pytest.approx(before.value, rel=0, abs=1e-7)
    np.testing.assert_allclose(after.scaled, before.scaled, rtol=0, atol=1e-4)


def test_permuted_members_have_permuted_weights(make_world: Callable[..., World]) -> None:
    world = make_world(3, rows=40, members=4)
    before = solve(world.problem(ALPHAS, centred=True), ALL)
    order = np.array([2, 0, 3, 1])
    world.embeddings[:] = world.embeddings[order]
    after = solve(world.problem(np.array(ALPHAS)[order], centred=True), ALL)
    assert after.value == pytest.approx(before.value, rel=0, abs=1e-8)
    expected = before.weights[np.r_[0, 1 + order]]
    np.testing.assert_allclose(after.weights, expected, rtol=0, atol=1e-4)


def test_the_order_of_rows_does_not_matter(make_world: Callable[..., World]) -> None:
    world = make_world(4, rows=40, members=4, missing=0.2, weighted=True)
    before = solve(world.problem(ALPHAS, centred=True), ALL)
    order = np.random.default_rng(4).permutation(40)
    world.embeddings[:] = world.embeddings[:, order]
    for array in (world.targets, world.fold, world.weight):
        array[:] = array[order]
    after = solve(world.problem(ALPHAS, centred=True), ALL)
    assert after.value == pytest.approx(before.value, rel=0, abs=1e-8)
    np.testing.assert_allclose(after.weights, before.weights, rtol=0, atol=1e-4)


def test_a_row_weight_counts_as_repeated_rows(make_world: Callable[..., World]) -> None:
    weighted = make_world(5, rows=30, members=4)
    weighted.weight[:] = np.random.default_rng(5).integers(1, 4, 30)
    times = weighted.weight.astype(int)
    repeated = make_world(5, rows=times.sum(), members=4)
    repeated.embeddings[:] = np.repeat(weighted.embeddings, times, axis=1)
    repeated.targets[:] = np.repeat(weighted.targets, times, axis=0)
    repeated.fold[:] = np.repeat(weighted.fold, times)
    alphas = [1.0] * 4  # other norms are scaled by mean lengths, which count rows once
    one, other = (solve(world.problem(alphas), ALL) for world in (weighted, repeated))
    assert one.value == pytest.approx(other.value, rel=0, abs=1e-8)
    np.testing.assert_allclose(one.weights, other.weights, rtol=0, atol=1e-4)


def test_a_row_of_no_weight_does_not_count(make_world: Callable[..., World]) -> None:
    world = make_world(6, rows=40, members=4)
    world.weight[30:] = 0.0
    before = solve(world.problem([1.0] * 4), ALL)
    world.embeddings[:, 30:] = np.random.default_rng(6).normal(size=(4, 10, 12))
    after = solve(world.problem([1.0] * 4), ALL)
    assert after.value == before.value
    np.testing.assert_array_equal(after.weights, before.weights)


def test_a_warm_start_reaches_the_same_maximum(make_world: Callable[..., World]) -> None:
    world = make_world(7, rows=40, members=4)
    problem = world.problem(ALPHAS, centred=True)
    cold = solve(problem, ALL)
    neighbour = world.problem(ALPHAS, centred=True, rows=np.arange(0, 40, 2))
    warm = solve(problem, ALL, warm=solve(neighbour, ALL).scaled)
    assert warm.value == pytest.approx(cold.value, rel=0, abs=TIE)
    assert warm.evaluations < cold.evaluations


def test_a_last_step_on_trust_spares_a_pass_and_lands_where_looking_does(
    make_world: Callable[..., World],
) -> None:
    world = make_world(7, rows=40, members=4)
    problem = world.problem(ALPHAS, centred=True)
    start = solve(problem, ALL).scaled * [1.0, 0.8, 1.2, 1.0, 0.9]
    looked = solve(problem, ALL, warm=start)
    trusted = solve(problem, ALL, warm=start, trust=1e-6)
    assert trusted.evaluations < looked.evaluations
    assert trusted.status is Status.CONVERGED
    assert trusted.value == pytest.approx(looked.value, rel=0, abs=TIE)
    assert scores(problem, trusted.scaled[None])[0] == pytest.approx(looked.value, rel=0, abs=TIE)
    assert np.abs(trusted.scaled).sum() == pytest.approx(1.0)


def test_one_seed_one_solution(make_world: Callable[..., World]) -> None:
    problem = opposed_world(make_world, 11).problem()
    columns = np.ones(4, dtype=bool)
    one, other = (solve(problem, columns, bounds="free", seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.weights, other.weights)
    assert (one.value, one.evaluations) == (other.value, other.evaluations)


def test_normalise_scales_to_the_bounds() -> None:
    weights = np.array([1.0, -4.0, 5.0])
    assert normalise(weights, "simplex").tolist() == [0.5, -2.0, 2.5]
    assert normalise(weights, "free").tolist() == [0.2, -0.8, 1.0]
