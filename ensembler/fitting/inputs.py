"""Inputs of a fit: the study, its space on this store, the statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.cache import cached_statistics
from ensembler.blending.statistics import Statistics
from ensembler.errors import StoreError, first_few
from ensembler.files import sha256_json
from ensembler.folds import evaluation_folds
from ensembler.search.definition import StudyDefinition, load_study, parse_study, select_members
from ensembler.search.samplers import check_sampler
from ensembler.search.searching import Progress
from ensembler.search.space import Space
from ensembler.store.reader import Store

# Raised when equal inputs come to propose or score other trials: the order of a run, the sample of
# the rows and when it rules a trial out, the seeding of a sampler.
RULES = 3

# Settings that do not change which trial comes at which place: a resumed study may differ in them.
LASTING = {"description", "members", "patience", "trials", "validation"}


def resolve_study(
    study: str | Path | StudyDefinition,
    *,
    members: str | Sequence[str] | None,
    trials: int | None,
    seed: int | None,
) -> tuple[str, StudyDefinition]:
    """A study with the caller's own settings: the caller's, else the study's, else the default.

    Args:
        study: a name, a file or a definition.
        members: names or patterns, also as one text between commas, or None.
        trials: how many, or None.
        seed: or None.

    Returns:
        The study's name and its definition.

    Raises:
        StudyError: no such study, or a setting is not one.
    """
    if isinstance(study, StudyDefinition):
        name, definition = "given", study
    else:
        name, definition = Path(study).stem, load_study(study)
    if isinstance(members, str):
        members = [name.strip() for name in members.split(",") if name.strip()]
    if members is not None:
        members = list(members)
    own = {"members": "all" if members == ["all"] else members, "trials": trials, "seed": seed}
    changed = {key: value for key, value in own.items() if value is not None}
    return name, parse_study(definition.model_dump(mode="json") | changed, f"study {name}")


def make_space(definition: StudyDefinition, store: Store) -> Space:
    """The search space of a study on a store's members.

    Raises:
        StoreError: the store has no members or no targets.
        StudyError: the study names members the store does not have, or its sampler cannot propose
            points of this space.
    """
    store.targets()  # before anything else: is there something to fit to?
    if not store.names:
        raise StoreError(f"{store.path} has no members; add some with `ensembler store add`")
    groups = select_members(definition, store.names)
    chosen = {name for members in groups.values() for name in members}
    names = tuple(name for name in store.names if name in chosen)
    space = Space(definition=definition, groups=groups, names=names)
    check_sampler(definition.sampler, space.distributions.values())
    return space


def study_identity(
    store: Store, space: Space, target_mix: Mapping[str, float] | None = None
) -> str:
    """The digest of all that decides the sequence of trials."""
    records = {record.name: record.sha256 for record in store.manifest.members}
    targets = store.manifest.targets
    return sha256_json(
        {
            "rules": RULES,
            "samples": store.manifest.samples.sha256,
            "targets": targets.sha256 if targets else None,
            "members": [[name, records[name]] for name in space.names],
            "groups": {group: list(names) for group, names in space.groups.items()},
            "definition": space.definition.model_dump(mode="json", exclude=LASTING),
            **({} if target_mix is None else {"target_mix": dict(target_mix)}),
        }
    )


def fit_statistics(
    store: Store,
    space: Space,
    *,
    jobs: int,
    progress: Progress | None,
    fold: NDArray[np.int64] | None = None,
    weight: NDArray[np.float64] | None = None,
    pairs: bool = True,
) -> Statistics:
    """The Gram statistics of the study's members, in double precision where they may cancel.

    Args:
        store: with targets.
        space: the study on it.
        jobs: threads.
        progress: told of rows, where the statistics must be built.
        fold: (rows,) int64 in 0..F-1, instead of `evaluation_folds`; no group may be split.
        weight: (rows,) float64, instead of the store's row weights.
        pairs: whether members are looked at together, or each by itself.

    Raises:
        StoreError: a file is broken, there are too many pairs, the groups are too few, a fold has
            no weight, or no row has two members.
    """
    own = store.samples.weight if weight is None else weight
    folds = store_folds(store) if fold is None else fold
    weightless = np.flatnonzero(np.bincount(folds, own) == 0.0)
    if len(weightless):
        raise StoreError(
            f"{store.path}: the rows of fold {first_few(weightless)} have no weight, so that"
            " holding them out tells nothing; give them some, or leave the samples out"
        )
    statistics = cached_statistics(
        store,
        space.names,
        folds,
        weight=own,
        precision="float64" if space.definition.bounds == "free" else "float32",
        pairs=pairs,
        jobs=jobs,
        progress=None if progress is None else _counted(progress),
    )
    together = int((statistics.raw.lengths > 0.0).sum(axis=1).max())
    if together < min(2, len(space.names)):
        raise StoreError(
            f"{store.path}: no row has two of the members {first_few(space.names)}, so there is"
            " nothing to blend; were they dumped for different samples?"
        )
    return statistics


def store_folds(store: Store) -> NDArray[np.int64]:
    """(rows,) int64: the folds of a fit's nested estimate and of its priors.

    Raises:
        StoreError: the groups are too few.
    """
    try:
        return evaluation_folds(store.samples.fold, store.samples.group)
    except ValueError as error:
        raise StoreError(f"{store.path}: {error}; add samples of other groups") from error


def _counted(progress: Progress) -> Callable[[int], Callable[[int], None]]:
    """Progress by the total of rows done, from counts of rows done since the last call."""

    def begin(total: int) -> Callable[[int], None]:
        done = 0

        def tick(rows: int) -> None:
            nonlocal done
            done += rows
            progress("statistics", done, total)

        return tick

    return begin
