"""A Kaggle kernel: its interpreter with our wheel, what is attached to it, and a run of ours.

What stands in for Kaggle's image is this environment's packages, without our own. The two members
are timm's smallest towers with random weights, dumped through their adapter.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from ensembler.dumping.dump import dump
from ensembler.images.stream import load_image
from ensembler.metrics import unit_rows
from ensembler.predicting.checkpoints import file_digest
from ensembler.store.create import create_store
from predictors.shared.embedding import TowerPredictor
from predictors.shared.heads import HeadConfig
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "notebooks" / "kaggle_kernel.ipynb"
COMPETITION = "stable-diffusion-image-to-prompts"  # how the notebook knows what is attached
OURS = "ensembler"

DIM = 16
SAMPLES, HELD_BACK = 60, 11  # images in the store, images to predict
FOLDS = 3
TOWERS = {"resnet": "test_resnet.r160_in1k", "vit": "test_vit.r160_in1k"}
FOLDED = "vit"  # has a checkpoint for each fold
HEAD = HeadConfig(kind="linear", dim=DIM)
HEAD_TOML = f'{{kind = "linear", dim = {DIM}}}'


class Kernel(NamedTuple):
    """A kernel before the notebook runs.

    Attributes:
        python: its interpreter, behind walls.
        inputs: what is attached to it.
        working: the one folder it may write in.
        truth: (HELD_BACK, DIM) float64, what the images to predict are like, in the order of the
            sample submission.
    """

    python: Path
    inputs: Path
    working: Path
    truth: NDArray[np.float64]

    @property
    def sample(self) -> Path:
        return self.inputs / COMPETITION / "sample_submission.csv"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in the working folder, with nothing of this process's environment."""
        variables = {"PATH": os.defpath, "KERNEL_INPUT": str(self.inputs)}
        variables |= dict.fromkeys(("HOME", "TMPDIR", "KERNEL_WORKING"), str(self.working))
        return subprocess.run(
            [self.python, *arguments], cwd=self.working, env=variables,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip


class Played(NamedTuple):
    """A kernel after the notebook ran.

    Attributes:
        cells: of the notebook as it was executed, by id.
        before, after: what is attached, and its digests.
    """

    cells: Mapping[str, Any]
    before: Mapping[Path, str]
    after: Mapping[Path, str]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """A kernel with its inputs attached, in folders that cannot be written."""
    place = tmp_path_factory.mktemp("kaggle")
    inputs, working = place / "input", place / "working"
    working.mkdir()
    truth = _attach(inputs)
    for path in (*inputs.rglob("*"), inputs):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return Kernel(_install(place), inputs, working, truth)


@pytest.fixture(scope="module")
def played(kernel: Kernel) -> Played:
    """The committed notebook, executed from its first cell to its last."""
    before = _contents(kernel.inputs)
    shutil.copy(NOTEBOOK, kernel.working / "kernel.ipynb")
    execute = "from nbclient.cli import main; main()"
    ran = kernel.run("-c", execute, "kernel.ipynb", "--inplace", "--timeout", "500")
    assert ran.returncode == 0, ran.stderr
    executed = json.loads((kernel.working / "kernel.ipynb").read_bytes())
    cells = {cell["id"]: cell for cell in executed["cells"]}
    return Played(cells, before, _contents(kernel.inputs))


def _contents(folder: Path) -> dict[Path, str]:
    """Every file below a folder, hidden ones too, with its digest."""
    return {path: file_digest(path) for path in folder.rglob("*") if path.is_file()}


def _install(place: Path) -> Path:
    """An environment with our wheel and, behind it, the packages of the running one.

    Of these only what lies in their folder is seen, not what a .pth there adds: so no checkout.
    """
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, ROOT)
    subprocess.run([*pip, *build], check=True)
    (wheel,) = place.glob("*.whl")
    venv.create(place / "python", symlinks=True)
    python = place / "python" / "bin" / "python"
    install = ("--python", python, "install", "--no-deps", "--no-index", wheel)
    subprocess.run([*pip, *install], check=True)
    (packages,) = (place / "python" / "lib").glob("python*/site-packages")
    shutil.copy(Path(__file__).with_name("kernel_walls.py"), packages)
    behind = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (packages / "kaggle.pth").write_text("\n".join([*behind, "import kernel_walls"]) + "\n")
    return python


