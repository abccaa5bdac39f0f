"""Tiny captioners in their libraries' files, and prompts that they have words for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ensembler.training.run import TrainReport
from tests.tiny_models import make_coca, register_timm, save_blip, save_coca, save_gpt2

FOLDS = 3
SEARCH = {"beams": 2, "max_tokens": 6}
CLIP = "vit_mini_patch4_clip_16.laion"


class Case(NamedTuple):
    """A captioner that can be trained.

    Attributes:
        name: of the adapter.
        config: its own.
        weights: what it begins with.
    """

    name: str
    config: dict[str, Any]
    weights: Mapping[str, Path]


@pytest.fixture(autouse=True)
def _cheap_encoder(encode: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What captioners say is encoded as the prompts are."""
    encoder = encode.__self__  # type: ignore[attr-defined]  # of a bound method
    monkeypatch.setattr("predictors.shared.text.load_encoder", lambda _: encoder)


@pytest.fixture(scope="session")
def clip_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Its tower in our own format; the mapper is new."""
    import torch
    from safetensors.torch import save_file

    from predictors.clip_gpt2.config import FrozenClipConfig
    from predictors.shared.tower import Tower

    register_timm()
    folder = tmp_path_factory.mktemp("clip_gpt2")
    torch.manual_seed(0)
    save_file(Tower(FrozenClipConfig(model=CLIP)).state_dict(), folder / "clip.safetensors")
    (folder / "gpt2").mkdir()
    mapper = {"prefix_tokens": 3, "feature_tokens": 2, "layers": 1, "heads": 2}
    return Case(
        "clip_gpt2",
        {"tower": {"model": CLIP}, "mapper": mapper, **SEARCH},
        {"tower": folder / "clip.safetensors", "language": save_gpt2(folder / "gpt2")},
    )


@pytest.fixture(scope="session")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Whose captions all begin alike."""
    folder = save_blip(tmp_path_factory.mktemp("blip"))
    return Case("blip", {"prompt": "a photo of", **SEARCH}, {"model": folder})


@pytest.fixture(scope="session")
def coca(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Of a file that says its architecture."""
    return Case("coca", SEARCH, save_coca(tmp_path_factory.mktemp("coca"), make_coca()))


@pytest.fixture(params=["clip_gpt2", "blip", "coca"])
def case(request: pytest.FixtureRequest) -> Case:
    """Each of them."""
    found: Case = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def prompts() -> list[str]:
    """As many as the images' table has, in words that every captioner knows."""
    return [
        f"a {what} {thing}"
        for what in ("red", "blue", "old")
        for thing in ("cat", "dog", "house", "photo", "painting")
    ]


@pytest.fixture(scope="session")
def described(prompts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the prompts in FOLDS folds, an image of each."""
    table = tmp_path_factory.mktemp("described") / "train.tsv"
    lines = (f"{n}_0.png\t{prompt}\t{n % FOLDS}\n" for n, prompt in enumerate(prompts))
    table.write_text("".join(lines))
    return table


@pytest.fixture
def train_case(
    train_here: Callable[..., TrainReport], described: Path
) -> Callable[..., TrainReport]:
    """`train_case(case, out="out", fold=0, options={…}, **keys)`: other keys are the recipe's."""

    def run(case: Case, *, options: Mapping[str, Any] | None = None, **keys: Any) -> TrainReport:  # noqa: ANN401 - of a recipe
        given = {"data": [described], "weights": case.weights} | dict(options or {})
        wanted = {
            "config": case.config,
            "loss": {"tokens": 1.0},
            "optimiser": {"name": "adamw", "lr": 1e-2},
        }
        return train_here(name=case.name, options=given, **wanted | keys)

    return run
