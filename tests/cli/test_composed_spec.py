"""`ensembler spec` and `ensembler predict` on a spec with a sidecar."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ensembler import api
from ensembler.spec.loading import load_spec
from tests.composed_specs import composed, every_kind

Run = Callable[..., Any]


class Fitted(NamedTuple):
    """What tests/conftest.py gives as `fitted_oof`."""

    spec: Path
    result: api.FitResult


@pytest.fixture
def spec(fitted_oof: Fitted, tmp_path: Path) -> Path:
    """The fitted spec's members under every kind of blend; its score is whatever it was."""
    plain = fitted_oof.result.spec
    names = [member.name for member in plain.weighted.members]
    composed(plain, every_kind(names, plain.dim)).save(tmp_path / "ensemble.json")
    return tmp_path / "ensemble.json"


def test_show_prints_the_tree_and_json_the_document(ensembler: Run, spec: Path) -> None:
    shown = ensembler("spec", "show", spec)
    assert (shown.code, shown.err) == (0, "")
    assert "  weighted sum of blends, each less its mean\n" in shown.out
    document = json.loads(ensembler("spec", "show", spec, "--json").out)
    assert document["blend"]["kind"] == "composed"
    assert document["blend"]["tensors"] == load_spec(spec).tensors.sha256  # type: ignore[union-attr]  # composed


def test_verify_checks_both_files_and_scores_the_tree(
    ensembler: Run, spec: Path, oof: Path
) -> None:
    verified = ensembler("spec", "verify", spec, "--store", oof, "--json")
    found = json.loads(verified.out)
    assert verified.code == 3  # the scores are those of the plain weights
    (finding,) = found["findings"]
    assert finding == (
        f"the blend scores {found['score']:.7f}, the spec says"
        f" {load_spec(spec).scores.in_sample:.7f}"
    )
    (sidecar,) = spec.parent.glob("*.safetensors")
    sidecar.unlink()
    lacking = ensembler("spec", "verify", spec)
    assert lacking.code == 2
    assert f"{sidecar} cannot be read" in lacking.err


def test_export_says_what_to_do_instead(ensembler: Run, spec: Path) -> None:
    refused = ensembler("spec", "export", spec)
    assert (refused.code, refused.out) == (2, "")
    assert "apply it with `ensembler predict`" in refused.err


def test_predict_takes_the_tree_and_without_a_member_the_plain_weights(
    ensembler: Run, spec: Path, fitted_oof: Fitted, oof: Path, tmp_path: Path
) -> None:
    out = tmp_path / "submission.csv"
    whole = ensembler("predict", oof, "--spec", spec, "--out", out)
    assert whole.code == 0
    of_tree = out.read_bytes()
    partial = shutil.copytree(oof, tmp_path / "oof")
    assert ensembler("store", "remove", partial, "llava").code == 0
    lacking = ensembler("predict", partial, "--spec", spec, "--out", out)
    assert lacking.code == 4
    assert "plain weights stand in for the composed blend: the weights of" in lacking.err
    of_weights = out.read_bytes()
    ensembler("predict", partial, "--spec", fitted_oof.spec, "--out", out)
    assert of_weights == out.read_bytes() != of_tree
