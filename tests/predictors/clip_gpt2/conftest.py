"""A tiny GPT-2 with a tokenizer of its own, in transformers' format."""

from __future__ import annotations

from pathlib import Path

import pytest

WORDS = ["a red car on the beach", "two dogs playing chess", "a castle in the clouds"]
END = "<|endoftext|>"


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` writes it, of a model and a byte-level BPE tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=60, special_tokens=[END], show_progress=False, min_frequency=1
    )
    backend.train_from_iterator(WORDS, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, bos_token=END, eos_token=END
    )
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=24, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=end, eos_token_id=end, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("gpt2")
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
