"""`ensembler dump --device`: what is taken when none is named, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeStudio = Callable[..., Any]
Run = Callable[..., Any]


@pytest.mark.parametrize(("there", "taken"), [(0, "cpu"), (2, "cuda:0")])
def test_without_a_device_the_first_cuda_device_is_taken_or_else_the_cpu(
    make_studio: MakeStudio,
    ensembler: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    there: int,
    taken: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ensembler.predicting.devices._cuda_devices", lambda: there)
    studio = make_studio([0, 1, 2])
    definition, _ = studio.folded()
    ran = ensembler(
        "dump", studio.store, "reds", "--predictor", definition, "--images", studio.images
    )
    assert ran.code == 0
    assert studio.member("reds").record.origin.device == taken


def test_a_mistyped_device_is_refused(make_studio: MakeStudio, ensembler: Run) -> None:
    studio = make_studio([0, 1, 2])
    definition, _ = studio.folded()
    options = ["--predictor", definition, "--images", studio.images, "--device", "gpu"]
    ran = ensembler("dump", studio.store, "reds", *options)
    assert ran.code == 2
    assert "'gpu' is not a device; give cpu, cuda" in ran.err
