"""A spec applied to a folder of images, by real worker processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembler.inference import jobs
from ensembler.metrics import unit_rows
from ensembler.spec.numbers import decode_vector

THREE = {"a": {"folds": 3, "noise": 0.1}, "b": {"noise": 0.4}, "c": {"noise": 0.5}}


def test_a_folder_of_images_becomes_the_blend_that_the_spec_spells(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(THREE)
    prediction = world.predict()
    assert prediction.ids.tolist() == [f"i{number:03}" for number in range(10)]
    expected = world.naive(world.spec.blend)
    np.testing.assert_allclose(prediction.embeddings, expected, atol=1e-5)
    assert not prediction.is_degraded
    assert prediction.expected_loss == 0.0
    assert {run.name: run.embedded for run in prediction.runs} == {"a": 30, "b": 10, "c": 10}
    assert len(world.out.read_text().splitlines()) == 1 + 10 * 5


def test_two_devices_share_the_images_and_give_the_bytes_of_one(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(THREE, images=11)
    alone = world.predict(out=world.folder / "alone.csv")
    both = world.predict(out=world.folder / "both.csv", devices=("cpu", "cpu"))
    np.testing.assert_array_equal(both.embeddings, alone.embeddings)
    assert sum(run.embedded for run in both.runs) == 5 * 11
    first, second = (world.folder / name for name in ("alone.csv", "both.csv"))
    assert first.read_bytes() == second.read_bytes()


def test_another_spec_over_the_same_members_embeds_nothing(make_world: Callable[..., Any]) -> None:
    world = make_world(THREE)
    world.predict()
    blend = world.spec.blend
    members = tuple(m.model_copy(update={"weight": 0.3}) for m in blend.members)
    other = world.spec.model_copy(update={"blend": blend.model_copy(update={"members": members})})
    world.fault(a={"exit_at": 0}, b={"exit_at": 0}, c={"exit_at": 0})
    again = world.predict(spec=other)
    assert [run.embedded for run in again.runs] == [0, 0, 0]
    assert again.members == ("a", "b", "c")


def test_without_an_output_nothing_is_written_anywhere(
    make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = make_world({"a": {}})
    monkeypatch.chdir(tmp_path)
    before = sorted(world.folder.rglob("*"))
    assert len(world.predict(out=None)) == 10
    assert sorted(world.folder.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_not_given_is_recorded_and_taken_again(
    make_world: Callable[..., Any],
) -> None:
    world = make_world({"a": {}}, images=40)
    world.predict(batch=None)
    work = world.out.with_name(".submission.csv.work")
    (entry,) = work.glob("*/*/entry.json")
    assert '"batch": 32' in entry.read_text()


def test_images_that_cannot_be_read_get_the_prior_and_are_listed(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(THREE)
    whole = (world.images / "i000.png").read_bytes()
    (world.images / "i003.png").write_bytes(whole[: len(whole) // 2])
    (world.images / "i007.png").write_text("not an image")
    prediction = world.predict()
    assert prediction.is_degraded
    assert [prediction.ids[failure.position] for failure in prediction.failures] == ["i003", "i007"]
    prior = unit_rows(decode_vector(world.spec.weighted.prior.vector)[None])[0]
    np.testing.assert_allclose(prediction.embeddings[[3, 7]], [prior, prior], atol=1e-7)
    assert prediction.prior_rows == 2
    header, *lines = (world.folder / "submission.failures.csv").read_text().splitlines()
    assert header == '"id","file","reason"'
    assert lines[1].startswith('"i007","i007.png","is not a valid PNG')
    again = world.predict()
    assert again.failures == prediction.failures
    assert [run.embedded for run in again.runs] == [0, 0, 0]


def test_an_image_that_is_mended_is_all_that_the_next_run_embeds(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(THREE)
    whole = (world.images / "i003.png").read_bytes()
    (world.images / "i003.png").write_bytes(whole[:40])
    world.predict(batch=1)
    (world.images / "i003.png").write_bytes(whole)
    mended = world.predict(batch=1)
    assert {run.name: run.embedded for run in mended.runs} == {"a": 3, "b": 1, "c": 1}
    assert not mended.is_degraded
    fresh = world.predict(batch=1, work=world.folder / "fresh")
    np.testing.assert_array_equal(mended.embeddings, fresh.embeddings)


def test_an_image_that_could_not_be_read_for_once_is_tried_again(
    make_world: Callable[..., Any],
) -> None:
    world = make_world({"a": {}}, images=6)
    image = world.images / "i003.png"
    whole, stat = image.read_bytes(), image.stat()
    image.write_bytes(bytes(len(whole)))  # as a disk that fails gives it; nothing else tells
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [failure.position for failure in world.predict().failures] == [3]
    image.write_bytes(whole)
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = world.predict()
    assert again.runs[0].embedded == 3  # the batch that it belongs to
    assert not again.is_degraded
    fresh = world.predict(work=world.folder / "fresh")
    np.testing.assert_array_equal(again.embeddings, fresh.embeddings)


def test_two_submissions_in_one_folder_keep_their_own_lists_of_failures(
    make_world: Callable[..., Any],
) -> None:
    world = make_world({"a": {}}, images=3)
    (world.images / "i001.png").write_text("not an image")
    for name in ("one", "two"):
        world.predict(out=world.folder / f"{name}.csv", work=world.folder / "work")
    lists = [world.folder / f"{name}.failures.csv" for name in ("one", "two")]
    assert all('"i001"' in listed.read_text() for listed in lists)


@pytest.mark.parametrize("changed", ["code", "devices"])
def test_vectors_of_another_release_or_kind_of_device_are_not_taken_over(
    make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    world = make_world({"a": {}}, images=3)
    world.predict()
    entries = set(world.out.with_name(".submission.csv.work").glob("*/*/entry.json"))
    made_from = json.loads(entries.pop().read_text())["made_from"]
    assert made_from["code"] == {"mean-colour": "1.0"}
    assert made_from["devices"] == ["cpu"]
    if changed == "code":
        monkeypatch.setattr(jobs, "code_versions", lambda _: {"mean-colour": "1.1"})
    else:
        monkeypatch.setattr(
            jobs, "make_jobs", partial(_as_if_on_cuda, jobs.make_jobs), raising=True
        )
        monkeypatch.setattr("ensembler.inference.images.make_jobs", jobs.make_jobs)
    assert world.predict().runs[0].embedded == 3


def _as_if_on_cuda(make: Callable[..., Any], *given: Any) -> Any:  # noqa: ANN401
    *others, setups = given
    return make(*others, [setup.model_copy(update={"device": "cuda:0"}) for setup in setups])


def test_input_folders_are_left_as_they_are(make_world: Callable[..., Any]) -> None:
    world = make_world({"a": {}, "b": {}})
    inputs = [world.images, world.folder / "checkpoints"]
    for folder in inputs:
        folder.chmod(0o555)
    before = [(p, p.stat().st_mtime_ns) for f in inputs for p in [f, *sorted(f.iterdir())]]
    world.predict()
    assert [(p, p.stat().st_mtime_ns) for f in inputs for p in [f, *sorted(f.iterdir())]] == before


def test_an_image_cache_is_shared_by_members_of_one_size(make_world: Callable[..., Any]) -> None:
    world = make_world({"a": {}, "b": {}})
    plain = world.predict()
    cached = world.predict(work=world.folder / "other", image_cache=world.folder / "cache")
    assert len(list((world.folder / "cache").rglob("*.rgb"))) == 10
    np.testing.assert_array_equal(cached.embeddings, plain.embeddings)


def test_members_that_want_images_alike_decode_them_once(make_world: Callable[..., Any]) -> None:
    world = make_world({"a": {}, "b": {"folds": 2}})
    plain = world.predict(out=None)
    resized = world.out.with_name(".submission.csv.work") / "resized"
    kept: list[int] = []

    def spoil(member: str, done: int, total: int) -> None:  # noqa: ARG001
        kept.append(len(list(resized.rglob("*.rgb"))))
        if done == total:  # from then on nobody can decode them
            for path in world.images.iterdir():
                stat = path.stat()
                path.write_bytes(bytes(stat.st_size))
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    shared = world.predict(progress=spoil)
    assert max(kept) == 10
    assert not shared.is_degraded
    assert shared.cache_fault is None
    np.testing.assert_array_equal(shared.embeddings, plain.embeddings)
    assert not resized.exists()


def test_a_single_pass_over_the_images_keeps_none(make_world: Callable[..., Any]) -> None:
    world = make_world({"a": {}})
    resized = world.out.with_name(".submission.csv.work") / "resized"
    seen: list[bool] = []
    world.predict(progress=lambda *_: seen.append(resized.exists()))
    assert seen == [False] * 4


def test_images_that_cannot_be_kept_are_decoded_for_each_member_and_told(
    make_world: Callable[..., Any],
) -> None:
    world = make_world({"a": {}, "b": {}})
    plain = world.predict(out=None)
    (world.folder / "file").touch()
    full = world.predict(image_cache=world.folder / "file")
    assert full.cache_fault == f"{world.folder}/file takes no more images: Not a directory"
    assert not full.is_degraded
    np.testing.assert_array_equal(full.embeddings, plain.embeddings)


def test_a_spec_of_the_prior_alone_needs_no_worker(make_world: Callable[..., Any]) -> None:
    world = make_world({})
    prediction = world.predict()
    assert prediction.prior_rows == 10
    assert not prediction.is_degraded
