"""The contract between the run-time and a predictor.

A package registers an *adapter* under the entry-point group `ensembler.predictors`. The adapter
turns a config and local files into a *predictor*, which turns images into vectors. Everything
else — decoding, folds, devices, deadlines, stores — is done by the run-time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ensembler.frozen import Frozen
from ensembler.images.preprocess import Preprocess
from ensembler.store.model import EncoderRecord

if TYPE_CHECKING:
    from ensembler.store.reader import Store


class Role(NamedTuple):
    """A file or folder that a predictor is loaded from.

    Attributes:
        what: a description, such as "the tower's weights (.safetensors or .pt)".
        required: whether a predictor cannot be loaded without it.
        learned: whether `Learner.learn` makes it where it is missing.
    """

    what: str
    required: bool = True
    learned: bool = False


@runtime_checkable
class Predictor(Protocol):
    """A loaded model: images in, vectors out.

    Attributes:
        dim: vector dimension.
        preprocess: the preprocessing that its images need.
    """

    dim: int
    preprocess: Preprocess

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch.

        The same image gives the same vector, whatever else is in its batch (within the tolerance of
        the device's arithmetic) and in whatever order.

        Args:
            images: (n, height, width, 3) uint8 RGB, resized as `preprocess` says; n may be 0.

        Returns:
            (n, dim) float32.
        """


class Described(NamedTuple):
    """A captioner's output for a batch.

    Attributes:
        embeddings: (n, dim) float32.
        captions: one text for each image; several hypotheses are joined by " | ".
    """

    embeddings: NDArray[np.float32]
    captions: Sequence[str]


@runtime_checkable
class Captioner(Predictor, Protocol):
    """A predictor that embeds texts about the images; the texts are kept beside the vectors."""

    def describe(self, images: NDArray[np.uint8]) -> Described:
        """Texts about a batch and their vectors; `embed` gives the same vectors."""


@runtime_checkable
class EncodingCaptioner(Captioner, Protocol):
    """A captioner that tells which sentence encoder makes its vectors.

    The encoder may come with a package instead of a checkpoint's files: once a member records it,
    no other encoder can be used for that member.

    Attributes:
        encoder_record: the encoder's name and digest.
    """

    encoder_record: EncoderRecord


@runtime_checkable
class FoldAware(Predictor, Protocol):
    """A predictor that learned from the store itself and can forget one of its folds.

    A neighbour search is one: its out-of-fold vectors need no checkpoint for each fold.
    """

    def without_fold(self, fold: int) -> Predictor:
        """The predictor as if it had never seen the fold's samples."""


class Recalled(NamedTuple):
    """The vectors of those requested samples that a predictor knows.

    Attributes:
        known: (n,) bool, whether each requested sample is known.
        vectors: (k, dim) float32, the vectors of the known samples.
    """

    known: NDArray[np.bool_]
    vectors: NDArray[np.float32]


@runtime_checkable
class Recalling(Predictor, Protocol):
    """A predictor that does not need the images of the samples that it learned from.

    So a dump does not embed an image again that `Learner.learn` embedded and that is unchanged.
    """

    def recall(self, ids: Sequence[str]) -> Recalled:
        """The vectors of samples; up to rounding, what `embed` gives for their images.

        Args:
            ids: ids of the store's samples, in any order; the predictor may not know all of them.
        """


class Adapter(Protocol):
    """The object that a package registers: a class, or an instance, with these attributes.

    Attributes:
        Config: a pydantic model of plain data, which goes into `member.json` and the spec.
        roles: the files that a predictor is loaded from, by role.
        needs: modules that must be importable, beside this package's own dependencies.
        install: pip's arguments to install them.
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
            device: a torch device name.

        Raises:
            PredictorError: a file is not what its role says; weights are missing or unexpected.
        """


@runtime_checkable
class Learner(Protocol):
    """An adapter that makes its own files from a store: a neighbour search's references, say."""

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

        Existing files are kept if they fit the store. Every dump calls this first. Long work should
        resume where a killed call stopped (`ensembler.work`).

        Args:
            config: an instance of `Config`.
            files: role → path of its file, which may not exist yet.
            store: the samples to learn from, with their targets and folds.
            images: sample id → image, for the samples that have one.
            device: a torch device name.
            out_dir: the folder for the files to make: the definition's, which holds the other
                files; or, where that is read-only, another for the learned roles.
            progress: called with (images done, images in total).

        Returns:
            Role → file, relative to `out_dir`, with forward slashes.

        Raises:
            PredictorError: a file is not what its role says, or does not fit the store.
        """
