"""Folders of images, a tiny adapter installed beside us, and specs whose members it makes."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.blending.apply import WeightedSum
from ensembler.blending.resolve import resolve_weights
from ensembler.inference.images import predict_images
from ensembler.inference.prediction import ImagePrediction
from ensembler.inference.settings import Settings
from ensembler.metrics import unit_rows
from ensembler.predicting.checkpoints import checkpoint_digests
from ensembler.predicting.definition import FoldFiles, PredictorDefinition
from ensembler.spec.model import Coreset, EnsembleSpec
from ensembler.spec.numbers import decode_vector, encode_vector
from ensembler.spec.weighted import WeightedSpec
from ensembler.store.model import Origin

DIM = 5
ROWS = 200  # of the out-of-fold embeddings that a spec's coreset is taken from
Features = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
PLUGIN = Path(__file__).parent / "plugin" / "mean_colour.py"


@dataclass(kw_only=True)
class World:
    """Images, checkpoints and a spec.

    Attributes:
        folder: holds all of it.
        spec: the frozen blend.
        matrices: of each member, one for each checkpoint.
        features: the adapter's.
    """

    folder: Path
    spec: EnsembleSpec
    matrices: Mapping[str, Sequence[NDArray[np.float32]]]
    features: Features

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def out(self) -> Path:
        return self.folder / "submission.csv"

    def fault(self, **of: Mapping[str, Any]) -> None:
        """Let members go wrong: `fault(a={"nan": 1})`; none stands for all well."""
        (self.folder / "faults.json").write_text(json.dumps(of))

    def predict(self, *, spec: EnsembleSpec | None = None, **given: Any) -> ImagePrediction:  # noqa: ANN401 - Settings' and predict_images' own
        """Run it: on the CPU, three images at once."""
        settings = {"checkpoints": (self.folder / "checkpoints",), "devices": ("cpu",), "batch": 3}
        of_settings = {name: given.pop(name) for name in list(given) if name in _SETTINGS}
        return predict_images(
            spec or self.spec,
            self.images,
            Settings(**{**settings, **of_settings}),
            **{"out": self.out, **given},
        )

    def naive(self, blend: WeightedSpec) -> NDArray[np.float64]:
        """A blend's rows, image by image; the adapter's 1e-6 of its batch left out."""
        rows = []
        for path in sorted(self.images.iterdir()):
            seen = self.features(np.asarray(Image.open(path))[None])[0]
            total = blend.prior.weight * decode_vector(blend.prior.vector).astype(np.float64)
            for member in blend.members:
                given = [seen @ matrix.astype(np.float64) for matrix in self.matrices[member.name]]
                if len(given) > 1:
                    mean = np.sum([v / np.linalg.norm(v) for v in given], axis=0)
                    given = [mean / np.linalg.norm(mean) * (member.origin.mean_norm or 0.0)]
                length = np.linalg.norm(given[0])
                total = total + member.weight * given[0] * length**-member.alpha
            rows.append(total / np.linalg.norm(total))
        return np.array(rows)


_SETTINGS = set(Settings.__dataclass_fields__)
MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the adapter in it, as pip would install it."""
    place = tmp_path_factory.mktemp("site-packages")
    shutil.copy(PLUGIN, place)
    info = place / "mean_colour-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-colour\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ensembler.predictors]\nmean_colour = mean_colour:MeanColour\n"
    )
    return place


@pytest.fixture
def features(site_packages: Path, monkeypatch: pytest.MonkeyPatch) -> Features:
    """The adapter is installed; gives its `features`."""
    monkeypatch.setattr(sys, "path", [str(site_packages), *sys.path])
    found: Features = importlib.import_module("mean_colour").features
    return found


