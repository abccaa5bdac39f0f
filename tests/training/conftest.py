"""A small training: noisy images, a tiny tower of timm, an encoder that costs nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ensembler.dumping.dump import dump
from ensembler.metrics import paired_cosine, unit_rows
from ensembler.store.model import EncoderRecord
from ensembler.toml import toml_value
from ensembler.training.run import TrainReport, train
from predictors.shared.training.learner import Learner

DIM = 6
FOLDS = 3
PROMPTS = 15
TOWER = {
    "model": "test_vit.r160_in1k",
    "image_size": 16,
    "head": {"kind": "linear", "dim": DIM},
}
RECIPE: dict[str, Any] = {
    "epochs": 2,
    "batch": 4,
    "optimiser": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05},
    "config": TOWER,
}

Train = Callable[..., TrainReport]


class FakeEncoder(NamedTuple):
    """Texts to vectors by their letters."""

    record: EncoderRecord = EncoderRecord(name="letters", sha256="0" * 64)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, DIM) float32 of unit length."""
        seeds = [[ord(letter) for letter in text] for text in texts]
        drawn = np.stack([np.random.default_rng(seed).normal(1.0, 1.0, DIM) for seed in seeds])
        return unit_rows(drawn).astype(np.float32)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _fake_encoder() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("predictors.shared.training.targets.load_encoder", lambda _: FakeEncoder())
        yield


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PROMPTS prompts in FOLDS folds, of one image or two each; a TSV without a header."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for prompt in range(PROMPTS):
        for image in range(1 + prompt % 2):
            name = f"{prompt}_{image}.png"
            pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name)
            lines.append(f"{name}\tprompt {prompt}\t{prompt % FOLDS}")
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    return folder / "train.tsv"


@pytest.fixture(scope="session")
def images(table: Path) -> Path:
    """The folder of the table's images."""
    return table.parent / "images"


@pytest.fixture(scope="session")
def write_recipe() -> Callable[..., Path]:
    """`write_recipe(path, **keys)`: RECIPE with other keys, as TOML."""

    def write(path: Path, **keys: object) -> Path:
        lines = (f"{key} = {toml_value(one)}" for key, one in (RECIPE | keys).items())
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.fixture
def train_here(
    table: Path, images: Path, tmp_path: Path, write_recipe: Callable[..., Path]
) -> Train:
    """`train_here(out="out", fold=0, options={…}, **keys)`: other keys are the recipe's."""

    def run(
        *,
        out: str = "out",
        fold: int | Literal["all"] = 0,
        name: str = "tower",
        options: Mapping[str, Any] | None = None,
        **keys: object,
    ) -> TrainReport:
        recipe = write_recipe(tmp_path / "recipe.toml", **keys)
        given: dict[str, Any] = {"data": [table], "images": images, **(options or {})}
        return train(name, recipe=recipe, fold=fold, out=tmp_path / out, **given)

    return run


@pytest.fixture
def train_in_two(images: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`train_in_two(name, table, weights={…})`: fold 0 in two processes, by the last recipe.

    Into `two`; gives what the one that speaks says of the fold.
    """

    def run(name: str, table: Path, weights: Mapping[str, Path] | None = None) -> dict[str, Any]:
        script = Path(__file__).parent / "train_in_processes.py"
        options = ["--recipe", tmp_path / "recipe.toml", "--data", table, "--images", images]
        options += ["--fold", 0, "--out", tmp_path / "two", "--processes", 2, "--json"]
        for role, path in (weights or {}).items():
            options += ["--weights", f"{role}={path}"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        done = subprocess.run(
            list(map(str, [*torchrun, "--nproc_per_node", 2, script, "train", name, *options])),
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        fold: dict[str, Any] = json.loads(done.stdout)["folds"]["0"]
        return fold

    return run


@pytest.fixture
def check_promised(
    images: Path, encode: Callable[..., Any], write_store: Callable[..., Any], tmp_path: Path
) -> Callable[[TrainReport, Sequence[str]], None]:
    """`check_promised(report, prompts)`: of all folds; what is dumped scores what each promised."""

    def check(report: TrainReport, prompts: Sequence[str]) -> None:
        folds = np.arange(len(prompts)) % FOLDS
        ids = [f"{number}_0" for number in range(len(prompts))]
        store = write_store(encode(prompts), {}, ids=ids, folds=folds.tolist())
        options: dict[str, Any] = {"images": images, "failures": tmp_path / "failures.csv"}
        dump(store.path, "mine", predictor=report.definition, **options)
        member = type(store).open(store.path).member("mine")
        cosines = paired_cosine(np.asarray(member.embeddings), encode(prompts))
        for one in report.folds:
            promised = one.result.best_score
            assert cosines[folds == one.fold].mean() == pytest.approx(promised, abs=1e-6)

    return check


@pytest.fixture
def after_each_step(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The model's weights before the first step and after each one."""
    seen: list[dict[str, torch.Tensor]] = []
    learn = Learner.learn

    def see(learner: Learner) -> None:
        state = learner.model.state_dict()
        seen.append({name: one.clone() for name, one in state.items()})

    def watched(learner: Learner, step: int, *given: Any) -> float:  # noqa: ANN401 - passed on
        if not seen:
            see(learner)
        loss = learn(learner, step, *given)
        see(learner)
        return loss

    monkeypatch.setattr(Learner, "learn", watched)
    return seen


@pytest.fixture(scope="session")
def losses() -> Callable[[Path], list[float]]:
    """`losses(folder)`: of every step of a fold."""

    def read(folder: Path) -> list[float]:
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if "loss" in line]

    return read


@pytest.fixture(scope="session")
def encode() -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """`encode(texts)`: the targets, as the encoder makes them."""
    return FakeEncoder().encode
