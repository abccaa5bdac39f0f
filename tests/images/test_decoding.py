"""Decoding: any image becomes upright 8-bit RGB, or an error that says what is wrong."""

from __future__ import annotations

import errno
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ensembler.errors import InputError
from ensembler.images import decode as decoding
from ensembler.images.decode import ImageError, check_pillow, decode

Pixels = NDArray[np.uint8]
LOSSLESS = ["png", "webp", "gif", "bmp"]
GREY = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)


def save(image: Image.Image, path: Path, **options: Any) -> Path:  # noqa: ANN401 - Pillow's
    image.save(path, **options)
    return path


def pixels(path: Path) -> NDArray[np.int64]:
    image = decode(path)
    assert image.mode == "RGB"
    return np.asarray(image).astype(np.int64)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_a_lossless_file_gives_back_its_pixels(
    tmp_path: Path, photo: Callable[..., Pixels], suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    save(Image.fromarray(photo(20, 31)), path, lossless=True)
    np.testing.assert_array_equal(pixels(path), photo(20, 31))


def test_a_jpeg_is_what_pillow_makes_of_it(tmp_path: Path, photo: Callable[..., Pixels]) -> None:
    path = save(Image.fromarray(photo(20, 31)), tmp_path / "a.jpg")
    with Image.open(path) as expected:
        np.testing.assert_array_equal(pixels(path), np.asarray(expected))


def test_the_content_decides_not_the_suffix(tmp_path: Path, photo: Callable[..., Pixels]) -> None:
    Image.fromarray(photo(5, 6)).save(tmp_path / "a.png")
    wrong = (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(pixels(wrong), photo(5, 6))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_what_is_transparent_lies_on_white(tmp_path: Path, mode: str, suffix: str) -> None:
    alpha = np.linspace(0, 255, 12).astype(np.uint8).reshape(3, 4)
    channels = [GREY] * (len(mode) - 1) + [alpha]
    image = Image.merge(mode, [Image.fromarray(channel) for channel in channels])
    path = save(image, tmp_path / f"a.{suffix}", lossless=True, exact=True)
    share = alpha.astype(np.float64)[:, :, None] / 255
    expected = share * GREY[:, :, None] + (1 - share) * 255
    assert np.abs(pixels(path) - expected).max() <= 1


def test_an_opaque_alpha_channel_changes_nothing(
    tmp_path: Path, photo: Callable[..., Pixels]
) -> None:
    image = Image.fromarray(photo(9, 9))
    image.putalpha(255)
    np.testing.assert_array_equal(pixels(save(image, tmp_path / "a.png")), photo(9, 9))


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp"])
def test_a_palette_is_looked_up(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 0, 5, 250, 5])
    expected = [[[10, 20, 30], [200, 100, 0]], [[5, 250, 5], [200, 100, 0]]]
    np.testing.assert_array_equal(pixels(save(image, tmp_path / f"a.{suffix}")), expected)


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palettes_transparent_colour_lies_on_white(
    tmp_path: Path, suffix: str, transparency: object
) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 0, 5, 250, 5])
    if suffix == "gif":
        transparency = 1
    path = save(image, tmp_path / f"a.{suffix}", transparency=transparency)
    assert pixels(path).tolist() == [[[10, 20, 30], [255, 255, 255], [5, 250, 5]]]


