"""Finding the images of a folder, and their ids."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ensembler.errors import InputError
from ensembler.images.find import ImageFiles, find_images, match_images


def fill(folder: Path, *names: str) -> ImageFiles:
    for name in names:
        (folder / name).touch()
    return find_images(folder)


def test_ids_are_stems_sorted_as_text(tmp_path: Path) -> None:
    found = fill(tmp_path, "b.JPG", "10.png", "92e911621.png", "9.webp", "a.b.jpeg", "B.gif")
    assert found.ids.tolist() == ["10", "9", "92e911621", "B", "a.b", "b"]
    assert [path.name for path in found.paths] == [
        "10.png",
        "9.webp",
        "92e911621.png",
        "B.gif",
        "a.b.jpeg",
        "b.JPG",
    ]
    assert len(found) == 6


def test_hidden_files_other_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "inner.png").mkdir()
    (tmp_path / "inner.png" / "deep.png").touch()
    assert fill(tmp_path, "a.png", ".b.png", "c.txt", "d", "._a.png").ids.tolist() == ["a"]


def test_two_images_with_one_id_are_refused_and_both_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 id has more than one image \(a\.jpg, a\.png\);"):
        fill(tmp_path, "a.png", "a.jpg", "b.png")


def test_an_empty_folder_is_refused_with_the_suffixes_that_count(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no image \(\.bmp, \.gif, .*\); subfolders"):
        fill(tmp_path, "notes.txt")


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cannot be read: No such file or directory"):
        find_images(tmp_path / "no")
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.png is a file; name the folder of the images"):
        find_images(tmp_path / "a.png")


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    with pytest.raises(InputError, match=r"names that are not UTF-8: 'caf\\udce9'; rename them"):
        find_images(tmp_path)


def test_images_are_matched_in_the_order_of_the_ids(tmp_path: Path) -> None:
    files = fill(tmp_path, "a.png", "b.jpg", "c.png")
    assert [path.name for path in match_images(["c", "a"], files)] == ["c.png", "a.png"]


def test_an_id_may_be_the_whole_name_as_in_tables_of_pairs(tmp_path: Path) -> None:
    files = fill(tmp_path, "a.png", "b.jpg", "c.png")
    assert [path.name for path in match_images(["c.png", "a"], files)] == ["c.png", "a.png"]


def test_ids_without_an_image_are_counted_and_shown(tmp_path: Path) -> None:
    files = fill(tmp_path, "a.png")
    with pytest.raises(
        InputError,
        match=r"7 of 8 ids have no image in .*: 0, 1, 2, 3, 4 and 2 more; .* as in 0\.png",
    ):
        match_images(["a", *"0123456"], files)
