"""Sharing of images between passes: which are kept, and when they are removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from ensembler.images.cache import geometry_folder
from ensembler.images.preprocess import Preprocess
from ensembler.images.sharing import SharedImages, shared_images

SMALL = Preprocess(height=16, width=24)
OTHER = Preprocess(height=8, width=8)


class Usage(NamedTuple):
    free: int


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "resized"


def fill(shared: SharedImages, preprocess: Preprocess) -> Path:
    """Write an image as a pass does."""
    folder = geometry_folder(shared.folder, preprocess)
    folder.mkdir(parents=True)
    (folder / "image.rgb").touch()
    return folder


def test_the_only_pass_over_images_keeps_none(own: Path) -> None:
    with shared_images(None, own) as shared:
        assert shared.place(SMALL, images=9, passes=1) is None
        assert shared.place(SMALL, images=9, passes=2) == own


def test_the_last_of_several_passes_finds_what_the_first_kept(own: Path) -> None:
    with shared_images(None, own) as shared:
        fill(shared, SMALL)
        assert shared.place(SMALL, images=9, passes=1) == own
        assert shared.place(OTHER, images=9, passes=1) is None


def test_images_that_nobody_wants_any_more_go_and_the_others_stay(own: Path) -> None:
    with shared_images(None, own) as shared:
        gone, kept = fill(shared, SMALL), fill(shared, OTHER)
        shared.release(SMALL)
        assert (gone.exists(), kept.exists()) == (False, True)


def test_all_images_are_gone_in_the_end_whatever_ends_it(own: Path) -> None:
    with pytest.raises(KeyboardInterrupt), shared_images(None, own) as shared:  # noqa: PT012
        fill(shared, SMALL)
        raise KeyboardInterrupt
    assert not own.exists()


def test_a_folder_that_was_chosen_serves_every_pass_and_stays(own: Path, tmp_path: Path) -> None:
    own.mkdir()  # left by a run that was killed
    with shared_images(tmp_path / "chosen", own) as shared:
        assert shared.place(SMALL, images=10**9, passes=1) == tmp_path / "chosen"
        folder = fill(shared, SMALL)
        shared.release(SMALL)
    assert folder.exists()
    assert not own.exists()


@pytest.mark.parametrize(("free", "has_room"), [(200_000, True), (104_959, False)])
def test_images_nobody_asked_to_keep_take_no_more_than_half_of_what_is_free(
    own: Path, monkeypatch: pytest.MonkeyPatch, free: int, has_room: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    with shared_images(None, own) as shared:
        place = shared.place(SMALL, images=10, passes=2)  # 10 · (16 · 24 · 3 + 4096) bytes = 52,480
        assert (place == own, shared.fault is None) == (has_room, has_room)
        if not has_room:
            assert shared.fault == (
                f"{own} is not used: 10 images of 24 × 16 take 0.0 GB, more than half of the"
                " 0.0 GB free there; name a folder with --image-cache"
            )


def test_the_first_fault_is_kept(own: Path) -> None:
    with shared_images(None, own) as shared:
        for fault in (None, "the disk is full", "it still is", None):
            shared.note(fault)
        assert shared.fault == "the disk is full"
