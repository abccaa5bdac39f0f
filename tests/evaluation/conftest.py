"""What these tests compare on: a small world as a store, and the same with its members' seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import Data
from ensembler.blenders.refitting.memory import fit_once
from ensembler.store.create import create_store
from ensembler.store.model import Origin
from ensembler.store.reader import Store
from ensembler.store.writer import add_member
from ensembler.testing.worlds import World, make_world

MakeData = Callable[[World], Data]
Predicted = Callable[[Data, Blender], NDArray[np.float64]]
SECONDS = {"m0": 0.4, "m1": 0.1, "m2": 0.2, "m3": 0.05}


@pytest.fixture(scope="session")
def world() -> World:
    """96 rows in 24 groups, 4 folds and two sources; four members of partial coverage."""
    return make_world()


@pytest.fixture(scope="session")
def make_data(tmp_path_factory: pytest.TempPathFactory) -> MakeData:
    """`make_data(world)`: the world as blenders see it."""
    return lambda world: world.data(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def data(make_data: MakeData, world: World) -> Data:
    """The world itself."""
    return make_data(world)


@pytest.fixture(scope="session")
def timed(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """The world whose members say how long they take: SECONDS."""
    files, folder = data.store.path.parent, tmp_path_factory.mktemp("timed") / "oof"
    create_store(folder, files / "samples.csv", targets=files / "targets.npy")
    for name, seconds in SECONDS.items():
        origin = Origin(seconds_per_image=seconds)
        add_member(folder, name, [files / f"{name}.npz"], origin=origin)
    return replace(data, store=Store.open(folder))


@pytest.fixture(scope="session")
def predicted() -> Predicted:
    """`predicted(data, blender)`: (rows, d), each row under the fit without its fold."""

    def predict(data: Data, blender: Blender) -> NDArray[np.float64]:
        vectors = np.zeros((len(data.statistics), data.dim))
        for fold in range(data.statistics.folds):
            held_out, rows = frozenset({fold}), data.fold_rows(fold)
            blend = fit_once(data, blender, held_out, 0).blend
            for block in data.blended(blend, rows, held_out):
                vectors[block.rows] = block.blended.vectors
        return vectors

    return predict
