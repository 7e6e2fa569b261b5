"""What only a running JupyterLab shows: sliders and buttons move their pictures, reset() puts a fresh cell below."""

from __future__ import annotations

import time

import pytest

CELLS = [
    """
from helpers import plots, widgets
from helpers.lessons import perceptron as lesson

def draw(a, b):
    fig, ax = plots.figure()
    ax.plot([0, 1], [b, a + b])
    return fig, f"the line rises by {a:g}, from {b:g}"
""".strip(),
    "widgets.sliders(draw, a=(-2, 2, 1, 0.5), b=(0, 3, 1, 1))",
    """
def show(n, rate):
    return plots.figure()[0], f"now at {n:g}"

widgets.stepper(lambda: 1, lambda n, rate: n * rate, show, rate=(1, 5, 2, 1))
""".strip(),
    """
def predict(X, w, b):
    return "my first try"
""".strip(),
    "lesson.predict.check(predict)",
    "lesson.predict.reset()",
]


@pytest.fixture(scope="module", params=["lesson01"])  # the name by which `course.py test --only 01` finds these tests
def page(lab, chromium):
    lab.write("live", *CELLS)
    with lab.opened("live", chromium) as page:
        _until(page, lambda: page.locator(".jp-Notebook .widget-slider").count() >= 3, 120)
        yield page


def _until(page, holds, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, page.locator(".jp-Notebook").inner_text()[-3000:]
        page.wait_for_timeout(100)


def _status(page, place: int) -> str:
    return page.locator("p[role=status]").nth(place).text_content()


def _cells(page) -> list[str]:
    return page.evaluate("window.jupyterapp.shell.currentWidget.model.sharedModel.cells.map(c => c.getSource())")


def _handle(page, name: str):
    row = page.locator(".widget-slider").filter(has=page.locator(f".widget-label:text-is('{name}')"))
    return row.locator(".noUi-handle")


def test_a_slider_moves_its_picture(page):
    assert _status(page, 0) == "the line rises by 1, from 1"
    before = page.locator(".jp-OutputArea img").first.get_attribute("src")
    _handle(page, "a").focus()
    page.keyboard.press("ArrowRight")
    _until(page, lambda: _status(page, 0) == "the line rises by 1.5, from 1")
    image = page.locator(".jp-OutputArea img").first
    assert image.get_attribute("src") != before
    assert image.get_attribute("alt") == "the line rises by 1.5, from 1"


def test_the_button_takes_a_step_and_starts_again(page):
    assert _status(page, 1) == "now at 1"
    for now in ("2", "4"):
        page.locator("button:has-text('next step')").click()
        _until(page, lambda now=now: _status(page, 1) == f"now at {now}")
    page.locator("button:has-text('start again')").click()
    _until(page, lambda: _status(page, 1) == "now at 1")


def test_a_wrong_answer_gets_a_message_and_no_traceback(page):
    # "Run all" stops at the check that fails, so the last cell is still to be run.
    _until(page, lambda: "01.1 predict: wrong" in page.locator(".jp-Notebook").inner_text())
    assert "Traceback" not in page.locator(".jp-Notebook").inner_text()


def test_reset_puts_a_fresh_cell_below(page):
    assert len(_cells(page)) == len(CELLS)
    page.evaluate("""async () => { const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = notebook.widgets.length - 1;
        await window.jupyterapp.commands.execute('notebook:run-cell'); }""")
    _until(page, lambda: len(_cells(page)) == len(CELLS) + 1)
    fresh = _cells(page)[-1]
    assert fresh.startswith("def predict(")
    assert "raise NotImplementedError" in fresh
    assert _cells(page)[3] == CELLS[3], "the student's own cell stays"


def test_nothing_was_asked_of_the_network(page):
    assert page.outside == []