@pytest.fixture
def make_world(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    features: Features,
    make_spec: Callable[..., EnsembleSpec],
) -> MakeWorld:
    """`make_world({"a": {"folds": 2, "noise": 0.1, "seconds": 1.0}, "b": {}}, images=10)`."""

    def make(members: Mapping[str, Mapping[str, Any]], *, images: int = 10) -> World:
        folder = tmp_path_factory.mktemp("world")
        monkeypatch.setenv("MEAN_COLOUR_FAULTS", str(folder / "faults.json"))
        _paint(folder / "images", images)
        (folder / "checkpoints").mkdir()
        rng = np.random.default_rng(7)
        truth = rng.normal(size=(6, DIM))
        seen = features(rng.integers(0, 256, (ROWS, 4, 4, 3), dtype=np.uint8))
        targets = unit_rows(seen @ truth + 0.02 * rng.normal(size=(ROWS, DIM)))
        matrices: dict[str, list[NDArray[np.float32]]] = {}
        origins, columns = {}, []
        for name, wanted in members.items():
            noise = wanted.get("noise", 0.3)
            matrices[name] = [
                (truth + noise * rng.normal(size=truth.shape)).astype(np.float32)
                for _ in range(wanted.get("folds", 1))
            ]
            columns.append(np.mean([seen @ matrix for matrix in matrices[name]], axis=0))
            origins[name] = _origin(folder, name, matrices[name], wanted, columns[-1])
        world = World(
            folder=folder,
            spec=_spec(make_spec, origins, columns, targets),
            matrices=matrices,
            features=features,
        )
        world.fault()
        return world

    return make


def _paint(folder: Path, images: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in rng.permutation(images):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"i{number:03}.png")


def _origin(
    folder: Path,
    name: str,
    matrices: Sequence[NDArray[np.float32]],
    wanted: Mapping[str, Any],
    vectors: NDArray[np.float64],
) -> Origin:
    for fold, matrix in enumerate(matrices):
        np.save(folder / "checkpoints" / f"{name}-{fold}.npy", matrix)
    paths = [f"{name}-{fold}.npy" for fold in range(len(matrices))]
    folds = [FoldFiles(fold=f, files={"weights": path}) for f, path in enumerate(paths)]
    definition = PredictorDefinition(
        adapter="mean_colour",
        config={"label": name},
        files={} if len(paths) > 1 else {"weights": paths[0]},
        checkpoints=tuple(folds) if len(paths) > 1 else (),
    )
    return Origin(
        predictor="mean_colour",
        config={"label": name, "size": 4},
        checkpoints=checkpoint_digests(definition, folder / "checkpoints"),
        preprocessing={"height": 4, "width": 4},
        seconds_per_image=wanted.get("seconds"),
        mean_norm=float(np.linalg.norm(vectors, axis=1).mean()),
        device="cpu",
    )


def _spec(
    make_spec: Callable[..., EnsembleSpec],
    origins: Mapping[str, Origin],
    vectors: Sequence[NDArray[np.float64]],
    targets: NDArray[np.float64],
) -> EnsembleSpec:
    prior = unit_rows(targets.mean(axis=0, keepdims=True))
    columns = np.stack([np.broadcast_to(prior, targets.shape), *vectors], axis=1)
    units = columns / np.linalg.norm(columns, axis=2, keepdims=True)
    gram = np.einsum("njd,nkd->njk", units, units)
    alphas = np.array([0.0, *(float(m % 2) for m in range(len(origins)))])
    statistics = {
        "cosines": gram[:, *np.triu_indices(columns.shape[1], 1)].astype(np.float32),
        "cross": np.einsum("njd,nd->nj", units, targets).astype(np.float32),
        "lengths": np.linalg.norm(columns, axis=2).astype(np.float32),
        "weight": np.ones(len(targets), dtype=np.float32),
    }
    weights = resolve_weights(
        **statistics, alphas=alphas, keep=np.ones(len(alphas), dtype=bool), free=False
    )
    return make_spec(
        list(origins),
        WeightedSum(
            prior_weight=float(weights[0]), weights=weights[1:], alphas=alphas[1:], means=None
        ),
        prior[0],
        Coreset(rows=len(targets), **{name: encode_vector(of) for name, of in statistics.items()}),
        list(origins.values()),
    )
