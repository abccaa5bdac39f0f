"""A tiny CoCa captioner in open_clip's formats; its random weights tell images apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny_models import make_coca, save_coca


@pytest.fixture(scope="session")
def coca_model() -> torch.nn.Module:
    """A tiny CoCa model of open_clip, in eval mode."""
    return make_coca()


@pytest.fixture(scope="session")
def coca(coca_model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model and its config in files, by role."""
    return save_coca(tmp_path_factory.mktemp("coca"), coca_model)
