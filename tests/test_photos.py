"""read_photo: each kind of picture becomes RGB, each kind of trouble one line."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.photos import UnusablePhoto, read_photo

rng = np.random.default_rng(0)
COLORS = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def packed(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def test_a_color_picture_stays_as_it_is(tmp_path):
    (tmp_path / "own.png").write_bytes(packed(Image.fromarray(COLORS)))
    found = read_photo(tmp_path / "own.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, COLORS)
    np.testing.assert_array_equal(read_photo(str(tmp_path / "own.png")), COLORS)
    found[0, 0] = 0  # an array of the caller's own


def test_gray_gets_three_channels():
    gray = Image.fromarray(COLORS[:, :, 0])
    np.testing.assert_array_equal(read_photo(packed(gray)), np.repeat(COLORS[:, :, :1], 3, axis=2))


def test_sixteen_bits_are_scaled_and_not_cut_off():
    wide = Image.fromarray((np.arange(600).reshape(20, 30) * 100).astype(np.uint16))
    found = read_photo(packed(wide))[..., 0].astype(int).ravel()
    assert found[0] == 0
    assert found[300] == round(30_000 / 65_535 * 255)
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_becomes_white(mode):
    picture = Image.fromarray(COLORS).convert(mode)
    alpha = Image.new("L", picture.size, 0)
    alpha.paste(255, (0, 0, 10, 20))
    picture.putalpha(alpha)
    found = read_photo(packed(picture))
    assert (found[:, 10:] == 255).all()
    assert (found[:, :10] != 255).any()


def test_palette_with_a_transparent_color():
    picture = Image.fromarray(COLORS).quantize(8)
    found = read_photo(packed(picture, transparency=0))
    assert found.shape == (20, 30, 3)
    assert (found == 255).all(axis=2).any()


def test_cmyk_jpeg_and_gif():
    assert read_photo(packed(Image.fromarray(COLORS).convert("CMYK"), "JPEG")).shape == (20, 30, 3)
    assert read_photo(packed(Image.fromarray(COLORS).convert("P"), "GIF")).shape == (20, 30, 3)


def test_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side
    assert read_photo(packed(Image.fromarray(COLORS), "JPEG", exif=exif)).shape == (30, 20, 3)


def test_longest_side():
    large = Image.fromarray(np.kron(COLORS, np.ones((10, 10, 1), dtype=np.uint8)))
    assert read_photo(packed(large), longest=90).shape == (60, 90, 3)
    assert read_photo(packed(large, "JPEG"), longest=90).shape == (60, 90, 3)
    assert read_photo(packed(large), longest=900).shape == (200, 300, 3)


@pytest.mark.parametrize("content, says", [
    (b"", "is empty"),
    (b"no picture", "is no picture that can be read"),
    (b"<svg xmlns='x'></svg>", "SVG"),
    (b"<!DOCTYPE html><html></html>", "a web page"),
    (b"\0\0\0\x18ftypheic....", "HEIC"),
    (packed(Image.fromarray(COLORS), "JPEG")[:300], "cut off or damaged"),
    (packed(Image.fromarray(COLORS))[:200], "cut off or damaged"),
    (packed(Image.fromarray(COLORS[:1, :1])), "only 1 x 1 pixels"),
    (packed(Image.fromarray(COLORS[:5])), "only 30 x 5 pixels"),
])
def test_trouble_is_one_line(content, says, tmp_path):
    file = tmp_path / "own.jpg"
    file.write_bytes(content)
    with pytest.raises(UnusablePhoto, match=says) as caught:
        read_photo(file)
    assert "\n" not in str(caught.value)
    assert "own.jpg" in str(caught.value)
    assert caught.value._render_traceback_() == [f"✗ {caught.value}"]


def test_uploads_have_no_name():
    with pytest.raises(UnusablePhoto, match="the upload is empty"):
        read_photo(b"")
    with pytest.raises(UnusablePhoto, match="the upload is no picture"):
        read_photo(b"text")


def test_a_missing_file_and_its_neighbor(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UnusablePhoto, match=r"did you mean holiday.jpg\?"):
        read_photo(tmp_path / "holliday.jpg")
    with pytest.raises(UnusablePhoto, match="there is no file"):
        read_photo(tmp_path / "elsewhere" / "a.png")
    with pytest.raises(UnusablePhoto, match="is a folder"):
        read_photo(tmp_path)


def test_too_many_pixels(monkeypatch):
    monkeypatch.setattr("helpers.photos.LARGEST", 500)
    with pytest.raises(UnusablePhoto, match="scale it down"):
        read_photo(packed(Image.fromarray(COLORS)))


def test_a_smaller_limit():
    assert read_photo(packed(Image.fromarray(COLORS[:5])), smallest=4).shape == (5, 30, 3)
    with pytest.raises(UnusablePhoto, match="at least 64 a side"):
        read_photo(packed(Image.fromarray(COLORS)), smallest=64)
