"""Two kinds of drawn animals, "cat" and "dog", as photographs would be: files of many sizes, in a tree of folders.

A cat has pointed ears, slit eyes and whiskers; a dog has hanging ears, a long muzzle and a tongue. All else is shared: coats,
patterns, collars, toys, backgrounds, size, place and pose. So neither the mean color nor any single pixel tells the kind;
one has to look at shapes. Each animal looks to one side, so that a mirrored picture differs.

`python -m authoring.measure_standins --creatures` measures what they are worth. The same seed gives the same pictures.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

KINDS = ("cat", "dog")
SMALLEST, LARGEST = (120, 160), (400, 500)  # sides of a picture in pixels, the shorter one first
TURN_MAX = 20.0  # degrees to each side
TILT_MAX = 14.0  # degrees, of the head against the body
SCALE_MIN, SCALE_MAX = 0.68, 1.0  # of the largest animal that fits
FINE = 2  # drawn this many times larger, then scaled down: smooth edges
EDGE = 0.022  # width of an outline, in units of the animal (its height is about 2.2)
PNG_EVERY = 8  # one in so many files is a PNG, the others are JPEG

# Coats are shared by both kinds, or the color would tell them apart.
COATS = (
    (92, 92, 100), (205, 128, 62), (120, 82, 54), (58, 54, 58),
    (226, 206, 170), (236, 232, 224), (150, 158, 170), (168, 112, 70),
)
BRIGHT = ((214, 62, 70), (42, 118, 190), (60, 150, 90), (240, 180, 50), (150, 90, 170), (240, 130, 60), (70, 180, 190))
EYES = ((222, 200, 70), (130, 190, 90), (120, 180, 214), (226, 158, 60))
PINK, DARK, WHITE = (232, 130, 140), (38, 34, 38), (250, 248, 244)

Color = tuple[float, float, float]


class _Pen:
    """Draws in units of the animal: (0, 0) is its middle, x to the right, y down; then turned, mirrored and scaled."""

    def __init__(self, draw, middle: tuple[float, float], unit: float, turn: float, mirror: bool):
        c, s = np.cos(np.radians(turn)) * unit, np.sin(np.radians(turn)) * unit
        self.draw, self.unit, self.middle = draw, unit, np.array(middle)
        self.matrix = np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])

    def tilted(self, angle: float) -> _Pen:
        """The same pen, turned by ``angle`` degrees about the neck."""
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        other = _Pen(self.draw, (0.0, 0.0), self.unit, 0.0, False)
        neck, turn = np.array([0.05, 0.1]), np.array([[c, -s], [s, c]])
        other.middle = self.middle + self.matrix @ (neck - turn @ neck)
        other.matrix = self.matrix @ turn
        return other

    def _at(self, points) -> list[tuple[float, float]]:
        return [tuple(p) for p in (np.asarray(points, float) @ self.matrix.T + self.middle)]

    def polygon(self, points, color: Color, edge: Color | None = None) -> None:
        places = self._at(points)
        self.draw.polygon(places, fill=_rgb(color))
        if edge is not None:
            width = max(1, round(EDGE * self.unit))
            self.draw.line([*places, places[0], places[1]], fill=_rgb(edge), width=width, joint="curve")

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: Color, edge: Color | None = None,
                angle: float = 0.0) -> None:
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        a = np.radians(angle)
        u, v = rx * np.cos(t), ry * np.sin(t)
        self.polygon(np.stack([x + u * np.cos(a) - v * np.sin(a), y + u * np.sin(a) + v * np.cos(a)], 1), color, edge)

    def line(self, points, color: Color, width: float = EDGE) -> None:
        self.draw.line(self._at(points), fill=_rgb(color), width=max(1, round(width * self.unit)), joint="curve")

    def rope(self, points, width: float, color: Color, edge: Color) -> None:
        """A thick smooth line through three or four points, thinner toward its end."""
        t = np.linspace(0, 1, 30)[:, None]
        p = np.asarray(points, float)
        curve = sum(_bernstein(len(p) - 1, k, t) * p[k] for k in range(len(p)))
        for extra, paint in ((EDGE, edge), (0.0, color)):
            for (x, y), s in zip(curve, t[:, 0], strict=True):
                r = width * (1 - 0.35 * s) / 2 + extra
                self.ellipse(x, y, r, r, paint)


def _bernstein(n: int, k: int, t: np.ndarray) -> np.ndarray:
    ways = (1, 3, 3, 1)[k] if n == 3 else (1, 2, 1)[k]
    return ways * t**k * (1 - t) ** (n - k)


def _rgb(color: Color) -> tuple[int, int, int]:
    r, g, b = (int(min(max(v, 0), 255)) for v in color)
    return r, g, b


def _mix(a: Color, b: Color, share: float) -> Color:
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))


def _pick(rng: np.random.Generator, options):
    return options[rng.integers(len(options))]


# ---------------------------------------------------------------------------------------------- the picture behind

def _background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A gradient between two colors, with soft clouds in it: (height, width, 3) float, 0 to 255."""
    first, second = (_mix(color, (170, 170, 170), 0.35) for color in rng.uniform(60, 250, (2, 3)))
    first, second = np.array(first), np.array(second)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    along = np.cos(angle) * x / width + np.sin(angle) * y / height
    along = (along - along.min()) / (along.max() - along.min())
    return first + (second - first) * along[..., None] + 14 * _clouds(width, height, rng)[..., None]


