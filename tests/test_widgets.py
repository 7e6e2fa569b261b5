"""Interactive figures: they redraw, and without sliders the static picture is enough."""

from __future__ import annotations

import builtins
import re

import numpy as np
import pytest

from helpers import plots, widgets


def _draw(**values):
    fig, ax = plots.figure(size=(2, 1.5))
    return fig, f"values {sorted(values.items())} <&>"


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed, in a place where sliders can be shown."""
    import IPython.display

    things = []
    monkeypatch.setattr(widgets, "available", lambda: True)
    monkeypatch.setattr(IPython.display, "display", things.append)
    return things


def test_sliders_redraw_when_moved(shown):
    widgets.sliders(_draw, w1=(-4, 4, 2, 0.5), b=(-30, 10, -18, 1))
    w1, b, picture = shown[0].children
    assert (w1.value, b.value, w1.min, b.step) == (2, -18, -4, 1)
    before = picture.value
    assert "(&#x27;b&#x27;, -18.0), (&#x27;w1&#x27;, 2.0)" in before
    w1.value = 3.5
    assert "(&#x27;w1&#x27;, 3.5)" in picture.value != before


def test_the_picture_has_an_alt_text_and_says_it_aloud(shown):
    widgets.sliders(_draw, w=(0, 1, 0.5, 0.1))
    value = shown[0].children[-1].value
    assert value.startswith('<img alt="values [(&#x27;w&#x27;, 0.5)] &lt;&amp;&gt;" src="data:image/png;base64,')
    assert value.endswith('<p role="status">values [(&#x27;w&#x27;, 0.5)] &lt;&amp;&gt;</p>')


def test_the_button_steps_and_starts_again(shown):
    widgets.stepper(lambda: 0, lambda state, alpha: state + alpha,
                    lambda state, alpha: (plots.figure(size=(2, 1))[0], f"state {state:g}, alpha {alpha:g}"),
                    alpha=(0, 1, 0.25, 0.25))
    alpha, buttons, picture = shown[0].children
    forward, again = buttons.children
    assert "state 0, alpha 0.25" in picture.value
    forward.click()
    alpha.value = 0.5
    forward.click()
    assert "state 0.75, alpha 0.5" in picture.value
    again.click()
    assert "state 0, alpha 0.5" in picture.value


def test_outside_of_a_notebook_one_line_is_printed(capsys):
    assert not widgets.available()
    widgets.sliders(_draw, w=(0, 1, 0.5, 0.1))
    widgets.stepper(lambda: 0, lambda state: state, lambda state: _draw())
    assert capsys.readouterr().out.splitlines() == [widgets.NOT_HERE] * 2


def test_without_ipywidgets_one_line_is_printed(monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("ipywidgets"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    widgets.sliders(_draw, w=(0, 1, 0.5, 0.1))
    assert capsys.readouterr().out.splitlines() == [widgets.NOT_HERE]


# ---------------------------------------------------------------------------------------------- the drawing pad

def _mean_and_ink(canvas):
    """A stand-in for a network: it "reads" how many rows hold ink."""
    rows = int((canvas.min(axis=1) < 255).sum())
    return np.eye(10)[min(rows, 9)] * 0.5 + 0.05, 255 - canvas


def _drawn(rows: int) -> list[int]:
    canvas = np.full((28, 28), 255)
    canvas[4:4 + rows, 10:13] = 20
    return canvas.ravel().tolist()


def test_the_pad_answers_each_drawing(shown):
    widgets.drawing_pad(_mean_and_ink)
    pad = shown[0]
    assert pad.message == widgets.PAD_START and pad.probabilities == []
    pad.pixels = _drawn(3)
    assert pad.probabilities.index(max(pad.probabilities)) == 3 and "reads 3, with probability 0.55" in pad.message
    assert len(pad.seen) == 784 and pad.seen[4 * 28 + 10] == 235 and pad.seen[0] == 0
    pad.pixels = _drawn(5)
    assert "reads 5" in pad.message
    pad.pixels = [255] * 784
    assert pad.message == widgets.PAD_START and pad.probabilities == pad.seen == []


def test_an_error_in_the_students_code_is_told_at_the_pad(shown):
    def fails(canvas):
        raise ValueError("shapes do not fit")

    widgets.drawing_pad(fails)
    shown[0].pixels = _drawn(3)
    assert shown[0].message == "The drawing could not be read. ValueError: shapes do not fit"


def test_the_pad_loads_nothing_from_anywhere():
    source = widgets._PAD_JS + widgets._PAD_CSS
    assert not re.search(r"https?:|import\s|import\(|require\(|fetch\(|url\(", source)


def test_without_a_notebook_the_pad_is_one_line(capsys):
    widgets.drawing_pad(_mean_and_ink)
    assert capsys.readouterr().out.splitlines() == [widgets.PAD_NOT_HERE]
