"""Interactive figures: they redraw, and without sliders the static picture is enough."""

from __future__ import annotations

import builtins

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
