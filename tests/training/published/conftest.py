"""The published recipes on tiny models: each is shrunk, run once in a session, and watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ensembler.metrics import unit_rows
from ensembler.predicting.checkpoints import load_predictor
from ensembler.predicting.contract import Predictor
from ensembler.predicting.definition import load_definition
from ensembler.store.encoder import load_encoder
from ensembler.store.model import EncoderRecord
from ensembler.toml import toml_value
from ensembler.training.recipe import Recipe, load_recipe
from ensembler.training.run import TrainReport, train
from tests.tiny_models import (
    make_coca,
    register_timm,
    save_blip,
    save_blip2,
    save_coca,
    save_gpt2,
)
from tests.training.published.shrinking import TINY, Tiny, shrunk
from tests.training.published.watching import Seen, watch

FOLD = 0


class Letters(NamedTuple):
    """An encoder of 384 numbers that costs nothing."""

    record: EncoderRecord = EncoderRecord(name="letters", sha256="1" * 64)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 384) float32 of unit length."""
        seeds = [[ord(letter) for letter in text] for text in texts]
        drawn = np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds])
        return unit_rows(drawn).astype(np.float32)


class Ran(NamedTuple):
    """A recipe that was run.

    Attributes:
        recipe: as it was shrunk.
        begun: the files that it began with, by role; a folder for a second stage.
        report: what was made.
        seen: on the way.
    """

    recipe: Recipe
    begun: Mapping[str, Path] | Path
    report: TrainReport
    seen: Seen


RunRecipe = Callable[[str], Ran]


@pytest.fixture(scope="session")
def encode_384() -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """`encode_384(texts)`: the targets here."""
    return Letters().encode


load_once = cache(load_encoder)


@contextmanager
def quick_encoders() -> Iterator[pytest.MonkeyPatch]:
    """Targets are made by Letters; the captioners' own encoder is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("predictors.shared.training.targets.load_encoder", lambda _: Letters())
        patch.setattr("predictors.shared.text.load_encoder", load_once)
        yield patch


@pytest.fixture(scope="session")
def load_trained(run_recipe: RunRecipe) -> Callable[[str], Predictor]:
    """`load_trained(name)`: the predictor that a shrunk recipe made, by its definition."""

    def load(name: str) -> Predictor:
        path = run_recipe(name).report.definition
        definition = load_definition(path)
        files = {role: path.parent / file for role, file in definition.files_of(FOLD)[0].items()}
        with quick_encoders():
            return load_predictor(definition.adapter, definition.config, files)

    return load


@pytest.fixture(scope="session")
def first_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Tiny], dict[str, Path]]:
    """`first_files(tiny)`: what a first stage begins with, by role, in the libraries' formats."""
    register_timm()

    @cache
    def published(model: str) -> Path:
        torch.manual_seed(3)
        path = tmp_path_factory.mktemp("timm") / "model.safetensors"
        save_file(timm.create_model(model).state_dict(), path)
        return path

    def files(tiny: Tiny) -> dict[str, Path]:
        folder, config = tmp_path_factory.mktemp("begin"), tiny.config
        if tiny.adapter == "blip2_qformer":
            return {"model": save_blip2(folder)}
        if tiny.adapter == "blip":
            return {"model": save_blip(folder)}
        if tiny.adapter == "coca":
            return save_coca(folder, make_coca())
        if tiny.adapter == "clip_gpt2":
            tower = published(config["tower"]["model"])
            return {"tower": tower, "language": save_gpt2(folder, blocks=12)}
        style = (
            {"style": published(config["style_model"])} if tiny.adapter == "style_metric" else {}
        )
        return {"weights": published(config["model"]), **style}

    return files


@pytest.fixture(scope="session")
def run_recipe(
    table: Path,
    images: Path,
    first_files: Callable[[Tiny], dict[str, Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> RunRecipe:
    """`run_recipe(name)`: trains a fold by a shrunk recipe, the stages before it first; once."""

    @cache
    def run(name: str) -> Ran:
        tiny = TINY[name]
        recipe = shrunk(load_recipe(name), tiny.config)
        before = None if tiny.after is None else run(tiny.after).report.definition.parent
        begin = first_files(tiny) if before is None else before
        folder = tmp_path_factory.mktemp("published")
        keys = recipe.model_dump(mode="json", exclude_none=True)
        text = "\n".join(f"{key} = {toml_value(value)}" for key, value in keys.items())
        (folder / "recipe.toml").write_text(text)
        with quick_encoders() as patch:
            seen = watch(patch)
            report = train(
                tiny.adapter,
                recipe=folder / "recipe.toml",
                data=[table],
                images=images,
                fold=FOLD,
                out=folder / "out",
                weights=begin,
            )
        return Ran(recipe, begin, report, seen)

    return run
