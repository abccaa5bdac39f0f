"""A tiny whole CLIP of open_clip, and a vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TINY = "tiny-clip"
SIDE = 24
PHRASES = {
    "artists": ["Vincent van Gogh", "Hokusai", "Frida Kahlo", "Caspar David Friedrich"],
    "flavors": ["highly detailed", "sharp focus", "intricate", "trending", "8 k", "soft light"],
    "mediums": ["an oil painting", "a photo", "a bronze sculpture", "highly detailed"],
}


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip's checkpoint of a tiny model, which it knows by the name TINY."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    architecture = {
        "embed_dim": 12,
        "vision_cfg": {
            "image_size": SIDE,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 4,
        },
        "text_cfg": {
            "context_length": 12,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    }
    (folder / f"{TINY}.json").write_text(json.dumps(architecture))
    open_clip.add_model_config(folder / f"{TINY}.json")
    torch.manual_seed(3)
    model = open_clip.CLIP(**architecture)
    torch.nn.init.normal_(model.visual.proj, std=0.5)
    torch.nn.init.normal_(model.token_embedding.weight)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder / "open_clip_model.safetensors"


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    for name, phrases in PHRASES.items():
        (folder / f"{name}.txt").write_text("\n".join(phrases) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).parents[3].parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared")
    return folder
