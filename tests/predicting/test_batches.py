"""Embedding of a batch: overflow, running out of memory, and outputs that break the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import InputError, PredictorError
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.batches import BatchLimit, check_precision, embed_batch
from ensembler.predicting.contract import Described

Images = NDArray[np.uint8]


class Mean:
    """Mean colours; fits `most` images at once."""

    dim = 3
    preprocess = Preprocess(height=2, width=2)

    def __init__(
        self, most: int = 99, error: type[BaseException] | BaseException = MemoryError
    ) -> None:
        self.most, self.error = most, error
        self.sizes: list[int] = []

    def embed(self, images: Images) -> NDArray[np.float32]:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise self.error
        return np.asarray(images.mean(axis=(1, 2)), dtype=np.float32)


class Teller(Mean):
    def describe(self, images: Images) -> Described:
        return Described(self.embed(images), [str(int(image.sum())) for image in images])


@pytest.fixture
def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (7, 2, 2, 3)).astype(np.uint8)


def test_vectors_are_what_the_predictor_gives(images: Images) -> None:
    found = embed_batch(Mean(), images)
    np.testing.assert_array_equal(found.vectors, Mean().embed(images), strict=True)
    assert found.captions is None
    assert found.finite.all()


def test_no_image_gives_no_vector(images: Images) -> None:
    found = embed_batch(Teller(), images[:0])
    assert found.vectors.shape == (0, 3)
    assert found.captions == []
    assert found.finite.shape == (0,)


@pytest.mark.parametrize("most", [1, 2, 3, 6])
def test_where_memory_ends_batches_are_halved_and_it_is_remembered(
    most: int, images: Images
) -> None:
    model, limit = Teller(most), BatchLimit()
    whole = embed_batch(Teller(), images)
    for _ in range(2):
        found = embed_batch(model, images, limit=limit)
        np.testing.assert_array_equal(found.vectors, whole.vectors)
        assert found.captions == whole.captions
    refused = [size for size in model.sizes if size > most]
    assert len(refused) == len(set(refused))  # none is tried twice
    assert limit.images is not None
    assert limit.images <= most


def test_torchs_out_of_memory_is_known_too(images: Images) -> None:
    import torch

    found = embed_batch(Mean(3, torch.cuda.OutOfMemoryError), images)
    assert len(found.vectors) == 7


@pytest.mark.parametrize(
    "said",
    [
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "MPS backend out of memory (MPS allocated: 8 GB)",
    ],
)
def test_memory_that_ends_in_a_plain_runtime_error_is_known_by_its_words(
    said: str, images: Images
) -> None:
    found = embed_batch(Mean(3, RuntimeError(said)), images)
    np.testing.assert_array_equal(found.vectors, Mean().embed(images))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        embed_batch(Mean(3, RuntimeError("mat1 and mat2 cannot be multiplied")), images)


def test_an_image_that_does_not_fit_alone_is_an_error(images: Images) -> None:
    with pytest.raises(PredictorError, match="'cpu' has too little memory for a single image of 2"):
        embed_batch(Mean(0), images)


def test_another_error_is_not_taken_for_lack_of_memory(images: Images) -> None:
    with pytest.raises(ZeroDivisionError):
        embed_batch(Mean(3, ZeroDivisionError), images)


def test_a_half_precision_batch_that_overflows_is_done_again_in_float32() -> None:
    import torch

    class Large(Mean):
        dim = 1
        overflowed: ClassVar[list[bool]] = []

        def embed(self, images: Images) -> NDArray[np.float32]:
            pixels = torch.tensor(images, dtype=torch.float32).reshape(len(images), 12)
            with torch.inference_mode():
                vectors = (pixels @ torch.full((12, 1), 300.0)).float().numpy()
            self.overflowed.append(not np.isfinite(vectors).all())
            return np.asarray(vectors)

    model = Large()
    white = np.full((2, 2, 2, 3), 255, dtype=np.uint8)
    found = embed_batch(model, white, "float16")
    assert model.overflowed == [True, False]
    assert found.finite.all()
    np.testing.assert_allclose(found.vectors, 12 * 255 * 300.0)
    small = embed_batch(model, white // 255, "float16")
    assert model.overflowed == [True, False, False]
    np.testing.assert_allclose(small.vectors, 3600.0, rtol=1e-3)


def test_a_vector_that_is_nan_in_float32_too_is_zero_and_marked(images: Images) -> None:
    class Broken(Mean):
        def embed(self, images: Images) -> NDArray[np.float32]:
            vectors = super().embed(images)
            vectors[2, 1], vectors[4, 0] = np.nan, np.inf
            return vectors

    found = embed_batch(Broken(), images)
    assert np.flatnonzero(~found.finite).tolist() == [2, 4]
    assert not found.vectors[[2, 4]].any()
    np.testing.assert_array_equal(found.vectors[[0, 1, 3]], Mean().embed(images)[[0, 1, 3]])


@pytest.mark.parametrize(
    "wrong", [np.zeros((7, 2), np.float32), np.zeros((7, 3)), np.zeros((6, 3), np.float32)]
)
def test_vectors_of_another_shape_or_type_are_the_adapters_fault(
    wrong: NDArray[np.floating], images: Images
) -> None:
    class Wrong(Mean):
        def embed(self, _: Images) -> NDArray[np.float32]:
            return wrong

    with pytest.raises(PredictorError, match=r"for 7 images instead of float32\(7, 3\)"):
        embed_batch(Wrong(), images)


def test_captions_must_be_one_for_each_image(images: Images) -> None:
    class Silent(Mean):
        def describe(self, images: Images) -> Described:
            nothing: Sequence[str] = []
            return Described(self.embed(images), nothing)

    with pytest.raises(PredictorError, match="returned 0 captions for 7 images"):
        embed_batch(Silent(), images)


def test_an_unknown_precision_is_answered_with_the_nearest() -> None:
    assert check_precision("bfloat16") == "bfloat16"
    with pytest.raises(InputError, match="no precision named 'float'; did you mean 'float"):
        check_precision("float")
