"""The stand-ins: form, repeatability, cache, and how hard the digits are for a linear layer."""

import numpy as np
import pytest

from helpers import standins


@pytest.fixture(scope="module")
def drawn():
    return standins.digits(2000, 1000, seed=0)


def test_form(drawn):
    X, y, X_test, y_test = drawn
    assert X.shape == (2000, 28, 28) and X.dtype == np.uint8
    assert X_test.shape == (1000, 28, 28) and X_test.dtype == np.uint8
    assert y.shape == (2000,) and y.dtype == np.int64 and y_test.dtype == np.int64
    assert np.bincount(y, minlength=10).min() > 150 and set(y_test) == set(range(10))


def test_looks_like_mnist(drawn):
    X = drawn[0] / 255
    assert abs(X.mean() - 0.131) < 0.01 and abs(X.std() - 0.308) < 0.015  # MNIST: 0.1307 and 0.3081
    assert (X[:, 0] == 0).mean() > 0.98 and (
        X[:, :, 0] == 0
    ).mean() > 0.98  # a margin around the box of 20 x 20
    assert X.max(axis=(1, 2)).min() > 0.9
    grid = np.arange(28)
    mass = X.sum(axis=(1, 2))
    for axis in (1, 2):
        center = (X.sum(axis=axis) * grid).sum(axis=1) / mass
        assert abs(center.mean() - 14) < 0.2 and np.abs(center - 14).max() < 3
    inked = X > 0.3
    height = [np.ptp(np.flatnonzero(image.any(axis=1))) + 1 for image in inked]
    width = [np.ptp(np.flatnonzero(image.any(axis=0))) + 1 for image in inked]
    longer = np.maximum(height, width)
    assert longer.min() >= 16 and longer.max() <= 22


def test_no_two_alike(drawn):
    flat = drawn[0].reshape(len(drawn[0]), -1)
    assert len(np.unique(flat, axis=0)) == len(flat)
    test = drawn[2].reshape(len(drawn[2]), -1)
    assert len(np.unique(np.concatenate([flat, test]), axis=0)) == len(flat) + len(test)


def test_same_seed_same_digits():
    a, b, c = standins.digits(40, 20, 3), standins.digits(40, 20, 3), standins.digits(40, 20, 4)
    assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))
    assert not np.array_equal(a[0], c[0]) and not np.array_equal(a[2], c[2])
    more = standins.digits(60, 20, 3)
    assert np.array_equal(more[2], a[2]) and np.array_equal(more[3], a[3])  # the test set stands on its own


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    standins.digits(20, 5)
    standins.points()
    assert np.array_equal(np.random.get_state()[1], before)


def test_linear_classifier_lands_where_it_does_on_real_digits(drawn):
    X, y, X_test, y_test = drawn
    X, X_test = X.reshape(2000, -1) / 255, X_test.reshape(1000, -1) / 255
    W, b = np.zeros((10, 784)), np.zeros(10)
    for _ in range(3):
        for x, right in zip(X, y, strict=True):
            winner = np.argmax(W @ x + b)
            if winner != right:
                W[right] += x
                W[winner] -= x
                b[right] += 1
                b[winner] -= 1
    accuracy = (np.argmax(X_test @ W.T + b, axis=1) == y_test).mean()
    assert 0.80 <= accuracy <= 0.97


def test_every_style_can_be_drawn():
    rng = np.random.default_rng(0)
    for digit, styles in standins.STYLES.items():
        assert len(styles) >= 5 and all(weight > 0 for weight, _ in styles), digit
        for _, strokes in styles:
            images = standins._draw(strokes, 3, rng)
            assert (images.reshape(3, -1).max(axis=1) > 200).all()
    assert sorted(standins.STYLES) == list(range(10))


def test_spline_goes_through_its_points():
    stroke = [(0.0, 0.0), (0.5, 0.2), (0.3, 0.9)]
    curve = standins._spline(stroke) @ np.array(stroke)
    for point in stroke:
        assert np.abs(curve - point).sum(axis=1).min() < 1e-12
    assert np.hypot(*np.diff(curve, axis=0).T).max() < 1.2 / standins.BOX