def _attach(inputs: Path) -> NDArray[np.float64]:
    """Write the competition's files and ours; returns what the images to predict are like."""
    rng = np.random.default_rng(5)
    seen = _paint(inputs / "images", SAMPLES, rng)
    unseen = _paint(inputs / COMPETITION / "images", HELD_BACK, rng)
    checkpoints = inputs / OURS / "checkpoints"
    towers = [_write_predictor(checkpoints, name) for name in TOWERS]
    truth = _describe([*seen, *unseen], towers, rng)

    np.save(inputs / "targets.npy", truth[:SAMPLES])
    rows = (f"{path.stem},{row % FOLDS}" for row, path in enumerate(seen))
    (inputs / "samples.csv").write_text("\n".join(["imgId,fold", *rows]) + "\n")
    oof = inputs / OURS / "oof"
    create_store(oof, inputs / "samples.csv", targets=inputs / "targets.npy")
    for name in TOWERS:
        dump(
            oof,
            name,
            predictor=checkpoints / f"{name}.toml",
            images=inputs / "images",
            device="cpu",
        )

    order = rng.permutation(HELD_BACK)  # a sample submission's is no sorted one
    keys = (f"{unseen[row].stem}_{place},0" for row in order for place in range(DIM))
    sample = inputs / COMPETITION / "sample_submission.csv"
    sample.write_text("\n".join(["imgId_eId,val", *keys]) + "\n")
    return truth[SAMPLES:][order]


def _paint(folder: Path, count: int, rng: np.random.Generator) -> Sequence[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{number:02}e{count}.png" for number in range(count)]
    for path in paths:
        shapes = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        shapes.resize((96, 96)).save(path)
    return paths


def _write_predictor(folder: Path, name: str) -> Tower:
    """A tower of random weights, its checkpoints, a little different fold by fold, and its TOML."""
    torch.manual_seed(len(name))
    tower = Tower(TowerConfig(model=TOWERS[name], head=HEAD))
    tower.eval().requires_grad_(False)
    for weight in tower.parameters():
        if weight.ndim > 1:  # as they are initialised, all images look much the same
            weight.normal_(std=weight[0].numel() ** -0.5)
    lines = [f'adapter = "tower"\nconfig = {{model = "{TOWERS[name]}", head = {HEAD_TOML}}}']
    folder.mkdir(parents=True, exist_ok=True)
    if name != FOLDED:
        save_file(tower.state_dict(), folder / f"{name}.safetensors")
        lines.append(f'files = {{weights = "{name}.safetensors"}}')
    for fold in range(FOLDS if name == FOLDED else 0):
        save_file(tower.state_dict(), folder / f"{name}-{fold}.safetensors")
        lines.append(f'[[checkpoints]]\nfold = {fold}\nweights = "{name}-{fold}.safetensors"')
        for weight in tower.parameters():
            weight.mul_(1.0 + 0.02 * torch.randn_like(weight))
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")
    return tower


def _describe(
    paths: Sequence[Path], towers: Sequence[Tower], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(images, DIM) unit rows: what all towers see in the images, each alike, through noise."""
    total = rng.normal(size=(len(paths), DIM))
    for tower in towers:
        images = np.stack([load_image(path, tower.preprocess) for path in paths])
        vectors = TowerPredictor(tower, "cpu").embed(images).astype(np.float64)
        total += 3.0 * (vectors - vectors.mean(axis=0)) / vectors.std()
    return unit_rows(total)
