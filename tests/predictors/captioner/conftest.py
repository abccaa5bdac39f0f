"""Tiny image-to-text models in the library's format; their random weights tell images apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = [
    "what", "is", "it", "?", "question", ":", "answer",
    "a", "photo", "of", "the", "cat", "dog", "red", "blue", "house", "tree", "old", "city",
]  # fmt: skip
SIDE = 32
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,
}
VISION: dict[str, Any] = {**TINY, "image_size": SIDE, "patch_size": 8}


def make_tokenizer(special: list[str], frame: str, **names: object) -> Any:  # noqa: ANN401 - untyped library
    """A tokenizer of whole words; `frame` is the template of a text, such as "<s> $A </s>"."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate([*special, *WORDS])}
    backend = Tokenizer(models.WordLevel(words, unk_token=special[0]))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single=frame, special_tokens=[(token, words[token]) for token in special]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, unk_token=special[0], **names
    )


def save_git(folder: Path) -> None:
    from transformers import CLIPImageProcessor, GitConfig, GitForCausalLM, GitProcessor

    tokenizer = make_tokenizer(
        ["[UNK]", "[PAD]", "[CLS]", "[SEP]"],
        "[CLS] $A [SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    config = GitConfig(
        **TINY,
        vision_config=VISION,
        vocab_size=len(tokenizer),
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=1,
    )
    GitForCausalLM(config).save_pretrained(folder)
    crop = {"height": SIDE, "width": SIDE}
    processor = CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=crop)
    GitProcessor(processor, tokenizer).save_pretrained(folder)  # type: ignore[no-untyped-call]


def save_blip2(folder: Path) -> None:
    import torch
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
    )

    tokenizer = make_tokenizer(
        ["<unk>", "<pad>", "</s>"],
        "</s> $A",
        pad_token="<pad>",
        bos_token="</s>",
        eos_token="</s>",
    )
    images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    processor = Blip2Processor(images, tokenizer, num_query_tokens=4)  # type: ignore[no-untyped-call]
    config = Blip2Config(
        vision_config=VISION,
        qformer_config={**TINY, "vocab_size": 8, "encoder_hidden_size": 32},
        text_config={
            **TINY,
            "model_type": "opt",
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
            "init_std": 0.5,
            "max_position_embeddings": 64,
            "vocab_size": len(tokenizer),
            "bos_token_id": 2,
            "eos_token_id": 2,
            "pad_token_id": 1,
        },
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)  # zeros otherwise
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def save_florence2(folder: Path) -> None:
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    tokenizer = make_tokenizer(
        ["<unk>", "<pad>", "<s>", "</s>", "<image>"],
        "$A",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
    )
    size = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessor(size=size, do_center_crop=False, crop_size=size)
    images.image_seq_length = 2  # type: ignore[attr-defined] # read by the processor below
    config = Florence2Config(
        vision_config={
            "embed_dim": [8, 8, 8, 16],
            "num_heads": [2, 2, 2, 2],
            "num_groups": [2, 2, 2, 2],
            "depths": [1, 1, 1, 1],
            "window_size": 2,
            "projection_dim": 32,
            "initializer_range": 0.5,
        },
        text_config={
            "model_type": "bart",
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 64,
            "init_std": 0.5,
            "vocab_size": len(tokenizer),
            "bos_token_id": 2,
            "eos_token_id": 3,
            "pad_token_id": 1,
            "decoder_start_token_id": 3,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    Florence2ForConditionalGeneration(config).save_pretrained(folder)
    Florence2Processor(images, tokenizer).save_pretrained(folder)


SAVE: dict[str, Callable[[Path], None]] = {
    "git": save_git,
    "blip2": save_blip2,
    "florence2": save_florence2,
}


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`saved("git")`: the folder of a tiny model and its processor, each made once."""
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        import torch

        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            torch.manual_seed(2)
            SAVE[kind](folders[kind])
        return folders[kind]

    return folder
