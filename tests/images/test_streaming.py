"""Batches: in order, bounded, unaffected by bad images, and their threads end with the stream."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.errors import InputError
from ensembler.images import stream as streaming
from ensembler.images.decode import ImageError
from ensembler.images.failures import Failure
from ensembler.images.preprocess import Preprocess
from ensembler.images.stream import PREFETCH, load_image, stream_images

SMALL = Preprocess(height=16, width=24)


@pytest.fixture
def decoding_threads() -> Callable[[], list[str]]:
    """`decoding_threads()`: those of this test, by name; others may have left theirs."""
    others = set(threading.enumerate())

    def living() -> list[str]:
        threads = set(threading.enumerate()) - others
        return [one.name for one in threads if one.name.startswith("decode")]

    return living


@pytest.mark.parametrize("batch", [1, 3, 4, 11, 50])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_hold_the_images_in_order(
    photos: list[Path], batch: int, workers: int, decoding_threads: Callable[[], list[str]]
) -> None:
    batches = list(stream_images(photos, SMALL, batch=batch, workers=workers))
    assert [len(one.positions) for one in batches[:-1]] == [batch] * (len(batches) - 1)
    assert np.concatenate([one.positions for one in batches]).tolist() == list(range(11))
    assert all(one.positions.dtype == np.int64 for one in batches)
    expected = np.stack([load_image(path, SMALL) for path in photos])
    found = np.concatenate([one.images for one in batches])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    assert not decoding_threads()


def test_no_images_give_no_batches() -> None:
    assert list(stream_images([], SMALL, batch=4, workers=2)) == []


def test_bad_images_become_failures_and_shift_nobody(photos: list[Path]) -> None:
    photos[1].write_bytes(b"")
    photos[2].write_text("I am text, whatever my name is")
    photos[5].write_bytes(photos[5].read_bytes()[:99])
    photos[10].unlink()
    batches = list(stream_images(photos, SMALL, batch=4, workers=2))
    assert [one.positions.tolist() for one in batches] == [[0, 3], [4, 6, 7], [8, 9]]
    for one in batches:
        expected = [load_image(photos[position], SMALL) for position in one.positions]
        np.testing.assert_array_equal(one.images, expected)
    failures = [failure for one in batches for failure in one.failures]
    assert [failure.position for failure in failures] == [1, 2, 5, 10]
    assert failures[0] == Failure(1, "is empty")
    assert failures[3] == Failure(10, "cannot be read: No such file or directory")


def test_a_batch_of_failures_has_no_images(photos: list[Path]) -> None:
    for path in photos:
        path.write_bytes(b"")
    for one in stream_images(photos, SMALL, batch=6, workers=2):
        assert one.images.shape == (0, 16, 24, 3)
        assert one.positions.shape == (0,)
        assert len(one.failures) in {5, 6}


def test_an_image_too_elongated_to_be_scaled_is_a_failure(tmp_path: Path) -> None:
    line = tmp_path / "line.png"
    Image.new("L", (1, 60_000)).save(line)
    square = Preprocess(height=64, width=64)
    with pytest.raises(ImageError, match="would take 64 × 3840000 pixels"):
        load_image(line, square)
    squashed = square.model_copy(update={"resize": "squash"})
    assert load_image(line, squashed).shape == (64, 64, 3)


def test_no_more_is_decoded_ahead_than_the_prefetch(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def counted(path: Path, preprocess: Preprocess) -> NDArray[np.uint8]:
        begun.append(path)
        return np.zeros((preprocess.height, preprocess.width, 3), np.uint8)

    monkeypatch.setattr(streaming, "load_image", counted)
    for taken, _ in enumerate(stream_images(photos * 3, SMALL, batch=2, workers=2), start=1):
        # The batch in hand, and those on their way when it was handed over.
        assert len(begun) <= 2 * (taken + PREFETCH - 1)
    assert len(begun) == 33


def test_closing_a_stream_early_leaves_no_thread(
    photos: list[Path], decoding_threads: Callable[[], list[str]]
) -> None:
    stream = stream_images(photos * 20, SMALL, batch=2, workers=3)
    next(stream)
    assert decoding_threads()
    stream.close()
    assert not decoding_threads()


def test_an_error_of_ours_is_not_taken_for_a_bad_image(
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    decoding_threads: Callable[[], list[str]],
) -> None:
    monkeypatch.setattr(streaming, "load_image", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        list(stream_images(photos, SMALL, batch=2, workers=3))
    assert not decoding_threads()


INTERRUPTED = """
import sys
from pathlib import Path
from ensembler.images.preprocess import Preprocess
from ensembler.images.stream import stream_images

paths = [Path(sys.argv[1])] * 1_000_000
for batch in stream_images(paths, Preprocess(height=64, width=64), batch=8, workers=3):
    print("a batch", flush=True)
"""


def test_ctrl_c_ends_a_stream_and_its_threads(photos: list[Path]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, photos[0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "a batch\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=300)
    assert child.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(("batch", "workers"), [(0, 1), (1, 0), (-3, 2)])
def test_senseless_sizes_are_refused_before_the_first_batch(batch: int, workers: int) -> None:
    with pytest.raises(InputError, match=f"batch = {batch} and workers = {workers} must be"):
        stream_images([], SMALL, batch=batch, workers=workers)