def _clouds(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    from PIL import Image

    coarse = rng.normal(0, 1, (6, 6)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _props(pen: _Pen, rng: np.random.Generator) -> None:
    """A rug to sit on, sometimes a ball or a few flowers: as often with cats as with dogs."""
    rug = np.array(_pick(rng, BRIGHT), float)
    if rng.random() < 0.7:
        pen.ellipse(0.0, 1.05, rng.uniform(0.8, 1.1), 0.2, _mix(rug, (200, 200, 200), 0.45), _mix(rug, DARK, 0.3))
    if rng.random() < 0.5:
        x, r = rng.uniform(0.75, 1.0) * rng.choice([-1, 1]), rng.uniform(0.12, 0.2)
        color = _pick(rng, BRIGHT)
        pen.ellipse(x, 1.0, r, r, color, _mix(color, DARK, 0.5))
        pen.ellipse(x - 0.3 * r, 1.0 - 0.35 * r, 0.3 * r, 0.2 * r, WHITE)
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(-1.2, 1.2), rng.uniform(-1.0, 1.1)
        color = _pick(rng, BRIGHT)
        for petal in range(5):
            a = 2 * np.pi * petal / 5
            pen.ellipse(x + 0.07 * np.cos(a), y + 0.07 * np.sin(a), 0.05, 0.05, color)
        pen.ellipse(x, y, 0.045, 0.045, (244, 214, 90))


# ---------------------------------------------------------------------------------------------- the animal

def _coat(rng: np.random.Generator) -> dict:
    """Colors and pattern of a coat, drawn in the same way for both kinds."""
    base = np.clip(np.array(_pick(rng, COATS), float) + rng.normal(0, 10, 3), 30, 245)
    light = float(base.mean()) > 140
    second = _mix(base, DARK if light else WHITE, rng.uniform(0.25, 0.5)) if rng.random() < 0.5 else _pick(rng, COATS)
    return {
        "base": base, "second": second, "edge": _mix(base, DARK, 0.62), "chest": _mix(base, WHITE, rng.uniform(0.35, 0.75)),
        "pattern": _pick(rng, ("plain", "stripes", "spots", "patch")), "hair": DARK if light else WHITE,
    }


def _body(pen: _Pen, coat: dict, rng: np.random.Generator) -> None:
    base, edge = coat["base"], coat["edge"]
    wide = rng.uniform(0.92, 1.15)
    # the tail is at the left, since the animal looks to the right
    end = rng.uniform(-0.2, 0.5)
    pen.rope([(-0.3, 0.9), (-0.85, 0.95), (-0.6, 0.4), (-0.85 + rng.normal(0, 0.1), end)], rng.uniform(0.13, 0.2), base, edge)
    pen.ellipse(-0.34 * wide, 0.82, 0.26, 0.24, base, edge)
    pen.ellipse(-0.03, 0.5, 0.43 * wide, 0.56, base, edge)
    if coat["pattern"] == "stripes":
        for y in (0.35, 0.52, 0.69):
            pen.line([(-0.42 * wide, y - 0.04), (-0.3, y), (-0.2, y - 0.02)], coat["second"], 0.055)
    if coat["pattern"] == "spots":
        for x, y in rng.uniform((-0.33, 0.2), (0.1, 0.8), (5, 2)):
            pen.ellipse(x, y, 0.075, 0.06, coat["second"])
    pen.ellipse(0.12, 0.56, 0.17, 0.33, coat["chest"])
    for x in (0.02, 0.26):
        pen.ellipse(x, 0.85, 0.1, 0.24, base, edge)
        pen.ellipse(x + 0.05, 1.03, 0.14, 0.08, coat["chest"], edge)
    if rng.random() < 0.6:
        color = _pick(rng, BRIGHT)
        pen.line([(-0.22, 0.13), (0.05, 0.24), (0.34, 0.15)], color, 0.075)
        pen.ellipse(0.1, 0.28, 0.05, 0.05, (236, 196, 70), DARK)


def _markings(pen: _Pen, coat: dict, x: float) -> None:
    if coat["pattern"] == "stripes":
        for shift in (-0.12, 0.0, 0.12):
            pen.line([(x + shift, -0.62), (x + 0.8 * shift, -0.45)], coat["second"], 0.05)
    if coat["pattern"] in ("patch", "spots"):
        pen.ellipse(x - 0.16, -0.3, 0.15, 0.17, coat["second"])


def _cat_head(pen: _Pen, coat: dict, rng: np.random.Generator) -> None:
    base, edge = coat["base"], coat["edge"]
    tip, spread = rng.uniform(-1.08, -0.92), rng.uniform(-0.04, 0.04)
    for side in (-1, 1):
        x = 0.06 + side * (0.25 + spread)
        corners = np.array([(x - 0.16, -0.42), (x + side * 0.1, tip), (x + 0.16, -0.42)])
        pen.polygon(corners, base, edge)
        pen.polygon(corners * (0.58, 0.58) + np.array([0.42 * x, -0.42 * 0.48]), PINK)
    pen.ellipse(0.06, -0.26, 0.44, 0.37, base, edge)
    _markings(pen, coat, 0.06)
    pen.ellipse(0.14, -0.09, 0.2, 0.13, coat["chest"])
    iris, wide = _pick(rng, EYES), rng.uniform(0.09, 0.115)
    for x in (-0.05, 0.29):
        pen.ellipse(x, -0.29, wide, 0.09, iris, DARK)
        pen.ellipse(x, -0.29, 0.024, 0.085, DARK)
        pen.ellipse(x + 0.03, -0.33, 0.02, 0.02, WHITE)
    pen.polygon([(0.08, -0.16), (0.2, -0.16), (0.14, -0.09)], PINK, edge)
    pen.line([(0.04, -0.02), (0.1, 0.0), (0.14, -0.06), (0.19, 0.0), (0.25, -0.02)], edge, 0.022)
    for side in (-1, 1):
        for y, drop in ((-0.13, -0.1), (-0.09, 0.0), (-0.05, 0.1)):
            pen.line([(0.14 + side * 0.14, y), (0.14 + side * (0.56 + rng.uniform(0, 0.08)), y + drop)], coat["hair"], 0.018)


def _dog_head(pen: _Pen, coat: dict, rng: np.random.Generator) -> None:
    base, edge = coat["base"], coat["edge"]
    pen.ellipse(0.04, -0.3, 0.4, 0.37, base, edge)
    _markings(pen, coat, 0.04)
    for x in (-0.06, 0.23):
        pen.ellipse(x, -0.37, 0.06, 0.065, DARK)
        pen.ellipse(x + 0.02, -0.395, 0.022, 0.022, WHITE)
    if rng.random() < 0.85:
        long = rng.uniform(0.14, 0.24)
        pen.ellipse(0.33, 0.04 + long / 2, 0.085, long, (226, 92, 110), _mix(PINK, DARK, 0.5), angle=-8)
        pen.line([(0.33, 0.0), (0.34, 0.06 + long)], _mix(PINK, DARK, 0.35), 0.018)
    reach = rng.uniform(0.3, 0.36)  # of the muzzle
    pen.ellipse(0.28, -0.12, reach, 0.17, coat["chest"], edge, angle=10)
    pen.ellipse(0.28 + 0.72 * reach, -0.16, 0.1, 0.075, DARK)
    pen.ellipse(0.3 + 0.72 * reach, -0.185, 0.028, 0.018, WHITE)
    pen.line([(0.12, -0.02), (0.3, 0.03), (0.46, 0.0)], edge, 0.025)
    ear = _mix(base, DARK if float(np.mean(base)) > 90 else WHITE, 0.3)
    long, lean = rng.uniform(0.3, 0.38), rng.uniform(4, 18)
    pen.ellipse(-0.34, -0.24, 0.15, long, ear, edge, angle=lean)
    pen.ellipse(0.36, -0.42, 0.1, 0.6 * long, ear, edge, angle=-lean - 18)


def draw_creature(kind: str, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """One picture of an animal.

    Args:
        kind: "cat" or "dog".
        width, height: of the picture in pixels.
        rng: the source of all randomness.

    Returns:
        (height, width, 3) uint8, red-green-blue.
    """
    from PIL import Image, ImageDraw

    if kind not in KINDS:
        raise ValueError(f"a creature is one of {', '.join(KINDS)}, not {kind!r}")
    w, h = FINE * width, FINE * height
    picture = Image.fromarray(np.clip(_background(w, h, rng), 0, 255).astype(np.uint8))
    unit = min(w, h) / 2.55 * rng.uniform(SCALE_MIN, SCALE_MAX)
    room = max(min(w, h) / 2 - 1.15 * unit, 0)  # within the middle square, or a center crop would lose the animal
    middle = np.array([w, h]) / 2 + rng.uniform(-1, 1, 2) * room
    pen = _Pen(ImageDraw.Draw(picture), tuple(middle), unit, rng.uniform(-TURN_MAX, TURN_MAX), rng.random() < 0.5)
    coat = _coat(rng)
    _props(pen, rng)
    _body(pen, coat, rng)
    (_cat_head if kind == "cat" else _dog_head)(pen.tilted(rng.uniform(-TILT_MAX, TILT_MAX)), coat, rng)
    picture = picture.resize((width, height), Image.Resampling.BOX)
    light = rng.uniform(0.75, 1.15)
    pixels = np.asarray(picture, np.float32) * light + rng.normal(0, rng.uniform(1, 3), (height, width, 1))
    return np.clip(pixels.round(), 0, 255).astype(np.uint8)


def sizes(n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """n different sizes (width, height), upright and lying, from 120 x 160 to 400 x 500."""
    found = [SMALLEST, LARGEST[::-1]][:n]
    while len(found) < n:
        short = int(rng.integers(SMALLEST[0], LARGEST[0] + 1))
        long = int(min(max(short * rng.uniform(1.0, 1.6), SMALLEST[1]), LARGEST[1]))
        size = (short, long) if rng.random() < 0.45 else (long, short)
        if size not in found:
            found.append(size)
    return [found[i] for i in rng.permutation(n)]


# ---------------------------------------------------------------------------------------------- files

def write_tree(root: Path, n_train: int = 60, n_test: int = 20, seed: int = 0) -> None:
    """Write root/{train,test}/{cat,dog}/cat_000.jpg and so on: n of each kind, JPEG and PNG, no two of one size."""
    from PIL import Image

    rng = np.random.default_rng([seed, 8])
    size = iter(sizes(len(KINDS) * (n_train + n_test), rng))
    for part, count in (("train", n_train), ("test", n_test)):
        for kind in KINDS:
            folder = Path(root) / part / kind
            folder.mkdir(parents=True, exist_ok=True)
            for n in range(count):
                picture = Image.fromarray(draw_creature(kind, *next(size), rng))
                if n % PNG_EVERY == 3:
                    picture.save(folder / f"{kind}_{n:03}.png")
                else:
                    picture.save(folder / f"{kind}_{n:03}.jpg", quality=88)


_temporary: list[str] = []  # folders of this process, where nothing else can be written


def tree(cache: Path | None, n_train: int = 60, n_test: int = 20, seed: int = 0) -> Path:
    """The folder that `write_tree` made, from the cache if it is there and whole.

    Args:
        cache: a folder where the pictures are kept for the next time. None, or one that cannot be written: a temporary
            folder, which goes when Python ends.

    Returns:
        A folder with train/cat, train/dog, test/cat, test/dog. Nobody ever sees half of it: it is written beside its place and
        renamed, and two programs that want it at once wait for each other.
    """
    # the code is part of the name: whoever changes a drawing gets new pictures
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    name = f"creatures-{version}-{n_train}-{n_test}-{seed}"
    if cache is not None:
        place = Path(cache) / name
        with contextlib.suppress(OSError):
            if _whole(place, n_train, n_test):
                return place
            return _kept(place, n_train, n_test, seed)
    for kept in _temporary:
        if _whole(Path(kept) / name, n_train, n_test):
            return Path(kept) / name
    folder = tempfile.mkdtemp(prefix="creatures-")
    _temporary.append(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_tree(Path(folder) / name, n_train, n_test, seed)
    return Path(folder) / name


def _whole(place: Path, n_train: int, n_test: int) -> bool:
    """Whether every file is there, and none is empty."""
    for part, count in (("train", n_train), ("test", n_test)):
        for kind in KINDS:
            try:
                files = list((place / part / kind).iterdir())
            except OSError:
                return False
            if len(files) != count or not all(file.stat().st_size for file in files):
                return False
    return True


def _kept(place: Path, n_train: int, n_test: int, seed: int) -> Path:
    import filelock

    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(place.parent / "creatures.lock", timeout=120):
            if _whole(place, n_train, n_test):
                return place  # another notebook was quicker
            arriving = Path(tempfile.mkdtemp(dir=place.parent, prefix=".creatures-"))
            try:
                write_tree(arriving / place.name, n_train, n_test, seed)
                if place.exists():  # damaged: out of the way, since a folder cannot be renamed onto a full one
                    os.replace(place, arriving / "damaged")
                os.replace(arriving / place.name, place)
            finally:
                shutil.rmtree(arriving, ignore_errors=True)
            for old in place.parent.glob("creatures-*-*"):
                if old.is_dir() and not old.name.startswith("-".join(place.name.split("-")[:2]) + "-"):
                    shutil.rmtree(old, ignore_errors=True)
    except filelock.Timeout:
        raise OSError("another program has been drawing for minutes") from None
    return place
