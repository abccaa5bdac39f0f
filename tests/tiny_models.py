"""Small models of the real libraries, with random weights, in the libraries' own files."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SIZE = 16  # pixels of the small timm towers' images
BLIP_SIDE = 32
BLIP_WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]",
    "a", "photo", "of", "cat", "dog", "red", "blue", "house", "forest", "painting", "old",
]  # fmt: skip
GPT2_TEXTS = ["a red car on the beach", "two dogs playing chess", "a castle in the clouds"]
END = "<|endoftext|>"
COCA_SIDE = 32
COCA_TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
COCA: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": COCA_SIDE,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "attn_pooler_queries": 8,
        "output_tokens": True,
    },
    "text_cfg": {**COCA_TEXT, "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {**COCA_TEXT, "attn_pooler_heads": 2},
    "custom_text": True,
}
default_cfgs: dict[str, Any] = {}  # where timm looks for the records of what a module registers


@functools.cache
def register_timm() -> None:
    """Small models under names like those of the real ones, in timm's registry.

    vit_mini_patch4_clip_16 (.laion, .openai) and its quickgelu twin, vit_deep_patch4_clip_16 of
    five blocks, convnext_mini, convnext_mini_mlp, eva02_mini_patch4_16, swin_mini.
    """
    from timm.models import generate_default_cfgs, register_model

    natively = {"notes": ("natively QuickGELU, use quickgelu model variant",)}
    default_cfgs.update(
        generate_default_cfgs(
            {
                "vit_mini_patch4_clip_16.laion": _recorded(),
                "vit_mini_patch4_clip_16.openai": _recorded(**natively),
                "vit_mini_patch4_clip_quickgelu_16.openai": _recorded(**natively),
                "vit_deep_patch4_clip_16.laion": _recorded(),
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
        _vit("vit_deep_patch4_clip_16", depth=5),
        _convnext("convnext_mini"),
        _convnext("convnext_mini_mlp", head_hidden_size=24),
        _eva02("eva02_mini_patch4_16"),
        _swin("swin_mini"),
    ):
        register_model(build)


def save_blip(folder: Path) -> Path:
    """A tiny BLIP captioner with its processor, as `save_pretrained` writes them."""
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

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


def save_blip2(folder: Path, whole: type[PreTrainedModel] | None = None) -> Path:
    """A tiny BLIP-2 in shards with its image processor, as `save_pretrained` writes them.

    Args:
        folder: to make.
        whole: a class of transformers; None for the captioner.
    """
    from transformers import Blip2Config, Blip2ForConditionalGeneration, BlipImageProcessor

    tiny = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "initializer_range": 0.3,
    }
    config = Blip2Config(
        vision_config={**tiny, "image_size": BLIP_SIDE, "patch_size": 8},
        qformer_config={**tiny, "encoder_hidden_size": 32, "vocab_size": 8},
        text_config={
            "model_type": "opt",
            "hidden_size": 16,
            "ffn_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "vocab_size": 40,
            "word_embed_proj_dim": 16,
            "max_position_embeddings": 20,
        },
        num_query_tokens=4,
    )
    torch.manual_seed(4)
    model = (whole or Blip2ForConditionalGeneration)(config)
    torch.nn.init.normal_(model.query_tokens)  # zeros otherwise
    model.save_pretrained(folder, max_shard_size="40KB")
    BlipImageProcessor(size={"height": BLIP_SIDE, "width": BLIP_SIDE}).save_pretrained(folder)
    return folder


def save_gpt2(folder: Path, blocks: int = 2) -> Path:
    """A tiny GPT-2 with a byte-level BPE tokenizer, as `save_pretrained` writes them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=60, special_tokens=[END], show_progress=False, min_frequency=1
    )
    backend.train_from_iterator(GPT2_TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, bos_token=END, eos_token=END
    )
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=24,
        n_embd=16,
        n_layer=blocks,
        n_head=2,
        bos_token_id=end,
        eos_token_id=end,
        initializer_range=0.5,
    )
    torch.manual_seed(3)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_coca() -> torch.nn.Module:
    """A tiny CoCa of open_clip's, in eval mode; its random weights tell images apart."""
    from open_clip.coca_model import CoCa

    torch.manual_seed(4)
    model = CoCa(**{key: value for key, value in COCA.items() if key != "custom_text"})
    # open_clip leaves the first as memory was, and the others so small that all texts are alike.
    torch.nn.init.normal_(model.text_decoder.text_projection)
    torch.nn.init.normal_(model.text.token_embedding.weight)
    torch.nn.init.normal_(model.text.positional_embedding)
    for block in model.text_decoder.cross_attn:
        torch.nn.init.normal_(block.attn.in_proj_weight)
        torch.nn.init.normal_(block.attn.out_proj.weight)
    torch.nn.init.normal_(model.visual.conv1.weight, std=0.5)
    return model.eval()


def save_coca(folder: Path, model: torch.nn.Module) -> dict[str, Path]:
    """A CoCa and its config in files, by role."""
    from safetensors.torch import save_file

    (folder / "tiny.json").write_text(json.dumps(COCA))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return {
        "weights": folder / "open_clip_model.safetensors",
        "architecture": folder / "tiny.json",
    }


def _recorded(**keys: object) -> dict[str, Any]:
    """A record as timm has it for a pretrained tag."""
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


def _vit(name: str, **other: object) -> Callable[..., Any]:
    """A CLIP ViT with the arguments of timm's own, but for its size."""
    from timm.layers import LayerNorm
    from timm.models.vision_transformer import _create_vision_transformer

    arguments = {
        "img_size": SIZE,
        "patch_size": 4,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "pre_norm": True,
        "norm_layer": functools.partial(LayerNorm, eps=1e-5),
        **other,
    }
    return _entry(name, _create_vision_transformer, arguments)


def _convnext(name: str, **head: int) -> Callable[..., Any]:
    from timm.models.convnext import _create_convnext

    arguments = {"depths": [1, 1, 1, 1], "dims": [8, 12, 16, 20], "ls_init_value": 0.5, **head}
    return _entry(name, _create_convnext, arguments)


def _eva02(name: str) -> Callable[..., Any]:
    from timm.models.eva import _create_eva

    arguments = {
        "img_size": SIZE,
        "patch_size": 4,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 8 / 3,
        "qkv_fused": False,
        "swiglu_mlp": True,
        "scale_mlp": True,
        "use_rot_pos_emb": True,
        "ref_feat_shape": (2, 2),
    }
    return _entry(name, _create_eva, arguments)


def _swin(name: str) -> Callable[..., Any]:
    from timm.models.swin_transformer import _create_swin_transformer

    arguments = {
        "img_size": SIZE,
        "patch_size": 2,
        "window_size": 2,
        "embed_dim": 16,
        "depths": (1, 1),
        "num_heads": (2, 2),
    }
    return _entry(name, _create_swin_transformer, arguments)


def _entry(name: str, create: Callable[..., Any], fixed: dict[str, Any]) -> Callable[..., Any]:
    def build(pretrained: bool = False, **given: Any) -> Any:  # noqa: ANN401 - timm's signature
        return create(name, pretrained=pretrained, **{**fixed, **given})

    build.__name__ = name
    return build
