"""The run of an evaluation: every contestant under every folding, then further questions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.budget import seconds_per_image
from ensembler.errors import InputError, first_few
from ensembler.evaluation.breakdown import SOURCE, by_value, column_of
from ensembler.evaluation.budgets import Budget, budgets
from ensembler.evaluation.comparison import compare
from ensembler.evaluation.contestants import Contestant
from ensembler.evaluation.contributing import contributions
from ensembler.evaluation.estimate import Estimate, counting, estimate, hold_out, plain_weights
from ensembler.evaluation.folding import fold_assignments
from ensembler.evaluation.ground import Ground
from ensembler.evaluation.leaving import leave_source_out
from ensembler.evaluation.result import Evaluation
from ensembler.evaluation.rows import SHOWN, Row, WorstAndBest, describe
from ensembler.evaluation.shift import Sources, sources_to_leave_out
from ensembler.evaluation.turns import in_turn
from ensembler.search.searching import Progress
from ensembler.store.corpus import Corpus
from ensembler.store.mix import mix_weights
from ensembler.store.reader import Store


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What an evaluation is asked.

    Attributes:
        repeats: number of foldings, at least one.
        column: of the samples, by whose values scores are shown; None for the source, briefly.
        rows: number of the worst rows, and of the best.
        target_mix: source → share in what is to be predicted; None takes the rows as they are.
        leave_source_out: what does each source score under fits on the others?
        contributions: what does each member give?
        budgets: what do seconds per image buy?
    """

    repeats: int = 1
    column: str | None = None
    rows: int = 5
    target_mix: Mapping[str, float] | None = None
    leave_source_out: bool = False
    contributions: bool = False
    budgets: bool = False


def run_evaluation(
    store: Store,
    entrants: Mapping[str, Contestant],
    questions: Questions,
    *,
    corpus: Corpus | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Score contestants on rows that their fits never saw.

    Args:
        store: with targets.
        entrants: by name; contributions and budgets are of the first that is `weighted`.
        questions: to be answered besides which blend leads.
        corpus: or None.
        seed: of foldings and intervals; fits have that of their contestant's study.
        jobs: threads; the result is the same for any number.
        progress: told of each fit.

    Raises:
        InputError: a column, a source, a contestant or a member's seconds are not there.
        StoreError: the rows are too few, or a file is broken.
    """
    begun = time.monotonic()
    samples = store.samples
    column = column_of(samples, questions.column or SOURCE)
    plain = _plain_contestant(store, entrants, questions)
    sources = sources_to_leave_out(samples) if questions.leave_source_out else Sources((), ())
    whole = Ground(
        store=store,
        foldings=fold_assignments(store, questions.repeats, seed),
        weight=samples.weight,
        corpus=corpus,
        jobs=jobs,
        progress=progress,
    )
    mix = questions.target_mix
    ground = whole if mix is None else _mixed(whole, mix)
    estimates = _estimate_all(entrants, ground, max(questions.rows, SHOWN))
    comparison = compare(estimates, store, ground.weight, ground.foldings, seed)
    cosines = {name: estimates[name].cosines for name in comparison.blends}
    # A source is left out under no mix, and so is what that is compared with.
    unmixed = _unmixed_cosines(entrants, whole) if sources.enough and mix is not None else cosines
    left_out = tuple(
        leave_source_out(source, whole, entrants, unmixed) for source in sources.enough
    )
    space = entrants[comparison.chosen].space
    everyone = ground.everyone(space)
    ends = _ends(estimates[comparison.chosen], ground.repeats(space)[0], questions.rows)
    contributed, bought = None, tuple[Budget, ...]()
    if plain is not None:
        data, weights = ground.repeats(entrants[plain].space)[0], plain_weights(estimates[plain])
        contributed = contributions(data, weights, seed) if questions.contributions else None
        bought = budgets(data, weights, seed) if questions.budgets else ()
    return Evaluation(
        comparison=comparison,
        column=questions.column or SOURCE,
        column_asked=questions.column is not None,
        parts=by_value(column, cosines, everyone),
        groups=by_value(samples.group, cosines, everyone)[: questions.rows],
        worst=ends.worst,
        best=ends.best,
        left_out=left_out,
        kept_in=sources.needed,
        target_mix=mix,
        plain=plain,
        contributions=contributed,
        budgets=bought,
        seconds=time.monotonic() - begun,
    )


def _plain_contestant(
    store: Store, entrants: Mapping[str, Contestant], questions: Questions
) -> str | None:
    """The contestant that contributions and budgets are of; None where nobody asks for them."""
    if not questions.contributions and not questions.budgets:
        return None
    for name, entrant in entrants.items():
        if isinstance(entrant.blender, Weighted):
            if questions.budgets:  # before any work: are the seconds known?
                seconds_per_image(store, entrant.space.names)
            return name
    raise InputError(
        "contributions and budgets are those of the weighted blend, which is not among"
        f" {first_few(entrants)}; compare it as well"
    )


def _mixed(ground: Ground, mix: Mapping[str, float]) -> Ground:
    """The same store under the row weights of another mix of sources."""
    return ground.under(mix_weights(ground.store.samples, mix), f"of {first_few(mix)}")


def _estimate_all(
    entrants: Mapping[str, Contestant], ground: Ground, extremes: int
) -> dict[str, Estimate]:
    return {
        name: estimate(
            entrant.blender,
            ground.repeats(entrant.space),
            entrant.seed,
            extremes=extremes,
            kept=True,
            jobs=ground.jobs,
            on_fit=counting(name, 1 + ground.folds, ground.progress),
        )
        for name, entrant in in_turn(entrants, ground)
    }


def _unmixed_cosines(
    entrants: Mapping[str, Contestant], whole: Ground
) -> dict[str, NDArray[np.float64]]:
    """(rows,) held-out cosines of each contestant under the store's own row weights."""
    return {
        name: hold_out(
            entrant.blender,
            whole.repeats(entrant.space),
            entrant.seed,
            kept=True,
            jobs=whole.jobs,
            on_fit=counting(f"under no mix: {name}", whole.folds, whole.progress),
        ).cosines
        for name, entrant in in_turn(entrants, whole)
    }


def _ends(chosen: Estimate, data: Data, count: int) -> WorstAndBest[tuple[Row, ...]]:
    """The worst and best rows of the chosen blend under the first folding."""
    of_folds = [without.extremes for without in chosen.outer[0]]
    return describe(data, chosen.first, of_folds, count)
