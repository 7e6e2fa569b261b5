"""Small color pictures that the course draws itself, in the form of CIFAR-10, for when the real thing is not at hand.

Ten classes in CIFAR-10's order. Four are vehicles: stiff shapes in a few colors. Six are animals: limbs, head and body move
against each other, and the fur takes any color. So vehicles are easier than animals, as in the real set. Each picture is a
background, a few distractors, and the shape as a union of capsules and ellipses, all laid down with soft edges.
NumPy only; the same seed gives the same pictures.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
import zlib
from pathlib import Path

import numpy as np

from helpers import standins

SIDE = 32  # pixels of an image side
CHUNK = 500  # images drawn at once; bounds the scratch memory to about 50 MB
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# How far the pictures vary. With these values the lesson's network (4,000 pictures, 8 epochs) gets 55 to 75 % right.
SCALE = (0.62, 1.00)  # half the object's width, of half the picture
SHIFT_SD = 0.16  # of half the picture
TURN_SD = {"vehicle": 8.0, "animal": 13.0}  # degrees
JITTER = {"vehicle": 0.03, "animal": 0.09}  # of each end of each part, of half the object
NOISE_SD = 0.05  # of each pixel and channel
FADE = (0.55, 1.0)  # how much the object stands out of its background
DISTRACTORS = 3

# A part is (x0, y0, x1, y1, radius, color): a capsule from one point to the other; x to the right, y down, in about -1..1.
# Colors: 0 the body's, 1 its second color, 2 dark, 3 light. What is drawn later lies on top.
# fmt: off
PARTS: dict[str, list[tuple[float, float, float, float, float, int]]] = {
    "airplane": [(-0.75, 0.00, 0.80, 0.00, 0.14, 0), (0.10, 0.00, -0.35, 0.62, 0.09, 0), (0.10, 0.00, -0.25, -0.55, 0.08, 0),
                 (-0.75, 0.00, -0.92, -0.42, 0.08, 1), (0.62, -0.04, 0.74, -0.02, 0.05, 2)],
    "automobile": [(-0.70, 0.15, 0.70, 0.15, 0.22, 0), (-0.30, -0.20, 0.28, -0.20, 0.20, 0),
                   (-0.26, -0.18, 0.20, -0.18, 0.11, 3), (-0.48, 0.38, -0.46, 0.38, 0.17, 2),
                   (0.48, 0.38, 0.50, 0.38, 0.17, 2)],
    "bird": [(-0.30, 0.10, 0.25, 0.00, 0.27, 0), (0.42, -0.32, 0.46, -0.34, 0.18, 0), (0.60, -0.34, 0.78, -0.28, 0.05, 2),
             (-0.40, 0.12, -0.86, 0.30, 0.10, 1), (-0.05, 0.00, -0.35, -0.18, 0.15, 1), (0.00, 0.35, 0.02, 0.66, 0.03, 2),
             (0.14, 0.32, 0.18, 0.64, 0.03, 2)],
    "cat": [(-0.45, 0.15, 0.25, 0.15, 0.24, 0), (0.50, -0.18, 0.52, -0.18, 0.25, 0), (0.36, -0.38, 0.34, -0.56, 0.07, 0),
            (0.64, -0.38, 0.68, -0.56, 0.07, 0), (-0.62, 0.10, -0.86, -0.50, 0.06, 1), (-0.40, 0.35, -0.42, 0.70, 0.08, 0),
            (0.22, 0.35, 0.26, 0.70, 0.08, 0), (0.44, -0.20, 0.45, -0.20, 0.05, 2), (0.62, -0.20, 0.63, -0.20, 0.05, 2)],
    "deer": [(-0.45, 0.00, 0.25, -0.02, 0.20, 0), (0.30, -0.05, 0.50, -0.45, 0.10, 0), (0.52, -0.50, 0.70, -0.44, 0.10, 0),
             (0.48, -0.58, 0.30, -0.92, 0.04, 1), (0.54, -0.58, 0.72, -0.94, 0.04, 1), (0.38, -0.76, 0.56, -0.90, 0.03, 1),
             (-0.42, 0.15, -0.46, 0.80, 0.05, 0), (-0.28, 0.15, -0.26, 0.80, 0.05, 0), (0.12, 0.15, 0.10, 0.80, 0.05, 0),
             (0.26, 0.15, 0.30, 0.80, 0.05, 0)],
    "dog": [(-0.45, 0.10, 0.25, 0.05, 0.23, 0), (0.46, -0.26, 0.50, -0.26, 0.21, 0), (0.60, -0.18, 0.80, -0.14, 0.10, 1),
            (0.36, -0.34, 0.28, -0.06, 0.09, 1), (-0.62, 0.00, -0.84, -0.26, 0.07, 0), (-0.42, 0.30, -0.46, 0.74, 0.09, 0),
            (0.20, 0.30, 0.24, 0.74, 0.09, 0), (0.52, -0.30, 0.53, -0.30, 0.05, 2), (0.86, -0.16, 0.87, -0.16, 0.05, 2)],
    "frog": [(-0.30, 0.22, 0.25, 0.10, 0.34, 0), (0.40, -0.12, 0.46, -0.12, 0.22, 0), (0.34, -0.32, 0.35, -0.32, 0.10, 3),
             (0.58, -0.30, 0.59, -0.30, 0.10, 3), (-0.45, 0.40, -0.80, 0.56, 0.12, 1), (0.36, 0.40, 0.58, 0.60, 0.08, 1),
             (0.34, -0.32, 0.35, -0.32, 0.05, 2), (0.58, -0.30, 0.59, -0.30, 0.05, 2)],
    "horse": [(-0.48, -0.02, 0.28, -0.04, 0.25, 0), (0.36, -0.15, 0.60, -0.56, 0.15, 0), (0.62, -0.60, 0.86, -0.40, 0.12, 0),
              (0.30, -0.30, 0.48, -0.70, 0.08, 1), (-0.70, -0.04, -0.88, 0.40, 0.08, 1), (-0.46, 0.20, -0.50, 0.80, 0.07, 0),
              (-0.30, 0.20, -0.24, 0.80, 0.07, 0), (0.16, 0.20, 0.10, 0.80, 0.07, 0), (0.30, 0.20, 0.38, 0.80, 0.07, 0)],
    "ship": [(-0.75, 0.30, 0.75, 0.30, 0.16, 0), (-0.30, 0.02, 0.30, 0.02, 0.14, 3), (-0.05, -0.40, -0.02, -0.10, 0.09, 1),
             (0.34, -0.66, 0.35, -0.10, 0.03, 2), (-0.80, 0.16, 0.85, 0.16, 0.04, 1)],
    "truck": [(-0.78, -0.22, 0.22, -0.22, 0.20, 1), (-0.78, 0.08, 0.22, 0.08, 0.20, 1), (0.52, 0.00, 0.70, 0.12, 0.22, 0),
              (0.58, -0.06, 0.66, -0.04, 0.10, 3), (-0.55, 0.42, -0.54, 0.42, 0.15, 2), (-0.15, 0.42, -0.14, 0.42, 0.15, 2),
              (0.56, 0.42, 0.57, 0.42, 0.15, 2)],
}
# What a vehicle is painted in: (body, second color). Animals take any fur, see _fur.
Color = tuple[float, float, float]
PAINT: dict[str, list[tuple[Color, Color]]] = {
    "airplane": [((0.92, 0.93, 0.95), (0.20, 0.30, 0.65)), ((0.70, 0.74, 0.80), (0.75, 0.20, 0.15)),
                 ((0.45, 0.50, 0.52), (0.35, 0.38, 0.40))],
    "automobile": [((0.75, 0.12, 0.10), (0.60, 0.10, 0.10)), ((0.15, 0.25, 0.60), (0.10, 0.20, 0.50)),
                   ((0.85, 0.85, 0.86), (0.70, 0.70, 0.70)), ((0.90, 0.75, 0.15), (0.70, 0.60, 0.10))],
    "ship": [((0.20, 0.24, 0.32), (0.75, 0.25, 0.15)), ((0.90, 0.90, 0.92), (0.20, 0.35, 0.60)),
             ((0.55, 0.18, 0.15), (0.85, 0.75, 0.40))],
    "truck": [((0.75, 0.15, 0.12), (0.86, 0.86, 0.84)), ((0.20, 0.35, 0.60), (0.70, 0.72, 0.75)),
              ((0.88, 0.88, 0.86), (0.30, 0.50, 0.35)), ((0.90, 0.70, 0.20), (0.55, 0.45, 0.35))],
}
# fmt: on
# Where each class is likely to be met: sky, street, sea, grass, ground; and how often (of 10), else anywhere.
PLACES = {"sky": ((0.45, 0.62, 0.85), (0.75, 0.83, 0.92)), "street": ((0.62, 0.64, 0.66), (0.40, 0.40, 0.42)),
          "sea": ((0.60, 0.72, 0.84), (0.12, 0.30, 0.48)), "grass": ((0.55, 0.66, 0.50), (0.28, 0.46, 0.18)),
          "ground": ((0.60, 0.54, 0.46), (0.42, 0.32, 0.22))}
HOME = {"airplane": "sky", "automobile": "street", "bird": "sky", "cat": "ground", "deer": "grass", "dog": "grass",
        "frog": "ground", "horse": "grass", "ship": "sea", "truck": "street"}
AT_HOME = 6


def kind(name: str) -> str:
    """``"vehicle"`` or ``"animal"``."""
    return "vehicle" if name in PAINT else "animal"


def _smooth(rng: np.random.Generator, n: int, cells: int) -> np.ndarray:
    """(n, SIDE, SIDE, 1) of smooth random values with mean 0 and standard deviation near 1: random grids, enlarged."""
    grid = rng.normal(size=(n, cells + 1, cells + 1))
    at = np.linspace(0, cells, SIDE)
    low = np.minimum(at.astype(int), cells - 1)
    part = at - low
    rows = grid[:, low] * (1 - part)[:, None] + grid[:, low + 1] * part[:, None]
    out = rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    return 1.5 * out[..., None]


def _background(name: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, SIDE, SIDE, 3) in about 0..1: two colors above one another, with a texture."""
    places = list(PLACES)
    chosen = np.where(rng.integers(0, 10, n) < AT_HOME, places.index(HOME[name]), rng.integers(0, len(places), n))
    top, bottom = (np.array([PLACES[p][end] for p in places])[chosen] + rng.normal(0, 0.07, (n, 3)) for end in (0, 1))
    horizon = rng.normal(0.1, 0.25, (n, 1, 1, 1))
    y = np.linspace(-1, 1, SIDE)[:, None, None]
    share = 1 / (1 + np.exp(-(y - horizon) * rng.uniform(2, 12, (n, 1, 1, 1))))
    ground = top[:, None, None] * (1 - share) + bottom[:, None, None] * share
    fine, coarse = rng.uniform(0.02, 0.09, (n, 1, 1, 1)), rng.uniform(0.0, 0.08, (n, 1, 1, 1))
    return ground + fine * _smooth(rng, n, 10) + coarse * _smooth(rng, n, 4)


