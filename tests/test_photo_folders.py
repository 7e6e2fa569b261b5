"""Photos in folders: what is amiss is named in one line, and the drawn animals take their place."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from authoring import bench_loading, measure_standins
from helpers import creatures, data


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty caches, a class's folder with a few photos, no network, and nothing loaded yet."""
    folder = tmp_path / "class"
    for part, count in (("train", 3), ("test", 2)):
        for kind in ("cat", "dog"):
            for n in range(count):
                put(folder / "cats_dogs" / part / kind / f"{kind}_{n}.jpg")
    monkeypatch.setattr(data, "_caches", lambda: [tmp_path / "cache"])
    monkeypatch.setattr(data, "_loaded", {})
    monkeypatch.setattr(creatures, "_temporary", [])
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.delenv("COURSE_PUBLISH", raising=False)
    return folder / "cats_dogs"


@pytest.fixture
def quick(monkeypatch):
    """Few drawn animals, so that a test takes no seconds."""
    real = creatures.tree
    monkeypatch.setattr(creatures, "tree", lambda cache: real(cache, 3, 2))


def put(path: Path, size=(40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, quality=95)


def test_the_photos_of_a_class_folder(places, capsys):
    photos = data.cats_and_dogs()
    assert (photos.train, photos.test) == (places / "train", places / "test")
    assert (photos.classes, photos.source, photos.n_train, photos.n_test) == (("cat", "dog"), "folder", 6, 4)
    line = capsys.readouterr().out
    assert line == repr(photos) + "\n"
    for part in ("6 training and 4 test photos", "your folder", "CC BY-SA 4.0", "Parkhi"):
        assert part in line
    assert data.used["cats_and_dogs"] == "folder"
    with pytest.raises(AttributeError):
        photos.train = None


def test_the_photos_of_the_cache(places, tmp_path, monkeypatch):
    shutil.copytree(places, tmp_path / "cache" / "cats_dogs")
    monkeypatch.delenv("COURSE_DATA_DIR")
    assert data.cats_and_dogs().source == "cache"


def test_endings_in_any_case_and_files_that_are_no_photos(places):
    (places / "train/cat/cat_0.jpg").rename(places / "train/cat/cat_0.JPG")
    (places / "train/cat/notes.txt").write_text("no photo")
    (places / "train/notes.txt").write_text("no class")
    put(places / "train/cat/more/deep.png")
    assert data.cats_and_dogs().n_train == 7


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda p: _cut(p / "train/cat/cat_1.jpg"), "cat_1.jpg is cut off or damaged"),
    (lambda p: (p / "test/dog/dog_0.jpg").write_bytes(b""), "dog_0.jpg is empty"),
    (lambda p: (p / "test/dog/dog_0.jpg").write_text("<!doctype html>Please log in"), "a web page"),
    (lambda p: _emptied(p / "train/dog"), "cats_dogs/train/dog holds no photo"),
    (lambda p: shutil.rmtree(p / "test/cat"), "cats_dogs/test/cat is missing"),
    (lambda p: shutil.rmtree(p / "test"), "cats_dogs/test is missing"),
    (lambda p: (p / "train/.ipynb_checkpoints").mkdir(), "'.ipynb_checkpoints'"),
    (lambda p: (shutil.rmtree(p / "train"), (p / "train").write_text("")), "cats_dogs/train is missing, or no folder"),
])
def test_what_is_amiss_is_named_in_one_line(spoil, says, places, quick, capsys):
    spoil(places)
    photos = data.cats_and_dogs()
    assert photos.source == "standin"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2, lines
    assert says in lines[0]
    assert "Trying the next source" in lines[0]


def test_large_sets_are_looked_at_quickly(places, quick, monkeypatch):
    monkeypatch.setattr(data, "LOOK_THROUGH", 2)
    put(places / "train/cat/large.png")
    put(places / "train/dog/other.bmp")
    assert data.cats_and_dogs().n_train == 8
    _cut(places / "train/dog/dog_2.jpg")
    data._loaded.clear()
    assert data.cats_and_dogs().source == "standin"


def test_photos_that_go_away_while_python_runs(places, quick):
    assert data.cats_and_dogs().source == "folder"
    shutil.rmtree(places)
    photos = data.cats_and_dogs()
    assert photos.source == "standin"
    shutil.rmtree(photos.train.parent)
    assert data.cats_and_dogs().train.is_dir()


def test_nothing_real_is_published(quick, monkeypatch):
    monkeypatch.setenv("COURSE_PUBLISH", "1")
    assert data.cats_and_dogs().source == "standin"


# ---------------------------------------------------------------------------------------------- the drawn animals

def test_the_stand_in_is_a_tree_of_drawings(tmp_path, monkeypatch, quick, capsys):
    monkeypatch.setenv("COURSE_DATA", "standin")
    photos = data.cats_and_dogs()
    assert "stand-in, 6 training and 4 test drawings, license CC BY 4.0" in capsys.readouterr().out
    assert (tmp_path / "cache") in photos.train.parents
    torchvision = pytest.importorskip("torchvision")
    folder = torchvision.datasets.ImageFolder(photos.train)
    assert folder.class_to_idx == {"cat": 0, "dog": 1}
    assert len(folder) == 6