def test_draw_digits_follows_the_labels():
    labels = np.array([7, 0, 7, 1])
    images = standins.draw_digits(labels, np.random.default_rng(1))
    assert images.shape == (4, 28, 28)
    assert standins.draw_digits(np.array([], int), np.random.default_rng(1)).shape == (0, 28, 28)
    ink = [standins.draw_digits(np.full(50, digit), np.random.default_rng(1)).mean() for digit in (0, 1)]
    assert ink[0] > 1.5 * ink[1]  # a ring takes more ink than a line


@pytest.mark.parametrize("labels", [[10], [-1], [[1, 2]], [0.5]])
def test_bad_labels(labels):
    with pytest.raises(ValueError, match="digits from 0 to 9"):
        standins.draw_digits(np.array(labels), np.random.default_rng(0))


def test_bad_size():
    with pytest.raises(ValueError, match="negative"):
        standins.digits(-1, 10)


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def test_cache_is_used_and_holds_one_file(tmp_path, monkeypatch):
    first = standins.digits(30, 10, 0, cache=tmp_path / "new")
    assert [p.suffix for p in (tmp_path / "new").iterdir()] == [".npz"]
    monkeypatch.setattr(standins, "draw_digits", lambda *_: pytest.fail("the cache has them"))
    assert same(standins.digits(30, 10, 0, cache=tmp_path / "new"), first)


