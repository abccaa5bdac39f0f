"""Composed specs: a tree in the JSON, its arrays in a sidecar."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from ensembler.blends.gains import GainsBlend
from ensembler.blends.gated import GatedBlend
from ensembler.blends.kernel import KernelBlend
from ensembler.blends.linear import LinearBlend
from ensembler.blends.tree import TreeBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import SpecError
from ensembler.spec import model
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.export import export_python
from ensembler.spec.freeze_tree import freeze_tree
from ensembler.spec.loading import load_spec, seal
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.tensors import Tensors, find_sidecar
from ensembler.spec.thaw import thaw
from tests.composed_specs import composed, every_kind, weights

GOLDEN = Path(__file__).parents[1] / "golden" / "spec-v1-composed.json"
PLAIN = GOLDEN.with_name("spec-v1.json")
DIGEST = "0583b92ad80cdcfe87f3bac2a6badccd1ee8dcf3b414d71349c134c21d9fa596"


@pytest.fixture
def spec() -> EnsembleSpec:
    return load_spec(GOLDEN)


@pytest.fixture
def saved(spec: EnsembleSpec, tmp_path: Path) -> Path:
    """A copy of the golden spec that a test may spoil."""
    spec.save(tmp_path / "ensemble.json")
    return tmp_path / "ensemble.json"


def sidecar(saved: Path) -> Path:
    (found,) = saved.parent.glob("*.safetensors")
    return found


def another(spec: EnsembleSpec) -> EnsembleSpec:
    """Another spec over the golden one's members."""
    members = tuple(member.name for member in spec.weighted.members)
    return composed(spec, GatedBlend(members=members, numbers=weights(2, 4, 9), agreement=1.0))


def test_the_golden_composed_spec_loads_with_the_values_it_was_made_from(
    spec: EnsembleSpec,
) -> None:
    names = [member.name for member in spec.weighted.members]
    made = every_kind(names, spec.dim)
    tree = thaw(spec)
    assert isinstance(tree, TreeBlend)
    assert [name for name, _ in tree.children] == ["mapped", "smooth", "alone"]
    linear, smooth, alone = (blend for _, blend in tree.children)
    assert isinstance(linear, LinearBlend)
    assert isinstance(linear.base, GainsBlend)
    assert isinstance(linear.base.base, GatedBlend)
    assert isinstance(smooth, KernelBlend)
    assert isinstance(smooth.base, GainsBlend)
    assert isinstance(smooth.base.base, WeightedBlend)
    assert isinstance(alone, LinearBlend)
    assert (linear.scale, linear.base.prior, linear.base.base.agreement) == (0.875, 0.75, 2.0)
    assert (smooth.width, smooth.scale, len(smooth.landmarks)) == (2.5, 0.75, 3)
    assert (smooth.base.basis, alone.base, alone.means) == (None, None, None)
    expected = made.children[0][1]
    assert isinstance(expected, LinearBlend)
    np.testing.assert_array_equal(linear.maps, expected.maps)
    np.testing.assert_array_equal(tree.numbers.weights, made.numbers.weights)


def test_the_golden_composed_spec_saves_as_the_same_bytes(saved: Path) -> None:
    golden = find_sidecar(GOLDEN, Tensors(sidecar(saved).read_bytes()).sha256)
    assert saved.read_bytes() == GOLDEN.read_bytes()
    assert sidecar(saved).read_bytes() == golden.read_bytes()
    assert sidecar(saved).name == golden.name == "ensemble.1aefdade98c5.safetensors"


def test_the_sidecar_holds_what_the_format_page_names(saved: Path) -> None:
    arrays = load(sidecar(saved).read_bytes())
    assert {name: array.shape for name, array in arrays.items()} == {
        "tree.means": (3, 4),
        "tree.children.0.maps": (2, 4, 4),
        "tree.children.0.means": (2, 4),
        "tree.children.0.base.basis": (4, 4),
        "tree.children.0.base.gains": (4,),
        "tree.children.0.base.base.means": (2, 4),
        "tree.children.1.landmarks": (3, 4),
        "tree.children.1.coefficients": (3, 4),
        "tree.children.1.base.gains": (4,),
        "tree.children.2.maps": (1, 4, 4),
    }


