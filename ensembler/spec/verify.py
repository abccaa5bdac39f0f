"""Checking a spec against the store it came from: contents, prior, means, score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.priors import fold_sums, prior_of_all, priors_out_of_fold
from ensembler.files import sha256_arrays
from ensembler.folds import evaluation_folds
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.spec.rescore import rescore
from ensembler.spec.thaw import thaw
from ensembler.spec.weighted import MemberSpec
from ensembler.store.mix import mix_weights
from ensembler.store.reader import TARGETS, Member, Samples, Store

SAME_SCORE = 1e-6  # what another processor's rounding may move a score by
SAME_VECTOR = 1e-6  # and each number of the prior
SAME_MEAN = 1e-6  # and a member's mean, as a share of its rows' mean length
BLOCK = 4096  # rows read at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of the comparison.

    Attributes:
        score: the spec's blend on the store, out-of-fold priors; None where it cannot be scored.
        findings: a sentence for each difference; none when the spec is the store's.
    """

    score: float | None
    findings: tuple[str, ...]


def verify(spec: EnsembleSpec, store: Store) -> Verified:
    """Score a spec again on a store, and compare what it says with what is there.

    The files are hashed, not only their digests in the manifest compared.

    Args:
        spec: a frozen spec, its digest already checked by `load_spec`.
        store: with targets.

    Raises:
        StoreError: the store has no targets or is broken.
    """
    missing = [m.name for m in spec.weighted.members if m.name not in store.names]
    if missing:
        return Verified(
            score=None, findings=tuple(f"the store lacks member {name!r}" for name in missing)
        )
    samples = store.samples
    weight = _weight(spec, samples)
    findings = [
        fault
        for stated in spec.weighted.members
        for fault in _faults(stated, store.member(stated.name), weight)
    ]
    try:
        fold = evaluation_folds(samples.fold, samples.group)
    except ValueError as error:
        return Verified(score=None, findings=(*findings, f"the store cannot score it: {error}"))
    targets, record = store.targets(), store.manifest.targets
    if record is not None and sha256_arrays(targets) != record.sha256:
        findings.append(f"{TARGETS} was changed after it was written; restore it from a copy")
    sums = fold_sums(targets, weight, fold)
    prior = decode_vector(spec.weighted.prior.vector)
    if prior.shape != sums.shape[1:] or np.abs(prior - prior_of_all(sums)).max() > SAME_VECTOR:
        findings.append("the prior is not the mean target of this store")
        return Verified(score=None, findings=tuple(findings))
    score = rescore(thaw(spec), store, fold, priors_out_of_fold(sums), weight)
    if not abs(score - spec.scores.in_sample) <= SAME_SCORE:  # NaN too
        findings.append(f"the blend scores {score:.7f}, the spec says {spec.scores.in_sample:.7f}")
    return Verified(score=score, findings=tuple(findings))


def _weight(spec: EnsembleSpec, samples: Samples) -> NDArray[np.float64]:
    """The row weights of the fit: the store's, or those of the mix that it was for."""
    mix = spec.provenance.study.get("target_mix")
    return samples.weight if mix is None else mix_weights(samples, mix)


def _faults(stated: MemberSpec, member: Member, weight: NDArray[np.float64]) -> Iterator[str]:
    """Differences between a member on disk and what the spec says of it."""
    if member.record.sha256 != stated.sha256:
        yield f"member {member.name!r} holds other embeddings than the weights were fitted on"
    elif member.digest() != stated.sha256:
        yield f"the files of member {member.name!r} were changed after they were written"
    if stated.mean is None:
        return
    mean, length = _mean_and_length(member, weight)
    fitted = decode_vector(stated.mean)
    if (
        fitted.shape != mean.shape or not np.linalg.norm(fitted - mean) <= SAME_MEAN * length
    ):  # NaN too
        yield f"the mean of member {member.name!r} is not that of its rows in this store"


def _mean_and_length(
    member: Member, weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The mean, (d,), of the rows of any weight that the member covers, and their mean length."""
    total, length, covered = np.zeros(member.record.dim), 0.0, 0
    for start in range(0, len(member.rows), BLOCK):
        counts = weight[member.rows[start : start + BLOCK]] > 0.0
        rows = member.embeddings[start : start + BLOCK][counts].astype(np.float64)
        total += rows.sum(axis=0)
        length += float(np.linalg.norm(rows, axis=1).sum())
        covered += int(rows.any(axis=1).sum())
    return total / max(1, covered), length / max(1, covered)
