"""The last step of a fit: blend, scores and provenance under one digest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blending.priors import priors_out_of_fold
from ensembler.blending.weighting import Weighting
from ensembler.fitting.honest import honest_scores
from ensembler.fitting.origin import FitOrigin
from ensembler.fitting.preparing import Prepared
from ensembler.fitting.searched import Searched
from ensembler.scoring.nested import Nested
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.coreset import make_coreset
from ensembler.spec.freeze import freeze_blend, versions
from ensembler.spec.loading import seal
from ensembler.spec.model import EnsembleSpec, Provenance
from ensembler.spec.rescore import rescore
from ensembler.spec.tensors import Tensors
from ensembler.spec.thaw import thaw_blend
from ensembler.spec.weighted import WeightedSpec


class Fitted(NamedTuple):
    """A frozen blend, and what its scores are computed from.

    Attributes:
        blend: frozen.
        tensors: of a composed blend.
        weighting: the blend's own, or that of the plain weights that stand in for it.
        trials: number of trials of the study's search for that; 0 where there was no search.
        nested: that search without each fold; None: members' losses stay unknown.
        cosines: (rows,) held out, of a blend that `nested` is not of.
        status: how the fit on all rows ended, by name.
        statuses: how the fits without each fold ended, by name; none where nothing is held out.
    """

    blend: WeightedSpec | ComposedSpec
    tensors: Tensors | None
    weighting: Weighting
    trials: int
    nested: Nested | None
    cosines: NDArray[np.float64] | None
    status: str
    statuses: tuple[str, ...]


def freeze_search(data: Data, searched: Searched) -> Fitted:
    """Freeze the plain weights that a study's search found.

    Args:
        data: what was searched on.
        searched: what it found, on all rows and without each fold.
    """
    outcome = searched.outcome
    return Fitted(
        blend=freeze_blend(outcome.weighting, data.statistics, data.store),
        tensors=None,
        weighting=outcome.weighting,
        trials=len(outcome.trials),
        nested=searched.nested,
        cosines=None,
        status=outcome.status,
        statuses=searched.statuses,
    )


def seal_fit(origin: FitOrigin, prepared: Prepared, fitted: Fitted) -> EnsembleSpec:
    """Score a frozen blend, and put it under its digest.

    Args:
        origin: what the provenance says of the fit beside the study's definition.
        prepared: what was fitted on.
        fitted: the blend.
    """
    data, blend = prepared.data, fitted.blend
    store, statistics, definition = data.store, data.statistics, data.space.definition
    weighted = blend.fallback if isinstance(blend, ComposedSpec) else blend
    used = [statistics.names.index(member.name) for member in weighted.members]
    in_sample = rescore(
        thaw_blend(blend, fitted.tensors, data.dim),
        store,
        statistics.fold,
        priors_out_of_fold(statistics.fold_sums),
        statistics.weight,
    )
    targets = store.manifest.targets
    return seal(
        dim=data.dim,
        blend=blend,
        scores=honest_scores(
            prepared, fitted.weighting, in_sample, nested=fitted.nested, cosines=fitted.cosines
        ),
        provenance=Provenance(
            store=store.digest,
            encoder=targets.encoder if targets else None,
            study={**origin.document(), **definition.model_dump(mode="json")},
            seed=definition.seed,
            trials=fitted.trials,
            versions=versions(),
        ),
        coreset=make_coreset(
            statistics, fitted.weighting, np.array(used, dtype=np.int64), store.samples.id
        ),
        tensors=fitted.tensors,
    )
