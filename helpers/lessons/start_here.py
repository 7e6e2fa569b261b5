"""Lesson 00: its one exercise, its quiz, its figures, and the small tools of its tour."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path

import numpy as np

from helpers import plots
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.lessons import LESSONS, Lesson

# ---------------------------------------------------------------------------------------------- exercise 00.1

# The two everyday cases come first, so that a message begins with them.
_FIRST = [(24, 6), (25, 6), (60_000, 64), (10_000, 64), (5, 64), (0, 6)]
_SIZES = (0, 1, 5, 6, 7, 24, 25, 64, 10_000, 60_000)
_BATCHES = (1, 4, 6, 7, 64)
# Beyond 2**53 a float skips whole numbers: an answer that divides with / is off here.
_LARGE = [(2**53 + 1, 64), (2**60 - 1, 4)]


def _observe_batches(batches_per_epoch, see):
    grid = [(n, b) for n in _SIZES for b in _BATCHES if (n, b) not in _FIRST]
    results = [see.call(batches_per_epoch, n, b) for n, b in [*_FIRST, *grid]]
    results += [see.call(batches_per_epoch, n, b, drop_last=True) for n, b in [*_FIRST, *grid]]
    results += [see.call(batches_per_epoch, n, b, drop_last=False) for n, b in _FIRST]
    results += [see.call(batches_per_epoch, n, b, drop_last=flag) for n, b in _LARGE for flag in (False, True)]
    kinds = sorted({type(r).__name__ for r in results})
    see.fact("the type of every answer", ", ".join(kinds))
    if set(kinds) - {"int", "float", "NoneType"}:
        see.note("Turn the result into a plain Python number: int(...)")


def _count_batches(n_samples, batch_size, drop_last=False):
    """Independent rule: count the places where a batch begins."""
    if drop_last:
        return n_samples // batch_size
    return len(range(0, n_samples, batch_size))


def _answers(facts: dict, drop_last: bool) -> dict:
    """The observed answers to the calls without drop_last, or to those with it, by (n_samples, batch_size)."""
    flag = ", drop_last=True" if drop_last else ""
    found = {}
    for n, b in [*_FIRST, *((n, b) for n in _SIZES for b in _BATCHES)]:
        found[n, b] = facts[f"batches_per_epoch(n_samples={n}, batch_size={b}{flag})"]
    return found


def _always(rule):
    """Recognize answers that follow ``rule(n, b)`` when nothing is dropped, whatever they do with drop_last."""
    def when(facts):
        kept = _answers(facts, drop_last=False)
        return all(answer == rule(n, b) for (n, b), answer in kept.items())
    return when


def _ignores_drop_last(facts):
    kept, dropped = _answers(facts, drop_last=False), _answers(facts, drop_last=True)
    return kept == dropped and all(answer == _count_batches(n, b) for (n, b), answer in kept.items())


def _exact_only_below(facts):
    """Right on every everyday size with both flags: what differs is one of the large ones."""
    return all(answer == _count_batches(n, b, flag) and type(answer) is int
               for flag in (False, True) for (n, b), answer in _answers(facts, flag).items())


batches_per_epoch = Exercise(
    "00.1", "batches_per_epoch",
    observe=_observe_batches,
    expected=_count_batches,
    mistakes=[
        Mistake("The last, smaller batch is forgotten: 25 examples in batches of 6 need 5 steps.",
                lambda n, b, drop_last=False: n // b, when=_always(lambda n, b: n // b)),
        Mistake("One too many when it divides evenly: 24 / 6 is 4, not 5.",
                lambda n, b, drop_last=False: n // b if drop_last else n // b + 1, when=_always(lambda n, b: n // b + 1)),
        Mistake("A number of batches is a whole number: you return a float.",
                lambda n, b, drop_last=False: n // b if drop_last else n / b,
                when=lambda facts: "float" in facts["the type of every answer"]),
        Mistake("Rounding drops a batch smaller than half: 25 / 6 rounds to 4.",
                lambda n, b, drop_last=False: n // b if drop_last else round(n / b), when=_always(lambda n, b: round(n / b))),
        Mistake("drop_last is ignored.",
                lambda n, b, drop_last=False: math.ceil(n / b), when=_ignores_drop_last),
        Mistake("Right for everyday sizes, but a float holds only about 16 digits: `/` is off for huge numbers. "
                "Stay with whole numbers: `//` and `%`.",
                lambda n, b, drop_last=False: n // b if drop_last else math.ceil(n / b), when=_exact_only_below),
    ],
    hints=[
        "How many batches do 24, 25 and 30 examples need with size 6?",
        "Integer division `//` and remainder `%`; when does the remainder add a batch?",
        "full = n_samples // ...; rest = n_samples % ...; return full + (1 if rest and not ... else 0)",
    ],
)


# ---------------------------------------------------------------------------------------------- the tour

# As in the exercise notebook (a test compares the two): a hand-out may come without that file.
_STUB = '''\
def batches_per_epoch(n_samples: int, batch_size: int, drop_last: bool = False) -> int:
    """Count the batches in one pass over the data.

    Args:   n_samples >= 0 examples, in batches of batch_size >= 1;
            drop_last: True leaves out a last batch that is smaller than the others.
    Returns the number of batches, an int.
    """
    raise NotImplementedError
'''


def untouched_cell():
    """Print the cell of exercise 00.1 as it is before anyone has written in it; returns its function.

    The function lives on its own: your ``batches_per_epoch`` is not touched.
    """
    print(_STUB)
    namespace: dict = {}
    exec(compile(_STUB, "<an untouched cell>", "exec"), namespace)
    return namespace["batches_per_epoch"]


def compare(answer, should_say: str) -> None:
    """Print what the check of 00.1 should say about ``answer``, and below it what it does say.

    It only shows: nothing is counted as an attempt. Raises AssertionError where the two do not go together.
    """
    says = batches_per_epoch.examine(answer).text
    _print_block("should say  ", should_say)
    _print_block("says        ", says)
    flat = " ".join(says.split())
    missing = [line for line in should_say.splitlines() if " ".join(line.split()) not in flat]
    assert not missing, f"The check does not say {missing[0]!r}."


def _print_block(start: str, text: str) -> None:
    lines = [part for line in text.splitlines()
             for part in textwrap.wrap(line, 97, subsequent_indent=" " * 12, break_on_hyphens=False)]
    for place, line in enumerate(lines):
        print((start if place == 0 else " " * len(start)) + line)


# ---------------------------------------------------------------------------------------------- shells on the beach

HIDDEN = (0, 2, 3, 8)  # hidden units of the four networks; 0 is a single line
STEPS = 300


def shells() -> tuple[np.ndarray, np.ndarray]:
    """400 points on two noisy rings. Returns X (400, 2) float32 and y (400,): 0 inside (radius 1), 1 outside (2.2)."""
    rng = np.random.default_rng(0)
    radius = np.concatenate([rng.normal(1, 0.15, 200), rng.normal(2.2, 0.15, 200)])
    angle = rng.uniform(0, 2 * np.pi, 400)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    return X, np.repeat([0, 1], 200)


def _train(X, y, hidden: int):
    """Train a network on the shells (Adam, learning rate 0.05, all points in every step); returns it and its loss."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Linear(2, 1) if hidden == 0 else nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 1))
    points, target = torch.from_numpy(X), torch.from_numpy(y).float()
    loss_of = nn.BCEWithLogitsLoss()
    parameters = list(net.parameters())
    memory = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    for step in range(1, STEPS + 1):
        loss = loss_of(net(points)[:, 0], target)
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g, (mean, square) in zip(parameters, gradients, memory, strict=True):
                _adam(p, g, mean, square, step)
    return net, loss.item()


