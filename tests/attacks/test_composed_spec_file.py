"""Sidecars and trees of composed specs that were damaged or forged: each names its error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from ensembler.errors import SpecError
from ensembler.files import canonical_json, sha256_json
from ensembler.spec.loading import load_spec
from ensembler.spec.tensors import FORMAT, Tensors, sidecar_path

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1-composed.json"
Document = dict[str, Any]
Arrays = dict[str, Any]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A copy of the golden spec that a test may spoil."""
    load_spec(GOLDEN).save(tmp_path / "ensemble.json")
    return tmp_path / "ensemble.json"


def sidecar(saved: Path) -> Path:
    (found,) = saved.parent.glob("*.safetensors")
    return found


def forge(
    saved: Path,
    *,
    tree: Callable[[Document], object] = lambda _: None,
    arrays: Callable[[Arrays], object] = lambda _: None,
) -> str:
    """How a spec is refused whose tree or arrays were changed under digests that fit."""
    tensors = dict(load(sidecar(saved).read_bytes()))
    arrays(tensors)
    content = save(tensors, FORMAT)
    sha256 = Tensors(content).sha256
    sidecar_path(saved, sha256).write_bytes(content)
    document: Document = json.loads(saved.read_bytes())
    document["blend"]["tensors"] = sha256
    tree(document["blend"]["tree"])
    document.pop("digest")
    saved.write_bytes(canonical_json(document | {"digest": sha256_json(document)}))
    return refusal(saved)


def refusal(saved: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(saved)
    assert str(saved) in str(caught.value)
    return str(caught.value)


def mapped(tree: Document) -> Document:
    """The golden tree's chain of linear, gains and gated."""
    found: Document = tree["children"][0]
    return found


def test_a_missing_sidecar_is_named_with_its_spec_and_the_remedy(saved: Path) -> None:
    sidecar(saved).unlink()
    message = refusal(saved)
    assert "ensemble.1aefdade98c5.safetensors cannot be read (No such file" in message
    assert "copy it from where the spec was written" in message


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.999])
def test_a_truncated_sidecar_is_refused(saved: Path, share: float) -> None:
    content = sidecar(saved).read_bytes()
    sidecar(saved).write_bytes(content[: int(share * len(content))])
    assert "changed or truncated after it was written; restore it" in refusal(saved)


def test_one_changed_byte_anywhere_in_the_sidecar_is_refused(saved: Path) -> None:
    golden = sidecar(saved).read_bytes()
    for position in range(0, len(golden), 13):
        content = bytearray(golden)
        content[position] ^= 0x10
        sidecar(saved).write_bytes(content)
        assert "changed or truncated" in refusal(saved)


def test_the_sidecar_of_another_spec_is_refused(saved: Path) -> None:
    other = Tensors.pack({"tree.gains": np.ones(4)})
    sidecar(saved).write_bytes(other.content)
    assert f"sha256 is {other.sha256[:12]}…" in refusal(saved)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda a: a.pop("tree.children.1.base.gains"),
            "there is no tensor 'tree.children.1.base.gains'",
        ),
        (
            lambda a: a.update({"tree.children.1.base.gains": np.ones(3, "f4")}),
            "tensor 'tree.children.1.base.gains' has the shape (3,) instead of (4,)",
        ),
        (lambda a: a.update(extra=np.ones(1, "f4")), "the tree has no place for tensor extra"),
        (
            lambda a: a.update({"tree.means": np.full((3, 4), np.nan, "f4")}),
            "tensor 'tree.means' holds NaN or infinity",
        ),
        (
            lambda a: a.update({"tree.means": np.ones((3, 4))}),
            "tensor 'tree.means' is float64, not float32",
        ),
    ],
)
def test_forged_tensors_are_named_even_under_a_fitting_digest(
    saved: Path, change: Callable[[Arrays], object], complaint: str
) -> None:
    assert complaint in forge(saved, arrays=change)


def test_bytes_that_are_no_safetensors_are_refused_under_a_fitting_digest(saved: Path) -> None:
    content = b"not a header of anything"
    sha256 = Tensors(content).sha256
    sidecar_path(saved, sha256).write_bytes(content)
    document = json.loads(saved.read_bytes())
    document["blend"]["tensors"] = sha256
    document.pop("digest")
    saved.write_bytes(canonical_json(document | {"digest": sha256_json(document)}))
    assert "is not whole safetensors" in refusal(saved)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda t: t.update(prio=1.0),
            "blend.tree: no key named 'prio'; did you mean 'prior'?",
        ),
        (
            lambda t: mapped(t)["base"].update(base=3),
            "blend.tree.children.0.base.base: Input should be an object",
        ),
        (
            lambda t: mapped(t).update(scale="0.5"),
            "blend.tree.children.0.scale: Input should be a valid number",
        ),
        (lambda t: mapped(t).update(kind="cubic"), "blend.tree.children.0: Input tag 'cubic'"),
        (
            lambda t: mapped(t)["members"][0].update(alpha=9.0),
            "blend.tree.children.0.members.0.alpha: Input should be less than",
        ),
        (
            lambda t: t["children"][1].update(landmarks=10**12),
            "tensor 'tree.children.1.landmarks' has the shape (3, 4) instead of (1000000000000, 4)",
        ),
        (
            lambda t: t["children"].pop(),
            "a tree has 3 members for 2 children",
        ),
        (
            lambda t: mapped(t)["members"][0].update(name="stranger"),
            "the tree and its fallback differ in the members stranger",
        ),
        (
            lambda t: t["children"][2]["members"][0].update(name="stranger"),
            "the tree and its fallback differ in the members stranger",
        ),
    ],
)
def test_a_forged_node_is_named_even_under_a_fitting_digest(
    saved: Path, change: Callable[[Document], object], complaint: str
) -> None:
    assert complaint in forge(saved, tree=change)


@pytest.mark.parametrize("tensors", [{"content": ""}, None])
def test_no_arrays_come_in_through_the_json(saved: Path, tensors: object) -> None:
    document = json.loads(saved.read_bytes())
    document["tensors"] = tensors
    saved.write_bytes(canonical_json(document))
    assert "is spelt differently from how it was written" in refusal(saved)
