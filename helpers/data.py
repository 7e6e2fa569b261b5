"""The data of the course: one function per data set, and always something to work with.

Each function takes the first of these sources that holds the data:

1. the folder COURSE_DATA_DIR, which a class shares and nobody writes to,
2. the cache, `data/cache` in the course's folder (or the user's cache folder where that is read-only),
3. a download, once, into the cache,
4. the stand-in that the course draws itself.

It prints one line: what, from where, how many samples, which license. No network is never an error.

COURSE_DATA=standin takes the stand-in straight away; COURSE_OFFLINE=1 never touches the network.
From a terminal: `python -m helpers.data list` and `python -m helpers.data get mnist`.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import gzip
import hashlib
import io
import os
import pickle
import shutil
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import creatures, devices, paintings, scenes, standins, texts
from helpers import flowers as flower_pictures
from helpers.downloads import ASK_ABOVE_MB, CONNECT_SECONDS, LOCK_SECONDS, Unusable, fetch, unpack

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Dataset:
    """One data set of the course: its name, where its files lie in a data folder, what one may do with it."""

    name: str
    title: str
    files: tuple[str, ...]  # relative to the data folder; all must be there
    license: str
    size_mb: float  # of the download, or of the files where there is none
    loader: bool = False  # this version of the course has its function
    download: bool = False  # the function knows where to get it
    instead: tuple[str, ...] = ()  # other forms of it: one of these will do as well


MNIST_FILES = {  # the published md5 of each file, and its size in bytes
    "MNIST/raw/train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    "MNIST/raw/train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    "MNIST/raw/t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    "MNIST/raw/t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
}
MNIST_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
FASHION_FILES = {  # as published with the data set
    "FashionMNIST/raw/train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    "FashionMNIST/raw/train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
    "FashionMNIST/raw/t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
}
FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # its makers' address; the md5 makes up for plain http
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
FASHION_CLASSES = (  # in the order of the labels
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
CIFAR_CLASSES = scenes.CLASSES  # in the order of the labels
CIFAR_BATCHES = "cifar-10-batches-py"
CIFAR_JPEG = "cifar10_jpeg/cifar10_jpeg.tar.gz"
CIFAR_SUBSET = f"cifar10-subset/{CIFAR_BATCHES}"
CIFAR_ARCHIVE = (  # where it is published, md5, bytes
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "c58f30108f718f92721af3b95e74349a",
    170_498_071,
)
POINTS_FILE = "perceptron/data.csv"
ADMISSIONS_FILE = "student_admissions/student_data.csv"
ANNA_FILE, SHAKESPEARE_FILE = "anna/anna.txt", "tinyshakespeare/input.txt"
REVIEW_FILES = ("movie_reviews/reviews.txt", "movie_reviews/labels.txt")
SENTENCE_FILES = ("rt_polarity/rt-polarity.pos", "rt_polarity/rt-polarity.neg")
_GITHUB = "https://raw.githubusercontent.com/"
PUBLISHED_TEXTS = {  # file: where it was published, at one fixed version; md5; bytes
    ANNA_FILE: (
        _GITHUB + "udacity/deep-learning-v2-pytorch/c9404fc86181fc3f0906b368697268257f348535/"
        "recurrent-neural-networks/char-rnn/data/anna.txt",
        "66af58357c81207ddfba09600dbac1a6",
        2_025_486,
    ),
    SHAKESPEARE_FILE: (
        _GITHUB + "karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
        "6fb458f1232090904fb40fe944165e91",
        1_115_394,
    ),
    SENTENCE_FILES[0]: (
        _GITHUB + "dennybritz/cnn-text-classification-tf/18762b459e21d9c70e5c242f8d43fc4e6db37a0d/"
        "data/rt-polaritydata/rt-polarity.pos",
        "819e2ab972d5f1314804c62921cf21a8",
        626_395,
    ),
    SENTENCE_FILES[1]: (
        _GITHUB + "dennybritz/cnn-text-classification-tf/18762b459e21d9c70e5c242f8d43fc4e6db37a0d/"
        "data/rt-polaritydata/rt-polarity.neg",
        "efd38e162b1a4ede8fbf024de182eb4a",
        612_506,
    ),
}
PUBLISHED_PICTURES = {  # in the order of the lessons; as PUBLISHED_TEXTS
    "style_transfer/content/chelsea.png": (
        _GITHUB + "scikit-image/scikit-image/cd0a3d22b9f359f05618d75d5c7a29b91b4951ca/src/_skimage2/data/chelsea.png",
        "0f1b4a59504988622035d850dc0555ac",
        240_512,
    ),
    "style_transfer/content/coffee.png": (
        _GITHUB + "scikit-image/scikit-image/cd0a3d22b9f359f05618d75d5c7a29b91b4951ca/src/_skimage2/data/coffee.png",
        "f24210802e8d0690e0c1c2302f907cc4",
        466_706,
    ),
    "style_transfer/content/rocket.jpg": (
        _GITHUB + "scikit-image/scikit-image/cd0a3d22b9f359f05618d75d5c7a29b91b4951ca/src/_skimage2/data/rocket.jpg",
        "511130d2072cc744a1fa5015bc23557a",
        112_525,
    ),
    "style_transfer/style/starry_night.jpg": (
        _GITHUB + "andersbll/neural_artistic_style/94b21acca47db89a06b095c48f0c3c69d424144b/images/starry_night.jpg",
        "aeab86b0023b10a54e12f38e98454494",
        224_988,
    ),
    "style_transfer/style/wave.jpg": (
        _GITHUB + "lengstrom/fast-style-transfer/0d3d981f7ab948253d355585bdbdfa914247b4d0/examples/style/wave.jpg",
        "213e8b29a420326340f95a13e09a979b",
        123_262,
    ),
    "style_transfer/style/the_scream.jpg": (
        _GITHUB + "lengstrom/fast-style-transfer/0d3d981f7ab948253d355585bdbdfa914247b4d0/examples/style/the_scream.jpg",
        "7bc1c43eaaed82142e7c1bf83db3fe98",
        54_881,
    ),
    "style_transfer/style/the_shipwreck_of_the_minotaur.jpg": (
        _GITHUB + "lengstrom/fast-style-transfer/0d3d981f7ab948253d355585bdbdfa914247b4d0/examples/style/"
        "the_shipwreck_of_the_minotaur.jpg",
        "489e2bbf9429dd81764cd2762794998f",
        826_318,
    ),
}
FLOWER_CLASSES = flower_pictures.CLASSES  # in the order of the labels
OURS = "CC BY 4.0 (this course)"

DATASETS = {
    d.name: d
    for d in (
        Dataset("points", "perceptron points", (POINTS_FILE,), "MIT (Udacity)", 0.002, loader=True),
        Dataset(
            "mnist",
            "MNIST digits",
            tuple(MNIST_FILES),
            "CC BY-SA 3.0 (Yann LeCun, Corinna Cortes)",
            11.6,
            loader=True,
            download=True,
        ),
        Dataset(
            "fashion_mnist",
            "Fashion-MNIST",
            tuple(FASHION_FILES),
            "MIT (Zalando SE)",
            30.9,
            loader=True,
            download=True,
        ),
        Dataset(
            "cifar10",
            "CIFAR-10",
            (CIFAR_BATCHES,),
            "none stated: local use only",
            170.5,
            loader=True,
            download=True,
            instead=(CIFAR_JPEG, CIFAR_SUBSET),
        ),
        Dataset(
            "cats_and_dogs",
            "cats and dogs",
            ("cats_dogs/train", "cats_dogs/test"),
            "CC BY-SA 4.0 (Parkhi, Vedaldi, Zisserman, Jawahar)",
            20.7,
            loader=True,
        ),
        Dataset(
            "flowers",
            "flower photographs",
            tuple(f"flower_photos/{name}" for name in FLOWER_CLASSES),
            "CC BY 2.0, credits in the folder",
            18.7,
            loader=True,
        ),
        Dataset("anna", "Anna Karenina", (ANNA_FILE,), "public domain", 2.0, loader=True, download=True),
        Dataset("shakespeare", "Shakespeare excerpts", (SHAKESPEARE_FILE,), "public domain", 1.1, loader=True, download=True),
        Dataset(
            "reviews",
            "film reviews",
            REVIEW_FILES,
            "CC BY 4.0 (Bo Pang, Lillian Lee)",
            7.8,
            loader=True,
        ),
        Dataset(
            "sentences",
            "film-review sentences",
            SENTENCE_FILES,
            "CC BY 4.0 (Bo Pang, Lillian Lee)",
            1.2,
            loader=True,
            download=True,
        ),
        Dataset(
            "admissions",
            "student admissions",
            (ADMISSIONS_FILE,),
            "MIT repository (Udacity)",
            0.005,
            loader=True,
        ),
        Dataset(
            "style_pictures",
            "pictures for style transfer",
            tuple(PUBLISHED_PICTURES),
            "public domain, CC0",
            2.1,
            loader=True,
            download=True,
        ),
        Dataset(
            "squeezenet",
            "SqueezeNet weights",
            ("squeezenet_imagenet/squeezenet1_0_imagenet_dc.npz",),
            "BSD 2-clause (Song Han and others)",
            0.9,
        ),
    )
}

# What may be seen in committed notebooks: build sets COURSE_PUBLISH=1, and all other data sets then give their stand-in.
PUBLISHABLE = ("points", "mnist", "fashion_mnist", "anna", "shakespeare")

SOURCE_WORDS = {"folder": "your folder", "cache": "cache", "download": "download", "standin": "stand-in"}


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A set of labelled pictures. The arrays are yours: changing them changes nothing for anybody else.

    train_images (n, 28, 28) uint8, 0 to 255, or (n, 32, 32, 3) in color; train_labels (n,) int64; test_images and
    test_labels alike.
    source is "folder", "cache", "download" or "standin".
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    name: str
    source: str
    license: str

    def _samples(self) -> str:
        return f"{len(self.train_labels):,} training and {len(self.test_labels):,} test images"

    def __repr__(self) -> str:
        return f"{self.name}: {SOURCE_WORDS[self.source]}, {self._samples()}, license {self.license}"

    def _copy(self) -> Images:
        arrays = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        return Images(*(a.copy() for a in arrays), self.name, self.source, self.license)


@dataclass(frozen=True, eq=False, repr=False)
class Points:
    """Points in the plane with a label each; `X, y = data.points()` takes them apart.

    X (n, 2) float64, y (n,) int64 of zeros and ones, in the order of the file. source as in Images.
    """

    X: np.ndarray
    y: np.ndarray
    name: str
    source: str
    license: str

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.X, self.y))

    def __repr__(self) -> str:
        return f"{self.name}: {SOURCE_WORDS[self.source]}, {len(self.y):,} points, license {self.license}"

    def _copy(self) -> Points:
        return Points(self.X.copy(), self.y.copy(), self.name, self.source, self.license)


@dataclass(frozen=True, eq=False, repr=False)
class Admissions:
    """Applicants of a university, one in each place of the four arrays; the arrays are yours.

    gre (n,) float64, a test score of at most 800; gpa (n,) float64, the mean grade, at most 4.0; rank (n,) int64, the
    standing of the applicant's school from 1 (best) to 4; admit (n,) int64, 1 for admitted. source as in Images.
    """

    gre: np.ndarray
    gpa: np.ndarray
    rank: np.ndarray
    admit: np.ndarray
    name: str
    source: str
    license: str

    def __repr__(self) -> str:
        return f"{self.name}: {SOURCE_WORDS[self.source]}, {len(self.admit):,} applicants, license {self.license}"

    def _copy(self) -> Admissions:
        arrays = (self.gre, self.gpa, self.rank, self.admit)
        return Admissions(*(a.copy() for a in arrays), self.name, self.source, self.license)


# --- Settings and folders ---


def _standin_forced() -> bool:
    wanted = os.environ.get("COURSE_DATA", "").strip().lower()
    if wanted not in ("", "auto", "standin"):
        raise ValueError(f"COURSE_DATA={wanted!r} is not known: use standin, or unset it.")
    return wanted == "standin"


def _offline() -> bool:
    return os.environ.get("COURSE_OFFLINE", "").strip().lower() not in ("", "0", "no", "false")


def _folder() -> Path | None:
    """COURSE_DATA_DIR as a path, whether it exists or not; None if unset."""
    text = os.environ.get("COURSE_DATA_DIR", "").strip()
    return Path(text).expanduser() if text else None


def _caches() -> list[Path]:
    """Where downloads may lie, best first. The first is the course's own, if this is the course's folder."""
    import platformdirs

    places = [Path(platformdirs.user_cache_dir("deep-learning-done-by-hand", appauthor=False))]
    if (REPOSITORY / "pyproject.toml").is_file():
        places.insert(0, REPOSITORY / "data" / "cache")
    return places


def _writable_cache() -> Path | None:
    for place in _caches():
        try:  # trying is the only test that is right on every file system
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                return place
        except OSError:
            continue
    return None


def _holds(root: Path | None, dataset: Dataset) -> bool:
    """Whether every file of the data set is there; looks at names only."""
    if root is None:
        return False
    try:
        whole = all((root / file).exists() for file in dataset.files)
        return whole or any((root / file).exists() for file in dataset.instead)
    except OSError:
        return False


def _say(text: str) -> None:
    print(text, flush=True)


# --- The way from a name to arrays ---

# decoded once per process; callers get copies
_loaded: dict[tuple, Images | Points | Admissions | PhotoFolders | StylePictures] = {}
used: dict[str, str] = {}  # which source each data set came from: {"mnist": "folder"}


def _load(dataset: Dataset, read, stand_in, variant: object = None):
    """Try the sources in order. `read(root, source)` returns the data or raises Unusable."""
    publishing = os.environ.get("COURSE_PUBLISH") == "1"
    forced = _standin_forced() or (publishing and dataset.name not in PUBLISHABLE)
    folder, caches = _folder(), _caches()
    in_cache = [_holds(cache, dataset) for cache in caches]
    key = (
        dataset.name,
        variant,
        forced,
        _offline(),
        str(folder),
        _holds(folder, dataset),
        *map(str, caches),
        *in_cache,
    )
    if key not in _loaded:
        result = None
        if not forced:
            result = _real(dataset, read, folder, caches)
        _loaded[key] = result or stand_in()
    result = _loaded[key]._copy()
    used[dataset.name] = result.source
    _say(repr(result))
    return result


def _real(dataset: Dataset, read, folder: Path | None, caches: list[Path]):
    """The data from folder, cache or download; None if none of them has it. One line for each thing amiss."""
    if folder is not None:
        try:
            if not folder.is_dir():
                raise Unusable(f"COURSE_DATA_DIR={folder} is not a folder that can be read")
            if _any(folder, dataset):
                return read(folder, "folder")
        except (Unusable, OSError) as problem:
            _say(f"{dataset.title}: {_reason(problem)}. Trying the next source.")
    for cache in caches:
        try:
            if _any(cache, dataset):
                return read(cache, "cache")
        except (Unusable, OSError) as problem:
            _say(f"{dataset.title}: {_reason(problem)} (in the cache). Trying the next source.")
    if dataset.download and not _offline():
        try:
            return read(_download(dataset), "download")
        except (Unusable, OSError) as problem:
            _say(f"{dataset.title}: no download ({_reason(problem)}); the stand-in takes its place.")
    return None


def _any(root: Path, dataset: Dataset) -> bool:
    """Whether a part of the data set is there: then what is missing is worth a word."""
    return any((root / file).exists() for file in (*dataset.files, *dataset.instead))


def _reason(problem: Unusable | OSError) -> str:
    if isinstance(problem, Unusable):
        return str(problem)
    reason = problem.strerror or str(problem) or type(problem).__name__
    return f"{reason}: {problem.filename}" if problem.filename else reason


def _bytes(root: Path, file: str) -> bytes:
    try:
        return (root / file).read_bytes()
    except FileNotFoundError:
        raise Unusable(f"{file} is missing") from None
    except OSError as problem:
        raise Unusable(f"{file} cannot be read ({problem.strerror or type(problem).__name__})") from None


# --- Points ---


def points() -> Points:
    """100 points with two features each, labelled 0 or 1: `X, y = data.points()`.

    The real ones (`perceptron/data.csv`: x1,x2,label in each row, no header) are used if COURSE_DATA_DIR or
    the cache has them; nobody publishes them at an address that lasts, so they are not downloaded. Sorted by
    label, ones first.
    """
    dataset = DATASETS["points"]

    def read(root: Path, source: str) -> Points:
        X, y = _read_points(_bytes(root, POINTS_FILE), POINTS_FILE)
        return Points(X, y, dataset.title, source, dataset.license)

    return _load(dataset, read, lambda: Points(*standins.points(), dataset.title, "standin", OURS))


def _read_points(raw: bytes, file: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        rows = [line.split(",") for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
        table = np.array([[float(cell) for cell in row] for row in rows])
    except ValueError:  # not text, not numbers, or rows of different length
        raise Unusable(f"{file} is not a table of numbers x1,x2,label") from None
    if table.shape != (100, 3):
        raise Unusable(f"{file} should hold 100 rows of 3 numbers, not a table of shape {table.shape}")
    if not np.isfinite(table).all() or not np.isin(table[:, 2], (0, 1)).all():
        raise Unusable(f"{file} holds a label other than 0 and 1, or a number that is not finite")
    return table[:, :2].copy(), table[:, 2].astype(np.int64)


# --- Admissions ---


def admissions() -> Admissions:
    """400 applicants with GRE score, grades, rank of the school, and whether they were admitted: `table = data.admissions()`.

    The well-known ones (`student_admissions/student_data.csv`: admit,gre,gpa,rank below a line with these names) are used
    if COURSE_DATA_DIR or the cache has them; they are not downloaded, since nobody has stated a license for the numbers.
    """
    dataset = DATASETS["admissions"]

    def read(root: Path, source: str) -> Admissions:
        arrays = _read_admissions(_bytes(root, ADMISSIONS_FILE), ADMISSIONS_FILE)
        return Admissions(*arrays, dataset.title, source, dataset.license)

    return _load(dataset, read, lambda: Admissions(*standins.admissions(), dataset.title, "standin", OURS))


def _read_admissions(raw: bytes, file: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """gre, gpa, rank, admit of a file with the columns admit,gre,gpa,rank."""
    try:
        head, *lines = (line.strip() for line in raw.decode("utf-8-sig").splitlines() if line.strip())
        table = np.array([[float(cell) for cell in line.split(",")] for line in lines])
    except ValueError:  # not text, empty, not numbers, or rows of different length
        raise Unusable(f"{file} is not a table of numbers admit,gre,gpa,rank") from None
    if head.replace(" ", "").lower() != "admit,gre,gpa,rank":
        raise Unusable(f"{file} should begin with the line admit,gre,gpa,rank")
    if table.shape != (400, 4):
        raise Unusable(f"{file} should hold 400 rows of 4 numbers, not a table of shape {table.shape}")
    admit, gre, gpa, rank = table.T
    if not np.isfinite(table).all() or not np.isin(admit, (0, 1)).all() or not np.isin(rank, (1, 2, 3, 4)).all():
        raise Unusable(f"{file} holds an admit other than 0 and 1, a rank other than 1 to 4, or a number that is not finite")
    return gre.copy(), gpa.copy(), rank.astype(np.int64), admit.astype(np.int64)


# --- MNIST ---


def mnist() -> Images:
    """Handwritten digits: `digits = data.mnist()`, then `digits.train_images` and so on.

    60,000 training and 10,000 test images of 28 x 28 gray values. The stand-in is drawn by the course
    (`helpers/standins.py`): 6,000 and 1,000 in fast mode, as many as the real set in full mode.
    """
    size = devices.budget(fast=(6_000, 1_000), full=(60_000, 10_000))
    return _idx_images(DATASETS["mnist"], size, standins.digits)


def fashion_mnist() -> Images:
    """Pictures of clothes: `clothes = data.fashion_mnist()`, used as `mnist()` is; `FASHION_CLASSES` names the ten labels.

    60,000 training and 10,000 test images of 28 x 28 gray values, each kind equally often. The stand-in is drawn by the
    course (`helpers/standins.py`): 25,000 and 2,000 in fast mode, as many as the real set in full mode.
    """
    size = devices.budget(fast=(25_000, 2_000), full=(60_000, 10_000))
    return _idx_images(DATASETS["fashion_mnist"], size, standins.garments)


def _idx_images(dataset: Dataset, size: tuple[int, int], draw) -> Images:
    """A data set of four idx files; without them `draw(n_train, n_test, cache=folder)` makes the stand-in."""

    def read(root: Path, source: str) -> Images:
        arrays = [_read_idx(_checked(_bytes(root, file), file), file) for file in dataset.files]
        train_images, train_labels, test_images, test_labels = arrays
        labels = (train_labels.astype(np.int64), test_labels.astype(np.int64))
        return Images(train_images, labels[0], test_images, labels[1], dataset.title, source, dataset.license)

    def stand_in() -> Images:
        cache = _writable_cache()
        arrays = draw(*size, cache=cache and cache / "standins")
        return Images(*arrays, dataset.title, "standin", OURS)

    return _load(dataset, read, stand_in, variant=size)


def _published(file: str) -> tuple[str, int]:
    """md5 and size in bytes of an idx file."""
    return (MNIST_FILES if file in MNIST_FILES else FASHION_FILES)[file]


def _checked(raw: bytes, file: str) -> bytes:
    """The bytes of an idx file if they are the published ones; a helpful Unusable if not."""
    md5, size = _published(file)
    if hashlib.md5(raw, usedforsecurity=False).hexdigest() == md5:
        return raw
    if raw.lstrip()[:1] == b"<":
        raise Unusable(f"{file} is a web page, not data: the download was answered by a log-in or error page")
    if raw[:2] != b"\x1f\x8b":
        raise Unusable(f"{file} is not a gzip file")
    if len(raw) < size:
        raise Unusable(f"{file} is cut off after {len(raw):,} of {size:,} bytes")
    raise Unusable(f"{file} differs from the published file (md5 checksum)")


def _read_idx(packed: bytes, file: str) -> np.ndarray:
    """The array in a gzipped idx file: two zeros, 8 for bytes, number of axes, big-endian lengths, the data.

    Returns uint8 of the shape that the file states. Format: http://yann.lecun.com/exdb/mnist/
    """
    try:
        raw = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        raise Unusable(f"{file} cannot be unpacked") from None
    axes = raw[3] if len(raw) >= 4 else 0
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    if raw[:3] != b"\x00\x00\x08" or len(raw) != 4 + 4 * axes + int(np.prod(shape, dtype=np.int64)):
        raise Unusable(f"{file} is not an idx file of bytes")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _answering(addresses: tuple[str, ...], seconds: float = CONNECT_SECONDS) -> list[str]:
    """Those addresses that answer a request within the time, in the given order; an error is an answer too.

    All are asked at once, from threads that are left behind if they hang: looking up a name has no timeout.
    Proxies of the environment are used, as the download will.
    """
    answered: set[str] = set()

    def ask(address: str) -> None:
        request = urllib.request.Request(address + "train-labels-idx1-ubyte.gz", method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # 503 and the like: `fetch` says which
        except Exception:
            return
        answered.add(address)

    threads = [threading.Thread(target=ask, args=(address,), daemon=True) for address in addresses]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        # with one answer in hand, the others get a moment more
        thread.join(max(0.0, min(deadline - time.monotonic(), 0.5 if answered else seconds)))
    return [address for address in addresses if address in answered]


def _fetch_idx(mirror: str, folder: Path, files: tuple[str, ...]) -> None:
    """Get idx files from one mirror to their places in `folder`; goes on where an earlier try stopped."""
    for file in files:
        md5, size = _published(file)
        name = file.rsplit("/", 1)[1]
        fetch([mirror + name], folder / file, size=size, md5=md5, title=name)


def _download(dataset: Dataset, yes: bool = False) -> Path:
    """Put the files of a data set into the cache and return the cache's folder; Unusable says why not.

    ``yes`` says that whoever wants a large one has been asked.
    """
    if dataset.name in ("mnist", "fashion_mnist"):
        return _download_idx(dataset)
    cache = _writable_cache()
    if cache is None:
        raise Unusable("no folder to keep it in can be written")
    if dataset.name == "cifar10":
        return _download_cifar(cache, yes)
    for file in dataset.files:
        address, md5, size = (PUBLISHED_TEXTS | PUBLISHED_PICTURES)[file]
        fetch([address], cache / file, size=size, md5=md5, title=file.rsplit("/", 1)[-1])
    return cache


def _download_idx(dataset: Dataset) -> Path:
    """Put the idx files of a data set into the cache and return the cache's folder; Unusable says why not.

    Only whole, checked files ever get their final name; what an interrupted download has so far waits in `.mnist`
    or `.fashion_mnist`.
    """
    cache = _writable_cache()
    if cache is None:
        raise Unusable("no folder to keep it in can be written")
    mirrors = _answering(FASHION_MIRRORS if dataset.name == "fashion_mnist" else MNIST_MIRRORS)
    if not mirrors:
        raise Unusable("no network")
    import filelock

    try:
        with filelock.FileLock(cache / f"{dataset.files[0].split('/')[0]}.lock", timeout=LOCK_SECONDS):
            if _holds(cache, dataset) and not _damaged(cache, dataset):
                return cache  # another notebook was quicker
            arriving, problems = cache / f".{dataset.name}", []
            for mirror in mirrors:
                try:
                    _fetch_idx(mirror, arriving, dataset.files)
                    for file in dataset.files:
                        _checked(_bytes(arriving, file), file)
                except Exception as problem:  # a network fails in more ways than can be listed; the next mirror may not
                    known = isinstance(problem, (Unusable, OSError))
                    problems.append(_reason(problem) if known else f"{mirror} did not send it")
                    continue
                for file in dataset.files:
                    (cache / file).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(arriving / file, cache / file)
                shutil.rmtree(arriving, ignore_errors=True)
                return cache
            if not any(p.is_file() and p.suffix != ".lock" for p in arriving.rglob("*")):
                shutil.rmtree(arriving, ignore_errors=True)
            raise Unusable(problems[0])  # the best mirror's; the others' are mostly the same
    except filelock.Timeout:
        raise Unusable("another program has been downloading it for minutes") from None


def _damaged(root: Path, dataset: Dataset) -> bool:
    """Whether a file differs from the published one; only those of the idx sets are looked into."""
    if not all(file in MNIST_FILES or file in FASHION_FILES for file in dataset.files):
        return False
    try:
        for file in dataset.files:
            _checked(_bytes(root, file), file)
    except Unusable:
        return True
    return False


# --- CIFAR-10 ---


def cifar10(size: tuple[int, int] | None = None) -> Images:
    """Small color pictures: `pictures = data.cifar10()`; `CIFAR_CLASSES` names the ten labels.

    Arrays (n, 32, 32, 3) uint8. `size` is the largest number of training and of test images wanted; by default 4,000 and
    1,000 in fast mode, all 50,000 and 10,000 in full mode. A folder may hold the published batches, a part of them, or the
    set as JPEG files: the line that is printed says how many images were found. The stand-in is drawn by the course
    (`helpers/scenes.py`).
    """
    dataset, wanted = DATASETS["cifar10"], size or devices.budget(fast=(4_000, 1_000), full=(50_000, 10_000))

    def read(root: Path, source: str) -> Images:
        return Images(*_read_cifar(root, wanted), dataset.title, source, dataset.license)

    def stand_in() -> Images:
        cache = _writable_cache()
        arrays = scenes.scenes(*wanted, cache=cache and cache / "standins")
        return Images(*arrays, dataset.title, "standin", OURS)

    return _load(dataset, read, stand_in, variant=wanted)


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _read_cifar(root: Path, size: tuple[int, int]) -> Arrays:
    """From the cheapest form that has enough images; from the largest one if none has."""
    enough_in_subset = size[0] <= 4_000 and size[1] <= 1_000
    batches = [CIFAR_SUBSET, CIFAR_BATCHES] if enough_in_subset else [CIFAR_BATCHES]
    for file in (*batches, CIFAR_JPEG, CIFAR_SUBSET):
        if (root / file).exists():
            return _read_jpeg_archive(root / file, size) if file == CIFAR_JPEG else _read_batches(root, file, size)
    raise Unusable(f"{CIFAR_BATCHES} is missing")


def _read_batches(root: Path, folder: str, size: tuple[int, int]) -> Arrays:
    """The published form: pickled dicts with `data` (n, 3072), red, green and blue planes, and a list `labels`."""
    train, test = [f"data_batch_{n}" for n in range(1, 6)], ["test_batch"]
    found = []
    for files, most in ((train, size[0]), (test, size[1])):
        parts, have = [], 0
        for file in files:
            if have < most and (root / folder / file).exists():
                parts.append(_read_batch(_bytes(root, f"{folder}/{file}"), f"{folder}/{file}"))
                have += len(parts[-1][1])
        if not parts:
            raise Unusable(f"{folder} has no {files[0]}")
        found += [np.concatenate([part[place] for part in parts])[:most] for place in (0, 1)]
    return tuple(found)


class _Admitted(pickle.Unpickler):
    """Reads arrays, lists, dicts, numbers and texts. Whatever else a pickle asks for, program code above all, is refused."""

    NAMES = {
        **{(f"numpy.{core}.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0] for core in ("core", "_core")},
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,  # how Python 3 writes bytes for Python 2
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a data set")
        return self.NAMES[module, name]


def _read_batch(raw: bytes, file: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, 32, 32, 3) uint8 and (n,) int64 of one batch file."""
    try:
        content = _Admitted(io.BytesIO(raw), encoding="latin1").load()
    except pickle.UnpicklingError as problem:
        raise Unusable(f"{file} is not a batch of CIFAR-10 ({problem})") from None
    except Exception:  # a damaged pickle can fail in any way
        raise Unusable(f"{file} is not a batch of CIFAR-10") from None
    if not isinstance(content, dict):
        raise Unusable(f"{file} is not a batch of CIFAR-10")
    content = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    pixels, labels = content.get("data"), content.get("labels")
    fits = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 2 and pixels.shape[1] == 3072
    if not fits or not isinstance(labels, list) or len(labels) != len(pixels):
        raise Unusable(f"{file} does not hold rows of 3,072 bytes with a label each")
    if not all(isinstance(label, int) and 0 <= label <= 9 for label in labels):
        raise Unusable(f"{file} holds a label other than 0 to 9")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy(), np.array(labels, np.int64)


