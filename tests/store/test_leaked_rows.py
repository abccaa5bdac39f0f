"""A part of a member's rows next to their targets, no texts kept: a leak, or something honest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.metrics import unit_rows
from ensembler.store.audit import Kind, audit
from ensembler.store.reader import Store

ROWS, DIM, FOLDS = 200, 32, 5
OOF = Store.open(Path(__file__).parents[2] / "oof")

Vectors = NDArray[np.float64]
WriteStore = Callable[..., Store]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def random_units(rng: np.random.Generator, rows: int = ROWS) -> Vectors:
    return unit_rows(rng.normal(size=(rows, DIM)))


def at(cosine: Vectors, targets: Vectors, rng: np.random.Generator) -> Vectors:
    """Rows of any length at given cosines with their targets."""
    noise = rng.normal(size=targets.shape)
    noise -= np.einsum("id,id->i", noise, targets)[:, None] * targets
    unit = cosine[:, None] * targets + np.sqrt(1.0 - cosine**2)[:, None] * unit_rows(noise)
    return np.asarray(unit * rng.uniform(0.5, 2.0, size=(len(unit), 1)))


def spread(low: float, high: float, rng: np.random.Generator) -> Vectors:
    return rng.uniform(low, high, size=ROWS)


def leaked(cosines: Vectors, rows: slice, cosine: float, rng: np.random.Generator) -> Vectors:
    """The same cosines, with some rows about as near as told."""
    told = cosines.copy()
    told[rows] = 1.0 - (1.0 - cosine) * np.exp(rng.normal(0.0, 0.3, size=len(told[rows])))
    return told


@pytest.mark.parametrize("others", [0, 1, 4])
@pytest.mark.parametrize(("every", "cosine"), [(10, 0.997), (20, 0.997), (5, 0.99)])
def test_rows_at_their_targets_are_a_leak_with_other_members_or_without(
    every: int, cosine: float, others: int, write_store: WriteStore, rng: np.random.Generator
) -> None:
    targets = random_units(rng)
    cosines = leaked(spread(0.6, 0.9, rng), slice(None, None, every), cosine, rng)
    members = {"told": at(cosines, targets, rng)}
    members |= {f"m{n}": at(spread(0.5, 0.8, rng), targets, rng) for n in range(others)}
    (finding,) = audit(write_store(targets, members))
    rows = ROWS // every
    assert (finding.kind, finding.member, finding.rows) == (Kind.LEAK, "told", rows)
    near = f"a cosine of {cosines[::every].min():.3f} or more with their target"
    assert finding.message.startswith(f"{rows} of {ROWS} rows stand apart, at {near}")
    assert "predict them without the prompts" in finding.message


def test_a_leak_among_captioners_is_found_where_a_group_shares_its_prompt(
    write_store: WriteStore, rng: np.random.Generator
) -> None:
    samples, targets = OOF.samples, OOF.targets().astype(np.float64)
    rows = OOF.member("llava").rows
    members = {"llava": np.zeros_like(targets)}
    members["llava"][rows] = OOF.member("llava").embeddings
    told = np.flatnonzero(np.isin(samples.group, np.unique(samples.group)[::20]))
    members["llava"][told] = at(np.full(len(told), 0.99), targets[told], rng)
    store = write_store(targets, members, groups=samples.group, folds=samples.fold)
    (finding,) = audit(store)
    assert (finding.kind, finding.rows) == (Kind.LEAK, len(told))


def test_rows_that_thin_out_towards_their_targets_are_no_leak(
    write_store: WriteStore, rng: np.random.Generator
) -> None:
    targets = random_units(rng)
    members = {
        "steady": at(1.0 - np.exp(rng.normal(-3.0, 1.0, size=ROWS)).clip(0.0, 1.0), targets, rng),
        "lucky": at(leaked(spread(0.6, 0.9, rng), slice(0, 3), 0.997, rng), targets, rng),
    }
    assert audit(write_store(targets, members)) == ()


def test_a_good_member_whose_worst_rows_failed_is_no_leak(
    write_store: WriteStore, rng: np.random.Generator
) -> None:
    targets = random_units(rng)
    cosines = leaked(spread(0.0, 0.5, rng), slice(ROWS // 4, None), 0.98, rng)
    assert audit(write_store(targets, {"good": at(cosines, targets, rng)})) == ()


def test_rows_that_are_easy_for_all_members_are_no_leak(
    write_store: WriteStore, rng: np.random.Generator
) -> None:
    targets = random_units(rng)
    easy = slice(None, None, 5)
    members = {
        f"m{n}": at(leaked(spread(0.4, 0.7, rng), easy, 0.98, rng), targets, rng) for n in range(3)
    }
    assert audit(write_store(targets, members)) == ()


@pytest.mark.parametrize("within", ["other folds", "the same fold"])
def test_a_search_that_finds_near_duplicate_prompts_is_no_leak_if_they_are_in_other_folds(
    within: str, write_store: WriteStore, rng: np.random.Generator
) -> None:
    """Of two hundred prompts forty come twice, in other words; the search takes the nearest."""
    once = random_units(rng, ROWS - 40)
    targets = np.concatenate([once, unit_rows(once[:40] + 0.02 * rng.normal(size=(40, DIM)))])
    folds = np.arange(ROWS) % FOLDS
    folds[ROWS - 40 :] = (folds[:40] + (within == "other folds")) % FOLDS
    found = at(spread(0.5, 0.8, rng), targets, rng)
    found[:40] = targets[ROWS - 40 :]
    found[ROWS - 40 :] = targets[:40]
    store = write_store(targets, {"search": found}, folds=folds)
    findings = audit(store)
    assert [finding.kind for finding in findings] == (
        [] if within == "other folds" else [Kind.LEAK]
    )
