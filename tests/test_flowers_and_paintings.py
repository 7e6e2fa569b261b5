"""Flowers and pictures for style transfer: whole folders, bad files, and what the course draws in their place."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import data, flowers, paintings


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty caches, a class's folder, no network, and nothing loaded yet."""
    folder = tmp_path / "class"
    folder.mkdir()
    monkeypatch.setattr(data, "_caches", lambda: [tmp_path / "cache"])
    monkeypatch.setattr(data, "_loaded", {})
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    for name in ("COURSE_DATA", "COURSE_PUBLISH", "COURSE_MODE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def put(path: Path, color, size=(40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def garden(folder: Path, each: int = 10) -> None:
    for label, kind in enumerate(data.FLOWER_CLASSES):
        for n in range(each):
            put(folder / "flower_photos" / kind / f"{n}.png", (40 * label, 10 * n, 0))


@pytest.fixture
def few(monkeypatch):
    """Few drawn flowers, so that a test takes no seconds."""
    monkeypatch.setattr(data, "FLOWERS_EACH", 10)


# --- The loader of flowers ---


def test_photographs_become_squares(places, capsys):
    garden(places)
    found = data.flowers(side=24)
    assert found.source == "folder"
    assert (found.train_images.shape, found.test_images.shape) == ((40, 24, 24, 3), (10, 24, 24, 3))
    assert found.train_images.dtype == np.uint8
    assert np.bincount(found.train_labels).tolist() == [8] * 5
    assert np.bincount(found.test_labels).tolist() == [2] * 5
    for images, labels in ((found.train_images, found.train_labels), (found.test_images, found.test_labels)):
        assert (images[:, 0, 0, 0] == 40 * labels).all()
    seen = {(label, image[0, 0, 1]) for images, labels in ((found.train_images, found.train_labels),
            (found.test_images, found.test_labels)) for image, label in zip(images, labels, strict=True)}
    assert len(seen) == 50, "no photograph is in both sets"
    assert "CC BY 2.0" in capsys.readouterr().out


def test_the_split_depends_on_names_only(places):
    garden(places)
    first = data.flowers(side=16)
    data._loaded.clear()
    for path in sorted((places / "flower_photos").rglob("*.png"), reverse=True):
        path.rename(path.with_name("." + path.name))  # another order on the disk
    for path in (places / "flower_photos").rglob(".*.png"):
        path.rename(path.with_name(path.name[1:]))
    second = data.flowers(side=16)
    assert np.array_equal(first.test_images, second.test_images)


def test_fast_mode_takes_a_part(places, monkeypatch, few):
    garden(places, 14)
    assert len(data.flowers(side=16).train_labels) == 40
    monkeypatch.setenv("COURSE_MODE", "full")
    assert len(data.flowers(side=16).train_labels) == 60


@pytest.mark.parametrize("spoil, says", [
    (lambda root: (root / "roses" / "3.png").write_bytes(b"<html>"), "roses/3.png"),
    (lambda root: [p.unlink() for p in (root / "tulips").glob("[0-6].png")], "at least 5"),
    (lambda root: [p.unlink() for p in (root / "daisy").iterdir()] and (root / "daisy").rmdir(), "daisy"),
])
def test_a_bad_folder_is_named_and_drawn_flowers_take_its_place(places, spoil, says, capsys, few):
    garden(places)
    spoil(places / "flower_photos")
    assert data.flowers(side=16).source == "standin"
    assert says in capsys.readouterr().out


@pytest.mark.parametrize("side", [8, 1000])
def test_an_absurd_side_is_refused(side):
    with pytest.raises(ValueError, match="16 to 512"):
        data.flowers(side=side)


def test_published_notebooks_show_drawings(places, monkeypatch, few):
    garden(places)
    monkeypatch.setenv("COURSE_PUBLISH", "1")
    assert data.flowers(side=16).source == "standin"


# --- Drawn flowers ---


def test_same_seed_same_flowers():
    first, second, other = flowers.flowers(2, 1, 32), flowers.flowers(2, 1, 32), flowers.flowers(2, 1, 32, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (10, 32, 32, 3)
    assert first[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_test_flowers_do_not_depend_on_the_number_for_training():
    assert np.array_equal(flowers.flowers(1, 2, 32)[2], flowers.flowers(3, 2, 32)[2])


def test_flowers_are_kept(tmp_path):
    drawn = flowers.flowers(1, 1, 32, cache=tmp_path)
    (kept,) = tmp_path.glob("flowers-*.npz")
    stamp = kept.stat().st_mtime_ns
    assert np.array_equal(flowers.flowers(1, 1, 32, cache=tmp_path)[0], drawn[0])
    assert kept.stat().st_mtime_ns == stamp
    kept.write_bytes(b"cut off")
    assert np.array_equal(flowers.flowers(1, 1, 32, cache=tmp_path)[0], drawn[0])


@pytest.mark.parametrize("kind", flowers.CLASSES)
def test_the_mask_is_where_the_blossom_stands(kind):
    picture, mask = flowers.draw_flower(kind, 96, np.random.default_rng(3), middle=(0.3, 0.6), radius=0.2)
    assert picture.shape == (96, 96, 3) and mask.shape == (96, 96) and mask.dtype == bool
    rows, columns = np.nonzero(mask)
    assert abs(columns.mean() / 96 - 0.3) < 0.06
    assert abs(rows.mean() / 96 - 0.6) < 0.08
    assert 0.02 < mask.mean() < 0.14


def test_two_flowers_have_a_mask_each():
    picture, left, right = flowers.draw_two(("tulips", "daisy"), 96, np.random.default_rng(0))
    assert picture.shape == (96, 96, 3)
    assert not (left & right).any()
    assert np.nonzero(left)[1].mean() < 40 < 56 < np.nonzero(right)[1].mean()


def test_masked_flowers():
    images, labels, masks = flowers.masked(2, side=48)
    assert images.shape == (10, 48, 48, 3) and masks.shape == (10, 48, 48)
    assert all(0.02 < mask.mean() < 0.6 for mask in masks)
    assert labels.tolist() == sorted(labels.tolist())


@pytest.mark.parametrize("kind", flowers.PATTERNS)
def test_each_pattern_has_two_colors(kind):
    cloth = flowers._cloth(kind, 64, 20, 0.4, np.random.default_rng(1))
    colors, counts = np.unique(cloth.reshape(-1, 3), axis=0, return_counts=True)
    assert len(colors) == 2
    assert counts.min() > 400


# --- Style pictures ---


def everything(folder: Path) -> None:
    for n, file in enumerate(data.PUBLISHED_PICTURES):
        put(folder / file, (30 * n, 0, 0), size=(60, 40 + n))


def test_pictures_by_name(places, capsys):
    everything(places)
    found = data.style_pictures()
    assert list(found.contents) == ["chelsea", "coffee", "rocket"]
    assert list(found.styles)[:2] == ["starry_night", "wave"]
    assert found.styles["wave"].shape == (44, 60, 3)
    assert "starry_night" in capsys.readouterr().out
    assert data.style_pictures(longest=30).styles["wave"].shape == (22, 30, 3)


def test_a_changed_array_changes_nothing_for_others(places):
    everything(places)
    data.style_pictures().contents["coffee"][:] = 7
    assert data.style_pictures().contents["coffee"][0, 0].tolist() == [30, 0, 0]


def test_a_damaged_picture_is_named(places, capsys):
    everything(places)
    (places / "style_transfer/style/wave.jpg").write_bytes(b"\xff\xd8 cut off")
    assert data.style_pictures(longest=40).source == "standin"
    assert "wave.jpg" in capsys.readouterr().out


def test_pictures_are_downloaded_once(tmp_path, places, monkeypatch):
    """From addresses that answer with the right bytes; the second time nobody asks."""
    asked = []
    whole = tmp_path / "web"
    everything(whole)

    def fetch(addresses, target, size, md5, title, **_):
        asked.append(addresses[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((whole / target.relative_to(tmp_path / "cache")).read_bytes())
        return target

    (tmp_path / "cache").mkdir()
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setattr(data, "fetch", fetch)
    assert data.style_pictures().source == "download"
    data._loaded.clear()
    assert data.style_pictures().source == "cache"
    assert len(asked) == 7
    assert all("/main/" not in address and "/master/" not in address for address in asked), "pinned commits only"


def test_what_is_published_has_size_and_md5():
    for file, (address, md5, size) in data.PUBLISHED_PICTURES.items():
        assert address.endswith(Path(file).name)
        assert len(md5) == len(hashlib.md5(b"").hexdigest())
        assert size > 50_000


@pytest.mark.parametrize("draw", [*paintings.STYLES.values(), *paintings.CONTENTS.values()])
def test_drawings(draw):
    picture = draw()
    assert picture.shape == (300, 400, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, draw())
    assert picture.std() > 30, "it is a picture, not a plain sheet"


def test_the_stand_in_is_scaled(places):
    found = data.style_pictures(longest=128)
    assert list(found.contents) == ["portrait", "cup"]
    assert all(picture.shape == (96, 128, 3) for picture in (*found.contents.values(), *found.styles.values()))
