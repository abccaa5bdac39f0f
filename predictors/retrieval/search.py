"""Exact neighbour search, and the weighted mean of what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.metrics import unit_rows
from ensembler.predicting.contract import Predictor, Recalled
from predictors.retrieval.references import References

BLOCK: Final = 1 << 12  # references centred at once; bounds memory
RECALLED: Final = 1 << 8  # images looked for at once, each with its neighbours' features; likewise
EQUAL: Final = 1e-6  # cosines no farther apart are equal: float32 rounds them by about as much


class NeighbourSearch:
    """The mean target of an image's nearest references.

    Features are compared by cosine, less the references' mean, which they share with every image.
    The j-th of k neighbours has the weight s_j - s_{k+1}, s being its cosine: Epanechnikov's kernel
    whose bandwidth is the distance of the first reference left out (Hechenbichler & Schliep, 2004).
    The last neighbours count next to nothing, so the vector does not jump where two change places.
    Its length says how far the neighbours agree.

    Attributes:
        dim: of the targets.
        preprocess: of the features.
    """

    def __init__(
        self,
        features: Predictor,
        references: References,
        neighbours: int,
        known: References | None = None,
    ) -> None:
        """Make ready to search.

        Args:
            features: what makes an image's features.
            references: made with the same.
            neighbours: k.
            known: whose features need not be made again; None stands for the references.

        Raises:
            PredictorError: there are no more than k references.
        """
        if len(references.ids) <= neighbours:
            raise PredictorError(
                f"neighbours = {neighbours} needs {neighbours + 1} references, and"
                f" {references.path} offers {len(references.ids)}: ask for fewer neighbours"
            )
        self.dim = references.targets.shape[1]
        self.preprocess = features.preprocess
        self._features = features
        self._references = references
        self._neighbours = neighbours
        self._known = references if known is None else known
        self._centre = references.features.mean(axis=0, dtype=np.float64)
        self._rows = np.empty(references.features.shape, np.float32)
        for start in range(0, len(self._rows), BLOCK):
            block = references.features[start : start + BLOCK]
            self._rows[start : start + BLOCK] = unit_rows(block - self._centre)

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The neighbours' mean targets; see `Predictor.embed`."""
        if not len(images):
            return np.zeros((0, self.dim), np.float32)
        return self._mean_targets(self._features.embed(images))

    def recall(self, ids: Sequence[str]) -> Recalled:
        """The neighbours' mean targets of images among the references; see `Recalling`.

        A fold that the search goes without is still known: its images look for the others.
        """
        place = {id_: row for row, id_ in enumerate(self._known.ids.tolist())}
        known = np.array([id_ in place for id_ in ids], np.bool_)
        rows = [place[id_] for id_ in ids if id_ in place]
        vectors = np.zeros((len(rows), self.dim), np.float32)
        for start in range(0, len(rows), RECALLED):
            block = slice(start, start + RECALLED)
            vectors[block] = self._mean_targets(self._known.features[rows[block]])
        return Recalled(known, vectors)

    def without_fold(self, fold: int) -> NeighbourSearch:
        """The search without a fold's references; see `FoldAware`."""
        kept = self._references.without_fold(fold)
        return NeighbourSearch(self._features, kept, self._neighbours, self._known)

    def _mean_targets(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Mean targets of images by features of any length, (n, features) → (n, dim) float32."""
        queries = unit_rows(unit_rows(features) - self._centre)
        _, near = faiss.knn(
            queries.astype(np.float32),
            self._rows,
            self._neighbours + 1,
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        # Again in float64: faiss adds up in another order when few queries come at once.
        cosine = np.einsum("qf,qkf->qk", queries, self._rows[near])
        weight = cosine - cosine.min(axis=1, keepdims=True)
        total = weight.sum(axis=1, keepdims=True)
        vectors = np.einsum("qk,qkd->qd", weight, self._references.targets[near])
        with np.errstate(invalid="ignore"):
            vectors /= total
        for query in np.flatnonzero(weight.max(axis=1) <= EQUAL):
            vectors[query] = self._mean_of_nearest(queries[query])
        narrow: NDArray[np.float32] = vectors.astype(np.float32)
        return narrow

    def _mean_of_nearest(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean target of all nearest references, where k + 1 are equally near, as twins are."""
        cosine = self._rows @ query.astype(np.float32)
        nearest = self._references.targets[cosine >= cosine.max() - EQUAL]
        mean: NDArray[np.float64] = nearest.mean(axis=0, dtype=np.float64)
        return mean
