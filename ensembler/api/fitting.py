"""`fit`: a blend tuned on a store, scored honestly, frozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ensembler.api.recording import recorded
from ensembler.report.spec_table import spec_table
from ensembler.report.tables import as_html, as_text
from ensembler.spec.model import EnsembleSpec, HeldOut
from ensembler.store.reader import Store

if TYPE_CHECKING:
    import optuna
    from rich.console import RenderableType

    from ensembler.blenders.data import Data
    from ensembler.evaluation.choosing import Choice
    from ensembler.evaluation.comparison import Comparison
    from ensembler.fitting.freezing import Fitted
    from ensembler.fitting.origin import FitOrigin
    from ensembler.fitting.preparing import Prepared
    from ensembler.fitting.searched import Searched
    from ensembler.search.definition import StudyDefinition
    from ensembler.search.searching import Progress

WEIGHTED = "weighted"  # the study's own search: a blend of plain weights


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """A fitted blend; prints as a table.

    Attributes:
        spec: the frozen spec.
        blender: what fitted it.
        status: how that ended, by name; `ensembler.fitting.statuses` has the sentences.
        comparison: of all blenders, where one was to be chosen.
        study: the Optuna study with every trial; without any for a blend that needed no search.
        warnings: what to look at before trusting the scores.
        seconds: how long the fit took.
        preselection_s: how long of it a few members were chosen of many; 0 where none were.
    """

    spec: EnsembleSpec
    blender: str
    status: str
    comparison: Comparison | None = field(repr=False)
    study: optuna.Study = field(repr=False)
    warnings: tuple[str, ...]
    seconds: float
    preselection_s: float = 0.0

    @property
    def score(self) -> float:
        """Mean cosine of the spec's blend on the rows that chose it."""
        return self.spec.scores.in_sample

    @property
    def held_out(self) -> HeldOut | None:
        """The honest score; None when the study's validation is "none"."""
        return self.spec.scores.held_out

    def __str__(self) -> str:
        return as_text(self._tables())

    def _repr_html_(self) -> str:
        return as_html(self._tables())

    def _tables(self) -> RenderableType:
        from rich.console import Group

        from ensembler.report.comparison_table import comparison_table

        parts: list[RenderableType] = [spec_table(self.spec)]
        if self.comparison is not None:
            parts = [comparison_table(self.comparison), "", *parts]
        if self.preselection_s:
            parts.append(f"Choosing a few of many members took {self.preselection_s:.1f} s.")
        return Group(*parts)


