"""Members that cannot be loaded, die or cannot be had at all, and disks that are full."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ensembler.errors import InputError, PredictorError
from ensembler.inference.missing import blend_without
from ensembler.spec.model import EnsembleSpec
from ensembler.store.model import Origin
from ensembler.work.disk import WorkError

PAIR = {"a": {"noise": 0.1}, "b": {"noise": 0.2}}
MakeWorld = Callable[..., Any]


def with_origin(spec: EnsembleSpec, name: str, **changes: Any) -> EnsembleSpec:  # noqa: ANN401
    """The spec with another origin of a member."""
    members = tuple(
        member.model_copy(update={"origin": member.origin.model_copy(update=changes)})
        if member.name == name
        else member
        for member in spec.weighted.members
    )
    return spec.model_copy(update={"blend": spec.blend.model_copy(update={"members": members})})


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"exit_at": 1}, "its process ended with code 7: without a word"),
        ({"killed_at": 1}, "its process was killed by signal 9"),
        ({"raises_at": 0}, "its process ended with code 1: ArithmeticError: the tower fell"),
        ({"nan": True}, "Predictor gives NaN or infinity for every one of at least 32 images"),
        ({"memory": 0}, "device 'cpu' has too little memory for a single image"),
        ({"other_size": True}, "mean_colour prepares images as Preprocess(height=4, width=5"),
    ],
)
def test_a_member_that_goes_wrong_is_dropped_and_the_others_are_weighted_anew(
    make_world: MakeWorld, fault: Mapping[str, Any], reason: str
) -> None:
    world = make_world(PAIR, images=40)
    world.fault(a=fault)
    prediction = world.predict(batch=20)
    assert (prediction.members, prediction.missing_members) == (("b",), ("a",))
    (dropped,) = [run for run in prediction.runs if run.dropped is not None]
    assert dropped.name == "a"
    assert reason in dropped.dropped
    assert 0.0 < prediction.expected_loss < 1.0
    expected = world.naive(blend_without(world.spec, ["a"]))
    np.testing.assert_allclose(prediction.embeddings, expected, atol=1e-5)


def test_rows_that_a_member_gives_nan_are_blended_from_the_others(make_world: MakeWorld) -> None:
    world = make_world(PAIR, images=3)
    world.fault(a={"nan_at": 2})
    prediction = world.predict()
    assert prediction.members == ("a", "b")
    ((position, reason),) = prediction.failures
    assert position == 2
    assert reason.startswith("has no vector of member 'a' but zeros or NaN; look at it")
    assert prediction.prior_rows == 0
    blend = world.spec.blend
    left = blend.model_copy(update={"members": blend.members[1:]})
    np.testing.assert_allclose(prediction.embeddings[2], world.naive(left)[2], atol=1e-5)


def test_a_last_batch_without_a_finite_vector_does_not_cost_the_member(
    make_world: MakeWorld,
) -> None:
    world = make_world(PAIR, images=4)
    Image.new("RGB", (4, 4)).save(world.images / "i003.png")  # alone in the last batch
    world.fault(a={"nan_below": 1})
    prediction = world.predict()
    assert prediction.members == ("a", "b")
    assert [failure.position for failure in prediction.failures] == [3]


def test_weights_found_broken_are_found_so_again_and_healed_ones_begin_anew(
    make_world: MakeWorld,
) -> None:
    world = make_world(PAIR, images=40)
    world.fault(a={"nan": True})
    for _ in range(2):
        assert world.predict().missing_members == ("a",)
    world.fault()
    healed = world.predict()
    assert {run.name: run.embedded for run in healed.runs} == {"a": 40, "b": 0}
    assert not healed.is_degraded


def test_a_strict_run_refuses_instead_and_leaves_the_old_submission(make_world: MakeWorld) -> None:
    world = make_world(PAIR)
    world.out.write_text("old")
    world.fault(b={"exit_at": 0})
    with pytest.raises(PredictorError, match=r"member 'b': its process ended with code 7"):
        world.predict(strict=True)
    assert world.out.read_text() == "old"


def test_a_member_that_is_healed_is_done_by_the_next_run_and_the_other_is_not_done_again(
    make_world: MakeWorld,
) -> None:
    world = make_world(PAIR, images=12)
    world.fault(a={"exit_at": 2})
    world.predict()
    world.fault()
    healed = world.predict()
    assert {run.name: run.embedded for run in healed.runs} == {"a": 6, "b": 0}
    whole = world.predict(work=world.folder / "fresh")
    np.testing.assert_array_equal(healed.embeddings, whole.embeddings)


def test_memory_that_does_at_some_batches_only_changes_nothing_but_rounding(
    make_world: MakeWorld,
) -> None:
    world = make_world(PAIR)
    plain = world.predict()
    world.fault(a={"memory": 2}, b={"memory": 1})
    tight = world.predict(work=world.folder / "tight")
    assert not tight.is_degraded
    np.testing.assert_allclose(tight.embeddings, plain.embeddings, atol=2e-6)


def test_memory_that_ends_at_random_batches_changes_nothing_but_rounding(
    make_world: MakeWorld,
) -> None:
    world = make_world(PAIR, images=30)
    plain = world.predict(batch=8)
    for seed in range(3):
        batches = np.random.default_rng(seed).choice(20, size=4, replace=False).tolist()
        world.fault(a={"no_memory_at": batches}, b={"no_memory_at": [7 - b for b in batches]})
        tight = world.predict(batch=8, work=world.folder / f"tight{seed}")
        assert not tight.is_degraded
        np.testing.assert_allclose(tight.embeddings, plain.embeddings, atol=4e-6)


def test_what_a_device_takes_at_once_is_kept_for_the_run_that_goes_on(
    make_world: MakeWorld,
) -> None:
    world = make_world({"a": {}}, images=16)
    work = world.folder / "work"
    world.fault(a={"no_memory_at": [0], "exit_at": 3})  # halved, and dead after one batch of 8
    assert world.predict(batch=8, work=work).members == ()
    (entry,) = work.glob("*/*/entry.json")
    assert json.loads(entry.read_text())["limit"] == 4
    world.fault()
    went_on = world.predict(batch=8, work=work)
    assert went_on.runs[0].embedded == 8
    world.fault(a={"no_memory_at": [0]})
    whole = world.predict(batch=8, work=world.folder / "whole")
    np.testing.assert_array_equal(went_on.embeddings, whole.embeddings)


@pytest.mark.parametrize("damage", ["swapped", "truncated", "pickled", "architecture"])
def test_a_checkpoint_that_is_not_the_specs_is_dropped_before_a_row_of_it_is_kept(
    make_world: MakeWorld, damage: str
) -> None:
    world = make_world(PAIR)
    file = world.folder / "checkpoints" / "a-0.npy"
    whole = file.read_bytes()
    if damage == "swapped":
        np.save(file, np.load(file)[::-1])
    elif damage == "truncated":
        file.write_bytes(whole[:-20])
    elif damage == "pickled":
        np.save(file, np.array([{"evil": 1}], dtype=object), allow_pickle=True)
    else:
        np.save(file, np.zeros((6, 3), dtype=np.float32))
    prediction = world.predict()
    assert prediction.missing_members == ("a",)
    file.write_bytes(whole)
    mended = world.predict()
    assert {run.name: run.embedded for run in mended.runs} == {"a": 10, "b": 0}


def test_a_swapped_checkpoint_is_named_with_both_digests(make_world: MakeWorld) -> None:
    world = make_world(PAIR)
    file = world.folder / "checkpoints" / "a-0.npy"
    np.save(file, np.load(file)[::-1])
    (dropped,) = [run for run in world.predict().runs if run.dropped is not None]
    recorded = world.spec.weighted.members[0].origin.checkpoints[0].sha256
    assert dropped.dropped.startswith("its ")  # whose, the list of what was dropped says
    assert f"{file}, has the sha256" in dropped.dropped
    assert recorded in dropped.dropped


def test_a_swapped_checkpoint_that_cannot_be_loaded_is_told_as_swapped(
    make_world: MakeWorld,
) -> None:
    world = make_world(PAIR)
    (world.folder / "checkpoints" / "a-0.npy").write_bytes(b"another model's")
    (dropped,) = [run for run in world.predict().runs if run.dropped is not None]
    assert "a-0.npy, has the sha256" in dropped.dropped


def test_a_full_disk_ends_the_run_and_what_was_embedded_is_kept(make_world: MakeWorld) -> None:
    world = make_world({"a": {}}, images=12)
    world.fault(a={"disk_bytes": 7 * 5 * 4})
    with pytest.raises(WorkError, match="make room there and run the same command again"):
        world.predict()
    assert not world.out.exists()
    world.fault()
    (run,) = world.predict().runs
    assert run.embedded == 6
    whole = world.predict(out=None)
    np.testing.assert_array_equal(world.predict().embeddings, whole.embeddings)


def test_a_second_run_in_one_work_folder_is_refused_and_the_first_goes_on(
    make_world: MakeWorld,
) -> None:
    world = make_world({"a": {}})
    refused: list[str] = []

    def meet(*_: object) -> None:
        with pytest.raises(InputError, match=r"another run is at work in .*work: wait for") as told:
            world.predict()
        refused.append(str(told.value))

    first = world.predict(progress=meet)
    assert len(refused) == 4  # once a batch
    assert not first.is_degraded


def refusal(world: Any, **given: Any) -> str:  # noqa: ANN401
    """What is said before any work: not even the work folder is made."""
    with pytest.raises((PredictorError, InputError)) as refused:
        world.predict(**given)
    assert not world.out.exists()
    assert not world.out.with_name(".submission.csv.work").exists()
    return str(refused.value)


def test_all_members_that_cannot_be_made_here_are_named_before_any_work(
    make_world: MakeWorld,
) -> None:
    world = make_world({name: {"folds": 2} for name in "abcdef"})
    spec = with_origin(world.spec, "a", predictor="mean_color")
    spec = with_origin(spec, "b", config={"label": "b", "sizes": 4})
    (world.folder / "checkpoints" / "c-1.npy").unlink()
    spec = with_origin(spec, "d", mean_norm=None)
    spec = with_origin(spec, "e", checkpoints=())
    spec = with_origin(spec, "f", preprocessing={})
    said = refusal(world, spec=spec)
    assert "member 'a': no predictor named 'mean_color'; did you mean 'mean_colour'?" in said
    assert "member 'b': config: no key named 'sizes'; did you mean 'size'?" in said
    assert "member 'c': looked in" in said
    assert "did not find c-1.npy (weights)" in said
    assert "member 'd': the average of its 2 checkpoints needs the mean out-of-fold norm" in said
    assert "member 'e': no checkpoint is recorded" in said
    assert "member 'f': preprocessing: height: Field required" in said


@pytest.mark.parametrize("lacking", ["file", "adapter"])
def test_a_member_that_cannot_be_made_here_is_dropped_like_one_that_fails(
    make_world: MakeWorld, lacking: str
) -> None:
    world = make_world(PAIR)
    spec, reason = world.spec, "did not find a-0.npy (weights)"
    if lacking == "file":
        (world.folder / "checkpoints" / "a-0.npy").unlink()
    else:
        spec, reason = with_origin(spec, "a", predictor="mean_color"), "did you mean 'mean_colour'?"
    assert reason in refusal(world, spec=spec, strict=True)
    prediction = world.predict(spec=spec)
    assert (prediction.members, prediction.missing_members) == (("b",), ("a",))
    (dropped,) = [run for run in prediction.runs if run.dropped is not None]
    assert reason in dropped.dropped
    assert prediction.expected_loss > 0.0
    expected = world.naive(blend_without(world.spec, ["a"]))
    np.testing.assert_allclose(prediction.embeddings, expected, atol=1e-5)


def test_a_member_imported_from_files_cannot_be_made_from_images(make_world: MakeWorld) -> None:
    world = make_world(PAIR)
    members = tuple(m.model_copy(update={"origin": Origin()}) for m in world.spec.weighted.members)
    blend = world.spec.blend.model_copy(update={"members": members})
    said = refusal(world, spec=world.spec.model_copy(update={"blend": blend}))
    assert "member 'a' was imported from files, without a predictor that makes it" in said


def test_ids_of_the_sample_submission_and_images_must_be_the_same(make_world: MakeWorld) -> None:
    world = make_world({"a": {}}, images=2)
    sample = world.folder / "sample.csv"

    def asking(*ids: str) -> None:
        keys = [f"{name}_{k}" for name in ids for k in range(5)]
        sample.write_text("imgId_eId,val\n" + "".join(f"{key},0\n" for key in keys))

    asking("i000", "i001", "i002")
    assert "it asks for ids without a prediction, i002: add their images to the folder" in refusal(
        world, sample=sample
    )
    asking("i000")
    assert "it lacks predicted ids, i001: leave their images out of the folder" in refusal(
        world, sample=sample
    )
    asking("i001", "i000")
    world.predict(sample=sample)
    assert world.out.read_text().splitlines()[1].startswith("i001_0,")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"devices": ("cpu", "gpu")}, "'gpu' is not a device; give cpu"),
        ({"devices": ("cuda:99",)}, "device cuda:99 is not here"),
        ({"devices": ()}, "no device is named"),
        ({"batch": 0}, "batch = 0 must be at least 1"),
        ({"workers": 0}, "workers = 0 must be at least 1"),
        ({"precision": "float61"}, "did you mean 'float16'?"),
        ({"checkpoints": ("nowhere",)}, "there is no folder nowhere"),
        ({"out": "no/such.csv"}, "there is no folder no"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_before_any_work(
    make_world: MakeWorld, given: Mapping[str, Any], fault: str
) -> None:
    assert fault in refusal(make_world({"a": {}}, images=2), **given)


def test_an_empty_folder_and_two_images_of_one_id_are_refused(make_world: MakeWorld) -> None:
    world = make_world({"a": {}}, images=2)
    (world.images / "i000.jpg").touch()
    assert "1 id has more than one image (i000.jpg, i000.png)" in refusal(world)
    for path in world.images.iterdir():
        path.unlink()
    said = refusal(world)
    assert "holds no image" in said
    assert "it has no manifest.json, as a store of test embeddings has" in said
