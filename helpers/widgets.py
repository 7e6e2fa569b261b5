"""Interactive figures: sliders and a button that redraw a picture. A static picture always stands before them.

Where ipywidgets is missing, or where nobody could move a slider (a terminal, a plain script), one line says so and the
static picture stands for itself.
"""

from __future__ import annotations

import base64
import functools
import html

import numpy as np

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


# ---------------------------------------------------------------------------------------------- the drawing pad

PAD_NOT_HERE = "○ The drawing pad needs a notebook with anywidget; the drawings above show the same without it."

# The browser's part of the pad, as one module that loads nothing. A drawing is 280 x 280 points; the mean of each block of
# 10 x 10 is one of the 28 x 28 pixels that Python gets. Python answers with `probabilities`, `seen` and `message`.
_PAD_JS = """
const SIZE = 28, BLOCK = 10, POINTS = SIZE * BLOCK, INK = "#000000", PAPER = "#ffffff";

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function render({ model, el }) {
  const canvas = element("canvas", { width: POINTS, height: POINTS, tabIndex: 0, className: "pad-canvas" });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label",
    "Drawing pad. Arrow keys move the pen, space lowers and lifts it, Enter classifies, Delete clears.");
  const pen = element("div", { className: "pad-pen" });
  const clear = element("button", { className: "pad-clear", textContent: "Clear", type: "button" });
  const classify = element("button", { className: "pad-classify", textContent: "Classify", type: "button" });
  const seen = element("canvas", { width: SIZE, height: SIZE, className: "pad-seen" });
  seen.setAttribute("role", "img");
  seen.setAttribute("aria-label", "What the network sees");
  const status = element("p", { className: "pad-status" });
  status.setAttribute("role", "status");
  const bars = [], rows = [];
  for (let digit = 0; digit < 10; digit++) {
    const bar = element("div", { className: "pad-bar" });
    const value = element("span", { className: "pad-value" });
    bars.push([bar, value]);
    rows.push(element("div", { className: "pad-row" }, element("span", { textContent: digit }),
      element("div", { className: "pad-track" }, bar), value));
  }
  el.append(element("div", { className: "pad" },
    element("div", { className: "pad-column" }, element("div", { className: "pad-stage" }, canvas, pen),
      element("div", {}, clear, classify)),
    element("div", { className: "pad-column" }, element("div", { textContent: "the network sees" }), seen),
    element("div", { className: "pad-column pad-chart" }, ...rows)), status);

  const paper = canvas.getContext("2d", { willReadFrequently: true });
  paper.lineWidth = 2.2 * BLOCK;
  paper.lineCap = paper.lineJoin = "round";
  paper.strokeStyle = INK;
  let at = null;                                         // the last point of the stroke being drawn
  let key = { x: POINTS / 2, y: POINTS / 2, down: false };  // the pen that the keyboard moves

  function wipe() {
    paper.fillStyle = PAPER;
    paper.fillRect(0, 0, POINTS, POINTS);
  }

  function line(from, to) {
    paper.beginPath();
    paper.moveTo(from.x, from.y);
    paper.lineTo(to.x + 0.01, to.y);                       // a stroke of length 0 would leave no dot
    paper.stroke();
  }

  function hand_over() {
    const points = paper.getImageData(0, 0, POINTS, POINTS).data, pixels = [];
    for (let row = 0; row < SIZE; row++)
      for (let column = 0; column < SIZE; column++) {
        let sum = 0;
        for (let y = row * BLOCK; y < (row + 1) * BLOCK; y++)
          for (let x = column * BLOCK; x < (column + 1) * BLOCK; x++) sum += points[4 * (y * POINTS + x)];
        pixels.push(Math.round(sum / (BLOCK * BLOCK)));
      }
    model.set("pixels", pixels);
    model.save_changes();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * POINTS / box.width, y: (event.clientY - box.top) * POINTS / box.height };
  }

  // Pointer events are those of a mouse, a finger and a pen alike.
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    at = place(event);
    line(at, at);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!at) return;
    const to = place(event);
    line(at, to);
    at = to;
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => {
      if (at) hand_over();
      at = null;
    });

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      const inside = (value) => Math.min(POINTS - BLOCK, Math.max(BLOCK, value));
      const to = { x: inside(key.x + dx * BLOCK), y: inside(key.y + dy * BLOCK), down: key.down };
      if (key.down) line(key, to);
      key = to;
    } else if (event.key === " ") {
      key.down = !key.down;
      if (key.down) line(key, key);
      else hand_over();
    } else if (event.key === "Enter") hand_over();
    else if (event.key === "Delete" || event.key === "Backspace") start_again();
    else return;
    event.preventDefault();
    event.stopPropagation();                               // the notebook has its own use for these keys
    show_pen();
  });
  canvas.addEventListener("focus", show_pen);
  canvas.addEventListener("blur", () => { pen.style.display = "none"; });

  function show_pen() {
    Object.assign(pen.style, { display: "block", left: 100 * key.x / POINTS + "%", top: 100 * key.y / POINTS + "%" });
    pen.classList.toggle("pad-down", key.down);
  }

  function start_again() {
    wipe();
    key.down = false;
    hand_over();
  }

  clear.addEventListener("click", start_again);
  classify.addEventListener("click", hand_over);

  function show_answer() {
    const p = model.get("probabilities"), gray = model.get("seen");
    const best = p.indexOf(Math.max(...p));
    bars.forEach(([bar, value], digit) => {
      bar.style.width = 100 * (p[digit] ?? 0) + "%";
      bar.classList.toggle("pad-best", p.length > 0 && digit === best);
      value.textContent = p.length ? p[digit].toFixed(2) : "";
    });
    const image = new ImageData(SIZE, SIZE);
    for (let k = 0; k < SIZE * SIZE; k++) image.data.set([gray[k] ?? 0, gray[k] ?? 0, gray[k] ?? 0, 255], 4 * k);
    seen.getContext("2d").putImageData(image, 0, 0);
    status.textContent = model.get("message");
  }

  wipe();
  model.on("change:probabilities", show_answer);
  model.on("change:seen", show_answer);
  model.on("change:message", show_answer);
  show_answer();
}

export default { render };
"""