def _read_jpeg_archive(archive: Path, size: tuple[int, int]) -> Arrays:
    """CIFAR-10 as JPEG files `train/<class>/NNNN.jpg` in a tar; the order within the set is ours, the same each time.

    Decoding all 60,000 takes about a minute, so they are kept in the cache. A part is decoded anew, as many of each class.
    """
    cache = _writable_cache()
    everything = size[0] > 10_000
    kept = cache / "decoded" / f"cifar10_jpeg-{archive.stat().st_size}.npz" if cache and everything else None
    arrays = scenes.read(kept, 50_000, 10_000) if kept else None
    if arrays is None:
        if everything:
            _say("CIFAR-10: decoding 60,000 JPEG files, once; this takes about a minute.")
        arrays = _decode_jpegs(archive, (50_000, 10_000) if everything else size)
        if kept:
            standins._write(kept, arrays)
    order = [np.random.default_rng(n).permutation(len(arrays[2 * n + 1])) for n in (0, 1)]
    return tuple(arrays[place][order[place // 2]][: size[place // 2]] for place in range(4))


def _decode_jpegs(archive: Path, size: tuple[int, int]) -> Arrays:
    """At least so many training and test images, as many of each class, sorted by name."""
    from PIL import Image

    most = {part: -(-n // 10) for part, n in zip(("train", "test"), size, strict=True)}
    rows: dict[str, list] = {"train": [], "test": []}
    taken: dict[tuple, int] = {}
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                part, name = (member.name.removeprefix("./").split("/") + ["", ""])[:2]
                place = (part, name)
                if not member.isfile() or part not in most or name not in CIFAR_CLASSES or taken.get(place, 0) >= most[part]:
                    continue
                taken[place] = taken.get(place, 0) + 1
                picture = np.asarray(Image.open(io.BytesIO(packed.extractfile(member).read())).convert("RGB"))
                if picture.shape != (32, 32, 3):
                    raise Unusable(f"{archive.name}: {member.name} is not a picture of 32 x 32 pixels")
                rows[part].append((member.name, CIFAR_CLASSES.index(name), picture))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as problem:
        raise Unusable(f"{archive.name} is damaged or no archive ({type(problem).__name__})") from None
    if not rows["train"] or not rows["test"]:
        raise Unusable(f"{archive.name} holds no files like train/cat/0001.jpg")
    found = []
    for part in ("train", "test"):
        rows[part].sort(key=lambda row: row[0])  # the archive's order must not matter
        found += [np.stack([row[2] for row in rows[part]]), np.array([row[1] for row in rows[part]], np.int64)]
    return tuple(found)


def _download_cifar(cache: Path, yes: bool) -> Path:
    """The published archive, unpacked in the cache; asks before it downloads 170 MB."""
    address, md5, size = CIFAR_ARCHIVE
    archive = fetch([address], cache / address.rsplit("/", 1)[1], size=size, md5=md5, title="CIFAR-10", yes=yes)
    folder = unpack(archive, cache / "cifar10", limit_mb=400) / CIFAR_BATCHES
    if not folder.is_dir():
        raise Unusable(f"{archive.name} holds no {CIFAR_BATCHES}")
    os.replace(folder, cache / CIFAR_BATCHES)
    shutil.rmtree(cache / "cifar10", ignore_errors=True)
    archive.unlink(missing_ok=True)  # 170 MB that nobody needs twice
    return cache


# --- Texts ---


@dataclass(frozen=True)
class Text:
    """One long text, for a network that writes."""

    text: str
    title: str
    source: str
    license: str

    def __repr__(self) -> str:
        return (f"{self.title}: {SOURCE_WORDS[self.source]}, {len(self.text):,} characters, {len(set(self.text))} different, "
                f"license {self.license}")

    def _copy(self) -> Text:
        return self  # nothing in it can be changed


def anna() -> Text:
    """Tolstoy's novel in English: `novel = data.anna()`; line ends are "\\n". The stand-in is Python's own documentation."""
    return _novel(DATASETS["anna"])


def shakespeare() -> Text:
    """A million characters of Shakespeare's plays, used as `anna()` is."""
    return _novel(DATASETS["shakespeare"])


def own_text(path: str | os.PathLike[str]) -> Text:
    """A text file of your own (UTF-8): `novel = data.own_text("diary.txt")`.

    Raises `helpers.texts.UnusableText`, with one line: no such file, empty, no plain text.
    """
    found = Text(texts.read_text(path), Path(path).name, "folder", "yours")
    _say(repr(found))
    return found


def _novel(dataset: Dataset) -> Text:
    def read(root: Path, source: str) -> Text:
        try:
            text = _bytes(root, dataset.files[0]).decode("utf-8")
        except UnicodeDecodeError:
            raise Unusable(f"{dataset.files[0]} is not UTF-8") from None
        if len(text) < 100_000:
            raise Unusable(f"{dataset.files[0]} is cut off ({len(text):,} characters)")
        return Text(text.replace("\r\n", "\n"), dataset.title, source, dataset.license)

    def stand_in() -> Text:
        return Text(texts.python_documentation(), "Python's documentation", "standin", "PSF (comes with Python)")

    return _load(dataset, read, stand_in)


# --- Reviews ---


@dataclass(frozen=True)
class Reviews:
    """Film reviews as they lie in files: one a line in `reviews`, and in `labels` a line for each, positive or negative."""

    reviews: str
    labels: str
    title: str
    source: str
    license: str

    def __len__(self) -> int:
        return len(self.labels.split())

    def __repr__(self) -> str:
        return f"{self.title}: {SOURCE_WORDS[self.source]}, {len(self):,} reviews, license {self.license}"

    def _copy(self) -> Reviews:
        return self  # nothing in it can be changed


def reviews() -> Reviews:
    """2,000 long film reviews, labels alternating: `films = data.reviews()`.

    The stand-in is 5,000 reviews from a small grammar (`helpers/texts.py`) that nobody can judge right in more than 95 %.
    """

    def read(root: Path, source: str) -> Reviews:
        review_text, label_text = (_utf8(root, file) for file in REVIEW_FILES)
        return _paired(review_text, label_text, dataset, source)

    dataset = DATASETS["reviews"]
    return _load(dataset, read, lambda: _made_up_reviews(dataset))


def sentences() -> Reviews:
    """10,662 sentences of film reviews, **sorted**: all positive ones first. Used as `reviews()`, with the same stand-in."""

    def read(root: Path, source: str) -> Reviews:
        good, bad = (_utf8(root, file).strip("\n").split("\n") for file in SENTENCE_FILES)
        labels = ["positive"] * len(good) + ["negative"] * len(bad)
        return _paired("\n".join([*good, *bad]) + "\n", "\n".join(labels) + "\n", dataset, source)

    dataset = DATASETS["sentences"]
    return _load(dataset, read, lambda: _made_up_reviews(dataset))


def _utf8(root: Path, file: str) -> str:
    try:
        return _bytes(root, file).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise Unusable(f"{file} is not UTF-8") from None


def _paired(review_text: str, label_text: str, dataset: Dataset, source: str) -> Reviews:
    lines, labels = len(review_text.strip("\n").split("\n")), label_text.split()
    if set(labels) != {"positive", "negative"}:
        raise Unusable(f"{dataset.files[-1]} must hold the words positive and negative, one a line")
    if lines != len(labels):
        raise Unusable(f"{dataset.title}: {lines:,} reviews and {len(labels):,} labels do not go together")
    return Reviews(review_text, label_text, dataset.title, source, dataset.license)


def _made_up_reviews(dataset: Dataset) -> Reviews:
    made_up, labels = texts.made_up_reviews()
    words = ["positive" if label else "negative" for label in labels]
    return Reviews("\n".join(made_up) + "\n", "\n".join(words) + "\n", dataset.title, "standin", OURS)


# --- Photos in folders ---

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder
LOOK_THROUGH = 1000  # so many photos are decoded once, to see that they are whole; of larger sets the ends of the files


@dataclass(frozen=True, repr=False)
class PhotoFolders:
    """Photos in two trees of folders, one folder a class: `train/cat/anything.jpg`, `train/dog/...`, `test/cat/...`.

    train, test are the two roots, as torchvision's ImageFolder takes them; read only, please. classes are the names of the
    folders, sorted. n_train, n_test count the photos. source as in Images; license says whom to credit.
    """

    train: Path
    test: Path
    classes: tuple[str, ...]
    n_train: int
    n_test: int
    name: str
    source: str
    license: str

    def __repr__(self) -> str:
        what = "drawings" if self.source == "standin" else "photos"
        return (f"{self.name}: {SOURCE_WORDS[self.source]}, {self.n_train:,} training and {self.n_test:,} test {what}, "
                f"license {self.license}")

    def _copy(self) -> PhotoFolders:
        return self  # nothing in it can be changed


def cats_and_dogs() -> PhotoFolders:
    """Photos of cats and dogs, as files: `photos = data.cats_and_dogs()`, then `ImageFolder(photos.train)`.

    The real ones (`cats_dogs/{train,test}/{cat,dog}/*.jpg`) are used if COURSE_DATA_DIR or the cache has them; data/README.md
    says where they come from. They are not downloaded. The stand-in is drawn by the course (`helpers/creatures.py`): 120
    animals for training and 40 for testing, JPEG and PNG of 160 different sizes.
    """
    dataset = DATASETS["cats_and_dogs"]

    def read(root: Path, source: str) -> PhotoFolders:
        train, test = (root / file for file in dataset.files)
        counts = [_count_photos(root, file, creatures.KINDS) for file in dataset.files]
        return PhotoFolders(train, test, creatures.KINDS, *counts, dataset.title, source, dataset.license)

    def stand_in() -> PhotoFolders:
        cache = _writable_cache()
        root = creatures.tree(cache and cache / "standins")
        try:
            counts = [_count_photos(root, part, creatures.KINDS) for part in ("train", "test")]
        except Unusable:  # somebody changed the files in the cache: a fresh copy for this process
            root = creatures.tree(None)
            counts = [_count_photos(root, part, creatures.KINDS) for part in ("train", "test")]
        return PhotoFolders(root / "train", root / "test", creatures.KINDS, *counts, dataset.title, "standin", OURS)

    for key, found in list(_loaded.items()):  # unlike arrays, files can go away while Python runs
        if isinstance(found, PhotoFolders) and not all((part / kind).is_dir() for part in (found.train, found.test)
                                                       for kind in found.classes):
            del _loaded[key]
    return _load(dataset, read, stand_in)


def _count_photos(root: Path, tree: str, classes: tuple[str, ...]) -> int:
    """How many photos `root/tree` holds in the folders of its classes; Unusable names the first thing that is amiss."""
    if not (root / tree).is_dir():
        raise Unusable(f"{tree} is missing, or no folder")
    found = sorted(entry.name for entry in (root / tree).iterdir() if entry.is_dir())
    for name in classes:
        if name not in found:
            raise Unusable(f"{tree}/{name} is missing: there must be one folder for each class ({', '.join(classes)})")
    if strange := [name for name in found if name not in classes]:
        wanted = " and ".join(classes)
        raise Unusable(f"{tree} has a folder {strange[0]!r}, and each folder would be a class: only {wanted} belong there")
    photos: list[tuple[str, Path]] = []
    for name in classes:
        # torchvision walks into sub-folders too
        mine = sorted(p for p in (root / tree / name).rglob("*") if p.suffix.lower() in PHOTO_ENDINGS and p.is_file())
        if not mine:
            raise Unusable(f"{tree}/{name} holds no photo ({', '.join(PHOTO_ENDINGS[:3])} and the like)")
        photos += [(f"{tree}/{p.relative_to(root / tree).as_posix()}", p) for p in mine]
    for name, path in photos:
        if problem := _amiss(path, decode=len(photos) <= LOOK_THROUGH):
            raise Unusable(f"{tree}: {problem} ({name})")
    return len(photos)


def _amiss(path: Path, decode: bool) -> str:
    """What is wrong with a photo, in one line; "" if nothing is. Without ``decode`` only its two ends are looked at."""
    from helpers.photos import UnusablePhoto, read_photo

    if decode:
        try:
            read_photo(path, longest=32, smallest=1)  # JPEG is decoded at an eighth of its size
        except UnusablePhoto as problem:
            return str(problem)
        return ""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(-min(path.stat().st_size, 64), os.SEEK_END)
        tail = file.read()
    if head[:2] == b"\xff\xd8" and b"\xff\xd9" in tail or head == b"\x89PNG" and b"IEND" in tail:
        return ""
    return _amiss(path, decode=True)  # another format, bytes after the end, or damaged: look closely


# --- Flowers, and pictures for style transfer ---

FLOWERS_EACH = 150  # photographs of each class in fast mode; every fifth is for testing


def flowers(side: int | None = None) -> Images:
    """Flowers of five kinds, as squares: `flowers = data.flowers()`; `FLOWER_CLASSES` names the labels.

    Arrays (n, side, side, 3) uint8, four fifths for training and one fifth for testing, all kinds alike; `side` is 96 pixels by
    default, 224 in full mode. From `flower_photos/<kind>/*.jpg`: at most 150 of each kind in fast mode, in full mode all. They
    are not downloaded. The stand-in is drawn by the course (`helpers/flowers.py`).
    """
    dataset = DATASETS["flowers"]
    side = devices.budget(fast=96, full=224) if side is None else side
    most = devices.budget(fast=FLOWERS_EACH, full=None)
    if not 16 <= side <= 512:
        raise ValueError(f"side must be 16 to 512 pixels, not {side}")

    def read(root: Path, source: str) -> Images:
        return Images(*_read_flowers(root, side, most), dataset.title, source, dataset.license)

    def stand_in() -> Images:
        cache = _writable_cache()
        each = (FLOWERS_EACH * 4 // 5, FLOWERS_EACH // 5)
        return Images(*flower_pictures.flowers(*each, side, cache=cache and cache / "standins"), dataset.title, "standin", OURS)

    return _load(dataset, read, stand_in, variant=(side, most))


def _read_flowers(root: Path, side: int, most: int | None) -> Arrays:
    """The photographs in the middle square, scaled; which are for testing depends on their names only."""
    pictures, labels = ([], []), ([], [])
    for label, kind in enumerate(FLOWER_CLASSES):
        folder = root / "flower_photos" / kind
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_ENDINGS and not p.name.startswith("."))
        if len(files) < 5:
            raise Unusable(f"flower_photos/{kind} holds {len(files)} photographs: at least 5 are needed")
        chosen = np.random.default_rng(label).permutation(len(files))[:most]  # names are sorted by age: mix them
        for place, number in enumerate(chosen):
            test = place % 5 == 4
            pictures[test].append(_square(files[number], side, f"flower_photos/{kind}/{files[number].name}"))
            labels[test].append(label)
    return tuple(a for part in (0, 1) for a in (np.stack(pictures[part]), np.array(labels[part], np.int64)))


def _square(path: Path, side: int, name: str) -> np.ndarray:
    """The middle square of a photo, side x side x 3; Unusable names what is amiss."""
    from PIL import Image

    from helpers.photos import UnusablePhoto, read_photo

    try:
        photo = read_photo(path, longest=4 * side, smallest=16)
    except UnusablePhoto as problem:
        raise Unusable(f"{problem} ({name})") from None
    height, width = photo.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = Image.fromarray(photo[top : top + edge, left : left + edge])
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))


@dataclass(frozen=True, eq=False, repr=False)
class StylePictures:
    """Pictures to be painted, and paintings: name -> (height, width, 3) uint8, the best known first.

    source as in Images. The arrays are yours.
    """

    contents: dict[str, np.ndarray]
    styles: dict[str, np.ndarray]
    name: str
    source: str
    license: str

    def __repr__(self) -> str:
        kind = "drawn by the course" if self.source == "standin" else "photographs and paintings"
        return (f"{self.name}: {SOURCE_WORDS[self.source]}, {kind}: {', '.join(self.contents)}; {', '.join(self.styles)}; "
                f"license {self.license}")

    def _copy(self) -> StylePictures:
        contents, styles = ({k: v.copy() for k, v in pictures.items()} for pictures in (self.contents, self.styles))
        return StylePictures(contents, styles, self.name, self.source, self.license)


def style_pictures(longest: int | None = None) -> StylePictures:
    """Three photographs and four famous paintings: `pictures = data.style_pictures(longest=128)`, `pictures.styles["wave"]`.

    `longest` scales each down to at most so many pixels on its longer side. All are public domain or CC0; they are downloaded
    once, 2 MB. The stand-in is drawn by the course (`helpers/paintings.py`): a portrait, a cup, and three paintings.
    """
    from helpers.photos import UnusablePhoto, read_photo

    dataset = DATASETS["style_pictures"]

    def read(root: Path, source: str) -> StylePictures:
        found: dict[str, dict[str, np.ndarray]] = {"content": {}, "style": {}}
        for file in dataset.files:
            _, part, name = file.split("/")
            try:
                found[part][name.split(".")[0]] = read_photo(root / file, longest)
            except UnusablePhoto as problem:
                raise Unusable(str(problem)) from None
        return StylePictures(found["content"], found["style"], dataset.title, source, dataset.license)

    def stand_in() -> StylePictures:
        contents, styles = ({name: _shrunk(draw(), longest) for name, draw in drawings.items()}
                            for drawings in (paintings.CONTENTS, paintings.STYLES))
        return StylePictures(contents, styles, dataset.title, "standin", OURS)

    return _load(dataset, read, stand_in, variant=longest)


def _shrunk(picture: np.ndarray, longest: int | None) -> np.ndarray:
    from PIL import Image

    height, width = picture.shape[:2]
    if longest is None or max(height, width) <= longest:
        return picture
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


# --- What is there ---


def sources() -> list[tuple[str, str, str]]:
    """Which source each data set of the course would come from now: (name, source, note).

    Source is "your folder", "cache", "download on request" or "stand-in". Looks at names of files only: fast,
    and without the network.
    """
    forced, folder, caches = _standin_forced(), _folder(), _caches()
    rows = []
    for dataset in DATASETS.values():
        note = dataset.license
        if forced:
            source, note = "stand-in", "COURSE_DATA=standin"
        elif _holds(folder, dataset):
            source = "your folder"
        elif dataset.loader and any(_holds(cache, dataset) for cache in caches):
            source = "cache"
        elif dataset.download and not _offline():
            source, note = "download on request", f"{dataset.size_mb:.1f} MB, {dataset.license}"
        else:
            source, note = "stand-in", "drawn by the course" if dataset.loader else "not in COURSE_DATA_DIR"
        if not dataset.loader:
            note += "; used by a later lesson"
        rows.append((dataset.name, source, note))
    return rows


def _on_disk(dataset: Dataset) -> str:
    total = 0
    for cache in _caches():
        for file in dataset.files:
            with contextlib.suppress(OSError):
                total += (cache / file).stat().st_size
    return f"{total / 1e6:.1f} MB" if total else "-"


def _list() -> int:
    table = [("name", "source now", "size", "cached", "license")]
    for name, source, _ in sources():
        dataset = DATASETS[name]
        size = f"{dataset.size_mb:.1f} MB" if dataset.size_mb >= 0.1 else f"{dataset.size_mb * 1000:.0f} kB"
        table.append((name, source, size, _on_disk(dataset), dataset.license))
    widths = [max(len(row[i]) for row in table) for i in range(5)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    folder = _folder()
    if folder is not None and not folder.is_dir():
        print(f"COURSE_DATA_DIR={folder} is not a folder that can be read.")
    return 0


def _agreed(dataset: Dataset, yes: bool) -> bool:
    """Whether a download may start: small ones always, large ones if the user says so."""
    if dataset.size_mb <= ASK_ABOVE_MB or yes:
        return True
    try:
        answer = input(f"{dataset.title} is a download of {dataset.size_mb:.0f} MB. Go on? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _get(name: str, yes: bool) -> int:
    if name not in DATASETS:
        print(f"There is no data set {name!r}. Known: {', '.join(DATASETS)}.")
        return 2
    dataset = DATASETS[name]
    if not dataset.download:
        files = f"{', '.join(dataset.files)}{'' if dataset.loader else ' (a later lesson reads them)'}"
        if _holds(_folder(), dataset):
            print(f"{dataset.title}: COURSE_DATA_DIR has {files}.")
            return 0
        print(f"{dataset.title}: not a download. Whoever has {files} puts them into the folder COURSE_DATA_DIR; "
              "without them the course draws a stand-in.")  # fmt: skip
        return 1
    for cache in _caches():
        if _holds(cache, dataset) and not _damaged(cache, dataset):
            print(f"{dataset.title}: in the cache already ({cache / dataset.files[0].split('/')[0]}).")
            return 0
    if _offline():
        print(f"{dataset.title}: COURSE_OFFLINE is set, nothing is downloaded.")
        return 1
    if not _agreed(dataset, yes):
        print("Nothing was downloaded.")
        return 1
    try:
        cache = _download(dataset, yes=True) if dataset.size_mb > ASK_ABOVE_MB else _download(dataset)
    except (Unusable, OSError) as problem:
        print(f"{dataset.title}: not downloaded ({_reason(problem)}).")
        return 1
    print(f"{dataset.title}: now in the cache ({cache / dataset.files[0].split('/')[0]}).")
    print(f"License: {dataset.license}.")
    return 0


def main(argv: list[str] | None = None) -> int:
    """`python -m helpers.data [list | get NAME [--yes]]`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="course.py data", description="The data sets of the course.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="source, license and size of each data set (the default)")
    get = commands.add_parser("get", help="download one into the cache")
    get.add_argument("name")
    get.add_argument("--yes", action="store_true", help=f"do not ask before more than {ASK_ABOVE_MB} MB")
    args = parser.parse_args(argv)
    try:
        return _get(args.name, args.yes) if args.command == "get" else _list()
    except ValueError as problem:  # a setting that is not known
        print(problem)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The next try goes on from here.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
