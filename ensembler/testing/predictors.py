"""The conformance suite of predictors, as a pytest class: subclass it and supply `loadable`.

class TestMine(PredictorConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, tmp_path_factory):
        weights = tmp_path_factory.mktemp("mine") / "weights.safetensors"
        save_file(tiny_random_model().state_dict(), weights)
        return Loadable(
            Mine, {"size": 32}, {"weights": weights}, tensors={"weights": "head.weight"}
        )
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.frozen import Frozen
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.checkpoints import checkpoint_digests
from ensembler.predicting.contract import Adapter, Captioner, Predictor
from ensembler.predicting.definition import PredictorDefinition, check_definition
from ensembler.predicting.registry import missing_packages
from ensembler.store.model import Origin
from ensembler.testing import damage

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]

COUNT = 5  # images in the suite's batch


class Loadable(NamedTuple):
    """A small predictor to load, with random weights that tell images apart.

    Attributes:
        adapter: the registered adapter.
        config: the content of a definition's `[config]`.
        files: role → file or folder.
        tensors: for each role that holds weights, the name in the file of a tensor that the
            predictor needs; in a folder, its .safetensors files are searched.
        renamed: for such a role, the tensor's name in the model and its messages, where it differs
            from the name in the file.
    """

    adapter: type[Adapter]
    config: Mapping[str, Any]
    files: Mapping[str, Path]
    tensors: Mapping[str, str]
    renamed: Mapping[str, str] = MappingProxyType({})

    def load(self, **files: Path) -> Predictor:
        """Load the predictor on the CPU, with some of its files replaced."""
        replaced = {**self.files, **files}
        definition = PredictorDefinition(
            adapter=self.adapter.__name__,
            config=dict(self.config),
            files={role: path.name for role, path in replaced.items()},
        )
        config = check_definition(definition, self.adapter)
        return self.adapter.load(config, replaced, device="cpu")


class PredictorConformance:
    """The promises of `Predictor` and `Adapter`, each as a test.

    `tolerance` is how far a vector may move with the batch it comes in, as a share of the longest
    vector's length: float32 sums of another order.
    """

    tolerance: ClassVar[float] = 1e-5

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls) -> Loadable:
        """The predictor under test: each subclass supplies its own."""
        raise NotImplementedError("a conformance suite needs a fixture `loadable`")

    @pytest.fixture(scope="class")
    @classmethod
    def predictor(cls, loadable: Loadable) -> Predictor:
        """The predictor under test, loaded once for the class."""
        return loadable.load()

    @pytest.fixture(scope="class")
    @classmethod
    def images(cls, predictor: Predictor) -> Images:
        """Blocks of colour: (COUNT, height, width, 3) uint8, read-only as from a cache."""
        wanted = predictor.preprocess
        rng = np.random.default_rng(5)
        coarse = rng.integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
        rows, columns = (np.arange(side) * 4 // side for side in (wanted.height, wanted.width))
        images: Images = coarse[:, rows][:, :, columns]
        images.setflags(write=False)
        return images

    @pytest.fixture(scope="class")
    @classmethod
    def vectors(cls, predictor: Predictor, images: Images) -> Vectors:
        """The vectors of `images` in one batch: (COUNT, dim) float32."""
        return predictor.embed(images)

    def test_the_adapter_says_what_it_is_and_needs(self, loadable: Loadable) -> None:
        adapter = loadable.adapter
        assert (adapter.__doc__ or "").strip()
        assert adapter.install
        assert not missing_packages(adapter)
        assert issubclass(adapter.Config, Frozen)
        assert set(loadable.tensors) <= set(loadable.files) <= set(adapter.roles)

    def test_vectors_are_finite_float32_rows_of_its_dim(
        self, predictor: Predictor, vectors: Vectors
    ) -> None:
        assert isinstance(predictor, Predictor)
        assert vectors.shape == (COUNT, predictor.dim)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()

    def test_it_tells_images_apart(self, vectors: Vectors) -> None:
        assert np.ptp(vectors, axis=0).max() > 100 * self.tolerance * _longest(vectors)

    def test_the_same_images_give_the_same_bytes(
        self, loadable: Loadable, predictor: Predictor, images: Images, vectors: Vectors
    ) -> None:
        assert predictor.embed(images).tobytes() == vectors.tobytes()
        assert loadable.load().embed(images).tobytes() == vectors.tobytes()

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_vectors_do_not_depend_on_the_batch(
        self, predictor: Predictor, images: Images, vectors: Vectors, size: int
    ) -> None:
        parts = [predictor.embed(images[at : at + size]) for at in range(0, COUNT, size)]
        assert np.abs(np.concatenate(parts) - vectors).max() <= self.tolerance * _longest(vectors)

    def test_vectors_follow_the_order_of_their_images(
        self, predictor: Predictor, images: Images, vectors: Vectors
    ) -> None:
        order = np.array([3, 0, 4, 2, 1])
        moved = np.abs(predictor.embed(images[order]) - vectors[order])
        assert moved.max() <= self.tolerance * _longest(vectors)

    def test_an_empty_batch_gives_no_vectors(self, predictor: Predictor, images: Images) -> None:
        empty = predictor.embed(images[:0])
        assert empty.shape == (0, predictor.dim)
        assert empty.dtype == np.float32

    def test_the_config_comes_back_from_a_members_record(self, loadable: Loadable) -> None:
        adapter = loadable.adapter
        config = adapter.Config.model_validate(dict(loadable.config), strict=False)
        record = Origin(predictor="mine", config=config.model_dump(mode="json"))
        read = Origin.model_validate_json(record.model_dump_json())
        assert adapter.Config.model_validate(read.config, strict=False) == config

    def test_an_unknown_config_key_is_refused_by_name(self, loadable: Loadable) -> None:
        changed = loadable._replace(config={**loadable.config, "no_such_key": 1})
        with pytest.raises(PredictorError, match="no_such_key"):
            changed.load()

    def test_preprocessing_is_data(self, predictor: Predictor) -> None:
        written = predictor.preprocess.model_dump_json()
        assert Preprocess.model_validate_json(written) == predictor.preprocess

    def test_it_loads_and_embeds_without_a_network(
        self, loadable: Loadable, images: Images, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempts: list[object] = []

        def refuse(*arguments: object, **_: object) -> None:
            attempts.append(arguments)
            raise OSError("the network is off")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert loadable.load().embed(images).tobytes() == vectors.tobytes()
        assert not attempts

    def test_the_digest_follows_the_weights(self, loadable: Loadable, tmp_path: Path) -> None:
        for role, tensor in loadable.tensors.items():
            copy = damage.copy_into(_subfolder(tmp_path, role), loadable.files[role])
            definition = PredictorDefinition(
                adapter="mine", files={role: copy.relative_to(tmp_path).as_posix()}
            )
            before = checkpoint_digests(definition, tmp_path)
            assert checkpoint_digests(definition, tmp_path) == before
            damage.change_weights(damage.file_with(copy, tensor), tensor, damage.scale)
            assert checkpoint_digests(definition, tmp_path) != before

    def test_a_missing_weight_is_refused_by_name(self, loadable: Loadable, tmp_path: Path) -> None:
        for role, tensor in loadable.tensors.items():
            message = self._refusal(loadable, tmp_path, role, damage.drop)
            assert loadable.renamed.get(role, tensor) in message

    def test_an_unexpected_weight_is_refused_by_name(
        self, loadable: Loadable, tmp_path: Path
    ) -> None:
        for role, tensor in loadable.tensors.items():
            message = self._refusal(loadable, tmp_path, role, damage.add_unexpected)
            assert damage.unexpected(loadable.renamed.get(role, tensor)) in message

    def test_a_nan_weight_is_refused_by_name(self, loadable: Loadable, tmp_path: Path) -> None:
        for role, tensor in loadable.tensors.items():
            assert tensor in self._refusal(loadable, tmp_path, role, damage.spoil)

    def test_a_truncated_file_is_refused(self, loadable: Loadable, tmp_path: Path) -> None:
        for role, tensor in loadable.tensors.items():
            copy = damage.copy_into(_subfolder(tmp_path, role), loadable.files[role])
            damage.truncate(damage.file_with(copy, tensor))
            with pytest.raises(PredictorError, match=copy.name):
                loadable.load(**{role: copy})

    def test_a_hostile_pickle_is_refused_and_not_executed(
        self, loadable: Loadable, tmp_path: Path
    ) -> None:
        for role, tensor in loadable.tensors.items():
            copy = damage.copy_into(_subfolder(tmp_path, role), loadable.files[role])
            damage.plant_pickle(damage.file_with(copy, tensor), tmp_path / "witness")
            with pytest.raises(PredictorError, match=copy.name):
                loadable.load(**{role: copy})
            assert not (tmp_path / "witness").exists()

    @staticmethod
    def _refusal(loadable: Loadable, folder: Path, role: str, change: damage.Change) -> str:
        """The error message of loading after a change to a role's weights; loading must fail."""
        copy = damage.copy_into(_subfolder(folder, role), loadable.files[role])
        tensor = loadable.tensors[role]
        damage.change_weights(damage.file_with(copy, tensor), tensor, change)
        with pytest.raises(PredictorError, match=copy.name) as refused:
            loadable.load(**{role: copy})
        return str(refused.value)


class CaptionerConformance(PredictorConformance):
    """The promises of `Captioner` in addition: texts beside the vectors, one for each image."""

    def test_texts_come_with_the_same_vectors(
        self, predictor: Predictor, images: Images, vectors: Vectors
    ) -> None:
        assert isinstance(predictor, Captioner)
        described = predictor.describe(images)
        assert described.embeddings.tobytes() == vectors.tobytes()
        assert len(described.captions) == COUNT
        assert all(isinstance(text, str) for text in described.captions)

    def test_an_empty_batch_gives_no_texts(self, predictor: Predictor, images: Images) -> None:
        assert isinstance(predictor, Captioner)
        described = predictor.describe(images[:0])
        assert described.embeddings.shape == (0, predictor.dim)
        assert not described.captions


def _longest(vectors: Vectors) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())


def _subfolder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name
