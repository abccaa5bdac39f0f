"""The committed notebook in a Kaggle kernel: from a store and images to a submission."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from ensembler.metrics import mean_cosine
from ensembler.predicting.devices import find_devices

if TYPE_CHECKING:
    from tests.end_to_end.kaggle.conftest import Kernel, Played

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "kaggle_kernel.ipynb"
PNG = "iVBORw0KGgo"  # how a PNG begins in base64


def shown(cell: Any, kind: str) -> list[str]:  # noqa: ANN401 - a cell as JSON has it
    """What a cell displays in a format, one text for each output that has it."""
    displayed = [output["data"] for output in cell["outputs"] if "data" in output]
    return ["".join(data[kind]) for data in displayed if kind in data]


def said(cell: Any) -> str:  # noqa: ANN401 - the same
    """What a cell prints on stdout."""
    printed = (output for output in cell["outputs"] if output.get("name") == "stdout")
    return "".join(line for output in printed for line in output["text"])


def test_the_committed_notebook_has_no_outputs_and_names_no_place_but_kaggles() -> None:
    cells = json.loads(NOTEBOOK.read_bytes())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    roots = re.findall(r"[\s\"'`(](/\w+)", "".join("".join(cell["source"]) for cell in cells))
    assert set(roots) == {"/kaggle"}


def test_a_kernel_has_the_wheel_and_sees_no_checkout(kernel: Kernel) -> None:
    places = "import ensembler, predictors; print(ensembler.__file__, *predictors.__path__)"
    ran = kernel.run("-c", places)
    assert ran.returncode == 0, ran.stderr
    environment = str(kernel.python.parents[1])
    assert [place.startswith(environment) for place in ran.stdout.split()] == [True, True]


@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        ("import os; open(os.environ['KERNEL_INPUT'] + '/new', 'w')", "Read-only file system"),
        ("import shutil, os; shutil.rmtree(os.environ['KERNEL_INPUT'])", "Read-only file system"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "Network is unreachable"),
    ],
)
def test_a_kernel_refuses(kernel: Kernel, attempt: str, refusal: str) -> None:
    assert refusal in kernel.run("-c", attempt).stderr


def test_the_notebook_writes_the_samples_rows_and_they_are_right(
    kernel: Kernel, played: Played
) -> None:
    assert "11 images, 0 of them not read" in said(played.cells["predict"])
    written, wanted = (
        list(csv.reader(path.read_text().splitlines()))
        for path in (kernel.working / "submission.csv", kernel.sample)
    )
    assert [key for key, _ in written] == [key for key, _ in wanted]
    vectors = np.array([float(value) for _, value in written[1:]]).reshape(kernel.truth.shape)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert mean_cosine(vectors, kernel.truth) > 0.8


def test_the_notebook_shows_the_fits_table_alone_and_a_picture_of_the_weights(
    played: Played,
) -> None:
    (table,) = shown(played.cells["fit"], "text/html")
    assert all(words in table for words in ("resnet", "vit", "blend, held out"))
    (picture,) = shown(played.cells["picture"], "image/png")
    assert picture.startswith(PNG)


def test_what_is_attached_is_left_as_it_was(played: Played) -> None:
    assert played.before == played.after


def test_where_no_device_is_named_every_gpu_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the notebook, which names no device, leaves it to the run."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_devices(("auto",)) == ("cuda:0", "cuda:1")
