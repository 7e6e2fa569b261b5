"""Pictures of one's own: any picture file as an array, and one clear line where that does not work out."""

from __future__ import annotations

import difflib
import io
import warnings
from pathlib import Path

import numpy as np

SMALLEST = 16  # pixels a side: below that there is nothing to see, and no network of the course takes it
LARGEST = 100_000_000  # pixels in all: a photo of 100 megapixels takes 300 MB unpacked


class UnusablePhoto(ValueError):
    """A file holds no picture that can be used; the message says why. Notebooks show the message without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def read_photo(source: str | Path | bytes, longest: int | None = None, smallest: int = SMALLEST) -> np.ndarray:
    """A picture as uint8 (H, W, 3), red-green-blue, upright as the camera was held.

    Args:
        source: the path of a file in any usual format (JPEG, PNG, WebP, GIF, ...), or its bytes, as an upload gives them.
        longest: scale the picture down so that its longer side has at most this many pixels.
        smallest: refuse a picture with a side shorter than this.

    Gray pictures get three equal channels; what is transparent becomes white; of an animation the first frame is taken.

    Raises:
        UnusablePhoto: there is no such file, it is no picture, it is cut off, too small, or absurdly large.
    """
    from PIL import Image, ImageOps

    name, raw = _bytes(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            picture = Image.open(io.BytesIO(raw))
            width, height = picture.size
            if width * height > LARGEST:
                raise UnusablePhoto(f"{name} has {width:,} x {height:,} pixels: scale it down first")
            if longest is not None:
                picture.draft("RGB", (longest, longest))  # JPEG decodes a large photo at a fraction of its size
            picture.load()
    except Image.DecompressionBombError:
        raise UnusablePhoto(f"{name} has far too many pixels: scale it down first") from None
    except Image.UnidentifiedImageError:
        raise UnusablePhoto(f"{name} is no picture that can be read{_kind(raw)}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as problem:  # Pillow reports a damaged file in all these ways
        if isinstance(problem, UnusablePhoto):
            raise
        raise UnusablePhoto(f"{name} is cut off or damaged: get it again") from None
    if min(width, height) < smallest:
        raise UnusablePhoto(f"{name} has only {width} x {height} pixels; at least {smallest} a side are needed")
    picture = _rgb(ImageOps.exif_transpose(picture))
    if longest is not None and max(picture.size) > longest:
        scale = longest / max(picture.size)
        size = tuple(max(smallest, round(side * scale)) for side in picture.size)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return np.array(picture)


def _bytes(source: str | Path | bytes) -> tuple[str, bytes]:
    """How messages name the picture, and the content of its file."""
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise UnusablePhoto("the upload is empty")
        return "the upload", bytes(source)
    path = Path(source).expanduser()
    if path.is_dir():
        raise UnusablePhoto(f"{path} is a folder: name a picture in it")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UnusablePhoto(f"there is no file {path}{_neighbor(path)}; this notebook looks from {Path.cwd()}") from None
    except OSError as problem:
        raise UnusablePhoto(f"{path.name} cannot be read ({problem.strerror or type(problem).__name__})") from None
    if not raw:
        raise UnusablePhoto(f"{path.name} is empty")
    return path.name, raw


def _neighbor(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir() if p.is_file()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _kind(raw: bytes) -> str:
    """What a file that is no picture looks like."""
    start = raw[:200].lstrip().lower()
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in raw[:2000].lower()):
        return " (an SVG drawing: export it as PNG)"
    if start.startswith((b"<!doctype html", b"<html")):
        return " (a web page: save the picture itself)"
    if raw[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return " (HEIC or AVIF: export it as JPEG)"
    if raw.startswith(b"%PDF"):
        return " (a PDF: export the picture as PNG)"
    return ""


def _rgb(picture):
    """The picture in red, green and blue; transparent parts on white; 16-bit gray scaled to 8 bits."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":  # Pillow would cut 16-bit values off at 255
        values = np.asarray(picture, dtype=np.float64)
        top = 65_535 if values.max() > 255 else 255
        picture = Image.fromarray(np.clip(values / top * 255, 0, 255).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")
