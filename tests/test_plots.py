"""Figures: alt text, axes in one style, lines of every direction."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from helpers import plots


def test_show_stores_the_alt_text_and_prints_it(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda *args, **kwargs: shown.append((args, kwargs)))
    fig, ax = plots.figure()
    plots.show(fig, "Nothing at all.")
    (data,), options = shown[0]
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "Nothing at all."
    assert options["metadata"] == {"image/png": {"alt": "Nothing at all."}}
    assert shown[1][0][0].data == "*Nothing at all.*"


def test_show_refuses_a_figure_without_words():
    fig, ax = plots.figure()
    with pytest.raises(ValueError, match="alt="):
        plots.show(fig, "  ")


def test_the_same_figure_gives_the_same_bytes():
    def draw():
        fig, ax = plots.figure(size=(2, 2))
        plots.classes(ax, np.array([[0.0, 1], [1, 0]]), np.array([0, 1]))
        plots.legend(ax, outside=True)
        return plots.png(fig)

    assert draw() == draw()


def test_fewer_colors_take_fewer_bytes():
    import io

    from PIL import Image

    fig, ax = plots.figure(size=(2, 2))
    ax.imshow(np.random.default_rng(0).random((90, 90, 3)))
    many, few = plots.png(fig), plots.png(fig, colors=16)
    assert len(few) < len(many)
    assert len(Image.open(io.BytesIO(few)).getcolors()) <= 16


@pytest.mark.parametrize(("w", "b"), [((2, 1), -1), ((1, 3), -1), ((0, 1), -0.5), ((1, 0), -0.25), ((-1, 2), 0.1)])
def test_a_line_is_where_the_score_is_0_and_leaves_the_view_alone(w, b):
    fig, ax = plots.figure()
    ax.set(xlim=(0, 2), ylim=(-1, 1))
    plots.line(ax, w, b)
    xs, ys = ax.lines[0].get_data()
    assert np.allclose(w[0] * xs + w[1] * ys + b, 0)
    assert len(set(zip(xs, ys, strict=True))) == 2
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 2), (-1, 1))


def test_no_weights_no_line():
    fig, ax = plots.figure()
    plots.line(ax, (0, 0), 1)
    assert not ax.lines


def test_sides_and_classes_take_any_labels():
    fig, ax = plots.figure()
    ax.set(xlim=(0, 2), ylim=(-1, 1))
    plots.classes(ax, np.zeros((0, 2)), np.zeros(0))
    plots.classes(ax, np.ones((3, 2)), np.ones(3, int))
    for w, b in (((1, 1), 0), ((0, 0), 1), ((0, 0), -1)):
        plots.sides(ax, w, b)
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 2), (-1, 1))
    assert plots.png(fig)


def test_images_has_a_place_for_each_and_centers_diverging_colors():
    fig = plots.images(np.arange(7 * 4).reshape(7, 2, 2) - 5.0, [str(n) for n in range(7)], columns=3, diverging=True)
    pictures = [ax.images[0] for ax in fig.axes if ax.images]
    assert len(fig.axes) == 9 and len(pictures) == 7
    assert pictures[0].get_clim() == (-22, 22)
    assert fig.axes[0].get_title() == "0"
    assert plots.png(plots.images(np.zeros((1, 3, 3)), diverging=True))


def test_numbers_have_a_true_minus():
    assert [plots.number(v) for v in (-18.0, 0.894427, 2)] == ["−18", "0.894427", "2"]
    assert plots.number(-3.57771, 3) == "−3.58"


def test_matplotlib_is_loaded_only_when_something_is_drawn():
    program = "import sys; import helpers.plots, helpers.widgets; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