def test_sizes_are_all_different_and_within_bounds():
    found = creatures.sizes(160, np.random.default_rng(1))
    assert len(set(found)) == 160
    assert {(120, 160), (500, 400)} <= set(found)
    assert all(120 <= min(s) <= 400 and 160 <= max(s) <= 500 for s in found)


def test_the_same_seed_gives_the_same_picture_and_kinds_differ():
    a, b = (creatures.draw_creature("cat", 90, 70, np.random.default_rng(3)) for _ in range(2))
    assert a.shape == (70, 90, 3)
    assert a.dtype == np.uint8
    assert (a == b).all()
    assert (a != creatures.draw_creature("dog", 90, 70, np.random.default_rng(3))).any()
    assert (a != a[:, ::-1]).mean() > 0.5, "a mirrored picture must look different"
    with pytest.raises(ValueError, match="cat, dog"):
        creatures.draw_creature("bird", 90, 70, np.random.default_rng(3))


def test_a_whole_tree(tmp_path):
    drawings = tmp_path / "drawings"
    creatures.write_tree(drawings, 9, 2, seed=5)
    files = sorted(p for p in drawings.rglob("*") if p.is_file())
    assert len(files) == 22
    assert {p.suffix for p in files} == {".jpg", ".png"}
    opened = [Image.open(p) for p in files]
    assert all(picture.mode == "RGB" for picture in opened)
    assert len({picture.size for picture in opened}) == 22


def test_a_tree_is_drawn_once_and_mended(tmp_path):
    drawings = tmp_path / "drawings"
    place = creatures.tree(drawings, 2, 1)
    file = place / "test" / "dog" / "dog_000.jpg"
    before = file.stat().st_mtime_ns
    assert creatures.tree(drawings, 2, 1) == place
    assert file.stat().st_mtime_ns == before
    file.unlink()
    assert creatures.tree(drawings, 2, 1) == place
    assert file.is_file()
    assert sorted(p.name for p in drawings.iterdir()) == sorted([place.name, "creatures.lock"])


def test_drawings_of_an_older_version_go(tmp_path):
    drawings = tmp_path / "drawings"
    (drawings / "creatures-000000000000-2-1-0").mkdir(parents=True)
    place = creatures.tree(drawings, 2, 1)
    assert [p.name for p in drawings.iterdir() if p.is_dir()] == [place.name]


def test_two_at_once_draw_one_tree(tmp_path):
    drawings = tmp_path / "drawings"
    found = []
    threads = [threading.Thread(target=lambda: found.append(creatures.tree(drawings, 2, 1))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(list(found[0].rglob("*.*"))) == 6


@pytest.mark.parametrize("cache", [None, "file"])
def test_without_a_place_to_keep_them(cache, tmp_path):
    if cache is not None:  # a file stands where the folder should be: even root cannot write there
        (tmp_path / "file").write_text("")
        cache = tmp_path / "file" / "standins"
    place = creatures.tree(cache, 2, 1)
    assert tmp_path not in place.parents
    assert creatures.tree(cache, 2, 1) == place


def test_a_temporary_tree_goes_when_python_ends():
    program = "from helpers import creatures; print(creatures.tree(None, 1, 1))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert not Path(done.stdout.strip()).exists()


def test_a_damaged_drawing_in_the_cache(quick, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "standin")
    photos = data.cats_and_dogs()
    _cut(photos.train / "cat" / "cat_001.jpg")
    data._loaded.clear()
    again = data.cats_and_dogs()
    assert again.n_train == 6
    assert again.train != photos.train


def test_the_color_tells_little_about_the_kind():
    """The best threshold on any channel's mean must not separate them (networks: authoring/measure_standins.py)."""
    X, y = measure_standins.creature_tensors(60, 3, 32)
    means, y = X.mean((2, 3)).numpy(), y.numpy()
    for channel in means.T:
        shares = [((channel > cut) == y).mean() for cut in channel]
        assert max(*shares, 1 - min(shares)) < 0.68


def test_a_linear_model_stays_near_chance():
    model = measure_standins.creature_network("linear", *measure_standins.creature_tensors(60, 0, 32), seed=0)
    X, y = measure_standins.creature_tensors(60, 1000, 32)
    assert 0.35 < (model(X).argmax(1) == y).float().mean().item() < 0.67


# ---------------------------------------------------------------------------------------------- the benchmark of loaders

def test_the_loaders_of_the_benchmark_give_the_same_images():
    loaders = bench_loading.loaders(bench_loading.images(23), batch_size=7)
    assert list(loaders) == ["vectorized", "per sample", "per sample, ready tensors"]
    found = []
    for loader in loaders.values():
        batches = list(loader)
        assert [tuple(x.shape) for x, _ in batches] == [(7, 1, 28, 28)] * 3 + [(2, 1, 28, 28)]
        pairs = [(round(x.sum().item(), 2), int(label)) for xs, ys in batches for x, label in zip(xs, ys, strict=True)]
        found.append(sorted(pairs))
    assert found[0] == found[1] == found[2]


def test_the_benchmark_times_in_turn():
    lines = []
    rates = bench_loading.interleaved(bench_loading.loaders(bench_loading.images(50), 16), 2, lines.append)
    assert len(lines) == 2
    assert all(rate > 0 for rate in rates.values())
