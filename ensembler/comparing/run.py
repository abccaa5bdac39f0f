"""Running an evaluation: every contestant under every folding, then what is asked besides."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.budget import seconds_per_image
from ensembler.comparing.breakdown import SOURCE, by_value, column_of
from ensembler.comparing.budgets import Budget, budgets
from ensembler.comparing.choice import complexity
from ensembler.comparing.comparison import compare
from ensembler.comparing.contestants import Contestant
from ensembler.comparing.contributing import contributions
from ensembler.comparing.estimate import counting, estimate, hold_out, plain_weights
from ensembler.comparing.evaluation import Evaluation
from ensembler.comparing.folding import fold_assignments
from ensembler.comparing.ground import Ground
from ensembler.comparing.leaving import leave_source_out
from ensembler.comparing.rows import SHOWN, describe
from ensembler.comparing.shift import Sources, sources_to_leave_out
from ensembler.errors import InputError, first_few
from ensembler.search.searching import Progress
from ensembler.store.corpus import Corpus
from ensembler.store.mix import mix_weights
from ensembler.store.reader import Store


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an evaluation is to tell.

    Attributes:
        repeats: foldings, at least one.
        column: of the samples, whose values are told apart; None for the source, briefly.
        rows: how many of the worst and best are shown.
        target_mix: source → share in what is to be predicted; None takes the rows as they are.
        leave_source_out: whether each source is scored by fits on the others.
        contributions: whether it is told what each member gives.
        budgets: whether it is told what seconds per image buy.
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
    asked: Asked,
    *,
    corpus: Corpus | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Score contestants on rows that their fits never saw.

    Args:
        store: with targets.
        entrants: by name; contributions and budgets are told of the first that is `weighted`.
        asked: what is to be told.
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
    column = column_of(samples, asked.column or SOURCE)
    weighted = _weighted(entrants) if asked.contributions or asked.budgets else None
    if asked.budgets and weighted:
        seconds_per_image(store, entrants[weighted].space.names)  # before any work: are they known?
    sources = sources_to_leave_out(samples) if asked.leave_source_out else Sources((), ())
    whole = Ground(
        store=store,
        foldings=fold_assignments(store, asked.repeats, seed),
        weight=samples.weight,
        corpus=corpus,
        jobs=jobs,
        progress=progress,
    )
    ground = whole if asked.target_mix is None else _mixed(whole, asked.target_mix)
    found = {
        name: estimate(
            entrant.blender,
            ground.repeats(entrant.space),
            entrant.seed,
            extremes=max(asked.rows, SHOWN),
            kept=True,
            jobs=jobs,
            told=counting(name, 1 + ground.folds, progress),
        )
        # The simplest first: what stands on them fits them no second time.
        for name, entrant in sorted(entrants.items(), key=_complexity)
    }
    comparison = compare(found, store, ground.weight, ground.foldings, seed)
    cosines = {name: found[name].cosines for name in comparison.blends}
    known = cosines
    if sources.enough and ground is not whole:  # to compare with fits on the others, under no mix
        known = {
            name: hold_out(
                entrant.blender,
                whole.repeats(entrant.space),
                entrant.seed,
                kept=True,
                jobs=jobs,
                told=counting(f"under no mix: {name}", whole.folds, progress),
            ).cosines
            for name, entrant in entrants.items()
        }
    left_out = tuple(
        leave_source_out(
            source,
            whole,
            entrants,
            known,
            jobs=jobs,
            progress=progress,
        )
        for source in sources.enough
    )
    chosen = found[comparison.chosen]
    space = entrants[comparison.chosen].space
    data, everyone = ground.repeats(space)[0], ground.everyone(space)
    of_folds = [without.extremes for without in chosen.outer[0]]
    worst, best = describe(data, chosen.first, of_folds, asked.rows)
    given, bought = None, tuple[Budget, ...]()
    if weighted:
        plain = ground.repeats(entrants[weighted].space)[0], plain_weights(found[weighted])
        given = contributions(*plain, seed) if asked.contributions else None
        bought = budgets(*plain, seed) if asked.budgets else ()
    return Evaluation(
        comparison=comparison,
        column=asked.column or SOURCE,
        column_asked=asked.column is not None,
        parts=by_value(column, cosines, everyone),
        groups=by_value(samples.group, cosines, everyone)[: asked.rows],
        worst=worst,
        best=best,
        left_out=left_out,
        kept_in=sources.needed,
        target_mix=asked.target_mix,
        plain=weighted,
        contributions=given,
        budgets=bought,
        seconds=time.monotonic() - begun,
    )


def _complexity(named: tuple[str, Contestant]) -> tuple[int, ...]:
    return complexity(named[1].blender.name)


def _weighted(entrants: Mapping[str, Contestant]) -> str:
    """The contestant that contributions and budgets are told of."""
    for name, entrant in entrants.items():
        if isinstance(entrant.blender, Weighted):
            return name
    raise InputError(
        "contributions and budgets are told of the weighted blend, which is not among"
        f" {first_few(entrants)}; compare it as well"
    )


def _mixed(ground: Ground, mix: Mapping[str, float]) -> Ground:
    """The same store under the row weights of another mix of sources."""
    samples = ground.store.samples
    weight = mix_weights(samples, mix)
    return ground.under(weight, f"of {first_few(mix)}")
