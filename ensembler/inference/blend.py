"""A frozen spec applied to a store of test embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensembler.blends.contract import Blend, Rows
from ensembler.errors import SpecError, StoreError, first_few
from ensembler.inference.missing import blend_of
from ensembler.inference.prediction import Prediction
from ensembler.metrics import unit_rows
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.store.reader import Member, Store

BLOCK = 1024  # rows of all members held at once; what memory a blend takes, whatever its rows


def predict_store(spec: EnsembleSpec, store: Store) -> Prediction:
    """Blend a store's embeddings as the spec says.

    Members that the spec does not name are left alone. A row that some members lack is blended from
    the others, a row that all lack gets the prior. When the store lacks a member altogether, the
    others are blended by plain weights, solved anew (`blend_without`).

    Args:
        spec: the frozen blend.
        store: embeddings of the samples to predict; targets are not needed.

    Returns:
        The prediction, in the store's order.

    Raises:
        SpecError: the store has none of the spec's members, or one of another dimension.
        StoreError: a member's files are broken, or hold NaN or infinity.
    """
    names = [member.name for member in spec.weighted.members]
    missing = tuple(name for name in names if name not in store.names)
    _check_fit(spec, store, missing)
    blend, ids = blend_of(spec, store.names), store.samples.id
    members = store.members(blend.members)

    def rows(start: int, stop: int) -> Rows:
        return {member.name: finite_block(member, ids, start, stop) for member in members}

    prediction = blend_blocks(spec, blend, ids, rows)
    unused = tuple(name for name in store.names if name not in names)
    return replace(prediction, unused_members=unused)


def blend_blocks(
    spec: EnsembleSpec,
    blend: Blend,
    ids: NDArray[np.str_],
    rows: Callable[[int, int], Rows],
) -> Prediction:
    """Blend members wherever their rows come from, some rows of all at a time.

    Args:
        spec: the frozen blend, whose prior vector fills rows without a member.
        blend: the spec's own, or that of the members that are there.
        ids: (n,) text.
        rows: gives, for samples start..stop-1, the (stop - start, d) finite float32 of each member
            of `blend`; zero rows where a member has none.

    Returns:
        The prediction, in the order of `ids`.
    """
    prior = unit_rows(decode_vector(spec.weighted.prior.vector)[None])
    embeddings = np.empty((len(ids), spec.dim), dtype=np.float32)
    prior_rows = cancelled_rows = 0
    for start in range(0, len(ids), BLOCK):
        stop = min(start + BLOCK, len(ids))
        priors = np.broadcast_to(prior, (stop - start, spec.dim))
        blended = blend.apply(rows(start, stop), priors)
        embeddings[start:stop] = np.where(blended.cancelled[:, None], priors, blended.vectors)
        prior_rows += int(blended.absent.sum())
        cancelled_rows += int(blended.cancelled.sum())
    return Prediction(
        ids=ids,
        embeddings=embeddings,
        members=blend.members,
        missing_members=tuple(m.name for m in spec.weighted.members if m.name not in blend.members),
        prior_rows=prior_rows,
        cancelled_rows=cancelled_rows,
    )


def _check_fit(spec: EnsembleSpec, store: Store, missing: Sequence[str]) -> None:
    if missing and len(missing) == len(spec.weighted.members):
        raise SpecError(
            f"{store.path} has none of the spec's members: the spec wants {first_few(missing)}; the"
            f" store has {first_few(store.names) or 'none'}: add them with `ensembler store add`"
            " under the names they had when the spec was fitted"
        )
    named = {member.name for member in spec.weighted.members}
    wrong = [
        f"{record.name} has {record.dim}"
        for record in store.manifest.members
        if record.name in named and record.dim != spec.dim
    ]
    if wrong:
        raise SpecError(
            f"{store.path}: the spec blends {spec.dim} numbers per row, but member"
            f" {first_few(wrong)}; add embeddings of the same encoder"
        )


def finite_block(
    member: Member, ids: NDArray[np.str_], start: int, stop: int
) -> NDArray[np.float32]:
    """The embeddings of samples start..stop-1, (stop - start, d), zero where there are none.

    Raises:
        StoreError: one of them is NaN or infinite.
    """
    block = member.block(start, stop)
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        raise StoreError(
            f"{member.path / 'embeddings.npy'} holds NaN or infinity in the rows of"
            f" {first_few(ids[start:stop][~finite])}; add member {member.name!r} again without them"
        )
    return block
