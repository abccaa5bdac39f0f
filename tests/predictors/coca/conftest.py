"""A tiny CoCa captioner in open_clip's formats; its random weights tell images apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

SIDE = 32
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": SIDE, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8,
        "attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 8,
        "output_tokens": True,
    },
    "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {**TEXT, "attn_pooler_heads": 2},
    "custom_text": True,
}  # fmt: skip


@pytest.fixture(scope="session")
def coca_model() -> torch.nn.Module:
    """open_clip's own, in eval mode."""
    from open_clip.coca_model import CoCa

    torch.manual_seed(4)
    model = CoCa(**{key: value for key, value in ARCHITECTURE.items() if key != "custom_text"})
    # open_clip leaves the first as memory was, and the others so small that all texts are alike.
    torch.nn.init.normal_(model.text_decoder.text_projection)
    torch.nn.init.normal_(model.text.token_embedding.weight)
    torch.nn.init.normal_(model.text.positional_embedding)
    for block in model.text_decoder.cross_attn:
        torch.nn.init.normal_(block.attn.in_proj_weight)
        torch.nn.init.normal_(block.attn.out_proj.weight)
    torch.nn.init.normal_(model.visual.conv1.weight, std=0.5)
    return model.eval()


@pytest.fixture(scope="session")
def coca(coca_model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """It and its config in files, by role."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("coca")
    (folder / "tiny.json").write_text(json.dumps(ARCHITECTURE))
    save_file(coca_model.state_dict(), folder / "open_clip_model.safetensors")
    return {
        "weights": folder / "open_clip_model.safetensors",
        "architecture": folder / "tiny.json",
    }
