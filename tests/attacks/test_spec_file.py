"""Spec files that were damaged, forged or never specs: each names its error."""

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembler.errors import SpecError
from ensembler.files import canonical_json, sha256_json
from ensembler.spec.loading import load_spec

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1.json"
Document = dict[str, Any]


def refusal(file: Path, content: bytes) -> str:
    """The message with which these bytes are refused; it always names the file and a remedy."""
    file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    assert any(word in message for word in ("restore it", "upgrade", "name the spec"))
    return message


def forged(change: Callable[[Document], object]) -> bytes:
    """The golden spec with a changed field, and a digest that fits the change."""
    document: Document = json.loads(GOLDEN.read_bytes())
    change(document)
    document.pop("digest")
    return canonical_json(document | {"digest": sha256_json(document)})


def vector(values: list[float]) -> str:
    return base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()


def members(document: Document) -> list[Document]:
    found: list[Document] = document["blend"]["members"]
    return found


@pytest.mark.parametrize("mask", [0x01, 0x10, 0x80])
def test_one_changed_byte_anywhere_is_refused(tmp_path: Path, mask: int) -> None:
    golden = GOLDEN.read_bytes()
    for position in range(0, len(golden), 7):
        content = bytearray(golden)
        content[position] ^= mask
        refusal(tmp_path / "ensemble.json", bytes(content))