_PAD_CSS = """
.pad { display: flex; flex-wrap: wrap; gap: 1.5em; align-items: flex-start; }
.pad-stage { position: relative; width: 280px; max-width: 100%; }
.pad-canvas { width: 100%; border: 1px solid #8a8a8a; background: #ffffff; cursor: crosshair; touch-action: none; }
.pad-canvas:focus { outline: 2px solid #0072b2; }
.pad-pen { display: none; position: absolute; width: 14px; height: 14px; margin: -8px 0 0 -8px; border: 2px solid #0072b2;
  border-radius: 50%; pointer-events: none; }
.pad-pen.pad-down { background: #0072b2; }
.pad button { margin: 0.4em 0.5em 0 0; padding: 0.3em 0.9em; font: inherit; }
.pad-seen { width: 140px; height: 140px; image-rendering: pixelated; border: 1px solid #8a8a8a; }
.pad-chart { min-width: 220px; }
.pad-row { display: flex; align-items: center; gap: 0.5em; height: 1.7em; font-variant-numeric: tabular-nums; }
.pad-track { width: 150px; height: 1em; background: #e3e3e3; }
.pad-bar { height: 100%; width: 0; background: #8a8a8a; }
.pad-bar.pad-best { background: #0072b2; }
"""

PAD_START = "Draw a digit with the mouse or a finger, or with the keyboard: arrow keys move, space lowers and lifts the pen."


def pad_available() -> bool:
    """True where the drawing pad can be shown: anywidget is installed and a notebook kernel is running."""
    try:
        import anywidget  # noqa: F401
    except ImportError:
        return False
    return available()


def drawing_pad(read) -> None:
    """Show a pad to draw on; each stroke is handed to ``read``, and its answer is shown beside it.

    Args:
        read: called with the drawing (28, 28) uint8, 0 for ink and 255 for paper; returns the ten probabilities (10,) and
            the picture that the network saw, (28, 28) values of 0 for black to 255 for white.
    """
    if not pad_available():
        print(PAD_NOT_HERE)
        return
    from IPython.display import display

    display(_pad(read))


def _pad(read):
    """The widget of ``drawing_pad``."""
    pad = _pad_class()()

    def answer(change):
        canvas = np.array(change["new"], dtype=np.uint8).reshape(28, 28)
        if canvas.min() == 255:
            with pad.hold_sync():
                pad.probabilities, pad.seen, pad.message = [], [], PAD_START
            return
        try:
            probabilities, seen = read(canvas)
        except Exception as problem:  # it would vanish in the log of the kernel
            pad.message = f"The drawing could not be read. {type(problem).__name__}: {problem}"
            return
        with pad.hold_sync():
            pad.probabilities = [float(p) for p in probabilities]
            pad.seen = [int(round(float(gray))) for gray in np.asarray(seen).ravel()]
            best = int(np.argmax(probabilities))
            pad.message = f"The network reads {best}, with probability {probabilities[best]:.2f}."

    pad.observe(answer, names="pixels")
    return pad


@functools.cache
def _pad_class():
    """The class is made when it is first needed: importing anywidget takes time."""
    import anywidget
    import traitlets

    class DrawingPad(anywidget.AnyWidget):
        _esm = _PAD_JS
        _css = _PAD_CSS
        pixels = traitlets.List(traitlets.Int()).tag(sync=True)
        probabilities = traitlets.List(traitlets.Float()).tag(sync=True)
        seen = traitlets.List(traitlets.Int()).tag(sync=True)
        message = traitlets.Unicode(PAD_START).tag(sync=True)

    return DrawingPad
