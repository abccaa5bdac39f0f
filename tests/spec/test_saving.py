"""What `save` and `seal` promise about a spec's file."""

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from ensembler.errors import SpecError
from ensembler.spec.loading import load_spec, seal
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.weighted import MemberSpec

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1.json"


@pytest.fixture
def spec() -> EnsembleSpec:
    return load_spec(GOLDEN)


def test_digest_is_the_sha256_of_the_sorted_json_of_everything_else(spec: EnsembleSpec) -> None:
    document = json.loads(GOLDEN.read_text("utf-8"))
    claimed = document.pop("digest")
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, indent=2) + "\n"
    assert claimed == hashlib.sha256(text.encode()).hexdigest() == spec.digest


def test_saving_replaces_an_older_spec_and_leaves_nothing_beside_it(
    spec: EnsembleSpec, tmp_path: Path
) -> None:
    file = tmp_path / "ensemble.json"
    file.write_text("older")
    spec.save(str(file))
    assert load_spec(file) == spec
    assert [path.name for path in tmp_path.iterdir()] == ["ensemble.json"]


def test_saving_refuses_a_spec_that_was_changed_after_sealing(
    spec: EnsembleSpec, tmp_path: Path
) -> None:
    changed = spec.model_copy(update={"dim": 4, "metric": "other"})
    with pytest.raises(SpecError, match="the digest does not fit"):
        changed.save(tmp_path / "ensemble.json")
    assert not list(tmp_path.iterdir())


def test_saving_into_a_folder_that_is_not_there_names_the_file(
    spec: EnsembleSpec, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=r"ensemble\.json cannot be written"):
        spec.save(tmp_path / "nowhere" / "ensemble.json")


def test_text_beyond_ascii_survives_saving(spec: EnsembleSpec, tmp_path: Path) -> None:
    provenance = spec.provenance.model_copy(update={"study": {"name": "größe-ü"}})
    sealed = seal(
        dim=spec.dim,
        blend=spec.blend,
        scores=spec.scores,
        provenance=provenance,
        coreset=spec.coreset,
    )
    sealed.save(tmp_path / "ensemble.json")
    assert load_spec(tmp_path / "ensemble.json") == sealed
    assert "größe-ü" in (tmp_path / "ensemble.json").read_text("utf-8")


def test_sealing_refuses_another_dimension_than_the_vectors_have(spec: EnsembleSpec) -> None:
    with pytest.raises(ValidationError, match=r"blend\.prior\.vector has 4 numbers instead of 5"):
        seal(
            dim=5,
            blend=spec.blend,
            scores=spec.scores,
            provenance=spec.provenance,
            coreset=spec.coreset,
        )


@pytest.mark.parametrize(("norm", "alpha"), [("none", 1.0), ("l2", 0.0), ("l2", 0.5)])
def test_a_named_norm_with_another_exponent_is_refused(
    spec: EnsembleSpec, norm: str, alpha: float
) -> None:
    member = spec.weighted.members[0].model_dump() | {"norm": norm, "alpha": alpha}
    with pytest.raises(ValidationError, match=f"norm '{norm}' means alpha"):
        MemberSpec.model_validate(member)