def _fur(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) colors between white, gray, brown, orange and black."""
    tones = np.array([(0.92, 0.90, 0.86), (0.50, 0.48, 0.46), (0.45, 0.30, 0.18), (0.72, 0.48, 0.24), (0.12, 0.11, 0.11),
                      (0.35, 0.42, 0.20)])
    mix = rng.dirichlet(np.full(len(tones), 0.5), n)
    return mix @ tones + rng.normal(0, 0.04, (n, 3))


def _colors(name: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 4, 3): body, second color, dark, light."""
    if kind(name) == "vehicle":
        body, second = np.array(PAINT[name])[rng.integers(0, len(PAINT[name]), n)].swapaxes(0, 1)
        body, second = (c + rng.normal(0, 0.05, (n, 3)) for c in (body, second))
    else:
        body = _fur(n, rng)
        second = np.where(rng.random((n, 1)) < 0.5, 0.75 * body, _fur(n, rng))
    dark, light = np.full((n, 3), 0.10), np.full((n, 3), 0.82)
    return np.stack([body, second, dark, light], axis=1)


def _lay(picture: np.ndarray, distance: np.ndarray, color: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Paint where distance (n, SIDE, SIDE), in pixels, is below 0, with an edge one pixel soft."""
    cover = (np.clip(0.5 - distance, 0, 1) * weight)[..., None]
    return picture * (1 - cover) + color[:, None, None] * cover


def _to_capsule(x, y, ends: np.ndarray, radius) -> np.ndarray:
    """Distance of the points to capsules. x, y (n, SIDE, SIDE); ends (n, 4) as x0, y0, x1, y1; radius (n, 1, 1)."""
    x0, y0, x1, y1 = (ends[:, i, None, None] for i in range(4))
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
    return np.hypot(x - x0 - along * dx, y - y0 - along * dy) - radius


def _draw(name: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, SIDE, SIDE, 3) uint8 of one class."""
    picture = _background(name, n, rng)
    py, px = np.mgrid[:SIDE, :SIDE] / (SIDE / 2) - 1 + 1 / SIDE
    for _ in range(DISTRACTORS):  # leaves, clouds, poles
        ends = np.tile(rng.uniform(-1, 1, (n, 2)), 2) + rng.normal(0, 0.35, (n, 4))
        distance = _to_capsule(px[None], py[None], ends, rng.uniform(0.02, 0.14, (n, 1, 1))) * SIDE / 2
        picture = _lay(picture, distance, rng.uniform(0.1, 0.9, (n, 3)), 0.6 * (rng.random((n, 1, 1)) < 0.6))
    what = kind(name)
    half = rng.uniform(*SCALE, (n, 1, 1))
    turn = np.deg2rad(rng.normal(0, TURN_SD[what], (n, 1, 1)))
    mirror = np.where(rng.random((n, 1, 1)) < 0.5, -1, 1)
    squeeze = np.exp(rng.normal(0, 0.12, (n, 1, 1)))
    cx, cy = (np.clip(rng.normal(0, SHIFT_SD, (n, 1, 1)), -0.5, 0.5) for _ in range(2))
    dx, dy = px - cx, py - cy
    x = mirror * (np.cos(turn) * dx + np.sin(turn) * dy) / (half * squeeze)
    y = (-np.sin(turn) * dx + np.cos(turn) * dy) / half * squeeze
    colors, fade = _colors(name, n, rng), rng.uniform(*FADE, (n, 1, 1))
    for x0, y0, x1, y1, radius, color in PARTS[name]:
        ends = np.array([x0, y0, x1, y1]) + rng.normal(0, JITTER[what], (n, 4))
        distance = _to_capsule(x, y, ends, radius * np.exp(rng.normal(0, 2 * JITTER[what], (n, 1, 1)))) * half * SIDE / 2
        picture = _lay(picture, distance, colors[:, color], fade)
    picture = picture * rng.normal(1, 0.12, (n, 1, 1, 1)) + rng.normal(0, 0.05, (n, 1, 1, 3))
    picture += rng.normal(0, NOISE_SD, picture.shape)
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def draw_scenes(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures of the given classes. Args: labels (n,) of 0 to 9. Returns (n, 32, 32, 3) uint8."""
    labels = np.asarray(labels)
    if labels.size and not ((labels >= 0) & (labels <= 9)).all():
        raise ValueError("labels go from 0 to 9")
    images = np.empty((len(labels), SIDE, SIDE, 3), np.uint8)
    for label, name in enumerate(CLASSES):
        rows = np.flatnonzero(labels == label)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            images[part] = _draw(name, len(part), rng)
    return images


def scenes(n_train: int = 4000, n_test: int = 1000, seed: int = 0, cache: Path | None = None) -> standins.Digits:
    """Stand-in pictures in the form of CIFAR-10: 32 x 32, red, green, blue; all ten classes about equally often.

    Args:
        n_train, n_test: number of images. The test images do not depend on n_train.
        seed: the same seed gives the same images (a gray level may differ between two processors).
        cache: a folder where the drawn images are kept for the next time; None draws them anew. A damaged file there is
            replaced, and a folder that cannot be written is no error.

    Returns:
        train_images (n_train, 32, 32, 3) uint8, train_labels (n_train,) int64, test_images, test_labels.
    """
    if min(n_train, n_test) < 0:
        raise ValueError("n_train and n_test must not be negative")
    if cache is None:
        return (*standins._split(draw_scenes, n_train, seed, 0), *standins._split(draw_scenes, n_test, seed, 1))
    # the code is part of the name: whoever changes a drawing gets new images
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    path = Path(cache) / f"scenes-{version}-{n_train}-{n_test}-{seed}.npz"
    found = read(path, n_train, n_test)
    if found is None:
        found = scenes(n_train, n_test, seed)
        standins._write(path, found)
        for old in path.parent.glob("scenes-*.npz"):
            if not old.name.startswith(f"scenes-{version}-"):
                with contextlib.suppress(OSError):
                    old.unlink()
    return found


def read(path: Path, n_train: int, n_test: int) -> standins.Digits | None:
    """The four arrays in a file of color pictures, or None if it is missing, damaged or not what it should be."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = tuple(file[name] for name in standins.NAMES)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    shapes = ((n_train, SIDE, SIDE, 3), (n_train,), (n_test, SIDE, SIDE, 3), (n_test,))
    kinds = (np.uint8, np.int64, np.uint8, np.int64)
    if any(a.shape != s or a.dtype != k for a, s, k in zip(arrays, shapes, kinds, strict=True)):
        return None
    return arrays