def _adam(p, g, mean, square, step: int, lr=0.05, beta1=0.9, beta2=0.999, eps=1e-8) -> None:
    """One step of Adam (Kingma and Ba, 2014), in place.

    Written out, because the first optimizer of torch.optim loads PyTorch's compiler, and a newcomer would wait for it.
    """
    mean.mul_(beta1).add_(g, alpha=1 - beta1)
    square.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    p -= lr * (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + eps)


def best_line(X, y) -> tuple[float, float, np.ndarray]:
    """The straight line that gets the most points right, whatever its loss.

    A line can be shifted and turned, with the same points on each side, until it touches two of them; and from there each of
    these two can be put on the side where it belongs. So it is enough to try the line through each pair of points.

    Args:   X (n, 2) points, no three on a line; y (n,) their classes, 0 or 1.
    Returns the share that is right, the loss of this line at the steepness where that is smallest, and the two points (2, 2).
    """
    X, sign = np.asarray(X, dtype=float), np.where(np.asarray(y) == 1, 1, -1)
    most, pair, order = -1.0, (0, 1), 1.0
    for i in range(len(X) - 1):
        others = np.arange(i + 1, len(X))
        side = np.sign(_height(X, X[i], X[others]))  # (others, n)
        side[:, i] = side[np.arange(len(others)), others] = 0  # the two points on the line itself
        balance = side @ sign  # right minus wrong, if class 1 lies on the left; its negative if on the right
        place = int(np.abs(balance).argmax())
        if abs(balance[place]) > most:
            most, pair, order = abs(balance[place]), (i, others[place]), np.sign(balance[place])
    ends = X[list(pair)]
    height = order * sign * _height(X, ends[0], ends[1:])[0]
    loss = min(np.logaddexp(0, -steep * height).mean() for steep in np.geomspace(1e-3, 10, 200))
    return (len(X) + 2 + most) / (2 * len(X)), float(loss), ends


