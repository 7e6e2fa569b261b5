"""CIFAR-10 in its forms, its stand-in, and the benchmark and the training script of lesson 10."""

from __future__ import annotations

import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from helpers import data, downloads, scenes, standins


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A course without data: no folder, an empty cache, no network, and nothing in memory."""
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.delenv("COURSE_PUBLISH", raising=False)
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setenv("COURSE_MODE", "fast")
    monkeypatch.setattr(data, "_caches", lambda: [tmp_path / "cache"])
    monkeypatch.setattr(data, "_loaded", {})
    monkeypatch.setattr(data, "used", {})
    folder = tmp_path / "class"
    folder.mkdir()
    return folder


def _rows(n: int, seed: int):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3072), dtype=np.uint8), rng.integers(0, 10, n).tolist()


def _batch(path, n: int, seed: int, keys=str, protocol: int = 2):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels, labels = _rows(n, seed)
    content = {"data": pixels, "labels": labels, "batch_label": b"a batch"}
    content = {key.encode() if keys is bytes else key: value for key, value in content.items()}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return pixels, labels


def _jpegs(path, per_class: int = 3, tests: int = 2):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    with tarfile.open(path, "w:gz") as tar:
        for part, count in (("train", per_class), ("test", tests)):
            for label, name in enumerate(data.CIFAR_CLASSES):
                for n in rng.permutation(count):
                    raw = io.BytesIO()
                    Image.new("RGB", (32, 32), (20 * label, 10 * int(n), 100)).save(raw, "jpeg")
                    info = tarfile.TarInfo(f"{part}/{name}/{n:04d}.jpg")
                    info.size = len(raw.getvalue())
                    tar.addfile(info, io.BytesIO(raw.getvalue()))
    return path


# ---------------------------------------------------------------------------------------------- forms

@pytest.mark.parametrize("keys", [str, bytes])
@pytest.mark.parametrize("protocol", [2, 4])
def test_the_published_batches(house, monkeypatch, capsys, keys, protocol):
    parts = [_batch(house / data.CIFAR_BATCHES / f"data_batch_{n}", 10 + n, n, keys, protocol) for n in range(1, 6)]
    _batch(house / data.CIFAR_BATCHES / "test_batch", 7, 9, keys, protocol)
    monkeypatch.setenv("COURSE_DATA_DIR", str(house))
    found = data.cifar10()
    assert found.source == "folder"
    assert found.train_images.shape == (65, 32, 32, 3) and found.test_images.shape == (7, 32, 32, 3)
    assert found.train_images.dtype == np.uint8 and found.train_labels.dtype == np.int64
    assert found.train_labels.tolist() == [label for _, labels in parts for label in labels]
    plane = parts[0][0][4].reshape(3, 32, 32)
    assert (found.train_images[4] == np.stack(list(plane), axis=-1)).all()
    assert "65 training and 7 test images" in capsys.readouterr().out
    few = data.cifar10((12, 3))
    assert len(few.train_images) == 12 and len(few.test_labels) == 3


def test_one_batch_of_a_part_will_do(house, monkeypatch, capsys):
    _batch(house / data.CIFAR_SUBSET / "data_batch_1", 40, 1)
    _batch(house / data.CIFAR_SUBSET / "test_batch", 10, 2)
    monkeypatch.setenv("COURSE_DATA_DIR", str(house))
    monkeypatch.setenv("COURSE_MODE", "full")
    found = data.cifar10()
    assert found.source == "folder" and len(found.train_images) == 40
    assert "40 training and 10 test images" in capsys.readouterr().out
    assert dict(row[:2] for row in data.sources())["cifar10"] == "your folder"


def test_the_cheapest_form_that_is_large_enough(house, monkeypatch):
    _batch(house / data.CIFAR_SUBSET / "data_batch_1", 40, 1)
    _batch(house / data.CIFAR_SUBSET / "test_batch", 10, 2)
    _jpegs(house / data.CIFAR_JPEG)
    monkeypatch.setenv("COURSE_DATA_DIR", str(house))
    assert len(data.cifar10().train_images) == 40
    assert len(data.cifar10((5_000, 10)).train_images) == 30


def test_jpeg_files(house, monkeypatch):
    _jpegs(house / data.CIFAR_JPEG)
    monkeypatch.setenv("COURSE_DATA_DIR", str(house))
    found = data.cifar10((20, 20))
    assert found.train_images.shape == (20, 32, 32, 3) and found.test_images.shape == (20, 32, 32, 3)
    assert np.bincount(found.train_labels).tolist() == [2] * 10
    assert found.train_labels.tolist() != sorted(found.train_labels.tolist())
    for image, label in zip(found.train_images, found.train_labels, strict=True):
        assert abs(int(image[..., 0].mean()) - 20 * label) <= 3  # each picture kept its label
    assert (data.cifar10((20, 20)).train_images == found.train_images).all()


def test_decoded_jpeg_files_are_kept(house, monkeypatch, tmp_path):
    archive = _jpegs(house / data.CIFAR_JPEG)
    decoded = (np.full((50_000, 32, 32, 3), 7, np.uint8), np.arange(50_000) % 10,
               np.full((10_000, 32, 32, 3), 9, np.uint8), np.arange(10_000) % 10)
    calls = []
    monkeypatch.setattr(data, "_decode_jpegs", lambda *_: calls.append(1) or decoded)
    written = {}
    monkeypatch.setattr(standins, "_write", lambda path, arrays: written.update({str(path): arrays}))
    monkeypatch.setattr(scenes, "read", lambda path, *_: written.get(str(path)))
    (tmp_path / "cache").mkdir()
    for _ in range(2):
        images, labels, *_ = data._read_jpeg_archive(archive, (50_000, 10_000))
    assert calls == [1] and len(written) == 1 and images.shape == (50_000, 32, 32, 3)
    assert np.bincount(labels).tolist() == [5_000] * 10


# ---------------------------------------------------------------------------------------------- trouble

class _Harmful:
    def __reduce__(self):
        return os.system, ("echo harmful > harmful.txt",)


@pytest.mark.parametrize(("content", "words"), [
    (pickle.dumps({"data": _Harmful()}), "no part of a data set"),
    (pickle.dumps([1, 2]), "not a batch"),
    (b"<!doctype html>", "not a batch"),
    (pickle.dumps({"data": np.zeros((2, 3072), np.float32), "labels": [1, 2]}), "3,072 bytes"),
    (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}), "with a label each"),
    (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}), "other than 0 to 9"),
    (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 2]})[:-900], "not a batch"),
])
def test_a_file_that_is_no_batch_is_named_and_runs_nothing(house, monkeypatch, capsys, tmp_path, content, words):
    monkeypatch.chdir(tmp_path)
    place = house / data.CIFAR_BATCHES
    place.mkdir()
    (place / "data_batch_1").write_bytes(content)
    _batch(place / "test_batch", 4, 2)
    monkeypatch.setenv("COURSE_DATA_DIR", str(house))
    found = data.cifar10((30, 20))
    assert found.source == "standin" and len(found.train_images) == 30
    said = capsys.readouterr().out
    assert words in said and "data_batch_1" in said
    assert not (tmp_path / "harmful.txt").exists()


def test_a_folder_without_batches_and_a_damaged_archive(house, monkeypatch, capsys):
    (house / data.CIFAR_BATCHES).mkdir()
    monkeypatch.setenv("COURSE_DATA_DIR", str(house))
    assert data.cifar10((30, 20)).source == "standin"
    assert "has no data_batch_1" in capsys.readouterr().out
    (house / data.CIFAR_BATCHES).rmdir()
    (house / "cifar10_jpeg").mkdir()
    (house / data.CIFAR_JPEG).write_bytes(b"no archive")
    data._loaded.clear()
    assert data.cifar10((30, 20)).source == "standin"
    assert "damaged or no archive" in capsys.readouterr().out


def test_the_download_is_unpacked_and_asked_for(house, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("COURSE_OFFLINE")
    inside = tmp_path / "published"
    for n in range(1, 6):
        _batch(inside / data.CIFAR_BATCHES / f"data_batch_{n}", 4, n)
    _batch(inside / data.CIFAR_BATCHES / "test_batch", 3, 9)
    asked = []

    def fetch(addresses, target, *, size, md5, title, yes):
        asked.append((addresses, md5, yes))
        if not downloads.agreed(title, size / 1e6, yes):
            raise data.Unusable("no consent")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(target, "w:gz") as tar:
            tar.add(inside / data.CIFAR_BATCHES, data.CIFAR_BATCHES)
        return target

    monkeypatch.setattr(data, "fetch", fetch)
    monkeypatch.delenv("COURSE_ALLOW_LARGE", raising=False)
    assert data.cifar10((9, 3)).source == "standin"
    assert "COURSE_ALLOW_LARGE" in capsys.readouterr().out and asked[0][1] == "c58f30108f718f92721af3b95e74349a"
    data._loaded.clear()
    monkeypatch.setenv("COURSE_ALLOW_LARGE", "1")
    found = data.cifar10((9, 3))
    assert found.source == "download" and len(found.train_images) == 9
    left = sorted(p.name for p in (tmp_path / "cache").iterdir() if not p.name.endswith(".lock"))
    assert left in ([data.CIFAR_BATCHES], [data.CIFAR_BATCHES, "standins"])
    data._loaded.clear()
    assert data.cifar10((9, 3)).source == "cache" and len(asked) == 2
    assert data.main(["get", "cifar10"]) == 0 and "in the cache already" in capsys.readouterr().out


def test_its_pictures_are_never_published(house, monkeypatch):
    _batch(house / data.CIFAR_BATCHES / "data_batch_1", 40, 1)
    _batch(house / data.CIFAR_BATCHES / "test_batch", 10, 2)
    monkeypatch.setenv("COURSE_DATA_DIR", str(house))
    monkeypatch.setenv("COURSE_PUBLISH", "1")
    assert data.cifar10((30, 10)).source == "standin" and data.used == {"cifar10": "standin"}


# ---------------------------------------------------------------------------------------------- the stand-in

def test_scenes_have_the_form_of_cifar():
    images, labels, test_images, test_labels = scenes.scenes(300, 100)
    assert images.shape == (300, 32, 32, 3) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert test_images.shape == (100, 32, 32, 3) and set(labels) == set(range(10))
    assert (scenes.scenes(300, 100)[0] == images).all() and (scenes.scenes(50, 100)[2] == test_images).all()
    assert (scenes.scenes(300, 100, seed=1)[0] != images).any()
    assert images.std() > 30 and len({image.tobytes() for image in images}) == 300
    assert scenes.CLASSES == data.CIFAR_CLASSES and [scenes.kind(c) for c in scenes.CLASSES].count("vehicle") == 4


def test_scenes_are_kept_and_a_damaged_file_is_replaced(tmp_path):
    first = scenes.scenes(60, 20, cache=tmp_path)
    (file,) = tmp_path.glob("scenes-*.npz")
    file.write_bytes(file.read_bytes()[:100])
    (tmp_path / "scenes-old-60-20-0.npz").write_bytes(b"old")
    again = scenes.scenes(60, 20, cache=tmp_path)
    assert (first[0] == again[0]).all() and list(tmp_path.glob("scenes-*.npz")) == [file] and file.stat().st_size > 10_000
    assert scenes.read(file, 61, 20) is None and scenes.read(tmp_path / "none.npz", 60, 20) is None


def test_scenes_refuse_what_cannot_be_drawn(tmp_path):
    with pytest.raises(ValueError, match="negative"):
        scenes.scenes(-1, 2)
    with pytest.raises(ValueError, match="0 to 9"):
        scenes.draw_scenes(np.array([10]), np.random.default_rng(0))
    (tmp_path / "file").write_text("in the way")
    assert len(scenes.scenes(5, 2, cache=tmp_path / "file" / "below")[0]) == 5


# ---------------------------------------------------------------------------------------------- the benchmark

@pytest.fixture
def few_digits():
    return data.Images(*standins.digits(600, 20), "few digits", "standin", "")


def test_the_benchmark_gives_all_recipes_the_same_images(few_digits):
    import torch

    from authoring import bench_cnns

    old, new = bench_cnns.classic(few_digits, 0), bench_cnns.ours(few_digits, 0)
    images, labels = zip(*(old.loader.dataset[i] for i in range(600)), strict=True)
    assert torch.allclose(torch.stack(images), new.loader.dataset.tensors[0])
    assert list(labels) == few_digits.train_labels.tolist() and (len(old.loader), len(new.loader)) == (10, 5)
    assert old.model[0].weight.equal(new.model[0].weight)  # the same start
    assert [sum(p.numel() for p in bench_cnns.ours(few_digits, 0, name).model.parameters()) for name in bench_cnns.OURS] == [
        93_322, 93_482]
    assert new.scheduler.total_steps == 10 and len(bench_cnns.classic(few_digits, 0, per_image=False).loader) == 10


def test_the_benchmark_times_all_recipes_in_turn(few_digits):
    from authoring import bench_cnns

    lines = []
    seconds = bench_cnns.interleaved(few_digits, 2, lines.append)
    assert list(seconds) == ["classic", "plain", "batchnorm"] and min(seconds.values()) > 0 and len(lines) == 2
    epochs = {"classic": {0: 6, 1: 4}, "plain": {0: 2, 1: 2}}
    assert bench_cnns.ratios(epochs, {"classic": 3.0, "plain": 1.5}, "plain") == {0: 6.0, 1: 4.0}
    spent = bench_cnns.parts(few_digits)
    assert set(spent) == {"cutting batches", "forward", "backward", "optimizer"} and sum(spent.values()) > 0
    assert 0 <= bench_cnns.accuracy(bench_cnns.ours(few_digits, 0), few_digits) <= 1
    for recorded in bench_cnns.RECORDED.values():
        assert set(recorded) == set(bench_cnns.RECORDED["classic"])


# ---------------------------------------------------------------------------------------------- the training script

def test_the_networks_of_the_training_script_have_the_sizes_of_the_lesson():
    from authoring import train_cnns

    sizes = {name: sum(p.numel() for p in recipe.make().parameters()) for name, recipe in train_cnns.RECIPES.items()}
    assert sizes == {"mnist": 93_322, "batchnorm": 93_482, "cifar": 541_094, "residual": 696_618}
    assert sum(p.numel() for p in train_cnns.Block(16, 32, 2).parameters()) == 14_528


def test_augmented_pictures_are_crops_of_the_padded_one():
    import torch
    import torch.nn.functional as F

    from authoring import train_cnns

    x = torch.arange(2 * 3 * 6 * 5, dtype=torch.float32).view(2, 3, 6, 5)
    generator = torch.Generator().manual_seed(1)
    out = train_cnns.augmented(x, 2, generator)
    assert out.shape == x.shape
    for picture, new in zip(x, out, strict=True):
        crops = [F.pad(source[None], (2,) * 4, mode="reflect")[0, :, top:top + 6, left:left + 5]
                 for source in (picture, picture.flip(-1)) for top in range(5) for left in range(5)]
        assert sum(torch.equal(crop, new) for crop in crops) == 1


def test_a_training_that_was_cut_off_goes_on(tmp_path, house, monkeypatch):
    import torch

    from authoring import train_cnns

    cpu = torch.device("cpu")
    sets = train_cnns.load("cifar10", cpu, (60, 20), validation=20)
    assert sets.train[0].shape == (40, 3, 32, 32) and sets.source == "standin"
    (tmp_path / "a").mkdir()
    whole = train_cnns.train("cifar", 0, 2, sets, cpu, tmp_path / "a", say=lambda _: None)
    save, calls = train_cnns._save, []

    def cut(state, path):
        save(state, path)
        calls.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_cnns, "_save", cut)
    with pytest.raises(KeyboardInterrupt):
        train_cnns.train("cifar", 0, 2, sets, cpu, tmp_path, say=lambda _: None)
    monkeypatch.setattr(train_cnns, "_save", save)
    lines = []
    later = train_cnns.train("cifar", 0, 2, sets, cpu, tmp_path, say=lines.append)
    assert "goes on after epoch 1" in lines[0] and len(later["history"]) == 2
    assert all(torch.equal(whole["model"][name], later["model"][name]) for name in whole["model"])
    with pytest.raises(SystemExit, match="belongs to a run"):
        train_cnns.train("cifar", 0, 3, sets, cpu, tmp_path)
    line = train_cnns.summary("cifar", {0: later}, "stand-in")
    assert line.startswith("✗ cifar: 541,094 parameters, 40 images (stand-in), 2 epochs")
