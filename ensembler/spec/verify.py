"""Holding a spec against the store it came from: contents, prior, means, score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensembler.blending.priors import fold_sums, prior_of_all, priors_out_of_fold
from ensembler.folds import evaluation_folds
from ensembler.spec.model import EnsembleSpec, decode_vector
from ensembler.spec.rescore import rescore
from ensembler.store.reader import Store

SAME_SCORE = 1e-6  # what another processor's rounding may move a score by
SAME_VECTOR = 1e-6  # and each number of the prior


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the comparison found.

    Attributes:
        score: the spec's blend on the store, out-of-fold priors; None where it cannot be scored.
        findings: a sentence for each difference; none when the spec is the store's.
    """

    score: float | None
    findings: tuple[str, ...]


def verify(spec: EnsembleSpec, store: Store) -> Verified:
    """Score a spec again on a store, and compare what it says with what is there.

    Args:
        spec: a frozen spec, its digest already checked by `load_spec`.
        store: with targets.

    Raises:
        StoreError: the store has no targets or is broken.
    """
    records = {record.name: record for record in store.manifest.members}
    missing = [m.name for m in spec.blend.members if m.name not in records]
    if missing:
        return Verified(
            score=None, findings=tuple(f"the store lacks member {name!r}" for name in missing)
        )
    findings = [
        f"member {m.name!r} holds other embeddings than the weights were fitted on"
        for m in spec.blend.members
        if records[m.name].sha256 != m.sha256
    ]
    samples = store.samples
    try:
        fold = evaluation_folds(samples.fold, samples.group)
    except ValueError as error:
        return Verified(score=None, findings=(*findings, f"the store cannot score it: {error}"))
    sums = fold_sums(store.targets(), samples.weight, fold)
    prior = decode_vector(spec.blend.prior.vector)
    if prior.shape != sums.shape[1:] or np.abs(prior - prior_of_all(sums)).max() > SAME_VECTOR:
        findings.append("the prior is not the mean target of this store")
        return Verified(score=None, findings=tuple(findings))
    score = rescore(spec.blend, store, fold, priors_out_of_fold(sums))
    if abs(score - spec.scores.in_sample) > SAME_SCORE:
        findings.append(f"the blend scores {score:.7f}, the spec says {spec.scores.in_sample:.7f}")
    return Verified(score=score, findings=tuple(findings))