def _height(X, start, ends) -> np.ndarray:
    """How far each point of X (n, 2) lies to the left of the lines from ``start`` to each of ``ends`` (m, 2): (m, n)."""
    along = (ends - start) / np.linalg.norm(ends - start, axis=1, keepdims=True)
    return along[:, :1] * (X[:, 1] - start[1]) - along[:, 1:] * (X[:, 0] - start[0])


def train_on_shells() -> dict[str, tuple[float, float]]:
    """Train four small networks on the shells, draw where each puts its border, and say it in numbers.

    Returns {"best line": (accuracy, loss), "trained line": ..., "2 hidden units": ..., "3 hidden units": ..., "8 hidden
    units": ...}, where the best line is not trained but found by trying all.
    """
    import torch

    X, y = shells()
    fig, axes = plots.figure(1, len(HIDDEN), size=(11, 3.7), sharex=True, sharey=True)
    grid = np.linspace(-3, 3, 121, dtype=np.float32)
    xx, yy = np.meshgrid(grid, grid)
    everywhere = torch.from_numpy(np.stack([xx.ravel(), yy.ravel()], axis=1))
    accuracy, loss, ends = best_line(X, y)
    found = {"best line": (accuracy, loss)}
    axes[0].axline(*ends, color=plots.BLACK, linewidth=1.5, linestyle="--", label=f"the best straight line: {accuracy:.1%}")
    stray = False  # the network with 3 units calls a place "red" that lies outside both rings
    for ax, hidden in zip(axes, HIDDEN, strict=True):
        name = f"{hidden} hidden units" if hidden else "trained line"
        net, loss = _train(X, y, hidden)
        with torch.no_grad():
            accuracy = float(((net(torch.from_numpy(X))[:, 0] > 0).numpy() == y).mean())
            score = net(everywhere)[:, 0].reshape(xx.shape).numpy()
        found[name] = (accuracy, loss)
        stray |= hidden == 3 and bool((score < 0)[np.hypot(xx, yy) > 3].any())
        _draw_shells(ax, X, y, score, xx, yy)
        ax.set_title(f"{name}: {accuracy:.1%}")
        ax.set_xlabel("meters east")
    axes[0].set_ylabel("meters north")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles[1:] + handles[:1], labels[1:] + labels[:1], loc="outside lower center", ncols=4, frameon=False)
    corner = (" The one with 3 units has a second red patch, in a corner: no shell lies there that could say it is wrong."
              if stray else "")
    plots.show(fig, alt="Red crosses form an inner ring, blue circles an outer ring. One straight line cannot part them; the best one "
                        "cuts a cap off the outer ring. A network with 2 hidden units cuts out a wedge, 3 units close a rough "
                        f"triangle around the inner ring, 8 units a rounder curve.{corner}", dpi=85)
    print(f"{'who':<16}{'right':>8}{'loss':>8}")
    for name, (accuracy, loss) in {"a coin": (0.5, math.log(2)), **found}.items():
        print(f"{name:<16}{accuracy:>8.1%}{loss:>8.3f}")
    return found


