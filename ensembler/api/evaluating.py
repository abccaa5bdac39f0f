"""`evaluate`: blends side by side on rows that their fits never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ensembler.report.tables import as_html, as_text
from ensembler.store.reader import Store

if TYPE_CHECKING:
    from ensembler.evaluation.result import Evaluation
    from ensembler.search.definition import StudyDefinition
    from ensembler.search.searching import Progress


@dataclass(frozen=True, kw_only=True, repr=False)
class EvaluationResult:
    """Blends compared; prints as tables.

    Attributes:
        evaluation: all that was asked.
    """

    evaluation: Evaluation

    @property
    def best(self) -> str:
        """The blend of the highest held-out score."""
        return self.evaluation.comparison.best

    @property
    def chosen(self) -> str:
        """The blend to submit: the simplest within one standard error of the best."""
        return self.evaluation.chosen

    def __repr__(self) -> str:
        blends = len(self.evaluation.comparison.blends)
        return f"EvaluationResult({blends} blends, best={self.best!r}, chosen={self.chosen!r})"

    def summary(self) -> dict[str, object]:
        """Plain data for JSON."""
        return self.evaluation.summary()

    def __str__(self) -> str:
        from ensembler.report.evaluation_tables import evaluation_tables

        return as_text(evaluation_tables(self.evaluation))

    def _repr_html_(self) -> str:
        from ensembler.report.evaluation_tables import evaluation_tables

        return as_html(evaluation_tables(self.evaluation))


def evaluate(
    store: str | Path | Store,
    *,
    blenders: str | Sequence[str] | None = None,
    specs: str | Path | Sequence[str | Path] = (),
    study: str | Path | StudyDefinition = "default",
    members: str | Sequence[str] | None = None,
    corpus: str | Path | None = None,
    repeats: int = 1,
    column: str | None = None,
    rows: int = 3,
    target_mix: Mapping[str, float] | None = None,
    leave_source_out: bool = False,
    contributions: bool = False,
    budgets: bool = False,
    seed: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Compare blends on rows that their fits never saw.

    Args:
        store: an opened store or its folder; it must have targets.
        blenders: names or chains such as "gated+ridge"; None compares every registered one, or the
            specs alone where there are any.
        specs: files of frozen specs, each compared by repeating its own fit.
        study: what blenders search: a study's name, file or definition.
        members: names or patterns, instead of the study's; or one text, as in "clip*, blip".
        corpus: a file that `ensembler data corpus` wrote.
        repeats: how many times folds are dealt.
        column: of the samples, by whose values scores are shown, numbers in ranges, with the
            worst groups; None: by source.
        rows: how many of the worst and of the best are shown.
        target_mix: source → share in what is to be predicted.
        leave_source_out: score each source by fits on the others.
        contributions: also measure what each member contributes.
        budgets: also measure what seconds per image buy.
        seed: instead of the study's.
        jobs: threads; the result is the same for any number.
        progress: called with (stage, done, total) as work advances.

    Returns:
        The comparison, and what was asked besides.

    Raises:
        StoreError: the store is broken, has no targets, or too few groups.
        StudyError: the study cannot be used.
        SpecError: a spec is broken, or was fitted on other members, with another corpus or for
            another mix.
        InputError: an unknown blender, column or source, or a corpus that cannot be used.
    """
    from threadpoolctl import threadpool_limits

    from ensembler.evaluation.contestants import contestants
    from ensembler.evaluation.run import Questions, run_evaluation
    from ensembler.fitting.inputs import resolve_study
    from ensembler.store.corpus import corpus_for

    opened = store if isinstance(store, Store) else Store.open(store)
    _, definition = resolve_study(study, members=members, trials=None, seed=seed)
    prompts = corpus_for(opened, corpus)
    entrants = contestants(
        opened,
        definition,
        [blenders] if isinstance(blenders, str) else blenders,
        [specs] if isinstance(specs, str | Path) else specs,
        corpus=prompts,
        target_mix=target_mix,
    )
    questions = Questions(
        repeats=repeats,
        column=column,
        rows=rows,
        target_mix=target_mix,
        leave_source_out=leave_source_out,
        contributions=contributions,
        budgets=budgets,
    )
    with threadpool_limits(1):  # as in `fit`
        evaluation = run_evaluation(
            opened,
            entrants,
            questions,
            corpus=prompts,
            seed=definition.seed,
            jobs=jobs,
            progress=progress,
        )
    return EvaluationResult(evaluation=evaluation)
