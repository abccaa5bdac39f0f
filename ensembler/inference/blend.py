"""A frozen spec applied to a store of test embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import blend_rows
from ensembler.errors import SpecError, StoreError, first_few
from ensembler.inference.missing import blend_without
from ensembler.inference.prediction import Prediction
from ensembler.metrics import unit_rows
from ensembler.spec.model import EnsembleSpec, WeightedBlend, decode_vector
from ensembler.spec.rescore import weighted_sum
from ensembler.store.reader import Member, Store

BLOCK = 4096  # rows blended at once; memory is a few float64 copies of one member's block


def predict_store(spec: EnsembleSpec, store: Store) -> Prediction:
    """Blend a store's embeddings as the spec says.

    Members that the spec does not name are left alone. A row that some members lack is blended from
    the others, a row that all lack gets the prior. When the store lacks a member altogether, the
    others are weighted anew (`blend_without`).

    Args:
        spec: the frozen blend.
        store: embeddings of the samples to predict; targets are not needed.

    Returns:
        The prediction, in the store's order.

    Raises:
        SpecError: the store has none of the spec's members, or one of another dimension.
        StoreError: a member's files are broken, or hold NaN or infinity.
    """
    names = [member.name for member in spec.blend.members]
    missing = tuple(name for name in names if name not in store.names)
    _check_fit(spec, store, missing)
    blend = blend_without(spec, missing) if missing else spec.blend
    members, ids = store.members(member.name for member in blend.members), store.samples.id
    return blend_blocks(spec, blend, ids, lambda start, stop: _blocks(members, ids, start, stop))


def blend_blocks(
    spec: EnsembleSpec,
    blend: WeightedBlend,
    ids: NDArray[np.str_],
    blocks: Callable[[int, int], Iterable[NDArray[np.float32]]],
) -> Prediction:
    """Blend members wherever their rows come from, some rows of all at a time.

    Args:
        spec: the frozen blend, whose prior vector fills rows without a member.
        blend: the spec's own, or that of the members that are there.
        ids: (n,) text.
        blocks: gives, for rows start..stop-1, the (stop - start, d) finite float32 of each member
            of `blend`; zero rows where a member has none.

    Returns:
        The prediction, in the order of `ids`.
    """
    plain, prior = weighted_sum(blend), decode_vector(spec.blend.prior.vector)
    embeddings = np.empty((len(ids), spec.dim), dtype=np.float32)
    prior_rows = cancelled_rows = 0
    for start in range(0, len(ids), BLOCK):
        stop = min(start + BLOCK, len(ids))
        priors = np.broadcast_to(prior, (stop - start, spec.dim))
        rows = blend_rows(plain, priors, blocks(start, stop))
        rows.vectors[rows.cancelled] = unit_rows(prior[None])[0]
        embeddings[start:stop] = rows.vectors
        prior_rows += int(rows.absent.sum())
        cancelled_rows += int(rows.cancelled.sum())
    names = tuple(member.name for member in blend.members)
    return Prediction(
        ids=ids,
        embeddings=embeddings,
        members=names,
        missing_members=tuple(m.name for m in spec.blend.members if m.name not in names),
        prior_rows=prior_rows,
        cancelled_rows=cancelled_rows,
    )


def _check_fit(spec: EnsembleSpec, store: Store, missing: Sequence[str]) -> None:
    if missing and len(missing) == len(spec.blend.members):
        raise SpecError(
            f"{store.path} has none of the spec's members: the spec wants {first_few(missing)}; the"
            f" store has {first_few(store.names) or 'none'}: add them with `ensembler store add`"
            " under the names they had when the spec was fitted"
        )
    named = {member.name for member in spec.blend.members}
    wrong = [
        f"{record.name} has {record.dim}"
        for record in store.manifest.members
        if record.name in named and record.dim != spec.dim
    ]
    if wrong:
        raise SpecError(
            f"{store.path}: the spec blends {spec.dim} numbers a row, but member"
            f" {first_few(wrong)}; add embeddings of the same encoder"
        )


def _blocks(
    members: Sequence[Member], ids: NDArray[np.str_], start: int, stop: int
) -> Iterator[NDArray[np.float32]]:
    for member in members:
        block = member.block(start, stop)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise StoreError(
                f"{member.path / 'embeddings.npy'} holds NaN or infinity in the rows of"
                f" {first_few(ids[start:stop][~finite])}; add member {member.name!r} again without"
                " them"
            )
        yield block
