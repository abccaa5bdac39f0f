"""The last step of a fit: blend, scores and provenance under one digest."""

from __future__ import annotations

import numpy as np

from ensembler.blending.priors import priors_out_of_fold
from ensembler.blending.statistics import Statistics
from ensembler.evaluation.nested import Nested
from ensembler.fitting.honest import honest_scores
from ensembler.search.run import Outcome
from ensembler.search.space import Space
from ensembler.spec.coreset import make_coreset
from ensembler.spec.freeze import freeze_blend, versions
from ensembler.spec.loading import seal
from ensembler.spec.model import EnsembleSpec, Provenance
from ensembler.spec.rescore import rescore
from ensembler.store.reader import Store


def freeze(
    study: str,
    store: Store,
    space: Space,
    statistics: Statistics,
    outcome: Outcome,
    nested: Nested | None,
) -> EnsembleSpec:
    """Freeze what a search found, with its honest scores.

    Args:
        study: the study's name.
        store: what was fitted on.
        space: of the study.
        statistics: of all rows.
        outcome: of the search on all rows.
        nested: the search repeated without each fold, or None.
    """
    samples, targets = store.samples, store.manifest.targets
    blend = freeze_blend(outcome.weighting, statistics, store)
    priors = priors_out_of_fold(statistics.fold_sums)
    in_sample = rescore(blend, store, statistics.fold, priors)
    used = [statistics.names.index(member.name) for member in blend.members]
    return seal(
        dim=statistics.means.shape[1],
        blend=blend,
        scores=honest_scores(space, statistics, samples, outcome.weighting, in_sample, nested),
        provenance=Provenance(
            store=store.digest,
            encoder=targets.encoder if targets else None,
            study={"name": study, **space.definition.model_dump(mode="json")},
            seed=space.definition.seed,
            trials=len(outcome.trials),
            versions=versions(),
        ),
        coreset=make_coreset(
            statistics, outcome.weighting, np.array(used, dtype=np.int64), samples.id
        ),
    )
