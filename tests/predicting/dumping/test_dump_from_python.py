"""`ensembler.dump`: the same as the part that it calls, with the command line's device."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import ensembler as en
from ensembler.dumping import dump as part

MakeStudio = Callable[..., Any]


@pytest.mark.parametrize(("there", "taken"), [(0, "cpu"), (2, "cuda:0")])
def test_without_a_device_python_takes_what_the_command_line_takes(
    make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch, there: int, taken: str
) -> None:
    monkeypatch.setattr("ensembler.inference.devices._cuda_devices", lambda: there)
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


def test_a_device_that_is_none_is_refused_before_anything_is_read(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio([0, 1, 2])
    with pytest.raises(en.InputError, match="'gpu' names no device"):
        en.dump(studio.store, "reds", predictor="none.toml", images=studio.images, device="gpu")


def test_what_can_be_said_to_the_part_can_be_said_here() -> None:
    public, inner = (dict(inspect.signature(f).parameters) for f in (en.dump, part.dump))
    assert public.pop("device").default == "auto"
    del inner["device"]
    assert {name: given.default for name, given in public.items()} == {
        name: given.default for name, given in inner.items()
    }
