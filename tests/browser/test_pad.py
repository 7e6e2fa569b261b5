"""The drawing pad in a running JupyterLab: mouse, finger and keyboard draw, the prediction follows, all without a network."""

from __future__ import annotations

import math
import time

import pytest

# A network without training: ten templates, each the mean of a hundred drawn digits, so it is quick and always alike.
SETUP = """
import numpy as np, torch
from helpers import standins
from helpers.lessons import mnist_mlp as lesson
labels = np.repeat(np.arange(10), 100)
images = torch.tensor(standins.draw_digits(labels, np.random.default_rng(0)))
preprocess, to_mnist_style = lesson.preprocess.use(...), lesson.to_mnist_style.use(...)
means = preprocess(images).view(10, 100, 784).mean(1)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
with torch.no_grad():
    model[1].weight.copy_(means / 30)
    model[1].bias.copy_(-(means**2).sum(1) / 60)
"""
DRAW = "lesson.digit_pad(model, to_mnist_style)"
START = "Draw a digit"


@pytest.fixture(scope="module", params=["lesson06"])  # the name by which `course.py test --only 06` finds these tests
def page(lab, chromium):
    """The notebook with its cells run and the pad on the screen; page.outside lists requests to anywhere else."""
    lab.write("pad", SETUP.strip(), DRAW)
    with lab.opened("pad", chromium) as page:
        page.wait_for_selector(".pad-canvas", timeout=120_000)
        page.locator(".pad").scroll_into_view_if_needed()
        yield page


@pytest.fixture
def pad(page):
    """A page whose pad is blank."""
    page.click(".pad-clear")
    _wait_for(page, START)
    return page


def _wait_for(page, text: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while text not in (found := page.locator(".pad-status").text_content()):
        assert time.monotonic() < end, f"the pad says {found!r}, not {text!r}"
        page.wait_for_timeout(100)


def _values(page) -> list[str]:
    return page.locator(".pad-value").all_text_contents()


def _at(page, x: float, y: float) -> tuple[float, float]:
    """A point of the pad, each coordinate from 0 to 1, as a point of the page."""
    box = page.locator(".pad-canvas").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def _draw(page, points) -> None:
    page.mouse.move(*_at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*_at(page, *point), steps=4)
    page.mouse.up()


STROKE = [(0.3, 0.15), (0.3, 0.85)]
RING = [(0.55 + 0.26 * math.sin(a / 8 * math.pi), 0.5 + 0.36 * math.cos(a / 8 * math.pi)) for a in range(17)]


def test_a_stroke_of_the_mouse_changes_the_prediction(pad):
    assert _values(pad) == [""] * 10
    _draw(pad, STROKE)
    _wait_for(pad, "The network reads 1")
    first = _values(pad)
    assert float(first[1]) == max(map(float, first))
    pad.click(".pad-clear")
    _wait_for(pad, START)
    assert _values(pad) == [""] * 10
    _draw(pad, RING)
    _wait_for(pad, "The network reads 0")
    assert _values(pad) != first


def test_the_network_sees_the_drawing_white_on_black_and_centered(pad):
    _draw(pad, STROKE)
    _wait_for(pad, "The network reads")
    seen = pad.evaluate("""() => { const c = document.querySelector('.pad-seen');
        return Array.from(c.getContext('2d').getImageData(0, 0, 28, 28).data).filter((_, k) => k % 4 === 0); }""")
    ink = sum(seen)
    assert seen[0] == 0 and max(seen) == 255
    assert abs(sum(v * (k % 28) for k, v in enumerate(seen)) / ink - 14) <= 0.51
    assert abs(sum(v * (k // 28) for k, v in enumerate(seen)) / ink - 14) <= 0.51


def test_a_finger_draws(pad):
    touch = pad.context.new_cdp_session(pad)
    for kind, (x, y) in [("touchStart", STROKE[0]), *[("touchMove", (0.3, 0.15 + 0.07 * k)) for k in range(1, 11)]]:
        px, py = _at(pad, x, y)
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": px, "y": py}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    _wait_for(pad, "The network reads 1")


def test_the_keyboard_draws_and_the_notebook_does_not_hear_it(pad):
    cells = pad.locator(".jp-Notebook .jp-Cell").count()
    pad.locator(".pad-canvas").focus()
    for key in ["ArrowUp"] * 9 + [" "] + ["ArrowDown"] * 18 + [" "]:
        pad.keyboard.press(key)
    _wait_for(pad, "The network reads 1")
    pad.keyboard.press("Delete")
    _wait_for(pad, START)
    pad.keyboard.press(" ")
    pad.keyboard.press("ArrowUp")
    pad.keyboard.press("Enter")
    _wait_for(pad, "The network reads")
    assert pad.locator(".jp-Notebook .jp-Cell").count() == cells


def test_the_button_classifies_again(pad):
    _draw(pad, STROKE)
    _wait_for(pad, "The network reads 1")
    pad.click(".pad-classify")
    _wait_for(pad, "The network reads 1")


def test_nothing_was_asked_of_the_network_and_no_widget_state_is_saved(pad):
    _draw(pad, STROKE)
    _wait_for(pad, "The network reads")
    assert pad.outside == []
    saved = pad.evaluate("""async () => { await window.jupyterapp.commands.execute('docmanager:save');
        return JSON.stringify(window.jupyterapp.shell.currentWidget.context.model.toJSON()); }""")
    assert "application/vnd.jupyter.widget-state+json" not in saved and "getImageData" not in saved
