"""Interactive figures: sliders and a button that redraw a picture. A static picture always stands before them.

Where ipywidgets is missing, or where nobody could move a slider (a terminal, a plain script), one line says so and the
static picture stands for itself.
"""

from __future__ import annotations

import base64
import html

from helpers import plots

NOT_HERE = "○ The sliders need a notebook with ipywidgets; the picture above shows the same without them."

Range = tuple[float, float, float, float]


def available() -> bool:
    """True where sliders can be shown: ipywidgets is installed and a notebook kernel is running."""
    try:
        import ipywidgets  # noqa: F401
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


def sliders(draw, **ranges: Range) -> None:
    """Show one slider for each range, and the picture that ``draw`` makes of their values.

    Args:
        draw: called with the values by name; returns (figure, text). The text is shown below the picture and is its
            alt text, so it should say what changed.
        ranges: name=(smallest, largest, start, step).
    """
    if not available():
        print(NOT_HERE)
        return
    import ipywidgets
    from IPython.display import display

    controls = _controls(ranges)
    picture = ipywidgets.HTML()

    def redraw(change=None):
        picture.value = _picture(*draw(**_values(controls)))

    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    display(ipywidgets.VBox([*controls.values(), picture]))


def stepper(start, step, draw, **ranges: Range) -> None:
    """Show a button that goes on by one step, one that starts again, sliders, and a picture of where things stand.

    Args:
        start: called without arguments; returns the first state.
        step: called with the state and the sliders' values by name; returns the next state.
        draw: called with the state and the values; returns (figure, text) as for ``sliders``.
        ranges: name=(smallest, largest, start, step).
    """
    if not available():
        print(NOT_HERE)
        return
    import ipywidgets
    from IPython.display import display

    controls = _controls(ranges)
    picture = ipywidgets.HTML()
    forward = ipywidgets.Button(description="next step", button_style="primary")
    again = ipywidgets.Button(description="start again")
    state = [start()]

    def redraw(change=None):
        picture.value = _picture(*draw(state[0], **_values(controls)))

    def go_on(button):
        state[0] = step(state[0], **_values(controls))
        redraw()

    def start_again(button):
        state[0] = start()
        redraw()

    forward.on_click(go_on)
    again.on_click(start_again)
    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    display(ipywidgets.VBox([*controls.values(), ipywidgets.HBox([forward, again]), picture]))


def _controls(ranges: dict[str, Range]) -> dict:
    import ipywidgets

    return {name: ipywidgets.FloatSlider(description=name, min=low, max=high, value=value, step=step,
                                         layout={"width": "28em"})
            for name, (low, high, value, step) in ranges.items()}


def _values(controls: dict) -> dict[str, float]:
    return {name: control.value for name, control in controls.items()}


def _picture(fig, text: str) -> str:
    """The figure as an <img> with alt text, and the text below it for all readers."""
    code = base64.b64encode(plots.png(fig, dpi=90)).decode()
    text = html.escape(text)
    return f'<img alt="{text}" src="data:image/png;base64,{code}"><p role="status">{text}</p>'
