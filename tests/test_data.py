"""Every way the data can come, be missing or be broken, with tiny files, a fake download, a local server."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from helpers import data

REAL_FOLDER = os.environ.get("COURSE_DATA_DIR", "")


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture(scope="module")
def tiny() -> dict[str, bytes]:
    """A complete MNIST of 12 and 5 images, as four files."""
    rng = np.random.default_rng(0)
    arrays = (
        rng.integers(0, 256, (12, 28, 28)),
        rng.integers(0, 10, 12),
        rng.integers(0, 256, (5, 28, 28)),
        rng.integers(0, 10, 5),
    )
    return dict(zip(data.MNIST_FILES, map(idx, arrays), strict=True))


@pytest.fixture(autouse=True)
def house(tmp_path, monkeypatch, tiny):
    """A course folder of its own, no network, no settings, and the tiny MNIST as the published one."""
    for name in ("COURSE_DATA_DIR", "COURSE_DATA", "COURSE_OFFLINE", "COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_MODE", "fast")
    repository = tmp_path / "course"
    repository.mkdir()
    (repository / "pyproject.toml").touch()
    monkeypatch.setattr(data, "REPOSITORY", repository)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "user-cache"))
    monkeypatch.setattr(data, "_loaded", {})
    monkeypatch.setattr(data, "_answering", lambda addresses: [])
    monkeypatch.setattr(data, "_fetch_idx", lambda *_: pytest.fail("no download without an answer"))
    published = {file: (hashlib.md5(raw).hexdigest(), len(raw)) for file, raw in tiny.items()}
    monkeypatch.setattr(data, "MNIST_FILES", published)
    monkeypatch.setattr(data, "FASHION_FILES", {fashion(file): known for file, known in published.items()})
    drawn = data.standins.digits(50, 20)
    for drawing in ("digits", "garments"):
        monkeypatch.setattr(data.standins, drawing, lambda *_, **__: drawn)  # drawing is tested elsewhere
    return repository


def fashion(file: str) -> str:
    """The file of Fashion-MNIST that corresponds to one of MNIST."""
    return file.replace("MNIST/", "FashionMNIST/")


def put(root: Path, files: dict[str, bytes]) -> Path:
    for file, raw in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(raw)
    return root


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


IMAGES = "MNIST/raw/train-images-idx3-ubyte.gz"
TEST_LABELS = "MNIST/raw/t10k-labels-idx1-ubyte.gz"


# --- the sources, in order ---


def test_folder_comes_first(tmp_path, monkeypatch, capsys, tiny, house):
    put(house / "data" / "cache", tiny)
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", tiny)))
    digits = data.mnist()
    assert digits.source == "folder"
    assert lines(capsys) == [
        "MNIST digits: your folder, 12 training and 5 test images, "
        "license CC BY-SA 3.0 (Yann LeCun, Corinna Cortes)"
    ]
    assert digits.train_images.shape == (12, 28, 28) and digits.train_images.dtype == np.uint8
    assert digits.train_labels.shape == (12,) and digits.train_labels.dtype == np.int64
    assert digits.test_images.shape == (5, 28, 28) and digits.test_labels.dtype == np.int64
    assert np.array_equal(idx(digits.train_images), tiny[IMAGES])
    assert np.array_equal(idx(digits.test_labels), tiny[TEST_LABELS])


def test_cache_comes_second(tiny, house, tmp_path, monkeypatch, capsys):
    put(house / "data" / "cache", tiny)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))  # a folder without MNIST: not worth a word
    assert data.mnist().source == "cache"
    assert len(lines(capsys)) == 1


def test_users_cache_is_read_too(tiny, tmp_path):
    put(tmp_path / "user-cache", tiny)
    assert data.mnist().source == "cache"


def test_no_network_and_no_data(capsys):
    digits = data.mnist()
    assert digits.source == "standin" and len(digits.train_labels) == 50
    first, second = lines(capsys)
    assert "no network" in first
    assert second == "MNIST digits: stand-in, 50 training and 20 test images, license CC BY 4.0 (this course)"


def test_standin_forced(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", tiny)))
    monkeypatch.setenv("COURSE_DATA", "standin")
    monkeypatch.setattr(data, "_answering", lambda _: pytest.fail("nothing is to be downloaded"))
    assert data.mnist().source == "standin" and data.points().source == "standin"
    assert len(lines(capsys)) == 2


def test_offline_asks_nobody(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setattr(data, "_answering", lambda _: pytest.fail("offline"))
    assert data.mnist().source == "standin"
    assert len(lines(capsys)) == 1
    assert data.main(["get", "mnist"]) == 1
    monkeypatch.setenv("COURSE_OFFLINE", "0")
    assert not data._offline()


def test_unknown_setting(monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "fake")
    with pytest.raises(ValueError, match="COURSE_DATA='fake'"):
        data.points()


def test_size_of_the_standin_follows_the_mode(monkeypatch):
    asked = []
    real = data.standins.digits()
    monkeypatch.setattr(data.standins, "digits", lambda *size, cache: asked.append(size) or real)
    data.mnist()
    monkeypatch.setenv("COURSE_MODE", "full")
    data.mnist()
    assert asked == [(6_000, 1_000), (60_000, 10_000)]


# --- Fashion-MNIST comes the same way ---


def test_fashion_mnist_from_the_folder(tiny, tmp_path, monkeypatch, capsys):
    folder = put(tmp_path / "class", {fashion(file): raw for file, raw in tiny.items()})
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    clothes = data.fashion_mnist()
    assert lines(capsys) == ["Fashion-MNIST: your folder, 12 training and 5 test images, license MIT (Zalando SE)"]
    assert clothes.train_images.shape == (12, 28, 28) and clothes.train_labels.dtype == np.int64
    assert np.array_equal(idx(clothes.test_labels), tiny[TEST_LABELS])
    monkeypatch.setattr(data, "_answering", lambda _: [])
    assert data.mnist().source == "standin"  # one set's files are not the other's


def test_fashion_mnist_has_ten_classes_and_a_stand_in(monkeypatch):
    assert len(set(data.FASHION_CLASSES)) == 10 and data.FASHION_CLASSES[9] == "ankle boot"
    drawn, asked = data.standins.garments(), []
    monkeypatch.setattr(data.standins, "garments", lambda *size, cache: asked.append(size) or drawn)
    assert data.fashion_mnist().source == "standin"
    monkeypatch.setenv("COURSE_MODE", "full")
    data.fashion_mnist()
    assert asked == [(25_000, 2_000), (60_000, 10_000)]


def test_fashion_mnist_is_downloaded_from_its_own_mirror(tiny, house, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(data, "_answering", list)

    def fetch(mirror, folder, files):
        asked.append((mirror, files))
        put(folder, dict(zip(files, tiny.values(), strict=True)))

    monkeypatch.setattr(data, "_fetch_idx", fetch)
    assert data.fashion_mnist().source == "download"
    assert asked == [(data.FASHION_MIRRORS[0], tuple(data.FASHION_FILES))]
    left = {p.name for p in (house / "data" / "cache").iterdir()}
    assert left - {"FashionMNIST.lock"} == {"FashionMNIST"}  # the lock file goes away by itself on some systems
    assert data.main(["get", "fashion_mnist"]) == 0 and "already" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "words"), [("cut", "cut off"), ("page", "web page"), ("missing", "is missing")])
def test_broken_fashion_mnist(kind, words, tiny, tmp_path, monkeypatch, capsys):
    folder = put(tmp_path / "class", {fashion(file): raw for file, raw in tiny.items()})
    broken = damaged(kind, tiny[IMAGES])
    (folder / fashion(IMAGES)).unlink()
    if broken is not None:
        (folder / fashion(IMAGES)).write_bytes(broken)
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    assert data.fashion_mnist().source == "standin"
    first = lines(capsys)[0]
    assert fashion(IMAGES) in first and words in first


# --- what is broken is named, and the next source is taken ---


def damaged(kind: str, raw: bytes) -> bytes | None:
    return {
        "cut": raw[: len(raw) // 2],
        "empty": b"",
        "page": b"\n <!DOCTYPE html><html>Please log in</html>",
        "text": b"hello",
        "other": gzip.compress(gzip.decompress(raw) + b"x" * 3000, compresslevel=0),
        "missing": None,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cut", r"cut off after [\d,]+ of [\d,]+ bytes"),
        ("empty", "not a gzip file"),
        ("page", "a web page, not data"),
        ("text", "not a gzip file"),
        ("other", "differs from the published file"),
        ("missing", "is missing"),
    ],
)
@pytest.mark.parametrize("file", [IMAGES, TEST_LABELS])
def test_broken_file_in_the_folder(kind, words, file, tiny, tmp_path, monkeypatch, capsys, house):
    folder = put(tmp_path / "class", tiny)
    broken = damaged(kind, tiny[file])
    (folder / file).unlink()
    if broken is not None:
        (folder / file).write_bytes(broken)
    put(house / "data" / "cache", tiny)
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    assert data.mnist().source == "cache"
    first, second = lines(capsys)
    assert file in first and re.search(words, first) and "next source" in first
    assert second.startswith("MNIST digits: cache")
    assert (folder / file).read_bytes() == broken if broken is not None else not (folder / file).exists()


def test_broken_cache_is_named_and_replaced(tiny, house, monkeypatch, capsys):
    cache = put(house / "data" / "cache", {**tiny, IMAGES: tiny[IMAGES][:100]})
    assert data.mnist().source == "standin"
    assert [("cut off" in line, "no network" in line) for line in lines(capsys)] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    monkeypatch.setattr(data, "_loaded", {})
    monkeypatch.setattr(data, "_answering", list)
    monkeypatch.setattr(data, "_fetch_idx", lambda mirror, folder, files: put(folder, tiny))
    assert data.mnist().source == "download"
    assert (cache / IMAGES).read_bytes() == tiny[IMAGES]


def test_folder_that_is_none(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    for bad in ("nowhere", "file"):
        monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / bad))
        assert data.points().source == "standin"
        first, second = lines(capsys)
        assert (
            "COURSE_DATA_DIR" in first
            and "not a folder" in first
            and second.startswith("perceptron points: stand-in")
        )


def test_unreadable_file_and_folder(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", tiny)))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "x")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        assert data.mnist().source == "standin"
    assert f"{IMAGES} cannot be read (Permission denied)" in lines(capsys)[0]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        assert data.points().source == "standin"
        data.sources()
    assert "Permission denied" in lines(capsys)[0]


def test_directory_in_place_of_a_file(tiny, tmp_path, monkeypatch, capsys):
    folder = put(tmp_path / "class", tiny)
    (folder / IMAGES).unlink()
    (folder / IMAGES).mkdir()
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    assert data.mnist().source == "standin"
    assert f"{IMAGES} cannot be read" in lines(capsys)[0]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x00\x00\x08", "not an idx file"),
        (b"", "not an idx file"),
        (b"\x00\x00\x09\x01\x00\x00\x00\x01x", "not an idx file"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abcd", "not an idx file"),
        (b"\x00\x00\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not an idx file"),
    ],
)
def test_idx_reader_refuses(raw, words):
    with pytest.raises(data.Unusable, match=words):
        data._read_idx(gzip.compress(raw), "some.gz")


def test_idx_reader():
    array = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    assert np.array_equal(data._read_idx(idx(array), "some.gz"), array)
    for broken in (b"no gzip", idx(array)[:-9]):
        with pytest.raises(data.Unusable, match=r"some\.gz cannot be unpacked"):
            data._read_idx(broken, "some.gz")


# --- what the caller gets ---


def test_changing_the_arrays_harms_nobody(tiny, house):
    put(house / "data" / "cache", tiny)
    digits = data.mnist()
    before = digits.train_images.copy()
    digits.train_images[:] = 0
    digits.train_labels[:] += 1
    again = data.mnist()
    assert np.array_equal(again.train_images, before) and np.array_equal(
        again.train_labels + 1, digits.train_labels
    )
    X, y = data.points()
    X += 1
    assert data.points().X.max() <= 1
    with pytest.raises(AttributeError):
        digits.train_images = before


def test_second_call_reads_no_file_but_says_its_line(tiny, house, monkeypatch, capsys):
    put(house / "data" / "cache", tiny)
    data.mnist()
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it is decoded already"))
    data.mnist()
    first, second = lines(capsys)
    assert first == second


def test_data_that_arrives_later_is_found(tiny, house):
    assert data.mnist().source == "standin"
    put(house / "data" / "cache", tiny)
    assert data.mnist().source == "cache"


def test_repr_is_short(tiny, house):
    put(house / "data" / "cache", tiny)
    assert len(repr(data.mnist())) < 130 and len(repr(data.points())) < 130


# --- points ---

ROWS = "".join(f"{0.001 * i:.3f},{1 - 0.002 * i:.3f},{int(i < 50)}\n" for i in range(100))


@pytest.mark.parametrize("text", [ROWS, ROWS.replace("\n", "\r\n"), "\ufeff" + ROWS + "\n\n"])
def test_points_from_the_folder(text, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", {data.POINTS_FILE: text.encode()})))
    X, y = data.points()
    assert X.shape == (100, 2) and X.dtype == np.float64 and X[3].tolist() == [0.003, 0.994]
    assert y.shape == (100,) and y.dtype == np.int64 and y.tolist() == [1] * 50 + [0] * 50
    assert lines(capsys) == ["perceptron points: your folder, 100 points, license MIT (Udacity)"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROWS[:-20], "table of numbers|100 rows"),
        ("x1,x2,label\n" + ROWS, "table of numbers"),
        (ROWS.replace(",1\n", ",2\n"), "label other than 0 and 1"),
        (ROWS.replace("0.003", "nan"), "not finite"),
        (ROWS.replace("0.003,", "0.003,1,"), "table of numbers"),
        ("<html>\n", "table of numbers"),
        ("", "100 rows"),
        ("\udcff\udcfe", "table of numbers"),
    ],
)
def test_broken_points(text, words, tmp_path, monkeypatch, capsys):
    raw = text.encode("utf-8", "surrogateescape")
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", {data.POINTS_FILE: raw})))
    assert data.points().source == "standin"
    first, second = lines(capsys)
    assert data.POINTS_FILE in first and re.search(words, first)


def test_points_standin(capsys):
    X, y = data.points()
    assert X.shape == (100, 2) and y.tolist() == [1] * 50 + [0] * 50
    assert lines(capsys) == ["perceptron points: stand-in, 100 points, license CC BY 4.0 (this course)"]


# --- admissions ---

APPLICANTS = "admit,gre,gpa,rank\n" + "".join(
    f"{int(i % 3 == 0)},{300 + i},{3 + i / 800:.3f},{1 + i % 4}\n" for i in range(400)
)
SPACED = "\ufeff" + APPLICANTS.replace("admit,", "Admit, ")


@pytest.mark.parametrize("text", [APPLICANTS, APPLICANTS.replace("\n", "\r\n"), SPACED])
def test_admissions_from_the_folder(text, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", {data.ADMISSIONS_FILE: text.encode()})))
    table = data.admissions()
    assert (table.gre[5], table.gpa[4], table.rank[2], table.admit[3]) == (305.0, 3.005, 3, 1)
    assert table.gre.dtype == table.gpa.dtype == np.float64 and table.rank.dtype == table.admit.dtype == np.int64
    assert {len(a) for a in (table.gre, table.gpa, table.rank, table.admit)} == {400}
    table.gre[:] = 0  # yours to change
    assert data.admissions().gre[5] == 305.0
    assert lines(capsys)[0] == "student admissions: your folder, 400 applicants, license MIT repository (Udacity)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (APPLICANTS[:-40], "table of numbers|400 rows"),
        (APPLICANTS[APPLICANTS.index("\n") + 1 :], "should begin"),
        (APPLICANTS.replace("admit,gre", "gre,admit"), "should begin"),
        (APPLICANTS.replace("1,300,3.000,1", "2,300,3.000,1"), "admit other than"),
        (APPLICANTS.replace("1,300,3.000,1", "1,300,3.000,0"), "rank other than"),
        (APPLICANTS.replace("1,300,", "1,nan,"), "not finite"),
        (APPLICANTS.replace("1,300,", "1,300,7,"), "table of numbers"),
        ("<html>\n", "400 rows|begin"),
        ("", "table of numbers"),
    ],
)
def test_broken_admissions(text, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", {data.ADMISSIONS_FILE: text.encode()})))
    assert data.admissions().source == "standin"
    first, second = lines(capsys)
    assert data.ADMISSIONS_FILE in first and re.search(words, first)
    assert second == "student admissions: stand-in, 400 applicants, license CC BY 4.0 (this course)"


# --- download ---


def leftovers(cache: Path) -> list[str]:
    """Files and folders but MNIST itself, the lock, and the place where an interrupted download waits."""
    return [p.name for p in cache.iterdir() if p.name not in ("MNIST", "MNIST.lock", ".mnist")]


def test_download_goes_to_the_cache(tiny, house, monkeypatch, capsys):
    monkeypatch.setattr(data, "_answering", list)
    monkeypatch.setattr(data, "_fetch_idx", lambda mirror, folder, files: put(folder, tiny))
    assert data.mnist().source == "download"
    assert len(lines(capsys)) == 1
    cache = house / "data" / "cache"
    assert all((cache / file).read_bytes() == raw for file, raw in tiny.items()) and leftovers(cache) == []
    monkeypatch.setattr(data, "_loaded", {})
    assert data.mnist().source == "cache"


def test_second_mirror(tiny, monkeypatch):
    monkeypatch.setattr(data, "_answering", list)
    asked = []

    def fetch(mirror, folder, files):
        asked.append(mirror)
        if len(asked) == 1:
            raise TimeoutError("timed out")
        put(folder, tiny)

    monkeypatch.setattr(data, "_fetch_idx", fetch)
    assert data.mnist().source == "download"
    assert asked == list(data.MNIST_MIRRORS)


@pytest.mark.parametrize("trouble", ["half", "page", "raises", "other error"])
def test_failed_download_leaves_nothing_in_place(trouble, tiny, house, monkeypatch, capsys):
    def fetch(mirror, folder, files):
        put(folder, {IMAGES: tiny[IMAGES]})
        if trouble == "page":
            put(folder, dict.fromkeys(tiny, b"<html>"))
        elif trouble == "raises":
            raise ConnectionResetError(104, "Connection reset by peer")
        elif trouble == "other error":
            raise RuntimeError("a very long story\n" * 99)

    monkeypatch.setattr(data, "_answering", list)
    monkeypatch.setattr(data, "_fetch_idx", fetch)
    assert data.mnist().source == "standin"
    first, second = lines(capsys)
    assert "no download" in first and len(first) < 250
    assert leftovers(house / "data" / "cache") == [] and not (house / "data" / "cache" / "MNIST").exists()


def test_interrupted_download_leaves_nothing_in_place(tiny, house, monkeypatch):
    def fetch(mirror, folder, files):
        put(folder, {IMAGES: tiny[IMAGES][:50]})
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "_answering", list)
    monkeypatch.setattr(data, "_fetch_idx", fetch)
    with pytest.raises(KeyboardInterrupt):
        data.mnist()
    assert leftovers(house / "data" / "cache") == [] and not (house / "data" / "cache" / "MNIST").exists()


def test_another_notebook_downloads(tiny, house, monkeypatch, capsys):
    import filelock

    cache = house / "data" / "cache"
    monkeypatch.setattr(data, "_answering", lambda _: put(cache, tiny) and ["mirror"])  # it ends while we ask
    assert data.mnist().source == "download"  # and ours is not started: _fetch_idx would fail the test
    monkeypatch.setattr(data, "LOCK_SECONDS", 0.01)
    monkeypatch.setattr(data, "_loaded", {})
    monkeypatch.setattr(data, "_answering", list)
    (cache / IMAGES).unlink()
    with filelock.FileLock(cache / "MNIST.lock"):
        assert data.mnist().source == "standin"
    assert "another program" in capsys.readouterr().out


def test_read_only_course_folder(tiny, house, tmp_path, monkeypatch):
    (house / "data").touch()  # nothing can be made below a file: as good as read-only, for every user
    monkeypatch.setattr(data, "_answering", list)
    monkeypatch.setattr(data, "_fetch_idx", lambda mirror, folder, files: put(folder, tiny))
    assert data.mnist().source == "download"
    assert (tmp_path / "user-cache" / IMAGES).exists()


def test_nowhere_to_write(house, tmp_path, monkeypatch, capsys):
    (house / "data").touch()
    (tmp_path / "user-cache").touch()
    monkeypatch.setattr(data, "_answering", lambda _: pytest.fail("no use in asking"))
    assert data.mnist().source == "standin"
    assert "can be written" in lines(capsys)[0]


class Server(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}

    def do_GET(self, body=True):
        raw = self.files.get(self.path)
        self.send_response(404 if raw is None else 200)
        self.send_header("Content-Length", str(len(raw or b"")))
        self.end_headers()
        if body and raw:
            self.wfile.write(raw)

    def do_HEAD(self):
        self.do_GET(body=False)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(files):
    handler = type("Handler", (Server,), {"files": files})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def without_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


ASK = data._answering  # the real one, before the fixture replaces it
FETCH = data._fetch_idx


def test_who_answers(monkeypatch):
    without_proxy(monkeypatch)
    with serving({"/good/train-labels-idx1-ubyte.gz": b"x"}) as address:
        dead = "http://127.0.0.1:9/"
        asked = (dead, address + "none/", address + "good/")
        assert ASK(asked, seconds=3.0) == [address + "none/", address + "good/"]  # an error is an answer too
    assert ASK((dead,), seconds=3.0) == []


def test_blocked_by_a_dead_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ASK(data.MNIST_MIRRORS) == []


def test_name_look_up_that_hangs(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(data.urllib.request, "urlopen", lambda *_, **__: never.wait(30))
    assert ASK(("http://a/", "http://b/"), seconds=0.05) == []
    never.set()


def test_the_second_mirror_over_http(tiny, house, monkeypatch, capsys):
    """Against a local server: a mirror that sends pages is left for the next one, and the cache is filled."""
    without_proxy(monkeypatch)
    monkeypatch.setattr(data, "_fetch_idx", FETCH)
    names = {file.rsplit("/", 1)[1]: raw for file, raw in tiny.items()}
    bad = dict.fromkeys((f"/bad/{name}" for name in names), b"<html>")
    with serving({**bad, **{f"/good/{name}": raw for name, raw in names.items()}}) as address:
        monkeypatch.setattr(data, "_answering", lambda _: [address + "bad/"])
        assert data.mnist().source == "standin"
        assert "no download" in lines(capsys)[0] and not (house / "data" / "cache" / ".mnist").exists()
        monkeypatch.setattr(data, "_loaded", {})
        monkeypatch.setattr(data, "_answering", lambda _: [address + "bad/", address + "good/"])
        digits = data.mnist()
    assert digits.source == "download" and len(digits.train_labels) == 12
    cache = house / "data" / "cache"
    assert leftovers(cache) == [] and not (cache / ".mnist").exists()


# --- the overview and the command ---


def test_sources(tiny, house, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "_answering", lambda _: pytest.fail("no network for the overview"))
    found = {name: source for name, source, _ in data.sources()}
    assert len(found) == 13 and found["mnist"] == "download on request" and found["points"] == "stand-in"
    put(house / "data" / "cache", tiny)
    assert dict(row[:2] for row in data.sources())["mnist"] == "cache"
    monkeypatch.setenv("COURSE_DATA_DIR", str(put(tmp_path / "class", {**tiny, "anna/anna.txt": b"x"})))
    later = dataclasses.replace(data.DATASETS["anna"], loader=False, download=False)
    monkeypatch.setitem(data.DATASETS, "anna", later)
    found = {name: (source, note) for name, source, note in data.sources()}
    assert found["mnist"][0] == found["anna"][0] == "your folder" and "later lesson" in found["anna"][1]
    assert found["flowers"] == ("stand-in", "drawn by the course")
    assert found["squeezenet"][0] == "stand-in" and "not in COURSE_DATA_DIR" in found["squeezenet"][1]
    monkeypatch.setenv("COURSE_DATA", "standin")
    assert {source for _, source, _ in data.sources()} == {"stand-in"}
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "nowhere"))
    assert len(data.sources()) == 13 and capsys.readouterr().out == ""


def test_command_list(capsys):
    assert data.main([]) == data.main(["list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in data.DATASETS)


def test_command_get(tiny, house, tmp_path, monkeypatch, capsys):
    assert data.main(["get", "mnist"]) == 1
    assert "no network" in capsys.readouterr().out
    monkeypatch.setattr(data, "_answering", list)
    monkeypatch.setattr(data, "_fetch_idx", lambda mirror, folder, files: put(folder, tiny))
    assert data.main(["get", "mnist"]) == 0 and "now in the cache" in capsys.readouterr().out
    assert data.main(["get", "mnist"]) == 0 and "already" in capsys.readouterr().out
    assert data.main(["get", "points"]) == 1 and data.POINTS_FILE in capsys.readouterr().out
    later = dataclasses.replace(data.DATASETS["anna"], loader=False, download=False)
    monkeypatch.setitem(data.DATASETS, "anna", later)
    assert data.main(["get", "anna"]) == 1 and "later lesson" in capsys.readouterr().out
    assert data.main(["get", "minst"]) == 2 and "mnist" in capsys.readouterr().out


def test_command_with_a_wrong_setting(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "nowhere"))
    assert data.main(["list"]) == 0
    assert "nowhere is not a folder" in capsys.readouterr().out.splitlines()[-1]
    monkeypatch.setenv("COURSE_DATA", "fake")
    assert data.main(["list"]) == 2
    assert "COURSE_DATA='fake' is not known" in capsys.readouterr().out


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "_download_idx", stopped)
    assert data.main(["get", "mnist"]) == 130
    assert "goes on from here" in capsys.readouterr().out


def test_large_downloads_are_asked_for(monkeypatch):
    large = data.Dataset("x", "X", ("x",), "", size_mb=51.0, download=True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert not data._agreed(large, yes=False)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert data._agreed(large, yes=False)
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("not to be asked"))
    assert data._agreed(large, yes=True) and data._agreed(data.DATASETS["mnist"], yes=False)

    def nobody(_):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert not data._agreed(large, yes=False)


def test_starts_without_torch():
    code = "import sys; from helpers import data; data.points(); sys.exit('torch' in sys.modules)"
    env = {**os.environ, "COURSE_DATA": "standin"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1], env=env)


# --- the real thing ---


@pytest.mark.skipif(
    not (Path(REAL_FOLDER) / IMAGES).is_file() or not REAL_FOLDER, reason="COURSE_DATA_DIR has no MNIST"
)
def test_real_mnist(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("COURSE_DATA_DIR", REAL_FOLDER)
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr(data, "_loaded", {})
    digits = data.mnist()
    assert digits.source == "folder"
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(digits.train_labels).tolist() == counts
    assert abs(digits.train_images.mean() / 255 - 0.1307) < 1e-4 and len(digits.test_labels) == 10_000


@pytest.mark.skipif(
    not (Path(REAL_FOLDER) / fashion(IMAGES)).is_file() or not REAL_FOLDER, reason="COURSE_DATA_DIR has no Fashion-MNIST"
)
def test_real_fashion_mnist(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("COURSE_DATA_DIR", REAL_FOLDER)
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr(data, "_loaded", {})
    clothes = data.fashion_mnist()
    assert clothes.source == "folder"
    assert np.bincount(clothes.train_labels).tolist() == [6000] * 10
    assert np.bincount(clothes.test_labels).tolist() == [1000] * 10
    pixels = clothes.train_images / 255
    assert abs(pixels.mean() - 0.2860) < 1e-4 and abs(pixels.std() - 0.3530) < 1e-4


@pytest.mark.skipif(
    not (Path(REAL_FOLDER) / data.POINTS_FILE).is_file() or not REAL_FOLDER,
    reason="COURSE_DATA_DIR has no points",
)
def test_real_points(monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", REAL_FOLDER)
    points = data.points()
    assert points.source == "folder" and points.y.tolist() == [1] * 50 + [0] * 50
    assert points.X[:50].mean(axis=0).round(3).tolist() == [0.355, 0.340]


@pytest.mark.skipif(
    not (Path(REAL_FOLDER) / data.ADMISSIONS_FILE).is_file() or not REAL_FOLDER,
    reason="COURSE_DATA_DIR has no admissions",
)
def test_real_admissions(monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", REAL_FOLDER)
    table = data.admissions()
    assert table.source == "folder" and table.admit.sum() == 127
    assert np.bincount(table.rank).tolist() == [0, 61, 151, 121, 67]
    assert abs(table.gre.mean() - 587.7) < 0.05 and (table.gpa.min(), table.gpa.max()) == (2.26, 4.0)


def test_what_may_not_be_published_gives_its_stand_in_to_a_build(tmp_path, monkeypatch):
    assert set(data.PUBLISHABLE) <= set(data.DATASETS)
    file = tmp_path / data.ADMISSIONS_FILE
    file.parent.mkdir(parents=True)
    file.write_text("admit,gre,gpa,rank\n" + "0,380,3.61,3\n" * 400, encoding="utf-8")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setenv("COURSE_PUBLISH", "1")
    assert data.admissions().source == "standin"
    monkeypatch.delenv("COURSE_PUBLISH")
    assert data.admissions().source == "folder"
