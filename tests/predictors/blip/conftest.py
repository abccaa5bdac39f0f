"""A tiny BLIP captioner in the library's format; its random weights tell images apart."""

from __future__ import annotations

from pathlib import Path

import pytest

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]",
    "a", "photo", "of", "cat", "dog", "red", "blue", "house", "forest", "painting", "old",
]  # fmt: skip
SIDE = 32


@pytest.fixture(scope="session")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` writes it, of a model, a tokenizer and an image processor."""
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("blip")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
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
            "vocab_size": len(WORDS),
            "encoder_hidden_size": 32,
            "max_position_embeddings": 64,
            "bos_token_id": WORDS.index("[DEC]"),
            "eos_token_id": WORDS.index("[SEP]"),
            "sep_token_id": WORDS.index("[SEP]"),
            "pad_token_id": WORDS.index("[PAD]"),
        },
        vision_config={**tiny, "image_size": SIDE, "patch_size": 8},
    )
    torch.manual_seed(1)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    processor = BlipProcessor(images, tokenizer)  # type: ignore[no-untyped-call]
    processor.save_pretrained(folder)
    return folder
