"""A blend that nobody fitted, applied to a store: there is no prior to fall back on."""

from __future__ import annotations

import numpy as np

from ensembler.blends.contract import Blend
from ensembler.errors import StoreError, first_few
from ensembler.inference.blend import BLOCK, finite_block
from ensembler.inference.prediction import Prediction
from ensembler.store.reader import Store


def predict_given(blend: Blend, store: Store) -> Prediction:
    """Blend a store's embeddings, every row from at least one member.

    Args:
        blend: without a prior.
        store: has its members; targets are not needed.

    Returns:
        The prediction, in the store's order.

    Raises:
        StoreError: a row has no member or its members cancel, a member's files are broken, or hold
            NaN or infinity.
    """
    ids, members = store.samples.id, store.members(blend.members)
    embeddings = np.empty((len(ids), members[0].record.dim), dtype=np.float32)
    empty = np.zeros(len(ids), dtype=np.bool_)
    for start in range(0, len(ids), BLOCK):
        stop = min(start + BLOCK, len(ids))
        rows = {member.name: finite_block(member, ids, start, stop) for member in members}
        blended = blend.apply(rows, np.zeros((stop - start, embeddings.shape[1])))
        embeddings[start:stop] = blended.vectors
        empty[start:stop] = blended.absent | blended.cancelled
    if empty.any():
        raise StoreError(
            f"{store.path}: {int(empty.sum())} of {len(ids)} rows have no member, or members that"
            f" cancel (ids {first_few(ids[empty])}), and without a fit there is no prior to stand"
            " in; add a member that covers them, or leave the samples out"
        )
    return Prediction(
        ids=ids,
        embeddings=embeddings,
        members=blend.members,
        missing_members=(),
        prior_rows=0,
        cancelled_rows=0,
    )
