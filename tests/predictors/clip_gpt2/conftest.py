"""A tiny GPT-2 with a tokenizer of its own, in transformers' format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_models import save_gpt2


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` writes it, of a model and a byte-level BPE tokenizer."""
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))
