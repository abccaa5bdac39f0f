"""Row weights under which sources count as they will among the samples to predict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, unknown_name
from ensembler.store.reader import Samples


def mix_weights(samples: Samples, mix: Mapping[str, float]) -> NDArray[np.float64]:
    """Row weights under which each source counts as much as a mix says.

    Args:
        samples: of the store.
        mix: source → its share, any scale; a source that is not named gets none.

    Returns:
        (rows,) float64, with the sum of the store's own weights.

    Raises:
        InputError: an unknown source, a share that is not a number from 0 up, or a source of no
            weight.
    """
    sources = [str(source) for source in np.unique(samples.source)]
    for source, share in mix.items():
        if source not in sources:
            raise InputError(unknown_name("source", source, sources))
        if not (np.isfinite(share) and share >= 0.0):
            raise InputError(f"source {source!r}: its share {share} is not a number from 0 up")
    total = sum(mix.values())
    if total <= 0.0:
        raise InputError("the target mix gives every source the share 0; name one that counts")
    weight = np.zeros(len(samples))
    for source, share in mix.items():
        rows = samples.source == source
        mass = float(samples.weight[rows].sum())
        if share > 0.0 and mass == 0.0:
            raise InputError(f"source {source!r} has no row of any weight; leave it out of the mix")
        if share > 0.0:
            weight[rows] = samples.weight[rows] * (share / total / mass)
    return np.asarray(weight * samples.weight.sum())


def mix_text(mix: Mapping[str, float]) -> str:
    """A mix as a person reads it: "sd=3, sdxl=1"."""
    return ", ".join(f"{source}={share:g}" for source, share in mix.items())
