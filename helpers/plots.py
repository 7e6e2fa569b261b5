"""Figures in one style: a palette that survives color-blindness and greyscale, labeled axes, and a text for each picture.

Marker shapes carry what colors carry: class 1 is a blue circle, class 0 a red cross.
"""

from __future__ import annotations

import io

import numpy as np

# Okabe and Ito's colors (2008), which people with any common color vision can tell apart; they differ in lightness too.
BLUE, RED, GREEN, ORANGE, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442", "#222222")
GREY = "#8A8A8A"
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
DIVERGING = "RdBu"  # centered at 0: red for negative, blue for positive

_STYLE = {
    "axes.prop_cycle": None,  # filled in below, since cycler comes with matplotlib
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#E3E3E3", "grid.linewidth": 0.8, "axes.axisbelow": True,
    "axes.titlesize": 12, "axes.labelsize": 11, "font.size": 10.5, "legend.frameon": False,
    "figure.figsize": (6.4, 3.8), "image.cmap": "gray",
}


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, **options):
    """A figure and its axes in the course's style: ``fig, ax = plots.figure()``.

    Args: rows, columns of axes; size in inches (width, height); options go to ``Figure.subplots``.
    Returns (Figure, Axes or array of Axes). The figure is not registered with pyplot, so none piles up in memory.
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.figure import Figure

    style = {**_STYLE, "axes.prop_cycle": cycler(color=CYCLE)}
    with mpl.rc_context(style):
        fig = Figure(figsize=size or (6.4, 3.8), layout="constrained")
        axes = fig.subplots(rows, columns, **options)
    return fig, axes


def show(fig, alt: str, dpi: int = 100, colors: int = 256) -> None:
    """Show a figure with a text that says what is to be seen; the text is stored as alt text and printed as a caption.

    Args: fig, a matplotlib Figure; alt, one or two plain sentences; dpi, dots per inch; colors, at most so many: a figure full
    of photos takes half the bytes with 64.
    """
    from IPython.display import Markdown, display

    if not alt.strip():
        raise ValueError("plots.show needs a text that says what the figure shows: alt=...")
    picture = png(fig, dpi, colors)
    # JupyterLab does not read the alt text, so the caption says it too.
    display({"image/png": picture, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})
    display(Markdown(f"*{alt}*"))


def png(fig, dpi: int = 100, colors: int = 256) -> bytes:
    """The figure as PNG bytes in 256 colors or fewer, a third of the size of full color, so that notebooks stay small.

    There is no time stamp in it: the same figure gives the same bytes.
    """
    from PIL import Image  # comes with matplotlib

    full, small = io.BytesIO(), io.BytesIO()
    fig.savefig(full, format="png", dpi=dpi)
    picture = Image.open(full).convert("RGB")
    picture.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def classes(ax, X: np.ndarray, y: np.ndarray, names: tuple[str, str] = ("0", "1"), size: float = 55) -> None:
    """Scatter points of two classes, told apart by shape and color.

    Args: ax, matplotlib Axes; X (n, 2); y (n,) of 0 and 1; names of class 0 and class 1 for the legend.
    """
    X, y = np.asarray(X, float), np.asarray(y)
    ax.scatter(*X[y == 1].T, s=size, marker="o", color=BLUE, edgecolor="white", linewidth=0.8, label=names[1], zorder=3)
    ax.scatter(*X[y == 0].T, s=size, marker="X", color=RED, edgecolor="white", linewidth=0.8, label=names[0], zorder=3)


def line(ax, w: np.ndarray, b: float, **options):
    """Draw the line ``w[0] * x1 + w[1] * x2 + b = 0`` across the axes as they are; the view stays.

    Nothing is drawn when both weights are 0, since then there is no line.
    """
    w1, w2 = (float(v) for v in w)
    options = {"color": BLACK, "linewidth": 2, **options}
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    if w1 == 0 and w2 == 0:
        return
    if abs(w2) >= abs(w1):
        xs = np.array([left, right])
        ys = -(w1 * xs + b) / w2
    else:
        ys = np.array([low, high])
        xs = -(w2 * ys + b) / w1
    ax.plot(xs, ys, **options)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)


def sides(ax, w: np.ndarray, b: float, alpha: float = 0.12) -> None:
    """Tint the side of the line that is called 1 blue and the other red, within the axes as they are."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    xx, yy = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
    score = w[0] * xx + w[1] * yy + b
    ax.contourf(xx, yy, score >= 0, levels=[-0.5, 0.5, 1.5], colors=[RED, BLUE], alpha=alpha, zorder=0)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)


def legend(ax, outside: bool = False, **options) -> None:
    """A legend without a frame, inside the axes where there is room or, with ``outside``, to their right."""
    if outside:
        options = {"loc": "upper left", "bbox_to_anchor": (1.02, 1), **options}
    ax.legend(**{"frameon": False, **options})


def number(value: float, digits: int = 6) -> str:
    """A number as a caption prints it: short, and with a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def images(pictures: np.ndarray, titles: list[str] | None = None, columns: int = 10, diverging: bool = False,
           size: float = 0.9):
    """A contact sheet of grey pictures (n, height, width); with ``diverging``, 0 is white, blue above, red below.

    Returns the Figure, to be given to ``show``.
    """
    pictures = np.asarray(pictures)
    rows = -(-len(pictures) // columns)
    height = size * (1.25 if titles else 1.0)
    fig, axes = figure(rows, columns, size=(size * columns, height * rows), squeeze=False)
    limit = np.abs(pictures).max() or 1
    colors = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit} if diverging else {"cmap": "gray"}
    for place, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if place < len(pictures):
            ax.imshow(pictures[place], **colors)
            if titles:
                ax.set_title(titles[place], fontsize=9)
    return fig
