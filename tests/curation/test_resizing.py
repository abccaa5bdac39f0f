"""Images become shards that webdataset reads, with their pairs; what fails is listed."""

from __future__ import annotations

import errno
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from PIL import Image

from ensembler.curation import resizing, resizing_shards
from ensembler.curation.pairs import read_pairs
from ensembler.curation.resizing import Resized, resize_images
from ensembler.curation.resizing_shards import Form
from ensembler.errors import InputError
from ensembler.files import locked
from ensembler.images.preprocess import Preprocess
from ensembler.images.stream import load_image

SHARED = Path(__file__).parents[3] / "shared" / "data"
FORM = Form(sizes=(8, 12))


@pytest.fixture
def pairs(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Ten pairs with folds, two of one image, one image missing and one cut short."""
    names = ["a", "b", "b", "sub/c", "d.e", "missing", "cut", "f", "g", "h"]
    for name in {*names} - {"missing"}:
        write_image(tmp_path / "images" / f"{name}.png")
    cut = tmp_path / "images" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:100])
    file = tmp_path / "pairs.tsv"
    rows = (f'{name}\t"prompt ü {row}\t{row % 3}\n' for row, name in enumerate(names))
    file.write_text("".join(rows), encoding="utf-8")
    return file


def run(pairs: Path, form: Form = FORM, **options: Any) -> Resized:  # noqa: ANN401 - of resize_images
    options = {"shard_rows": 4, "workers": 2, **options}
    return resize_images(pairs, pairs.parent / "images", pairs.parent / "out", form, **options)


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def samples(out: Path, size: int) -> list[dict[str, Any]]:
    """What webdataset itself reads from the shards of a size."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    found = []
    for shard in sorted((out / str(size)).glob("*.tar")):
        with shard.open("rb") as stream:
            source = [{"url": str(shard), "stream": stream}]
            found += list(group_by_keys(tar_file_expander(source)))
    return found


def test_webdataset_reads_each_pair_with_its_image_at_every_size(pairs: Path) -> None:
    resized = run(pairs)
    out = pairs.parent / "out"
    assert (resized.pairs, resized.written, resized.failed, resized.shards) == (10, 8, 2, 3)
    table = pa.concat_tables(read_pairs(pairs)).to_pylist()
    for size in FORM.sizes:
        found = samples(out, size)
        rows = [int(sample["__key__"]) for sample in found]
        assert rows == [0, 1, 2, 3, 4, 7, 8, 9]
        for row, sample in zip(rows, found, strict=True):
            assert json.loads(sample["json"]) == table[row]
            assert sample["txt"].decode() == table[row]["prompt"]
            assert Image.open(io.BytesIO(sample["jpg"])).size == (size, size)


def test_the_table_carried_along_is_that_of_the_shards_and_the_rest_is_listed(pairs: Path) -> None:
    resized = run(pairs)
    carried = pa.concat_tables(read_pairs(pairs.parent / "out" / "pairs.tsv"))
    assert carried.column_names == ["image", "prompt", "fold"]
    found = samples(pairs.parent / "out", 8)
    assert carried.to_pylist() == [json.loads(sample["json"]) for sample in found]
    failures = pyarrow.csv.read_csv(resized.failures).to_pylist()
    assert [(one["row"], one["image"]) for one in failures] == [(5, "missing"), (6, "cut")]
    assert failures[0]["reason"] == "is not there"
    assert failures[1]["reason"].startswith("cannot be ")


def test_a_table_without_folds_is_carried_along_with_none(pairs: Path) -> None:
    pairs.write_text("id\tprompt\tsource\na\tone\tx\n")
    run(pairs)
    (carried,) = pa.concat_tables(read_pairs(pairs.parent / "out" / "pairs.tsv")).to_pylist()
    assert carried == {"image": "a", "prompt": "one", "fold": -1}
    (sample,) = samples(pairs.parent / "out", 8)
    assert json.loads(sample["json"]) == {"image": "a", "prompt": "one", "source": "x"}


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_pixels_are_those_that_a_model_is_given(pairs: Path, fit: Any) -> None:  # noqa: ANN401 - a Fit
    run(pairs, Form(sizes=(16,), fit=fit, quality=100))
    first = samples(pairs.parent / "out", 16)[0]
    image = load_image(
        pairs.parent / "images" / "a.png", Preprocess(height=16, width=16, resize=fit)
    )
    expected = io.BytesIO()
    Image.fromarray(image).save(expected, "JPEG", quality=100, subsampling=0)
    assert first["jpg"] == expected.getvalue()


def test_keep_leaves_the_aspect_and_brings_the_shorter_side_to_the_size(
    pairs: Path, write_image: Callable[..., Path]
) -> None:
    write_image(pairs.parent / "images" / "a.png", size=(80, 30))
    write_image(pairs.parent / "images" / "b.png", size=(20, 50))
    run(pairs, Form(sizes=(10,), fit="keep"))
    wide, high, *_ = samples(pairs.parent / "out", 10)
    assert Image.open(io.BytesIO(wide["jpg"])).size == (26, 10)
    assert Image.open(io.BytesIO(high["jpg"])).size == (10, 25)


def test_quality_decides_the_bytes(pairs: Path) -> None:
    sizes = {}
    for quality in (30, 95):
        out = pairs.parent / str(quality)
        form = Form(sizes=(32,), quality=quality)
        resize_images(pairs, pairs.parent / "images", out, form, workers=1)
        sizes[quality] = len(samples(out, 32)[0]["jpg"])
    assert sizes[30] < sizes[95]


def test_a_shards_bytes_do_not_depend_on_the_threads_or_the_hour(pairs: Path) -> None:
    run(pairs, workers=1)
    with tarfile.open(pairs.parent / "out" / "8" / "00000.tar") as tar:
        members = tar.getmembers()
    assert {(one.mtime, one.uid, one.gid, one.uname) for one in members} == {(0, 0, 0, "")}
    first = bytes_of(pairs.parent / "out")
    (pairs.parent / "out").rename(pairs.parent / "first")
    run(pairs, workers=3)
    assert bytes_of(pairs.parent / "out") == first


def test_a_run_goes_on_shard_by_shard_to_the_bytes_of_an_uninterrupted_one(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pairs)
    whole = bytes_of(pairs.parent / "out")
    (pairs.parent / "out").rename(pairs.parent / "whole")
    made: list[int] = []
    write_shard = resizing_shards.write_shard

    def stopping(out: Path, number: int, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
        made.append(number)
        if len(made) == 2:
            options["pool"].shutdown()  # as at a kill: in the midst of a shard, nothing more starts
        return write_shard(out, number, *rest, **options)

    monkeypatch.setattr(resizing, "write_shard", stopping)
    with pytest.raises(RuntimeError, match="cannot schedule"):
        run(pairs)
    left = bytes_of(pairs.parent / "out")
    assert set(left) == {"recipe.json", "00000.json", "8/00000.tar", "12/00000.tar"}
    (pairs.parent / "out" / "8" / ".00001.tar.partial").write_bytes(b"half a shard")
    resized = run(pairs)
    assert (resized.resumed, made) == (1, [0, 1, 1, 2])
    assert bytes_of(pairs.parent / "out") == whole


def test_a_full_disk_keeps_whole_shards_and_says_what_to_do(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard = resizing_shards.write_shard

    def filling(out: Path, number: int, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
        if number == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_shard(out, number, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(resizing, "write_shard", filling)
        with pytest.raises(InputError, match=r"No space left on device.; finished parts are kept"):
            run(pairs)
    assert run(pairs).resumed == 1


def test_two_runs_never_work_in_one_folder(pairs: Path) -> None:
    out = pairs.parent / "out"
    out.mkdir()
    with locked(out), pytest.raises(InputError, match="another run is using"):
        run(pairs)
    assert run(pairs).written == 8


@pytest.mark.parametrize("lost", ["00001.json", "8/00001.tar"])
def test_a_shard_that_lost_a_file_is_made_again(pairs: Path, lost: str) -> None:
    run(pairs)
    whole = bytes_of(pairs.parent / "out")
    (pairs.parent / "out" / lost).unlink()
    assert run(pairs).resumed == 2
    assert bytes_of(pairs.parent / "out") == whole


def test_other_pairs_or_another_form_do_not_go_on_with_what_was_begun(pairs: Path) -> None:
    run(pairs)
    with pytest.raises(InputError, match="started with other arguments: quality 95 there, 90 here"):
        run(pairs, Form(sizes=(8, 12), quality=90))
    with pytest.raises(InputError, match="other arguments: pairs to a shard 4 there, 5 here"):
        run(pairs, shard_rows=5)
    pairs.write_text(pairs.read_text() + "h\tmore\t0\n")
    digests = "[0-9a-f]{64} there, [0-9a-f]{64} here"
    with pytest.raises(InputError, match=f"other arguments: pairs {digests}"):
        run(pairs)


def test_a_folder_of_other_files_is_left_alone(pairs: Path) -> None:
    (pairs.parent / "out").mkdir()
    (pairs.parent / "out" / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds other files; name an empty or a new folder"):
        run(pairs)
    (pairs.parent / "out" / "recipe.json").write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json cannot be read"):
        run(pairs)


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (Form(sizes=()), "sizes .. must be positive"),
        (Form(sizes=(8, 8)), "each given once"),
        (Form(sizes=(0,)), "must be positive"),
        (Form(sizes=(8,), quality=101), "quality = 101 must be from 1 to 100"),
    ],
)
def test_a_form_that_cannot_be_is_refused(pairs: Path, form: Form, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run(pairs, form)


def test_a_folder_without_the_images_is_refused_before_anything_is_written(pairs: Path) -> None:
    with pytest.raises(InputError, match=r"no pair of .* has an image in .* the first would be"):
        resize_images(pairs, pairs.parent / "images" / "sub", pairs.parent / "out", FORM)
    with pytest.raises(InputError, match="there is no folder of images"):
        resize_images(pairs, pairs.parent / "imags", pairs.parent / "out", FORM)
    assert not (pairs.parent / "out").exists()


def test_a_prompt_that_the_table_beside_the_shards_could_not_hold_is_refused_first(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "pairs.csv").write_text('image,prompt\na,"two\nlines"\n')
    with pytest.raises(InputError, match="image 'a' has a tab or a line break in its prompt"):
        run(tmp_path / "pairs.csv")
    assert not (tmp_path / "out").exists()


def test_real_images_come_back_nearly_as_they_were(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared")
    folder = SHARED / "competition_sample"
    resized = resize_images(
        *(folder / "prompts.csv", folder / "images", tmp_path / "out", Form(sizes=(64, 224)))
    )
    assert (resized.written, resized.failed) == (7, 0)
    for size in (64, 224):
        for sample in samples(tmp_path / "out", size):
            image = json.loads(sample["json"])["image"]
            exact = load_image(
                folder / "images" / f"{image}.png", Preprocess(height=size, width=size)
            )
            stored = np.asarray(Image.open(io.BytesIO(sample["jpg"])), np.float64)
            assert np.abs(stored - exact).mean() < 3.5
