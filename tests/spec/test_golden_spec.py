"""The first released spec file stays readable, and its bytes stay what a spec saves as."""

from pathlib import Path

import numpy as np
import pytest

from ensembler.errors import SpecError
from ensembler.spec.loading import load_spec, seal
from ensembler.spec.numbers import decode_vector, encode_vector

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1.json"


def test_golden_spec_loads_with_the_values_it_was_made_from() -> None:
    spec = load_spec(GOLDEN)
    assert (spec.version, spec.dim, spec.metric) == (1, 4, "mean_cosine")
    assert [(m.name, m.weight, m.norm, m.alpha) for m in spec.weighted.members] == [
        ("convnext", 0.5, "l2", 1.0),
        ("blip-captions", 0.25, "power", 0.5),
    ]
    assert spec.weighted.members[0].mean is not None
    assert decode_vector(spec.weighted.members[0].mean).tolist() == [0.25, 0.0, -0.25, 0.5]
    assert decode_vector(spec.weighted.prior.vector).tolist() == [0.5, 0.5, 0.5, 0.5]
    origin = spec.weighted.members[0].origin
    assert (origin.checkpoints[1].fold, origin.mean_norm) == (1, 1.5)
    assert origin.checkpoints[1].files[0].path == "convnext/fold1.safetensors"
    assert spec.scores.held_out is not None
    assert spec.scores.held_out.versus["uniform"].interval == (0.03125, 0.09375)
    assert spec.scores.members["dropped"].loss_without is None
    assert spec.coreset.rows == 3


def test_golden_spec_saves_as_the_same_bytes(tmp_path: Path) -> None:
    load_spec(GOLDEN).save(tmp_path / "ensemble.json")
    assert (tmp_path / "ensemble.json").read_bytes() == GOLDEN.read_bytes()


def test_sealing_the_golden_contents_again_gives_the_golden_digest() -> None:
    golden = load_spec(GOLDEN)
    sealed = seal(
        dim=golden.dim,
        blend=golden.blend,
        scores=golden.scores,
        provenance=golden.provenance,
        coreset=golden.coreset,
    )
    assert sealed == golden
    assert sealed.digest == "0c8ee8dbb9a50ffbd04c1eb37308c62f2871bb864a9aee8f72ef439c46133347"


def test_a_missing_golden_file_would_fail_and_not_skip(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"spec-v1\.json cannot be read"):
        load_spec(tmp_path / GOLDEN.name)


def test_vectors_are_little_endian_float32_in_base64() -> None:
    assert encode_vector(np.array([1.0, -2.0], dtype=">f8")) == "AACAPwAAAMA="
    assert decode_vector("AACAPwAAAMA=").tolist() == [1.0, -2.0]


def test_a_transposed_matrix_is_encoded_in_c_order() -> None:
    matrix = np.arange(6.0).reshape(2, 3).T
    assert decode_vector(encode_vector(matrix)).tolist() == [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
