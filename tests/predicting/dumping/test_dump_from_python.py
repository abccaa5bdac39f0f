"""`ensembler.dump` from Python: the device it takes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ensembler as en

MakeStudio = Callable[..., Any]


@pytest.mark.parametrize(("there", "taken"), [(0, "cpu"), (2, "cuda:0")])
def test_without_a_device_python_takes_what_the_command_line_takes(
    make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch, there: int, taken: str
) -> None:
    monkeypatch.setattr("ensembler.predicting.devices._cuda_devices", lambda: there)
    studio = make_studio([0, 1, 2])
    definition, _ = studio.folded()
    report = en.dump(
        studio.store,
        "reds",
        predictor=definition,
        images=studio.images,
        failures=studio.folder / "failures.csv",
    )
    assert isinstance(report, en.DumpReport)
    assert report.member == studio.member("reds").record
    assert report.member.origin.device == taken


def test_a_mistyped_device_is_refused_before_anything_is_written(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio([0, 1, 2])
    definition, _ = studio.folded()
    before = sorted(studio.folder.iterdir())
    with pytest.raises(en.InputError, match="'gpu' is not a device"):
        en.dump(studio.store, "reds", predictor=definition, images=studio.images, device="gpu")
    assert sorted(studio.folder.iterdir()) == before