def _draw_shells(ax, X, y, score, xx, yy) -> None:
    ax.contourf(xx, yy, score > 0, levels=[-0.5, 0.5, 1.5], colors=["#F7D9C4", "#E4F0F8"], zorder=0)
    if score.min() < 0 < score.max():
        ax.contour(xx, yy, score, levels=[0], colors=[plots.BLACK], linewidths=1.8, zorder=2)
    ax.scatter(*X[y == 1].T, s=9, marker="o", color=plots.BLUE, label="blue shells (circles)", zorder=3)
    ax.scatter(*X[y == 0].T, s=16, marker="x", color=plots.RED, linewidth=1.1, label="red shells (crosses)", zorder=3)
    ax.plot([], [], color=plots.BLACK, linewidth=1.8, label="the border that the network draws")
    ax.set_aspect("equal")
    ax.set_xlim(-3, 3)
    ax.set_ylim(-3, 3)
    ax.grid(False)


# ---------------------------------------------------------------------------------------------- what you will build

def what_you_will_build() -> None:
    """Four sketches, drawn here and not by a network: what goes in and what comes out of four programs of the course."""
    fig, axes = plots.figure(2, 4, size=(11, 4.9))
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set_visible(False)
    titles = (f"name what a photo shows\n({_where('10', '11')})", f"repaint a photo in a style\n({_where('13')})",
              f"write text, letter by letter\n({_where('15')})", f"judge a review\n({_where('16')})")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    axes[0, 0].set_ylabel("goes in", fontsize=12)
    axes[1, 0].set_ylabel("comes out", fontsize=12)

    axes[0, 0].imshow(_flower())
    _bars(axes[1, 0], ["flower", "house", "cat"], [0.94, 0.04, 0.02])
    scene = _landscape()
    axes[0, 1].imshow(scene)
    _brush(axes[1, 1], scene)
    _card(axes[0, 2], "once upon\na tim_")
    _bars(axes[1, 2], ["e", "i", "b"], [0.90, 0.07, 0.03])
    _card(axes[0, 3], "\"A warm film,\nand far too short.\"")
    _bars(axes[1, 3], ["good", "bad"], [0.88, 0.12])
    plots.show(fig, alt="Four sketches, drawn for this page and not by a network. A flower goes in, the word flower comes out; a landscape "
                        "becomes brush strokes; after 'once upon a tim' comes the letter e; a review is judged good.", dpi=75)


def _where(*numbers: str) -> str:
    """The lessons with these numbers, and whether one of them is still to come."""
    coming = any(lesson.number in numbers and not lesson.is_here() for lesson in LESSONS)
    return f"lesson{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}{', coming' if coming else ''}"


def _flower(side: int = 96) -> np.ndarray:
    y, x = (np.mgrid[:side, :side] - side / 2 + 0.5) / (side / 2)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    picture = np.stack([0.25 + 0.10 * y, 0.50 - 0.12 * y, 0.28 + 0 * y], axis=-1)
    picture += np.random.default_rng(3).normal(0, 0.03, (side, side, 1))
    picture[radius < 0.60 + 0.25 * np.cos(7 * angle)] = (0.93, 0.62, 0.76)
    picture[radius < 0.40 + 0.18 * np.cos(7 * angle)] = (0.98, 0.80, 0.88)
    picture[radius < 0.24] = (0.95, 0.78, 0.15)
    return picture.clip(0, 1)