def test_a_thawed_blend_freezes_to_the_same_tree_and_tensors(spec: EnsembleSpec) -> None:
    again = freeze_tree(thaw(spec))
    assert isinstance(spec.blend, ComposedSpec)
    assert (again.tree, again.tensors) == (spec.blend.tree, spec.tensors)


def test_a_transposed_matrix_is_frozen_in_c_order() -> None:
    basis = np.asfortranarray(np.arange(9.0).reshape(3, 3)).T
    plain = WeightedBlend(members=("a",), numbers=weights(1, 3, 0))
    blend = GainsBlend(
        base=plain, basis=basis.astype(np.float32), gains=np.ones(3, "f4"), prior=1.0
    )
    frozen = freeze_tree(blend).tensors.arrays["tree.basis"]
    np.testing.assert_array_equal(frozen, basis)


def test_members_and_children_of_no_weight_are_left_out_but_where_they_vote() -> None:
    numbers = weights(2, 3, 0)
    numbers.weights[0] = 0.0
    plain = WeightedBlend(members=("a", "b"), numbers=numbers)
    gated = GatedBlend(members=("a", "b"), numbers=numbers, agreement=1.0)
    both = TreeBlend(children=(("x", gated), ("y", plain)), numbers=numbers)
    tree, tensors = freeze_tree(both)
    (child,) = tree.model_dump()["children"]
    assert [part["name"] for part in child["members"]] == ["b"]
    assert {name: array.shape for name, array in tensors.arrays.items()} == {
        "tree.means": (1, 3),
        "tree.children.0.means": (1, 3),
    }
    voters = freeze_tree(gated).tree.model_dump()["members"]
    assert [part["name"] for part in voters] == ["a", "b"]


def test_a_blend_of_a_strangers_kind_is_refused_by_its_name() -> None:
    class Odd:
        members = ("a",)

    with pytest.raises(SpecError, match="no place for a blend of kind Odd"):
        freeze_tree(Odd())  # type: ignore[arg-type]  # a stranger's


def test_a_spec_of_plain_weights_has_no_word_of_tensors() -> None:
    plain = load_spec(PLAIN)
    assert plain.tensors is None
    assert b'"tensors"' not in plain.canonical()
    assert plain.weighted is plain.blend


def test_a_renamed_spec_still_finds_its_sidecar(saved: Path, spec: EnsembleSpec) -> None:
    saved.rename(saved.with_name("best.json"))
    assert load_spec(saved.with_name("best.json")) == spec


@pytest.mark.parametrize("name", ["best.json", "best", "best.v2.json"])
def test_a_sidecar_bears_the_name_of_its_spec(
    name: str, spec: EnsembleSpec, tmp_path: Path
) -> None:
    spec.save(tmp_path / name)
    assert sidecar(tmp_path / name).name == f"{Path(name).stem}.1aefdade98c5.safetensors"
    assert load_spec(tmp_path / name) == spec


def test_two_specs_live_in_one_folder(saved: Path, spec: EnsembleSpec) -> None:
    other = another(spec)
    other.save(saved.with_name("other.json"))
    assert load_spec(saved) == spec
    assert load_spec(saved.with_name("other.json")) == other


def test_a_save_that_dies_before_the_json_leaves_the_old_spec_whole(
    saved: Path, spec: EnsembleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_: Path) -> None:
        raise OSError("killed")

    other = another(spec)
    monkeypatch.setattr(model, "atomic_write", dies)
    with pytest.raises(SpecError, match="cannot be written"):
        other.save(saved)
    assert len(list(saved.parent.glob("*.safetensors"))) == 2
    assert load_spec(saved) == spec


