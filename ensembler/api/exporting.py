"""`export_blend`: a blend's out-of-fold rows as a member, for a later blend to build on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ensembler.store.reader import Store

if TYPE_CHECKING:
    from ensembler.search.definition import StudyDefinition
    from ensembler.search.searching import Progress
    from ensembler.store.model import MemberRecord


def export_blend(
    store: str | Path | Store,
    into: str | Path,
    name: str,
    *,
    blender: str = "weighted",
    study: str | Path | StudyDefinition = "default",
    members: str | Sequence[str] | None = None,
    corpus: str | Path | None = None,
    seed: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> MemberRecord:
    """Write a blend's out-of-fold rows as a member of another store of the same samples.

    Each row comes from the whole fit repeated without the row's fold, so that the member may be
    blended like any other: the new store has the folds that the rows are held out by.

    Args:
        store: an opened store or its folder; it must have targets.
        into: the folder of the other store, made if there is none.
        name: of the new member.
        blender: a blender or a chain.
        study: a study's name, file or definition.
        members: names or patterns, instead of the study's; or one text, as in "clip*, blip".
        corpus: a file that `ensembler data corpus` wrote.
        seed: instead of the study's.
        jobs: threads.
        progress: called with (stage, done, total) as work advances.

    Returns:
        The member's record.

    Raises:
        InputError: an unknown blender, one that cannot be fitted on these members, or a corpus
            that cannot be used.
        StoreError: a store is broken, `into` is of other samples, or the name is taken.
        StudyError: the study does not fit the store.
    """
    from threadpoolctl import threadpool_limits

    from ensembler.blenders.refitting.export import export_member
    from ensembler.blenders.registry import parse_blender
    from ensembler.evaluation.contestants import make_contestant
    from ensembler.fitting.inputs import make_space, resolve_study
    from ensembler.fitting.preparing import prepare_data
    from ensembler.store.corpus import corpus_for

    opened = store if isinstance(store, Store) else Store.open(store)
    parsed = parse_blender(blender)
    _, definition = resolve_study(study, members=members, trials=None, seed=seed)
    contestant = make_contestant(parsed, make_space(definition, opened), opened)
    prompts = corpus_for(opened, corpus)
    with threadpool_limits(1):  # as in `fit`
        prepared = prepare_data(
            opened, contestant.space, corpus=prompts, jobs=jobs, progress=progress
        )
        data = replace(prepared.data, jobs=jobs)  # folds take turns: each fit may have all threads
        return export_member(into, name, data, contestant.blender, contestant.seed)
