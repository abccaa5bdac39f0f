"""What a dump stores: each row from a model that has not seen it, and how the member was made."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.errors import InputError, PredictorError, StoreError
from ensembler.store.audit import audit
from ensembler.store.model import Origin
from ensembler.store.reader import Store

MakeStudio = Callable[..., Any]
Vectors = NDArray[np.floating]


def unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def close(found: Vectors, expected: Vectors) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_each_row_is_from_the_checkpoint_that_has_not_seen_its_fold(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio()
    definition, matrices = studio.folded()
    report = studio.dump("reds", definition)
    member = studio.member("reds")
    assert member.rows.tolist() == list(range(26))
    for row, vector in zip(member.rows, member.embeddings, strict=True):
        close(vector, studio.colour(row) @ matrices[studio.folds[row]].astype(np.float64))
    assert (report.failures, report.missing, report.uncovered, report.resumed) == ({}, 0, {}, 0)
    assert report.failures_file is None
    assert not (studio.folder / "failures.csv").exists()
    assert [path for path in studio.folder.iterdir() if path.name.startswith(".")] == []


def test_what_made_the_member_is_recorded(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("reds", definition, device="cpu")
    origin = studio.member("reds").record.origin
    assert (origin.predictor, origin.device) == ("colours", "cpu")
    assert origin.config == {"by_brightness": False, "size": 4}
    assert origin.preprocessing["height"] == 4
    assert [one.fold for one in origin.checkpoints] == [0, 1, 2]
    for fold, checkpoint in enumerate(origin.checkpoints):
        content = (studio.folder / f"models/fold{fold}.npy").read_bytes()
        assert checkpoint.sha256 == hashlib.sha256(content).hexdigest()
        assert [(f.role, f.path) for f in checkpoint.files] == [("weights", f"fold{fold}.npy")]
    assert origin.seconds_per_image is not None
    assert origin.seconds_per_image > 0
    norms = np.linalg.norm(studio.member("reds").embeddings.astype(np.float64), axis=1)
    assert origin.mean_norm == pytest.approx(norms.mean(), rel=1e-12)
    assert Origin.model_validate_json(origin.model_dump_json()) == origin


def test_a_model_that_saw_no_sample_embeds_all_of_them(make_studio: MakeStudio) -> None:
    studio = make_studio([0, 1, -1, 0, -1])
    matrix = studio.weights("all.npy", 3)
    report = studio.dump("reds", studio.define("colours", 'weights = "all.npy"'))
    member = studio.member("reds")
    assert member.rows.tolist() == [0, 1, 2, 3, 4]
    for row, vector in enumerate(member.embeddings):
        close(vector, studio.colour(row) @ matrix.astype(np.float64))
    assert report.uncovered == {}


def test_folds_without_a_checkpoint_and_samples_in_none_have_no_row(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio([0, 1, 2, -1, 0, 1, 2, -1, -1])
    studio.weights("a.npy", 1)
    definition = studio.define("colours", folds=[(1, "a.npy"), (9, "a.npy")])
    report = studio.dump("reds", definition)
    assert studio.member("reds").rows.tolist() == [1, 5]
    assert report.uncovered == {-1: 3, 0: 2, 2: 2}
    assert [one.fold for one in report.member.origin.checkpoints] == [1, 9]


def test_checkpoints_of_folds_that_no_sample_is_in_are_refused(make_studio: MakeStudio) -> None:
    studio = make_studio([0, 0, 1])
    studio.weights("a.npy", 1)
    with pytest.raises(InputError, match=r"checkpoints are of folds 5, samples .* in folds 0, 1;"):
        studio.dump("reds", studio.define("colours", folds=[(5, "a.npy")]))


def test_two_checkpoints_of_a_fold_are_averaged_by_direction_at_their_mean_length(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio([0, 1, 0, 1, 0])
    first, second, other = (studio.weights(f"{name}.npy", n) for n, name in enumerate("abc"))
    folds = [(0, "a.npy"), (1, "c.npy"), (0, "b.npy")]
    studio.dump("reds", studio.define("colours", folds=folds))
    given = {
        row: [studio.colour(row) @ m.astype(np.float64) for m in (first, second)]
        for row in (0, 2, 4)
    }
    length = np.mean([np.linalg.norm(v) for pair in given.values() for v in pair])
    vectors = studio.member("reds").embeddings
    for row, pair in given.items():
        close(vectors[row], length * unit(unit(pair[0]) + unit(pair[1])))
    for row in (1, 3):
        close(vectors[row], studio.colour(row) @ other.astype(np.float64))


def test_a_predictor_that_can_forget_a_fold_forgets_the_rows_own(make_studio: MakeStudio) -> None:
    studio = make_studio([0, 1, 2, -1] * 4)
    told: list[tuple[str, int, int]] = []
    studio.dump(
        "near",
        studio.define("neighbours", 'references = "made.npz"'),
        progress=lambda *done: told.append(done),
    )
    targets, folds = Store.open(studio.store).targets(), np.array(studio.folds)
    for row, vector in enumerate(studio.member("near").embeddings):
        distances = [np.abs(studio.colour(row) - studio.colour(o)).sum() for o in range(16)]
        allowed = np.flatnonzero(folds != folds[row])
        close(vector, targets[min(allowed, key=lambda o: distances[o])])
    assert told[0] == ("learning", 16, 16)
    assert told[-1] == ("embedding", 16, 16)
    checkpoint = studio.member("near").record.origin.checkpoints[0]
    assert (checkpoint.fold, checkpoint.files[0].path) == (None, "made.npz")


def test_captions_are_kept_beside_their_vectors(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded("colour_words")
    studio.image(3).write_bytes(b"no image")
    studio.dump("words", definition)
    table = studio.member("words").captions()
    rows = [row for row in range(26) if row != 3]
    assert table.column("id").to_pylist() == [studio.ids[row] for row in rows]
    names = np.array(["red", "green", "blue"])
    most = studio.pixels.sum(axis=(1, 2), dtype=np.int64).argmax(axis=1)
    assert table.column("caption").to_pylist() == names[most[rows]].tolist()


def test_images_that_cannot_be_read_leave_their_rows_absent_and_are_listed(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio()
    definition, matrices = studio.folded()
    studio.image(4).write_bytes(b"this is a text")
    studio.image(13).write_bytes(studio.image(13).read_bytes()[:60])
    report = studio.dump("reds", definition)
    member = studio.member("reds")
    assert member.rows.tolist() == [row for row in range(26) if row not in (4, 13)]
    for row, vector in zip(member.rows, member.embeddings, strict=True):
        close(vector, studio.colour(row) @ matrices[studio.folds[row]].astype(np.float64))
    assert set(report.failures) == {studio.ids[4], studio.ids[13]}
    with (studio.folder / "failures.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert {line["id"]: line["reason"] for line in listed} == dict(report.failures)
    assert listed[0]["file"] == f"{listed[0]['id']}.png"


def test_a_vector_that_is_not_finite_is_a_failure_of_its_image_alone(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio()
    studio.weights("all.npy", 0)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(studio.image(6))
    config = "by_brightness = true"
    report = studio.dump("reds", studio.define("colours", 'weights = "all.npy"', config=config))
    assert report.failures == {studio.ids[6]: "its vector is NaN or infinite"}
    assert studio.member("reds").rows.tolist() == [row for row in range(26) if row != 6]


def test_an_earlier_runs_list_of_failures_does_not_stay(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    (studio.folder / "failures.csv").write_text("id,file,reason\nold,old.png,is empty\n")
    studio.dump("reds", definition)
    assert "old" not in (studio.folder / "failures.csv").read_text()


def test_not_a_single_readable_image_is_an_error_and_stores_nothing(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio([0, 1, 0, 0])
    definition, _ = studio.folded()
    for row in range(4):
        studio.image(row).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of 4 images gave a vector; .*failures\.csv says"):
        studio.dump("reds", definition)
    assert Store.open(studio.store).names == ()
    assert len((studio.folder / "failures.csv").read_text().splitlines()) == 5


def test_missing_images_are_refused_unless_partial(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, matrices = studio.folded()
    for row in (2, 7):
        studio.image(row).unlink()
    with pytest.raises(InputError) as refused:
        studio.dump("reds", definition)
    assert f"2 of 26 ids have no image in {studio.images}: {studio.ids[2]}" in str(refused.value)
    assert "--partial" in str(refused.value)
    report = studio.dump("reds", definition, partial=True)
    member = studio.member("reds")
    assert (report.missing, member.record.rows) == (2, 24)
    for row, vector in zip(member.rows, member.embeddings, strict=True):
        close(vector, studio.colour(row) @ matrices[studio.folds[row]].astype(np.float64))


def test_images_of_no_sample_are_passed_over_but_one_must_be_a_samples(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.image(0).rename(studio.images / "stranger.png")
    assert studio.dump("reds", definition, partial=True).member.rows == 25
    for row in range(1, 26):
        studio.image(row).unlink()
    with pytest.raises(InputError, match="26 of 26 ids have no image"):
        studio.dump("greens", definition, partial=True)


def test_float16_is_stored_when_asked_for(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("whole", definition)
    studio.dump("half", definition, dtype="float16")
    half, whole = studio.member("half").embeddings, studio.member("whole").embeddings
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, whole.astype(np.float16))


def test_vectors_too_large_for_float16_are_kept_for_another_try(make_studio: MakeStudio) -> None:
    studio = make_studio()
    np.save(studio.folder / "models/all.npy", np.full((3, 5), 1e6, np.float32))
    definition = studio.define("colours", 'weights = "all.npy"')
    with pytest.raises(StoreError, match="a number too large for float16"):
        studio.dump("reds", definition, dtype="float16")
    assert studio.dump("reds", definition).resumed == 26


def test_vectors_of_another_space_are_refused_before_anything_is_embedded(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio()
    studio.weights("all.npy", 0, dim=4)
    definition = studio.define("colours", 'weights = "all.npy"')
    with pytest.raises(PredictorError, match="vectors of 4 numbers, the store's have 5"):
        studio.dump("reds", definition, progress=pytest.fail)


def test_a_taken_or_impossible_name_is_refused_at_once(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("reds", definition)
    with pytest.raises(StoreError, match="has a member 'reds' already"):
        studio.dump("reds", definition, progress=pytest.fail)
    with pytest.raises(StoreError, match="cannot name a member"):
        studio.dump("../reds", definition, progress=pytest.fail)


def test_an_uninstalled_library_is_told_before_anything_is_read(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded("uninstalled")
    with pytest.raises(PredictorError, match=r"pip install 'colours\[models\]'"):
        studio.dump("reds", definition)


def test_the_batch_and_the_number_of_workers_do_not_change_the_rows(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("a", definition, batch=1, workers=1)
    studio.dump("b", definition, batch=100, workers=3)
    np.testing.assert_array_equal(studio.member("a").embeddings, studio.member("b").embeddings)


def test_a_dumped_member_passes_the_audit(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("reds", definition)
    kinds = {finding.kind for finding in audit(Store.open(studio.store))}
    assert not kinds & {"nan", "zero_norm", "hash", "misaligned", "leak"}


def test_an_absolute_path_in_a_definition_is_refused(make_studio: MakeStudio) -> None:
    studio = make_studio()
    place = studio.define("colours", f'weights = "{Path("/").resolve().as_posix()}all.npy"')
    with pytest.raises(PredictorError, match="must be relative"):
        studio.dump("reds", place)