def test_saving_refuses_other_tensors_than_were_sealed(spec: EnsembleSpec, tmp_path: Path) -> None:
    for tensors in (None, Tensors.pack({"tree.gains": np.ones(4)})):
        changed = spec.model_copy(update={"tensors": tensors})
        with pytest.raises(SpecError, match="does not fit the spec's contents"):
            changed.save(tmp_path / "ensemble.json")
    assert not list(tmp_path.iterdir())


def test_sealing_refuses_a_tree_over_other_members_than_its_fallback(spec: EnsembleSpec) -> None:
    with pytest.raises(ValueError, match="differ in the members blip-captions, stranger"):
        composed(load_spec(PLAIN), every_kind(["convnext", "stranger"], spec.dim))


def test_sealing_the_golden_contents_again_gives_the_golden_digest(spec: EnsembleSpec) -> None:
    sealed = seal(
        dim=spec.dim,
        blend=spec.blend,
        scores=spec.scores,
        provenance=spec.provenance,
        coreset=spec.coreset,
        tensors=spec.tensors,
    )
    assert sealed == spec
    assert sealed.digest == DIGEST


def test_a_spec_prints_in_a_line_without_its_arrays(spec: EnsembleSpec) -> None:
    assert len(repr(spec)) < 200
    assert repr(spec.tensors) == "Tensors()"


def test_a_composed_blend_is_not_exported_as_plain_numpy(spec: EnsembleSpec) -> None:
    with pytest.raises(SpecError, match=r"this blend is composed .*'tree'.*`ensembler predict`"):
        export_python(spec)


def test_both_files_moved_together_are_the_spec(saved: Path, spec: EnsembleSpec) -> None:
    moved = shutil.copytree(saved.parent, saved.parent / "elsewhere" / "else")
    assert load_spec(moved / saved.name) == spec


def test_the_sidecar_of_a_replaced_spec_goes_with_it(spec: EnsembleSpec, saved: Path) -> None:
    before = sidecar(saved)
    another(spec).save(saved)
    assert sidecar(saved) != before
    load_spec(saved)
    load_spec(PLAIN).save(saved)
    assert not list(saved.parent.glob("*.safetensors"))


def test_a_spec_saved_again_keeps_its_sidecar(spec: EnsembleSpec, saved: Path) -> None:
    spec.save(saved)
    load_spec(saved)


@pytest.mark.parametrize("name", ["kept.json", "kept"])
def test_a_sidecar_that_another_spec_reads_stays(
    name: str, spec: EnsembleSpec, saved: Path
) -> None:
    shutil.copy(saved, saved.with_name(name))
    (saved.parent / "folder.json").mkdir()
    another(spec).save(saved)
    assert load_spec(saved.with_name(name)) == spec
    assert len(list(saved.parent.glob("*.safetensors"))) == 2


def test_a_sidecar_goes_though_another_spec_has_one_of_the_same_contents(
    spec: EnsembleSpec, saved: Path
) -> None:
    dropped = sidecar(saved)
    spec.save(saved.with_name("kept.json"))
    another(spec).save(saved)
    assert not dropped.exists()
    assert load_spec(saved.with_name("kept.json")) == spec


def test_a_replaced_spec_takes_a_sidecar_of_the_older_name_with_it(
    spec: EnsembleSpec, tmp_path: Path
) -> None:
    for golden in (GOLDEN, find_sidecar(GOLDEN, spec.tensors.sha256)):  # type: ignore[union-attr]  # composed
        shutil.copy(golden, tmp_path)
    another(spec).save(tmp_path / GOLDEN.name)
    assert sidecar(tmp_path / GOLDEN.name).name.startswith("spec-v1-composed.")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"blend": 7}', '{"blend": {"tensors": "../../../precious"}}'],
)
def test_what_is_replaced_may_be_anything(content: str, spec: EnsembleSpec, tmp_path: Path) -> None:
    path = tmp_path / "ensemble.json"
    path.write_text(content)
    spec.save(path)
    load_spec(path)