def test_a_changed_weight_is_found_by_the_digest(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes().replace(b'"weight": 0.5', b'"weight": 0.6')
    assert "digest is 0c8ee8dbb9a5" in refusal(tmp_path / "ensemble.json", content)


def test_a_changed_vector_is_found_by_the_digest(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes().replace(b"AAAAPwAAAD8", b"AAAAPwAAAD9")
    assert "changed after it was written" in refusal(tmp_path / "ensemble.json", content)


def test_changed_white_space_is_refused_with_its_line(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes().replace(b'    "centred": true', b'     "centred": true')
    assert "line 3 is spelt differently" in refusal(tmp_path / "ensemble.json", content)


def test_a_number_in_another_spelling_is_refused(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes().replace(b'"alpha": 1.0', b'"alpha": 1.00')
    assert "spelt differently" in refusal(tmp_path / "ensemble.json", content)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.999])
def test_a_truncated_spec_is_refused(tmp_path: Path, share: float) -> None:
    golden = GOLDEN.read_bytes()
    message = refusal(tmp_path / "ensemble.json", golden[: int(share * len(golden))])
    assert "not whole JSON" in message


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n "])
def test_an_empty_spec_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "is empty" in refusal(tmp_path / "ensemble.json", content)


@pytest.mark.parametrize("content", [b"\xff\xfe{}", GOLDEN.read_bytes().decode().encode("utf-16")])
def test_a_spec_that_is_not_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "UTF-8" in refusal(tmp_path / "ensemble.json", content)


def test_brackets_without_end_are_refused(tmp_path: Path) -> None:
    assert "not whole JSON" in refusal(tmp_path / "ensemble.json", b"[" * 100_000)


@pytest.mark.parametrize("content", [b"[]", b"1", b"{}", b'{"format": "ensembler-oof"}'])
def test_json_that_is_no_spec_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "is not a frozen spec" in refusal(tmp_path / "ensemble.json", content)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_version_is_refused_before_anything_else(
    tmp_path: Path, version: object
) -> None:
    content = forged(lambda document: document.update(version=version, novelty=1))
    message = refusal(tmp_path / "ensemble.json", content)
    assert f"version is {version!r}" in message
    assert "upgrade ensembler" in message


def test_a_missing_spec_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"ensemble\.json cannot be read \(No such file"):
        load_spec(tmp_path / "ensemble.json")


def test_a_folder_in_place_of_a_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path)


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes().replace(b'"dim": 4,', b'"dim": 4,\n  "dim": 4,')
    assert "key 'dim' occurs twice" in refusal(tmp_path / "ensemble.json", content)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda d: members(d)[0].update(weigth=1.0),
            "blend.members.0: no key named 'weigth'; did you mean 'weight'?",
        ),
        (
            lambda d: d["scores"]["members"]["convnext"].update(alnoe=1.0),
            "scores.members.convnext: no key named 'alnoe'; did you mean 'alone'?",
        ),
        (
            lambda d: d.update(blends=1),
            "ensemble.json: no key named 'blends'; did you mean 'blend'?",
        ),
        (lambda d: d.pop("blend"), "blend: Field required"),
        (
            lambda d: d["blend"]["prior"].update(vector=vector([1.0, 0.0, 0.0])),
            "blend.prior.vector has 3 numbers instead of 4",
        ),
        (
            lambda d: members(d)[1].update(mean=vector([0.0] * 5)),
            "blend.members.1.mean has 5 numbers instead of 4",
        ),
        (lambda d: members(d)[1].update(mean=""), "blend.members.1.mean has 0 numbers"),
        (
            lambda d: members(d)[1].update(mean=vector([0.0, math.nan, 0.0, 0.0])),
            "blend.members.1.mean: a vector holds NaN or infinity",
        ),
        (
            lambda d: d["blend"]["prior"].update(vector=vector([math.inf, 0.0, 0.0, 0.0])),
            "blend.prior.vector: a vector holds NaN or infinity",
        ),
        (
            lambda d: d["coreset"].update(lengths=vector([1.0])),
            "coreset.lengths has 1 numbers instead of 9",
        ),
        (
            lambda d: d["coreset"].update(rows=10**9),
            "coreset.cosines has 9 numbers instead of 3000000000",
        ),
        (lambda d: d["coreset"].update(weight="not base64!"), "coreset.weight"),
        (lambda d: d["coreset"].update(weight="AACA"), "3 bytes does not hold whole float32"),
        (lambda d: members(d).append(members(d)[0]), "a member's name occurs twice"),
        (lambda d: members(d)[0].update(name="../evil"), "'../evil' cannot name a member"),
        (lambda d: members(d)[0].update(mean=None), "a mean exactly when the blend is centred"),
        (lambda d: d["scores"].update(baselines=None), "scores: held_out and baselines come"),
        (
            lambda d: d["scores"]["held_out"]["versus"].pop("prior"),
            "scores: held_out.versus lacks prior",
        ),
        (lambda d: members(d)[0].update(weight=1e300), "blend.members.0.weight"),
        (lambda d: members(d)[1].update(alpha=1e6), "blend.members.1.alpha"),
        (lambda d: members(d)[0].update(weight="0.5"), "blend.members.0.weight"),
        (lambda d: members(d)[0].update(norm="l3"), "blend.members.0.norm"),
        (lambda d: d.update(dim=0), "dim: Input should be greater than or equal to 1"),
        (lambda d: d.update(dim=10**30), f"has 4 numbers instead of {10**30}"),
        (lambda d: members(d)[0].update(sha256="0" * 63), "blend.members.0.sha256"),
    ],
)
def test_a_forged_field_is_named_even_under_a_fitting_digest(
    tmp_path: Path, change: Callable[[Document], object], complaint: str
) -> None:
    assert complaint in refusal(tmp_path / "ensemble.json", forged(change))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_beyond_float64_is_refused_wherever_it_stands(tmp_path: Path, number: str) -> None:
    content = GOLDEN.read_bytes().replace(b'"trials": 200', f'"trials": {number}'.encode())
    assert number in refusal(tmp_path / "ensemble.json", content)


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    content = GOLDEN.read_bytes().replace(b'"name": "default"', b'"name": "\\ud800"')
    refusal(tmp_path / "ensemble.json", content)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    def spoil(document: Document) -> None:
        members(document)[0].update(weight="heavy")
        document["scores"].update(rows=-0.5)

    message = refusal(tmp_path / "ensemble.json", forged(spoil))
    assert "blend.members.0.weight" in message
    assert "scores.rows" in message