def test_a_transparent_colour_without_a_palette_lies_on_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8))
    path = save(image, tmp_path / "a.png", transparency=(9, 9, 9))
    assert pixels(path).tolist() == [[[1, 2, 3], [255, 255, 255]]]


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_grey_has_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(GREY)
    found = pixels(save(image, tmp_path / f"a.{suffix}", lossless=True))
    np.testing.assert_array_equal(found, np.repeat(GREY[:, :, None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_black_and_white_spans_the_range(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(np.array([[True, False]]))
    assert pixels(save(image, tmp_path / f"a.{suffix}")).tolist() == [[[255] * 3, [0] * 3]]


def test_16_bit_grey_is_scaled_not_clipped_to_white(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    found = pixels(save(Image.fromarray(values), tmp_path / "a.png"))
    np.testing.assert_array_equal(found[:, :, 0], [[0, 0, 1, 128, 255]])


def test_16_bit_colour_is_scaled(tmp_path: Path) -> None:
    values = np.array([[[0, 32768, 65535]]], ">u2")
    path = tmp_path / "a.png"
    path.write_bytes(png(width=1, height=1, depth=16, colour=2, rows=b"\0" + values.tobytes()))
    assert pixels(path).tolist() == [[[0, 128, 255]]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow make red
    found = pixels(save(ink, tmp_path / "a.jpg", quality=100))
    assert np.abs(found - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_an_exif_rotation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    path = save(image, tmp_path / f"a.{suffix}", exif=exif, lossless=True)
    np.testing.assert_array_equal(pixels(path)[:, :, 0], upright)


def test_broken_exif_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    path = save(Image.fromarray(GREY), tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(pixels(path)[:, :, 0], GREY)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue", "lime")]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(path) as written:
        assert getattr(written, "n_frames", 1) == 3
    assert (pixels(path) == [255, 0, 0]).all()


def test_of_a_phones_burst_in_one_jpeg_the_first_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    path = tmp_path / "a.jpg"
    frames[0].save(path, "MPO", save_all=True, append_images=frames[1:])
    assert np.abs(pixels(path) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("suffix", [*LOSSLESS, "jpg"])
def test_one_pixel_is_an_image(tmp_path: Path, suffix: str) -> None:
    assert decode(save(Image.new("RGB", (1, 1)), tmp_path / f"a.{suffix}")).size == (1, 1)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*, width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + packed


@pytest.mark.parametrize("side", [9_000, 10_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width=side, height=side, depth=8, colour=2, rows=b""))
    with pytest.raises(ImageError, match="pixels"):
        decode(path)


def test_the_limit_is_on_pixels_and_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1200)
    assert decode(save(Image.new("RGB", (40, 30)), tmp_path / "a.png")).size == (40, 30)
    wide = save(Image.new("RGB", (41, 30)), tmp_path / "b.png")
    with pytest.raises(ImageError) as caught:
        decode(wide)
    assert caught.value.reason == "would take 41 × 30 pixels, more than the 1,200 allowed"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (
            b"hello, I am text",
            "is not a valid PNG, JPEG, WebP, GIF or BMP: it begins with b'hello, I am '",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", None),
        (b"II*\0\x08\0\0\0", None),
        (b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_a_file_that_is_not_an_image_is_refused_with_its_first_bytes(
    tmp_path: Path, content: bytes, reason: str | None
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        decode(path)
    expected = (
        reason or f"is not a valid PNG, JPEG, WebP, GIF or BMP: it begins with {content[:12]!r}"
    )
    assert caught.value.reason == expected
    assert str(caught.value) == f"{path} {expected}; replace it or leave it out"


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png cannot be read: No such file or directory;"):
        decode(tmp_path / "a.png")
    with pytest.raises(ImageError, match="cannot be read: Is a directory;"):
        decode(tmp_path)


@pytest.mark.parametrize(
    "short",
    [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENOMEM, "No"), MemoryError()],
)
def test_a_process_that_is_short_of_something_does_not_blame_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: BaseException
) -> None:
    path = save(Image.fromarray(GREY), tmp_path / "a.png")

    def fail(*_: object, **__: object) -> None:
        raise short

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(InputError, match=r"because of this process.*fewer --workers") as caught:
        decode(path)
    assert not isinstance(caught.value, ImageError)


@pytest.mark.parametrize("suffix", [*LOSSLESS, "jpg"])
def test_half_a_file_is_refused(tmp_path: Path, photo: Callable[..., Pixels], suffix: str) -> None:
    path = save(Image.fromarray(photo(64, 64)), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError):
        decode(path)


@pytest.fixture(scope="module")
def sound(photo: Callable[..., Pixels]) -> dict[str, bytes]:
    """A small file of each format."""
    files = {}
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        Image.fromarray(photo(24, 24)).save(buffer := BytesIO(), kind)
        files[kind] = buffer.getvalue()
    return files


@settings(max_examples=150, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_no_damage_raises_anything_but_an_image_error(
    tmp_path: Path, sound: dict[str, bytes], data: st.DataObject
) -> None:
    content = bytearray(sound[data.draw(st.sampled_from(sorted(sound)))])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.png"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(ImageError):
        assert decode(path).mode == "RGB"


def test_an_image_error_survives_pickling() -> None:
    error = ImageError(Path("a.png"), "is empty")
    assert str(pickle.loads(pickle.dumps(error))) == "a.png is empty; replace it or leave it out"


def test_without_pillow_the_pip_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"needs pillow: pip install 'oof-ensembler\[images\]'"):
        check_pillow()


def test_the_modules_load_without_pillow_or_pyarrow() -> None:
    code = (
        "import sys; from ensembler.images import cache, decode, failures, find, resize, stream;"
        "print([name for name in ('PIL', 'pyarrow', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