def _landscape(side: int = 96) -> np.ndarray:
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    picture = np.stack([0.55 + 0.40 * y, 0.75 + 0.10 * y, 0.95 - 0.25 * y], axis=-1)
    picture[np.hypot(x - 0.72, y - 0.27) < 0.12] = (0.99, 0.85, 0.35)
    picture[y > 0.55 + 0.10 * np.sin(5 * x + 0.6)] = (0.36, 0.55, 0.50)
    picture[y > 0.74 + 0.08 * np.sin(7 * x + 2.4)] = (0.22, 0.40, 0.25)
    return picture


def _brush(ax, picture: np.ndarray, strokes: int = 1100) -> None:
    """Short strokes along a swirling field, each in the picture's color where it lies."""
    from matplotlib.collections import LineCollection

    side = len(picture)
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, side, (2, strokes))
    angle = 0.9 * np.sin(x / 13) + 0.9 * np.cos(y / 11)
    half = 3.6 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    middle = np.stack([x, y], axis=1)
    color = picture[y.astype(int), x.astype(int)] + rng.normal(0, 0.07, (strokes, 3))
    ax.imshow(picture)
    ax.add_collection(LineCollection(np.stack([middle - half, middle + half], axis=1), colors=color.clip(0, 1), linewidths=3.0))
    ax.set_xlim(0, side - 1)
    ax.set_ylim(side - 1, 0)


def _bars(ax, names: list[str], values: list[float]) -> None:
    places = np.arange(len(names))[::-1]
    ax.barh(places, values, height=0.55, color=plots.BLUE)
    for place, name, value in zip(places, names, values, strict=True):
        ax.text(-0.04, place, name, ha="right", va="center", fontsize=11)
        ax.text(value + 0.03, place, f"{value:.0%}", va="center", fontsize=11)
    ax.set_xlim(-0.45, 1.25)
    ax.set_ylim(-0.9, len(names) - 0.1)


def _card(ax, text: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.add_patch(FancyBboxPatch((0.04, 0.22), 0.92, 0.56, boxstyle="round,pad=0.02", facecolor="#F4F1E8", edgecolor=plots.GREY))
    ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=13)


# ---------------------------------------------------------------------------------------------- a short history

def history_figure() -> None:
    """A timeline from the beginning of PyTorch to its first public release, and the three sources it drew on."""
    fig, ax = plots.figure(size=(10, 3.4))
    ax.set_axis_off()
    ax.set_xlim(-0.2, 10.6)
    ax.set_ylim(-1.9, 1.9)
    ax.annotate("", (10.5, 0), (3.3, 0), arrowprops={"arrowstyle": "-|>", "color": plots.BLACK, "linewidth": 2})
    for text, height in (("engine of Lua Torch", 1.2), ("ideas of torch-autograd", 0.0), ("ideas of Chainer", -1.2)):
        box = ax.text(1.0, height, text, ha="center", va="center", fontsize=10.5,
                      bbox={"boxstyle": "round,pad=0.4", "facecolor": "#F4F1E8", "edgecolor": plots.GREY})
        ax.annotate("", (3.25, 0), (1.0, height),
                    arrowprops={"arrowstyle": "->", "color": plots.GREY, "linewidth": 1.4, "shrinkA": 2, "shrinkB": 6,
                                "patchA": box.get_bbox_patch()})
    events = ((4.1, "2016: begun for\na project that finds\nobjects in photos", 1),
              (5.8, "three people, then\neight or nine, part-time", -1),
              (7.5, "testers are invited,\nten at a time", 1),
              (9.2, "January 2017: public,\nafter about six months", -1))
    for x, text, side in events:
        ax.plot([x, x], [0, 0.5 * side], color=plots.BLUE, linewidth=1.5)
        ax.plot([x], [0], "o", color=plots.BLUE, markersize=9)
        ax.text(x, 0.6 * side, text, ha="center", va="bottom" if side > 0 else "top", fontsize=10.5)
    plots.show(fig, alt="Timeline. Lua Torch's engine (its back-end) and ideas of torch-autograd and Chainer flow into PyTorch. Begun in 2016 for "
                        "a project that finds objects in photos; three people, then eight or nine part-time; testers invited ten "
                        "at a time; public in January 2017, after about six months.", dpi=85)


