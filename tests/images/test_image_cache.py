"""The cache of resized images: never another answer, whatever happens to its files."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.images import stream as streaming
from ensembler.images.cache import ImageCache
from ensembler.images.preprocess import Preprocess
from ensembler.images.stream import stream_images

Pixels = NDArray[np.uint8]
SMALL = Preprocess(height=16, width=24)


def streamed(
    paths: Sequence[Path], cache: ImageCache | None, preprocess: Preprocess = SMALL
) -> Pixels:
    batches = stream_images(paths, preprocess, batch=4, workers=3, cache=cache)
    return np.concatenate([one.images for one in batches])


@contextmanager
def nothing_is_decoded() -> Iterator[None]:
    def refuse(path: Path, preprocess: Preprocess) -> Pixels:
        raise AssertionError((path, preprocess))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "load_image", refuse)
        yield


@pytest.fixture
def cache(tmp_path: Path) -> ImageCache:
    return ImageCache(tmp_path / "cache")


def entries(cache: ImageCache) -> list[Path]:
    return sorted(cache.folder.rglob("*.rgb"))


def test_a_second_pass_decodes_nothing_and_gives_the_same(
    photos: list[Path], cache: ImageCache
) -> None:
    plain = streamed(photos, None)
    np.testing.assert_array_equal(streamed(photos, cache), plain)
    with nothing_is_decoded():
        np.testing.assert_array_equal(streamed(photos, cache), plain)
        np.testing.assert_array_equal(streamed(photos[::-2], ImageCache(cache.folder)), plain[::-2])
    assert cache.fault is None


def test_geometries_do_not_mix_but_mean_and_std_share(
    photos: list[Path], cache: ImageCache
) -> None:
    streamed(photos, cache)
    bilinear = SMALL.model_copy(update={"interpolation": "bilinear"})
    np.testing.assert_array_equal(
        streamed(photos, cache, bilinear), streamed(photos, None, bilinear)
    )
    with nothing_is_decoded():
        streamed(photos, cache, SMALL.model_copy(update={"mean": (0.5, 0.5, 0.5)}))


def test_a_changed_file_is_read_anew(
    photos: list[Path], cache: ImageCache, photo: Callable[..., Pixels]
) -> None:
    streamed(photos, cache)
    before = photos[3].stat()
    Image.fromarray(photo(33, 44, seed=99)).save(photos[3])
    os.utime(photos[3], ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    np.testing.assert_array_equal(streamed(photos, cache), streamed(photos, None))


def test_a_bad_image_is_a_failure_each_time(photos: list[Path], cache: ImageCache) -> None:
    photos[0].write_bytes(b"")
    photos[1].unlink()
    for _ in range(2):
        first, *_ = stream_images(photos, SMALL, batch=4, workers=1, cache=cache)
        assert [failure.position for failure in first.failures] == [0, 1]
    assert len(entries(cache)) == 9


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda one: one[:-1], lambda one: one + b"x", flip]
)
def test_a_damaged_entry_is_made_again(
    photos: list[Path], cache: ImageCache, damage: Callable[[bytes], bytes]
) -> None:
    plain = streamed(photos, cache)
    for entry in entries(cache):
        entry.write_bytes(damage(entry.read_bytes()))
        entry.with_name(f".{entry.name}.partial").write_bytes(b"left by a kill")
    np.testing.assert_array_equal(streamed(photos, cache), plain)
    with nothing_is_decoded():
        np.testing.assert_array_equal(streamed(photos, cache), plain)
    assert not list(cache.folder.rglob("*.partial"))


def test_a_full_disk_ends_the_writing_not_the_stream(photos: list[Path], cache: ImageCache) -> None:
    streamed(photos[:2], cache)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # bytes a file may have; ours need 1156
    try:
        found = streamed(photos, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(found, streamed(photos, None))
    assert cache.fault == f"{cache.folder} takes no more images: File too large"
    assert len(entries(cache)) == 2
    assert not list(cache.folder.rglob("*.partial"))
    with nothing_is_decoded():  # what there is, is still read
        streamed(photos[:2], cache)


def test_a_cache_folder_that_cannot_be_made_stops_nothing(
    photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    cache = ImageCache(tmp_path / "file" / "cache")
    np.testing.assert_array_equal(streamed(photos, cache), streamed(photos, None))
    assert cache.fault is not None
    assert cache.fault.endswith("takes no more images: Not a directory")


def test_two_streams_may_share_a_folder(photos: list[Path], cache: ImageCache) -> None:
    other = ImageCache(cache.folder)
    pair = zip(
        stream_images(photos, SMALL, batch=2, workers=3, cache=cache),
        stream_images(photos, SMALL, batch=2, workers=3, cache=other),
        strict=True,
    )
    for one, two in pair:
        np.testing.assert_array_equal(one.images, two.images)
    assert cache.fault is other.fault is None
