"""The contract between the run-time and a predictor.

A package registers an *adapter* under the entry-point group `ensembler.predictors`. The adapter
turns a config and local files into a *predictor*, which turns images into vectors. Everything
else — decoding, folds, devices, deadlines, stores — is the run-time's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ensembler.images.preprocess import Preprocess
from ensembler.store.model import EncoderRecord, Frozen

if TYPE_CHECKING:
    from ensembler.store.reader import Store


class Role(NamedTuple):
    """A file or folder that a predictor is loaded from.

    Attributes:
        what: it in words, as in "the tower's weights (.safetensors or .pt)".
        required: whether a predictor can do without.
    """

    what: str
    required: bool = True


@runtime_checkable
class Predictor(Protocol):
    """A loaded model: images in, vectors out.

    Attributes:
        dim: numbers in a vector.
        preprocess: how it wants its images.
    """

    dim: int
    preprocess: Preprocess

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vectors of a batch.

        The same images give the same vectors, whatever shares their batch (within the tolerance of
        the device's arithmetic) and in whatever order they come.

        Args:
            images: (n, height, width, 3) uint8 RGB, as `preprocess` says; n may be 0.

        Returns:
            (n, dim) float32.
        """


class Described(NamedTuple):
    """What a captioner says of a batch.

    Attributes:
        embeddings: (n, dim) float32.
        captions: one text for each image; several hypotheses are joined by " | ".
    """

    embeddings: NDArray[np.float32]
    captions: Sequence[str]


@runtime_checkable
class Captioner(Predictor, Protocol):
    """A predictor whose vectors are those of texts, which are kept beside them."""

    def describe(self, images: NDArray[np.uint8]) -> Described:
        """Texts and their vectors; `embed` gives the same vectors."""


@runtime_checkable
class EncodingCaptioner(Captioner, Protocol):
    """A captioner that says which sentence encoder makes its vectors.

    The encoder may come with a package instead of a checkpoint's files: a member that records it
    is not made with another one.

    Attributes:
        encoder_record: the encoder's name and digest.
    """

    encoder_record: EncoderRecord


@runtime_checkable
class FoldAware(Predictor, Protocol):
    """A predictor that learned from the store itself and can forget a fold of it.

    A neighbour search can: its out-of-fold vectors need no checkpoint of their own.
    """

    def without_fold(self, fold: int) -> Predictor:
        """The predictor as if the fold's samples had never been there."""


class Recalled(NamedTuple):
    """What a predictor knows of some samples.

    Attributes:
        known: (n,) bool, of the samples asked for.
        vectors: (k, dim) float32, of those that are known.
    """

    known: NDArray[np.bool_]
    vectors: NDArray[np.float32]


@runtime_checkable
class Recalling(Predictor, Protocol):
    """A predictor that needs no image of the samples that it learned from.

    So a dump embeds no image twice that `Learner.learn` has embedded, and finds unchanged.
    """

    def recall(self, ids: Sequence[str]) -> Recalled:
        """The vectors of samples; `embed` gives the same of their images, but for rounding.

        Args:
            ids: of the store's samples, in any order; the predictor may not know all of them.
        """


class Adapter(Protocol):
    """What a package registers: a class, or an instance, with these attributes.

    Attributes:
        Config: plain data, checked by pydantic; it goes into `member.json` and the spec.
        roles: the files it is loaded from, by role.
        needs: modules that must be importable, beside this package's own dependencies.
        install: what installs them, as pip is told.
    """

    Config: ClassVar[type[Frozen]]
    roles: ClassVar[Mapping[str, Role]]
    needs: ClassVar[tuple[str, ...]]
    install: ClassVar[str]

    @classmethod
    def load(cls, config: Any, files: Mapping[str, Path], *, device: str) -> Predictor:  # noqa: ANN401 - its own Config
        """Load a predictor from local files, never from a network.

        Args:
            config: an instance of `Config`.
            files: role → file or folder; every required role is there.
            device: as torch names it.

        Raises:
            PredictorError: a file is not what its role says; weights are missing or unexpected.
        """


@runtime_checkable
class Learner(Protocol):
    """An adapter whose predictors are made from a store itself: a neighbour search's references."""

    @classmethod
    def learn(
        cls,
        config: Any,  # noqa: ANN401 - its own Config
        files: Mapping[str, Path],
        *,
        store: Store,
        images: Mapping[str, Path],
        device: str,
        out_dir: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> Mapping[str, str]:
        """Make the files that do not exist yet; each appears whole or not at all.

        Those that exist are kept, once they are found to fit the store. Every dump calls this
        first. What takes long should go on where a killed call stopped (`ensembler.work`).

        Args:
            config: an instance of `Config`.
            files: role → where its file is, or is to be made.
            store: the samples to learn from, with their targets and folds.
            images: sample id → image, of the samples that have one.
            device: as torch names it.
            out_dir: the definition's folder, which holds every one of `files`.
            progress: called with (images done, images in all).

        Returns:
            Role → the file made or kept, relative to `out_dir`, with forward slashes.

        Raises:
            PredictorError: a file is not what its role says, or does not fit the store.
        """