# ---------------------------------------------------------------------------------------------- the map

# Places on the map, x to the right and y up. The spine 00 to 07 runs down the middle.
PLACES = {
    **{f"{n:02}": (4.0, 10.0 - n) for n in range(8)},
    "09": (8.7, 5.0), "08": (6.9, 4.0), "10": (7.4, 2.0), "11": (6.6, 1.0), "12": (5.6, 0.0), "13": (7.9, 0.0), "17": (9.3, 1.0),
    "14": (2.3, 2.0), "15": (1.2, 1.0), "16": (3.9, 1.0),
}
ROUTES = {
    "complete": tuple(lesson.number for lesson in LESSONS),
    "images": tuple(f"{n:02}" for n in range(14)),
    "sequences": (*(f"{n:02}" for n in range(8)), "14", "15", "16"),
}


def _part(number: str) -> str:
    """Which part of the map a lesson belongs to: on both short routes, on one of them, or only on the complete one."""
    images, sequences = number in ROUTES["images"], number in ROUTES["sequences"]
    return "both" if images and sequences else "images" if images else "sequences" if sequences else "complete"


_FILL = {"both": "#FFFFFF", "images": "#CFE5F3", "sequences": "#F9DDB5", "complete": "#E6E6E6"}
_MEANING = {"both": "on every route: 00 to 07", "images": "route images: these too, 08 to 13",
            "sequences": "route sequences: these too, 14 to 16", "complete": "route complete: all lessons"}


def map_figure() -> None:
    """The lessons with an arrow from each to those that build on it; dashed frames are not in this version yet."""
    from matplotlib.patches import Patch

    fig, ax = plots.figure(size=(9.5, 6.4))
    ax.set_axis_off()
    ax.set_xlim(-0.2, 10.6)
    ax.set_ylim(-0.4, 10.4)
    boxes = {lesson.number: _lesson_box(ax, lesson) for lesson in LESSONS}
    for lesson in LESSONS:
        for earlier in lesson.after:
            ax.annotate("", PLACES[lesson.number], PLACES[earlier],
                        arrowprops={"arrowstyle": "-|>", "color": plots.BLACK, "linewidth": 1.3, "shrinkA": 1, "shrinkB": 1,
                                    "patchA": boxes[earlier], "patchB": boxes[lesson.number]})
    keys = [Patch(facecolor=_FILL[part], edgecolor=plots.BLACK, label=_MEANING[part]) for part in _FILL]
    if not all(lesson.is_here() for lesson in LESSONS):
        keys.append(Patch(facecolor="white", edgecolor=plots.GREY, linestyle="--", label="dashed: coming, not in this version yet"))
    ax.legend(handles=keys, loc="upper right", fontsize=9.5, frameon=False)
    coming = [lesson.number for lesson in LESSONS if not lesson.is_here()]
    plots.show(fig, alt="Map of the course. Lessons 00 to 07 follow one another. Image lessons: 08 comes after 05, 09 after 04, and "
                        "both lead with 07 to 10; then 11, then 12 and 13. Sequence lessons: 14 after 07, then 15 and 16. Lesson 17 "
                        "comes after 10." + (f" Dashed, not in this version yet: {', '.join(coming)}." if coming else ""), dpi=90)