def test_cache_of_older_drawings_is_cleared(tmp_path):
    (tmp_path / "digits-000000000000-30-10-0.npz").write_bytes(b"old")
    standins.digits(30, 10, 0, cache=tmp_path)
    standins.digits(20, 10, 0, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert not (tmp_path / "digits-000000000000-30-10-0.npz").exists()


@pytest.mark.parametrize(
    "damage", ["empty", "text", "cut", "flipped", "other arrays", "other shape", "folder"]
)
def test_damaged_cache_is_replaced(tmp_path, damage):
    fresh = standins.digits(30, 10, 0, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    raw = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("<html>", encoding="utf-8")
    elif damage == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif damage == "flipped":
        path.write_bytes(raw[:500] + bytes(255 - b for b in raw[500:900]) + raw[900:])
    elif damage == "other arrays":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(3))
    elif damage == "other shape":
        with path.open("wb") as file:
            np.savez(file, **dict(zip(standins.NAMES, standins.digits(5, 5), strict=True)))
    else:
        path.unlink()
        path.mkdir()
    assert same(standins.digits(30, 10, 0, cache=tmp_path), fresh)
    if damage != "folder":
        assert standins._read(path, 30, 10) is not None
    assert len(list(tmp_path.iterdir())) == 1  # nothing half-written is left


def test_unwritable_cache_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert same(standins.digits(30, 10, 0, cache=tmp_path / "file"), standins.digits(30, 10, 0))


# --- garments ---


@pytest.fixture(scope="module")
def sewn():
    return standins.garments(2000, 1000, seed=0)


def test_garments_have_the_form_of_fashion_mnist(sewn):
    X, y, X_test, y_test = sewn
    assert X.shape == (2000, 28, 28) and X.dtype == X_test.dtype == np.uint8 and X_test.shape == (1000, 28, 28)
    assert y.dtype == y_test.dtype == np.int64
    assert np.bincount(y, minlength=10).min() > 150 and set(y_test) == set(range(10))
    assert 0.15 < X.mean() / 255 < 0.3 and 0.25 < X.std() / 255 < 0.4  # Fashion-MNIST: 0.2860 and 0.3530
    cloth = (X > 20).mean(axis=(1, 2))
    assert cloth.min() > 0.03 and cloth.max() < 0.9
    assert len(np.unique(np.concatenate([X, X_test]).reshape(3000, -1), axis=0)) == 3000


def test_same_seed_same_garments():
    a, b, c = standins.garments(40, 20, 3), standins.garments(40, 20, 3), standins.garments(40, 20, 4)
    assert same(a, b) and not np.array_equal(a[0], c[0])
    more = standins.garments(60, 20, 3)
    assert np.array_equal(more[2], a[2]) and np.array_equal(more[3], a[3])
    before = np.random.get_state()[1].copy()
    standins.garments(20, 5)
    assert np.array_equal(np.random.get_state()[1], before)


def test_every_cut_can_be_sewn():
    rng = np.random.default_rng(0)
    assert sorted(standins.GARMENTS) == list(range(10))
    for kind, cuts in standins.GARMENTS.items():
        assert len(cuts) >= 3 and all(weight > 0 for weight, _ in cuts), kind
        for _, parts in cuts:
            shade = standins._sew(parts, 3, rng)
            assert shade.shape == (3, 28, 28) and shade.min() >= 0 and 0.9 < shade.max() <= 1.31
            assert ((shade > 0.5).mean(axis=(1, 2)) > 0.02).all()


def test_garments_follow_the_labels():
    images = standins.draw_garments(np.array([7, 0, 7, 1]), np.random.default_rng(1))
    assert images.shape == (4, 28, 28)
    cloth = [(standins.draw_garments(np.full(50, kind), np.random.default_rng(1)) > 20).mean() for kind in (2, 5)]
    assert cloth[0] > 2 * cloth[1]  # a pullover takes more cloth than a sandal
    for labels in ([10], [-1], [[1, 2]], [0.5]):
        with pytest.raises(ValueError, match="kinds of garment"):
            standins.draw_garments(np.array(labels), np.random.default_rng(0))
    with pytest.raises(ValueError, match="negative"):
        standins.garments(-1, 10)


def test_one_linear_layer_is_neither_hopeless_on_garments_nor_enough(sewn):
    X, y, X_test, y_test = sewn
    X, X_test = X.reshape(2000, -1) / 255, X_test.reshape(1000, -1) / 255
    A, B = (np.hstack([a, np.ones((len(a), 1))]) for a in (X, X_test))
    W = np.linalg.solve(A.T @ A + 30 * np.eye(785), A.T @ np.eye(10)[y])  # ridge regression to one-hot labels
    assert 0.65 <= ((B @ W).argmax(axis=1) == y_test).mean() <= 0.85


def test_garments_and_digits_share_a_cache_in_peace(tmp_path):
    first, digits = standins.garments(30, 10, 0, cache=tmp_path), standins.digits(30, 10, 0, cache=tmp_path)
    (tmp_path / "garments-000000000000-30-10-0.npz").write_bytes(b"old")
    assert len(list(tmp_path.iterdir())) == 3
    standins.garments(20, 10, 0, cache=tmp_path)
    assert not (tmp_path / "garments-000000000000-30-10-0.npz").exists() and len(list(tmp_path.iterdir())) == 3
    assert same(standins.garments(30, 10, 0, cache=tmp_path), first)
    assert same(standins.digits(30, 10, 0, cache=tmp_path), digits)


def test_points():
    X, y = standins.points()
    assert X.shape == (100, 2) and X.dtype == np.float64 and X.min() >= 0 and X.max() <= 1
    assert y.dtype == np.int64 and y[:50].all() and not y[50:].any()
    w, b = np.zeros(2), 0.0  # separable: the perceptron algorithm ends
    for _ in range(200):
        errors = 0
        for x, right in zip(X, y, strict=True):
            error = right - int(x @ w + b >= 0)
            w, b, errors = w + error * x, b + error, errors + abs(error)
        if errors == 0:
            break
    assert errors == 0


def test_admissions():
    gre, gpa, rank, admit = standins.admissions()
    assert gre.dtype == gpa.dtype == np.float64 and rank.dtype == admit.dtype == np.int64
    assert np.bincount(rank).tolist() == [0, 61, 151, 121, 67] and admit.sum() == 127 and set(admit) == {0, 1}
    assert gre.min() >= 220 and gre.max() <= 800 and not (gre % 20).any()
    assert gpa.min() >= 2.26 and gpa.max() <= 4.0
    assert 0.25 < np.corrcoef(gre, gpa)[0, 1] < 0.5
    by_rank = [admit[rank == r].mean() for r in (1, 2, 3, 4)]
    assert np.allclose(by_rank, [0.525, 0.384, 0.240, 0.119], atol=0.001)  # better schools, more admissions