def fit(
    store: str | Path | Store,
    *,
    blender: str = WEIGHTED,
    study: str | Path | StudyDefinition = "default",
    members: str | Sequence[str] | None = None,
    corpus: str | Path | None = None,
    target_mix: Mapping[str, float] | None = None,
    trials: int | None = None,
    seed: int | None = None,
    jobs: int = 1,
    spec: str | Path | None = None,
    storage: str | None = None,
    resume: bool = False,
    join: bool = False,
    progress: Progress | None = None,
) -> FitResult:
    """Tune a blend on a store's out-of-fold embeddings and score it honestly.

    Args:
        store: an opened store or its folder; it must have targets.
        blender: a blender or a chain such as "gated+ridge+gains"; "auto" compares them all by
            nested score and takes the simplest within one standard error of the best.
        study: a study's name, file or definition.
        members: names or patterns, instead of the study's; or one text, as in "clip*, blip".
        corpus: a file that `ensembler data corpus` wrote, for blenders that take one.
        target_mix: source → its share in what is to be predicted; None takes the rows as they are.
        trials: instead of the study's.
        seed: instead of the study's.
        jobs: threads; the result is the same for any number.
        spec: where to write the frozen spec, with the trials' journal beside it; None writes none.
        storage: the URL of an SQL database for the trials, instead of the journal.
        resume: go on from the recorded trials.
        join: work on the storage's latest study of these inputs together with every other process
            that does, beginning it where there is none; on like processors and libraries all end
            with the same spec.
        progress: called with (stage, done, total) as work advances.

    Returns:
        The frozen spec, its scores and the study.

    Raises:
        StoreError: the store is broken, has no targets, or nothing to blend.
        StudyError: the study cannot be used or resumed, or its storage is lost.
        InputError: an unknown blender or source, a corpus that cannot be used, nothing to resume
            from or to join, or `spec` names no file in a folder that exists.
    """
    from threadpoolctl import threadpool_limits

    from ensembler.blenders.registry import parse_blender
    from ensembler.evaluation.choosing import choose_blender
    from ensembler.evaluation.contestants import AUTO, make_contestant
    from ensembler.fitting.caveats import caveats
    from ensembler.fitting.freezing import seal_fit
    from ensembler.fitting.inputs import make_space, resolve_study, study_identity
    from ensembler.fitting.preparing import prepare_data
    from ensembler.fitting.searched import search_study
    from ensembler.store.corpus import corpus_for
    from ensembler.store.mix import mix_weights

    begun = time.monotonic()
    opened = store if isinstance(store, Store) else Store.open(store)
    named = None if blender == AUTO else parse_blender(blender)
    name, definition = resolve_study(study, members=members, trials=trials, seed=seed)
    space = make_space(definition, opened)
    if named is not None:
        space = make_contestant(named, space, opened).space
    prompts = corpus_for(opened, corpus)
    weight = None if target_mix is None else mix_weights(opened.samples, target_mix)
    # One thread for each product: the order of its sums must not depend on the machine's cores.
    with threadpool_limits(1):
        prepared = prepare_data(
            opened, space, corpus=prompts, jobs=jobs, progress=progress, weight=weight
        )
        data = prepared.data
        identity = study_identity(opened, data.space, target_mix)
        with recorded(spec, storage, identity, resume=resume, join=join, jobs=jobs) as record:
            choice = None
            if blender != WEIGHTED:
                choice = choose_blender(
                    blender, data, definition.seed, jobs=jobs, progress=progress
                )
            search = partial(
                search_study, data.space, data.statistics, record, jobs=jobs, progress=progress
            )
            fitted = _freeze(data, choice, search)
            origin = _origin(name, target_mix, prepared, choice)
            frozen = seal_fit(origin, prepared, fitted)
            if spec is not None:
                frozen.save(spec)
    return FitResult(
        spec=frozen,
        blender=WEIGHTED if choice is None else choice.name,
        status=fitted.status,
        comparison=None if choice is None else choice.comparison,
        study=record.study,
        warnings=caveats(data, fitted.status, fitted.statuses),
        seconds=time.monotonic() - begun,
        preselection_s=prepared.narrowing_s,
    )


def _freeze(data: Data, choice: Choice | None, search: Callable[[], Searched]) -> Fitted:
    """Freeze the chosen blend; the study's search is run where its weights are needed."""
    from ensembler.fitting.composing import freeze_fitted, needs_stand_in
    from ensembler.fitting.freezing import freeze_search

    if choice is None or choice.name == WEIGHTED:
        return freeze_search(data, search())
    stand_in = search() if needs_stand_in(choice.fitted) else None
    return freeze_fitted(
        data, choice.fitted, stand_in, cosines=choice.cosines, statuses=choice.statuses
    )


def _origin(
    name: str, target_mix: Mapping[str, float] | None, prepared: Prepared, choice: Choice | None
) -> FitOrigin:
    """What the spec says of the fit beside the study's definition."""
    from ensembler.blenders.registry import parse_blender
    from ensembler.evaluation.parts import reads_corpus
    from ensembler.fitting.origin import FitOrigin

    blender = None if choice is None or choice.name == WEIGHTED else choice.name
    reads = blender is not None and reads_corpus(parse_blender(blender))
    corpus = prepared.data.corpus if reads else None
    compared = None if choice is None else choice.comparison
    return FitOrigin(
        name=name,
        target_mix=None if target_mix is None else dict(target_mix),
        preselection=prepared.preselection,
        blender=blender,
        corpus=None if corpus is None else corpus.sha256,
        chosen_among=None if compared is None else sorted(compared.blends),
        choice_held_out=None if compared is None else compared.choice.score,
    )