def _lesson_box(ax, lesson: Lesson):
    here = lesson.is_here()
    text = ax.text(*PLACES[lesson.number], f"{lesson.number}  {lesson.title}", ha="center", va="center", fontsize=9.5,
                   color=plots.BLACK if here else "#555555",
                   bbox={"boxstyle": "round,pad=0.4", "facecolor": _FILL[_part(lesson.number)],
                         "edgecolor": plots.BLACK if here else plots.GREY, "linestyle": "-" if here else "--",
                         "linewidth": 1.6 if here else 1.0})
    return text.get_bbox_patch()


def verified() -> dict:
    """When each lesson last ran from its first cell to its last; an empty dict where nothing is written down."""
    try:
        found = json.loads((Path(__file__).parent / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _verified_text(entry) -> str:
    if not isinstance(entry, dict) or "date" not in entry:
        return "not yet"
    parts = [str(entry["date"])]
    parts += [f"{name} {entry[key]}" for key, name in (("torch", "torch"), ("python", "Python")) if key in entry]
    if isinstance(entry.get("cpu_seconds"), int | float):
        parts.append(f"{entry['cpu_seconds']:.0f} s")
    return ", ".join(parts)


def map_table() -> None:
    """The map as a table: what you can do after each lesson, its minutes, what comes before, and when it was last run."""
    from IPython.display import Markdown, display

    last = verified()
    rows = ["| | lesson | you can then | minutes | needs | GPU in fast mode | last verified |",
            "|---|---|---|---|---|---|---|"]
    for lesson in LESSONS:
        when = _verified_text(last.get(lesson.number)) if lesson.is_here() else "coming"
        title = f"**{lesson.title}**" if lesson.is_here() else lesson.title
        rows.append(f"| {lesson.number} | {title} | {lesson.outcome} | {lesson.minutes} | {', '.join(lesson.after) or 'none'} "
                    f"| not needed | {when} |")
    here = [lesson for lesson in LESSONS if lesson.is_here()]
    rows += ["", f"In this version: {', '.join(lesson.number for lesson in here) or 'none'}. The others are coming."
             if len(here) < len(LESSONS) else "All lessons are in this version."]
    display(Markdown("\n".join(rows)))


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("00", [
    Question("A check says *not attempted*. What does that mean?",
             ("You have not written anything yet.",
              "The stub is unchanged, or the name that you should define is still `...`, as in `answer = ...`. "
              "(A returned None is \"wrong\": a `return` is missing.)"),
             [("Your result is wrong.", "Then it would say \"wrong\" and show the first case that differs."),
              ("The notebook is broken.", "Code that raises is an \"error\", with the line that raised it.")]),
    Question("You changed a function, but the check still gives the old answer. Why?",
             ("You did not run its cell again.", "Python knows the new text only after its cell has run."),
             [("The check is cached.", "A check always looks at the object that you pass to it, as it is now."),
              ("Something must be reinstalled.", "Nothing is broken: the old function is still in memory.")]),
    Question("Which is the safest thing to do before you hand a notebook in?",
             ("Restart and run all.", "Only that proves that the cells work in the order in which they stand."),
             [("Run the last cell again.", "It may live on variables of cells that are gone: the order is not proven."),
              ("Save it.", "Saving keeps what is on the screen; it does not prove the order.")]),
    Question("What does `.solution()` cost?",
             ("Nothing, it is noted.", "Your progress counts it under \"solutions\". Then write it yourself: reading is not practice."),
             [("Points.", "There are no points in this course."),
              ("Your code: it is deleted.", "You may think of `.reset()`, and even that keeps a backup.")]),
    Question("60,000 images in batches of 64, the last, smaller batch included: how many batches, that is steps, are one epoch?",
             ("938", "937 full batches of 64 are 59,968 images; the last 32 need a batch of their own."),
             [("937", "That forgets the last 32 images."),
              ("937.5", "A number of batches is a count, so it is a whole number.")]),
    Question("Your computer has no GPU. Which of the lessons in this version can you do?",
             ("All, in fast mode.", "Fast mode is made for a CPU, and it is the default there."),
             [("Only 00 to 07.", "Fast mode makes every lesson small enough for a CPU."),
              ("None.", "No lesson needs a GPU in fast mode.")]),
])
