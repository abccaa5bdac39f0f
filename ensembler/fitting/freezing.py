"""The last step of a fit: blend, scores and provenance under one digest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blending.priors import priors_out_of_fold
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.evaluation.nested import Nested
from ensembler.fitting.honest import honest_scores
from ensembler.search.run import Outcome
from ensembler.search.space import Space
from ensembler.spec.composed import ComposedBlend
from ensembler.spec.coreset import make_coreset
from ensembler.spec.freeze import freeze_blend, versions
from ensembler.spec.loading import seal
from ensembler.spec.model import EnsembleSpec, Provenance
from ensembler.spec.rescore import rescore
from ensembler.spec.tensors import Tensors
from ensembler.spec.thaw import thaw_blend
from ensembler.spec.weighted import WeightedBlend
from ensembler.store.reader import Store


class Found(NamedTuple):
    """What a fit found.

    Attributes:
        blend: frozen.
        tensors: of a composed blend.
        weighting: the blend's own, or that of the plain weights that stand in for it.
        trials: of the search for that.
        nested: that search without each fold; None: losses are not told.
        cosines: (rows,) held out, of a blend that `nested` is not of.
        everyone: all members, of a fit that looked at few of many; None for any other.
    """

    blend: WeightedBlend | ComposedBlend
    tensors: Tensors | None
    weighting: Weighting
    trials: int
    nested: Nested | None
    cosines: NDArray[np.float64] | None = None
    everyone: Data | None = None


def freeze(
    names: dict[str, Any],
    store: Store,
    space: Space,
    statistics: Statistics,
    outcome: Outcome,
    nested: Nested | None,
) -> EnsembleSpec:
    """Freeze what a search found, with its honest scores.

    Args:
        names: what the provenance tells of the study beside its definition: its name, and the mix
            of sources that the fit was for, where there is one.
        store: what was fitted on.
        space: of the study.
        statistics: of all rows.
        outcome: of the search on all rows.
        nested: the search repeated without each fold, or None.
    """
    blend = freeze_blend(outcome.weighting, statistics, store)
    found = Found(blend, None, outcome.weighting, len(outcome.trials), nested)
    return seal_found(names, store, space, statistics, found)


def seal_found(
    names: dict[str, Any], store: Store, space: Space, statistics: Statistics, found: Found
) -> EnsembleSpec:
    """Score what a fit found, and put it under its digest.

    Args:
        names: what the provenance calls the study, beside its definition.
        store: what was fitted on.
        space: of the study.
        statistics: of all rows.
        found: the blend.
    """
    samples, targets, dim = store.samples, store.manifest.targets, statistics.means.shape[1]
    blend = found.blend
    weighted = blend.fallback if isinstance(blend, ComposedBlend) else blend
    used = [statistics.names.index(member.name) for member in weighted.members]
    in_sample = rescore(
        thaw_blend(blend, found.tensors, dim),
        store,
        statistics.fold,
        priors_out_of_fold(statistics.fold_sums),
        statistics.weight,
    )
    return seal(
        dim=dim,
        blend=blend,
        scores=honest_scores(
            space,
            statistics,
            samples,
            found.weighting,
            in_sample,
            found.nested,
            found.cosines,
            found.everyone,
        ),
        provenance=Provenance(
            store=store.digest,
            encoder=targets.encoder if targets else None,
            study={**names, **space.definition.model_dump(mode="json")},
            seed=space.definition.seed,
            trials=found.trials,
            versions=versions(),
        ),
        coreset=make_coreset(
            statistics, found.weighting, np.array(used, dtype=np.int64), samples.id
        ),
        tensors=found.tensors,
    )
