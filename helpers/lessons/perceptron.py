"""Lesson 01, a line that learns: its exercises, its quiz and its figures. NumPy only."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from helpers import plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))

# The students of the story: test and grades, each out of 10, and what the line 2 * test + grades - 18 says of them.
STUDENTS = np.array([[9, 8], [3, 4], [7, 6], [9, 1], [9, 0]], dtype=float)
STUDENTS.setflags(write=False)  # the checks use them, so no cell of a notebook may change them


# ---------------------------------------------------------------------------------------------- 01.1 predict

def _integer_points(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole-numbered points and weights, so that scores are exact in every order of summation."""
    rng = np.random.default_rng(seed)
    return rng.integers(-4, 5, (n, d)).astype(float), rng.integers(1, 4, d).astype(float)


def _observe_predict(predict, see):
    see.call(predict, STUDENTS, np.array([2.0, 1.0]), -18.0, label="the five students with w=[2, 1], b=-18")
    # With w = (3, 2) and b = -2 the scores of these points are -7, 0, -1, 1, 5, -2 and 4.
    near = np.array([[-1, -1], [0, 1], [1, -1], [1, 0], [1, 2], [-2, 3], [2, 0]], dtype=float)
    see.call(predict, near, np.array([3.0, 2.0]), -2.0, label="seven points with w=[3, 2], b=-2, one exactly on the line")
    for n, d, seed in ((5, 3, 1), (1, 5, 2), (6, 1, 3)):
        X, w = _integer_points(n, d, seed)
        see.call(predict, X, w, -2.0)


def _reference_predict(X, w, b):
    return np.array([int(sum(Fraction(x) * Fraction(a) for x, a in zip(row, w, strict=True)) + Fraction(b) >= 0)
                     for row in X.tolist()])


predict = Exercise(
    "01.1", "predict",
    observe=_observe_predict,
    expected=_reference_predict,
    mistakes=[
        Mistake("A score of exactly 0 is accepted in this course: use >=, not >.",
                lambda X, w, b: (X @ w + b > 0).astype(int)),
        Mistake("Right decisions, but booleans: return integers 0 and 1.",
                lambda X, w, b: X @ w + b >= 0),
        Mistake("The bias is missing: your line goes through the origin.",
                lambda X, w, b: (X @ w >= 0).astype(int)),
        Mistake("The bias is subtracted; the line is Wx + b = 0.",
                lambda X, w, b: (X @ w - b >= 0).astype(int)),
        Mistake("Labels are 0/1 here, you return -1/1.",
                lambda X, w, b: np.where(X @ w + b >= 0, 1, -1)),
        Mistake("The comparison is the wrong way round: `<=` accepts the scores below 0.",
                lambda X, w, b: (X @ w + b <= 0).astype(int)),
        Mistake("The two answers are swapped: 1 is for scores of 0 and more, 0 for those below.",
                lambda X, w, b: (X @ w + b < 0).astype(int)),
        Mistake("np.sign has three answers, -1, 0 and 1; asked is a decision, 0 or 1, and at score 0 it is 1.",
                lambda X, w, b: np.sign(X @ w + b),
                when=lambda facts: set(np.unique(next(iter(facts.values())))) == {-1, 0, 1}),
        Mistake("This takes just two features from each point. `X @ w` takes as many as there are.",
                lambda X, w, b: (X[:, 0] * w[0] + X[:, 1] * w[1] + b >= 0).astype(int)),
    ],
    hints=[
        "One number per point, then a question asked of that number.",
        "`X @ w` has shape (n,); a comparison gives booleans; `.astype`.",
        "`scores = X @ ... + ...` then `return (scores ... 0).astype(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 01.2 gate_parameters

GATES = {
    "AND": [0, 0, 0, 1],
    "OR": [0, 1, 1, 1],
    "NAND": [1, 1, 1, 0],
    "NOT": [1, 0, 1, 0],  # of the second input
}
_TABLE = "on (0,0), (0,1), (1,0), (1,1)"
_PAIR = "a pair (w, b): two finite weights and one finite number"
_TIED = "corners to be kept out that score exactly 0"


def _numbers(value) -> np.ndarray | None:
    """``value`` as a float array, or None where it holds anything but finite numbers."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            return None
        return array.astype(float)
    except Exception:  # any object may stand here
        return None


def _described(value) -> str:
    """A short description that looks into a tuple: which of its values is no finite number?"""
    if isinstance(value, tuple | list):
        for place, part in enumerate(value):
            if _numbers(part) is None:
                return f"{describe(value)}, and value {place} is {describe(part)}"
    return describe(value)


def _tables(facts, **wanted) -> bool:
    """Do the gates have these outputs, written like "0001"? ``OR=True`` stands for the right ones."""
    for name, bits in wanted.items():
        asked = GATES[name] if bits is True else [int(bit) for bit in bits]
        if facts[f"{name} {_TABLE}"].tolist() != asked:
            return False
    return True


def _observe_gates(gate_parameters, see):
    gates = see.call(gate_parameters, label="gate_parameters()", record=False, asks="a dict")
    kind = "a dict" if isinstance(gates, dict) else describe(gates)
    see.fact("gate_parameters() returns", kind, implied="a dict")
    if kind != "a dict":
        return
    names = ", ".join(sorted(str(key) for key in gates))
    see.fact("its keys", names, implied=", ".join(sorted(GATES)))
    if names != ", ".join(sorted(GATES)):
        return
    for name, wanted in GATES.items():
        pair = gates[name]
        w, b = (_numbers(v) for v in pair) if isinstance(pair, tuple | list) and len(pair) == 2 else (None, None)
        numbers = w is not None and b is not None
        fits = numbers and (w.shape, b.shape) == ((2,), ())
        came = f"w of shape {w.shape}, b of shape {b.shape}" if numbers else _described(pair)
        see.fact(f"{name}: the value", _PAIR if fits else came, implied=_PAIR)
        if not fits:
            return
        scores = [float(w[0] * x1 + w[1] * x2 + b) for x1, x2 in CORNERS]
        table = [1 if score >= 0 else 0 for score in scores]
        see.fact(f"{name} {_TABLE}", np.array(table))
        see.fact(f"{name}: {_TIED}",
                 [c for c, s, t in zip(CORNERS, scores, wanted, strict=True) if s == 0 and t == 0])
        if table != wanted and see.notes:
            see.note(f"{name} is wrong too: {table}, should be {wanted}")
        elif table != wanted:
            see.note(f"{name} with w={(w + 0.0).tolist()}, b={float(b) + 0.0:g}:")  # + 0.0: no -0.0
            for corner, score, out, right in zip(CORNERS, scores, table, wanted, strict=True):
                see.note(f"  {corner} scores {score + 0.0:g} -> {out}" + ("" if out == right else f", should be {right}"))
        elif min(abs(score) for score in scores) == 0:
            see.remark(f"{name} is right, with margin 0: a corner lies exactly on the line. A cut between the corners "
                       "is safer.")


gate_parameters = Exercise(
    "01.2", "gate_parameters",
    observe=_observe_gates,
    expected={label: value for name, table in GATES.items()
              for label, value in ((f"{name} {_TABLE}", np.array(table)), (f"{name}: {_TIED}", []))},
    mistakes=[
        Mistake("Your AND is OR: (0,1) scores 0, and 0 counts as 1.",
                lambda: {"AND": (np.array([1., 1]), -1.0), "OR": (np.array([1., 1]), -0.5),
                         "NAND": (np.array([-1., -1]), 1.5), "NOT": (np.array([0., -1]), 0.5)},
                when=lambda facts: (facts[f"AND {_TABLE}"].tolist() == GATES["OR"]
                                    and (0, 1) in facts[f"AND: {_TIED}"])),
        Mistake("Your NOT negates the first input; asked is the second.",
                lambda: {"AND": (np.array([1., 1]), -1.5), "OR": (np.array([1., 1]), -0.5),
                         "NAND": (np.array([-1., -1]), 1.5), "NOT": (np.array([-1., 0]), 0.5)}),
        Mistake("Your NAND is NOR: negate weights and bias of AND, not of OR.",
                lambda: {"AND": (np.array([1., 1]), -1.5), "OR": (np.array([1., 1]), -0.5),
                         "NAND": (np.array([-1., -1]), 0.5), "NOT": (np.array([0., -1]), 0.5)}),
        Mistake("All biases have the wrong sign.",
                lambda: {"AND": (np.array([1., 1]), 1.5), "OR": (np.array([1., 1]), 0.5),
                         "NAND": (np.array([-1., -1]), -1.5), "NOT": (np.array([0., -1]), -0.5)},
                when=lambda facts: _tables(facts, AND="1111", OR="1111", NAND="0000", NOT="0000")),
        Mistake("Your AND has (1,1) exactly on its line, and so has your NAND. Flipping the signs does not flip a tie: a score "
                "of 0 counts as 1 in both. Cut AND between the corners first.",
                lambda: {"AND": (np.array([1., 1]), -2.0), "OR": (np.array([1., 1]), -0.5),
                         "NAND": (np.array([-1., -1]), 2.0), "NOT": (np.array([0., -1]), 0.5)},
                when=lambda facts: _tables(facts, AND=True, NAND="1111") and (1, 1) in facts[f"NAND: {_TIED}"]),
        Mistake("Your NAND always says the same: only half of AND is negated. Flip the signs of both weights and of the bias.",
                lambda: {"AND": (np.array([1., 1]), -1.5), "OR": (np.array([1., 1]), -0.5),
                         "NAND": (np.array([-1., -1]), -1.5), "NOT": (np.array([0., -1]), 0.5)},
                when=lambda facts: _tables(facts, NAND="0000") or _tables(facts, NAND="1111")),
        Mistake("Your NOT repeats the second input instead of negating it: all its signs are flipped.",
                lambda: {"AND": (np.array([1., 1]), -1.5), "OR": (np.array([1., 1]), -0.5),
                         "NAND": (np.array([-1., -1]), 1.5), "NOT": (np.array([0., 1]), -0.5)},
                when=lambda facts: _tables(facts, NOT="0101")),
        Mistake("Your NOT always says the same: with a negative weight on the second input, the bias must lie between 0 and "
                "the size of that weight, and it is added.",
                lambda: {"AND": (np.array([1., 1]), -1.5), "OR": (np.array([1., 1]), -0.5),
                         "NAND": (np.array([-1., -1]), 1.5), "NOT": (np.array([0., -1]), -0.5)},
                when=lambda facts: _tables(facts, NOT="0000") or _tables(facts, NOT="1111")),
    ],
    hints=[
        "Draw the four corners and the line that isolates the 1s.",
        "With weights (1,1) the sum is 0, 1, 1, 2: where must the cut be?",
        "AND `[1, 1], -(something between 1 and 2)`; NAND = all signs of AND flipped; NOT `[0, -1], ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 01.3 xor_network

XOR = [0, 1, 1, 0]
_XOR_SHAPE = "(W1, b1, w2, b2) with shapes (h, 2), (h,), (h,) and a plain number"


def _observe_xor(xor_network, see):
    got = see.call(xor_network, label="xor_network()", record=False, asks="a tuple (W1, b1, w2, b2)")
    parts = [_numbers(v) for v in got] if isinstance(got, tuple | list) and len(got) == 4 else [None]
    if all(p is not None for p in parts):
        W1, b1, w2, b2 = parts
        h = len(W1) if W1.ndim else 0
        fits = h > 0 and (W1.shape, b1.shape, w2.shape, b2.shape) == ((h, 2), (h,), (h,), ())
        came = f"shapes {W1.shape}, {b1.shape}, {w2.shape}, {b2.shape}"
    else:
        fits, came = False, _described(got)
    see.fact("xor_network() returns", _XOR_SHAPE if fits else came, implied=_XOR_SHAPE)
    if not fits:
        return

    hidden = (np.array(CORNERS) @ W1.T + b1 >= 0).astype(int)
    scores = hidden @ w2 + b2
    output = (scores >= 0).astype(int).tolist()
    right = output == XOR
    see.fact(f"output {_TABLE}", np.array(output))
    see.fact("hidden units, at least 2", h >= 2)
    # The next two facts say more about a wrong network; a right one may have any hidden units.
    see.fact("hidden units of a wrong network", None if right else sorted(map(tuple, hidden.T.tolist())))
    cuts = [] if right else [-s - e for s in sorted(hidden @ w2) for e in (0.0, 1e-6)]
    see.fact("a smaller output bias alone repairs it",
             any(cut < b2 and (hidden @ w2 + cut >= 0).astype(int).tolist() == XOR for cut in cuts))
    if not right:
        for corner, units, score, out, wanted in zip(CORNERS, hidden.tolist(), scores, output, XOR, strict=True):
            see.note(f"{corner} -> hidden {units} -> score {score:g} -> {out}"
                     + ("" if out == wanted else f", should be {wanted}"))


xor_network = Exercise(
    "01.3", "xor_network",
    observe=_observe_xor,
    expected={f"output {_TABLE}": np.array(XOR), "hidden units, at least 2": True, "hidden units of a wrong network": None,
              "a smaller output bias alone repairs it": False},
    mistakes=[
        Mistake("Output is OR of OR and AND, which is just OR: AND must count against.",
                lambda: (np.array([[1., 1], [1, 1]]), np.array([-0.5, -1.5]), np.array([1., 1]), -0.5)),
        Mistake("This is XNOR, the negation of XOR.",
                lambda: (np.array([[1., 1], [1, 1]]), np.array([-0.5, -1.5]), np.array([-1., 1]), 0.5),
                when=lambda facts: facts[f"output {_TABLE}"].tolist() == [1, 0, 0, 1]),
        Mistake("Output bias too large: (0,0) already fires.",
                lambda: (np.array([[1., 1], [1, 1]]), np.array([-0.5, -1.5]), np.array([1., -1]), 0.5),
                when=lambda facts: (facts[f"output {_TABLE}"][0] == 1
                                    and facts["a smaller output bias alone repairs it"])),
        Mistake("One hidden unit is one line; XOR needs two.",
                lambda: (np.array([[1., 1]]), np.array([-0.5]), np.array([1.]), -0.5),
                when=lambda facts: facts["hidden units, at least 2"] is False),
    ],
    hints=[
        'XOR = "at least one" and "not both".',
        "Row 0 = OR, row 1 = NAND, output = AND.",
        "`W1 = [[1,1],[-1,-1]]`, `b1 = [..., 1.5]`, `w2 = [1,1]`, `b2 = ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 01.4 perceptron_step

def _observe_step(perceptron_step, see):
    def call(*case):
        see.call(perceptron_step, *case, parts=("the new w", "the new b"))

    line = (np.array([3.0, 4.0]), -10.0)
    for point, label, lr in (((4, 5), 0, 1.0), ((4, 5), 0, 0.1), ((1, 1), 1, 0.1),  # the table of the lesson
                             ((4, 5), 1, 0.1), ((1, 1), 0, 0.1)):                   # two points that are right
        call(*line, np.array(point, dtype=float), label, lr)
    space = (np.array([1.0, -2.0, 0.5]), 0.75)
    call(*space, np.array([2.0, 1.0, 3.0]), 0, 0.3)   # score 2.25
    call(*space, np.array([-1.0, 0.5, 1.5]), 1, 0.3)  # score -0.5
    call(*space, np.array([-0.5, 0.25, 1.0]), 0, 0.3)  # score 0.25
    for label in (0, 1):  # a score of exactly 0 is called 1
        call(*line, np.array([2.0, 1.0]), label, 0.25)
    call(*line, np.array([3.0, 0.0]), 1, 0.25)        # score -1
    call(*line, np.array([3.0, 0.0]), 0, 0.25)


def _reference_step(w, b, x, y, lr):
    line, point = np.append(w, b), np.append(x, 1.0)
    called = bool(np.dot(line, point) >= 0)
    direction = {(True, 0): -1.0, (False, 1): 1.0}.get((called, int(y)), 0.0)
    moved = line + direction * lr * point
    return moved[:-1], float(moved[-1])


def _step_in_place(w, b, x, y, lr):
    e = y - int(x @ w + b >= 0)
    w += lr * e * x
    return w, b + lr * e


def _step_until_right(w, b, x, y, lr):
    while int(x @ w + b >= 0) != y:
        e = y - int(x @ w + b >= 0)
        w, b = w + lr * e * x, b + lr * e
    return w, b


perceptron_step = Exercise(
    "01.4", "perceptron_step",
    observe=_observe_step,
    expected=_reference_step,
    mistakes=[
        Mistake("The line moves away from the misclassified point: sign.",
                lambda w, b, x, y, lr: (w - lr*(y - int(x@w+b >= 0))*x, b - lr*(y - int(x@w+b >= 0)))),
        Mistake("The bias is not updated.",
                lambda w, b, x, y, lr: (w + lr*(y - int(x@w+b >= 0))*x, b)),
        Mistake("The bias moves by a full 1: it needs the learning rate too.",
                lambda w, b, x, y, lr: (w + lr*(y - int(x@w+b >= 0))*x, b + (y - int(x@w+b >= 0)))),
        Mistake("You also move for points that are already right.",
                lambda w, b, x, y, lr: (w + lr*(2*y-1)*x, b + lr*(2*y-1))),
        Mistake("w was changed in place: the caller's array is different after the call.", _step_in_place),
        Mistake("The bias is left out of the score, so some points count as wrong that are right: the score is w @ x + b.",
                lambda w, b, x, y, lr: (w + lr*(y - int(x@w >= 0))*x, b + lr*(y - int(x@w >= 0)))),
        Mistake("A score of exactly 0 is called 1: use >=, not >.",
                lambda w, b, x, y, lr: (w + lr*(y - int(x@w+b > 0))*x, b + lr*(y - int(x@w+b > 0)))),
        Mistake("The learning rate is ignored: a step adds or subtracts lr * (x, 1).",
                lambda w, b, x, y, lr: (w + (y - int(x@w+b >= 0))*x, b + (y - int(x@w+b >= 0)))),
        Mistake("w moves by lr in every direction; it should move by lr * x. Only the bias moves by lr.",
                lambda w, b, x, y, lr: (w + lr*(y - int(x@w+b >= 0)), b + lr*(y - int(x@w+b >= 0)))),
        Mistake("You always add. For a 0 that was called 1, lr * (x, 1) is subtracted.",
                lambda w, b, x, y, lr: (w + lr*abs(y - int(x@w+b >= 0))*x, b + lr*abs(y - int(x@w+b >= 0)))),
        Mistake("You go on until the point is right; asked is one step.", _step_until_right),
        Mistake("You subtract the score from y. Turn the score into a prediction, 0 or 1, first.",
                lambda w, b, x, y, lr: (w + lr*(y - (x@w+b))*x, b + lr*(y - (x@w+b)))),
    ],
    hints=[
        "Compare the prediction with y; only then move.",
        "`y - y_hat` is 0, 1 or -1.",
        "`e = y - ...; return w + lr*e*..., b + ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 01.5 steps_to_flip

def _fractions(*numbers) -> list[Fraction]:
    return [Fraction(n) for n in numbers]


# (w, b, x, y, lr)
_FLIPS = [
    ((3, 4), -10, (1, 1), 1, "1/10"),                     # 10: the last step lands on 0 exactly, and 0 is called 1
    ((3, 4), -10, (4, 5), 0, "1/10"),                     # 6
    ((3, 4), -10, (4, 5), 1, "1/10"),                     # right already, far away
    ((3, 4), -10, (1, 1), 0, "1/10"),                     # right already
    ((3, 4), -10, (2, 1), 1, "1/10"),                     # score 0 is right for a 1 ...
    ((3, 4), -10, (2, 1), 0, "1/10"),                     # ... and wrong for a 0
    ((2, 1), 0, (1, 1), 0, "1/3"),                        # 3 / 1: step 3 lands on 0, so a fourth is needed
    ((2, 1), 0, (-1, -1), 1, "1/3"),                      # -3 / 1: step 3 lands on 0, and that is enough
    ((5, -2), "-7/2", (0, 0), 1, "1/2"),                  # only the bias moves: 7 steps
    ((5, -2), "7/2", (0, 0), 0, "1/2"),                   # 8 steps
    (("1/2", -3, "3/4"), "-1/3", (2, 1, -1), 1, "1/7"),   # three features
    (("1/2", 3, "3/4"), "-1/3", (2, 1, "-1/2"), 0, "1/9"),
    (("1/2", 3), "1/3", ("1/2", "-2/5"), 0, 2),           # already right by a little
    ((3, 4), "-94/7", (1, 1), 1, "1/7"),                  # 15; (45/7) / (3/7) with floats is a little more: 16
    ((3, 4), "-85/7", (1, 1), 1, "1/7"),                  # 12; 13 where only the score and the change become floats
    ((3, 4), -16, (1, 1), 1, "1/1000"),                   # 3000: a loop must not give up
]


def _observe_flips(steps_to_flip, see):
    for w, b, x, y, lr in _FLIPS:
        see.call(steps_to_flip, _fractions(*w), Fraction(b), _fractions(*x), y, Fraction(lr))


def _reference_flips(w, b, x, y, lr):
    """Walk: take one exact step after the other."""
    line, point, steps = [*w, b], [*x, 1], 0
    while True:
        called = int(sum(p * q for p, q in zip(line, point, strict=True)) >= 0)
        if called == y:
            return steps
        line = [p + lr * (y - called) * q for p, q in zip(line, point, strict=True)]
        steps += 1


def _flips_in_steps() -> list[tuple[int, Fraction | None, int]]:
    """For each case the label, how many steps the way to score 0 takes (a fraction), and the answer.

    The fraction is None where the point is right already.
    """
    found = []
    for w, b, x, y, lr in _FLIPS:
        w, x, b, lr = _fractions(*w), _fractions(*x), Fraction(b), Fraction(lr)
        score = sum((p * q for p, q in zip(w, x, strict=True)), b)
        steps = abs(score) / (lr * (sum(q * q for q in x) + 1))
        answer = math.ceil(steps) if y == 1 else math.floor(steps) + 1
        found.append((y, None, 0) if (score >= 0) == (y == 1) else (y, steps, answer))
    return found


def _flip_answers(facts) -> list:
    """The answers in the order of _FLIPS; fewer if the observation stopped early."""
    return [value for label, value in facts.items() if label.startswith("steps_to_flip(") and "inputs stay" not in label]


def _first_wrong_flip(facts) -> int:
    """The place of the first wrong answer, which is the case that the message shows."""
    right = [answer for _, _, answer in _flips_in_steps()]
    return next(place for place, given in enumerate(_flip_answers(facts)) if given != right[place])


def _follows(rule):
    """Recognize answers that are ``rule(y, steps)`` wherever a point is still wrong, whatever they are for the others."""
    def when(facts):
        answers, cases = _flip_answers(facts), _flips_in_steps()
        return cases[_first_wrong_flip(facts)][1] is not None and all(
            given == rule(y, steps) for given, (y, steps, _) in zip(answers, cases, strict=True) if steps is not None)
    return when


def _misses_only_where_a_step_lands_on_0(facts) -> bool:
    """Off by one in some cases that land exactly on 0, but not where the learning rate is 1/2, exact as a float."""
    answers, wrong = _flip_answers(facts), []
    for given, (_, steps, right), (*_, lr) in zip(answers, _flips_in_steps(), _FLIPS, strict=True):
        if given != right:
            wrong.append(steps is not None and steps.denominator == 1 and lr != "1/2" and abs(given - right) == 1)
    return bool(wrong) and all(wrong)


def _gives_up(facts) -> bool:
    """Right everywhere but in the longest case, where fewer steps came, or None."""
    answers, right = _flip_answers(facts), [answer for _, _, answer in _flips_in_steps()]
    longest = right.index(max(right))
    last = answers[longest]
    return answers[:longest] == right[:longest] and (last is None or last < right[longest] - 1)


def _not_0_when_right(facts) -> bool:
    """The first wrong answer is a number for a point that is right already."""
    place = _first_wrong_flip(facts)
    return _flips_in_steps()[place][1] is None and isinstance(_flip_answers(facts)[place], int)


def _flips_by_rule(rule, right_already=None):
    """An answer to the exercise: ``rule(y, steps)``, and 0, or ``right_already(y, steps)``, for a point that is right."""
    def steps_to_flip(w, b, x, y, lr):
        score = sum((p * q for p, q in zip(w, x, strict=True)), b)
        steps = abs(score) / (lr * (sum(q * q for q in x) + 1))
        if (score >= 0) == (y == 1):
            return right_already(y, steps) if right_already else 0
        return rule(y, steps)
    return steps_to_flip


def _right_flips(y, steps):
    return math.ceil(steps) if y == 1 else math.floor(steps) + 1


def _flips_from_a_float_quotient(w, b, x, y, lr):
    score = float(sum((p * q for p, q in zip(w, x, strict=True)), b))
    steps = score / float(lr * (sum(q * q for q in x) + 1))
    return max(0, math.ceil(-steps) if y == 1 else math.floor(steps) + 1)


def _flips_at_most_1000(w, b, x, y, lr):
    for k in range(1000):
        score = sum((p * q for p, q in zip(w, x, strict=True)), b)
        if (score >= 0) == (y == 1):
            return k
        w, b = [p + lr * (2 * y - 1) * q for p, q in zip(w, x, strict=True)], b + lr * (2 * y - 1)
    return 1000


def _flips_with_floats(w, b, x, y, lr):
    w = [float(a) for a in w]
    b = float(b)
    lr = float(lr)
    k = 0
    while True:
        s = sum(a * float(c) for a, c in zip(w, x, strict=True)) + b
        if (s >= 0) == (y == 1):
            return k
        e = 1 if y == 1 else -1
        w = [a + e * lr * float(c) for a, c in zip(w, x, strict=True)]
        b += e * lr
        k += 1


steps_to_flip = Exercise(
    "01.5", "steps_to_flip",
    observe=_observe_flips,
    expected=_reference_flips,
    mistakes=[
        Mistake("The bias moves as well: a step changes the score by lr(|x|^2 + 1).",
                lambda w, b, x, y, lr: (
                    lambda s, d: 0 if (s >= 0) == (y == 1) else (math.ceil(-s/d) if y == 1 else math.floor(s/d)+1)
                )(sum(p*q for p, q in zip(w, x, strict=True)) + b, lr*(sum(p*p for p in x) or 1)),
                when=lambda facts: _flip_answers(facts)[0] == 15),
        Mistake("A 0-labeled point with score exactly 0 is still called 1: one more step.",
                lambda w, b, x, y, lr: (
                    lambda s, d: 0 if (s >= 0) == (y == 1) else math.ceil(abs(s)/d)
                )(sum(p*q for p, q in zip(w, x, strict=True)) + b, lr*(sum(p*p for p in x)+1)),
                when=_follows(lambda y, steps: math.ceil(steps))),
        Mistake("For y = 1 a score of exactly 0 is enough: you count one step too many (11 instead of 10).",
                lambda w, b, x, y, lr: (
                    lambda s, d: 0 if (s >= 0) == (y == 1) else math.floor(abs(s)/d)+1
                )(sum(p*q for p, q in zip(w, x, strict=True)) + b, lr*(sum(p*p for p in x)+1)),
                when=_follows(lambda y, steps: math.floor(steps) + 1)),
        Mistake("Floats: -3 + 10 * 0.3 is not 0. Keep the Fractions.", _flips_with_floats,
                when=lambda facts: _misses_only_where_a_step_lands_on_0(facts) and _flip_answers(facts)[0] == 11),
        Mistake("Floats on the way: where the last step lands exactly on 0, a quotient of floats comes out a hair too large or too "
                "small. Keep the Fractions; math.ceil and math.floor take them.",
                _flips_from_a_float_quotient, when=_misses_only_where_a_step_lands_on_0),
        Mistake("The loop gives up too early: nothing limits the number of steps. Loop with `while`, or use a formula.",
                _flips_at_most_1000, when=_gives_up),
        Mistake("Truncated: int() and floor cut the last, partial step off, but the point is right only after it.",
                _flips_by_rule(lambda y, steps: int(steps)), when=_follows(lambda y, steps: int(steps))),
        Mistake("Rounded: round() cuts a partial step off where it is less than a half, but the point is right only after it.",
                _flips_by_rule(lambda y, steps: round(steps)), when=_follows(lambda y, steps: round(steps))),
        Mistake("One step too many each time: count a step after you have taken it, and look at the prediction before.",
                _flips_by_rule(lambda y, steps: _right_flips(y, steps) + 1),
                when=_follows(lambda y, steps: _right_flips(y, steps) + 1)),
        Mistake("One step too few each time.",
                _flips_by_rule(lambda y, steps: _right_flips(y, steps) - 1),
                when=_follows(lambda y, steps: _right_flips(y, steps) - 1)),
        Mistake("A point that is right already needs 0 steps: look at the prediction before you compute.",
                _flips_by_rule(_right_flips, lambda y, steps: math.ceil(-steps) if y == 1 else math.floor(-steps) + 1),
                when=_not_0_when_right),
    ],
    hints=[
        "How much does one step change the score at x?",
        "Change = lr(x·x + 1), constant.",
        "y=1: smallest k with s + k·d >= 0; y=0: smallest k with s - k·d < 0.",
    ],
)


# ---------------------------------------------------------------------------------------------- 01.6 train_perceptron

def _separable_points() -> tuple[np.ndarray, np.ndarray]:
    """23 points on the two sides of a line, with a gap, in no order."""
    rng = np.random.default_rng(23)
    X = rng.uniform(-1, 2, (60, 2))
    distance = X @ np.array([0.8, -0.6]) - 0.35
    X, distance = X[np.abs(distance) > 0.12][:23], distance[np.abs(distance) > 0.12][:23]
    return X, (distance > 0).astype(int)


def _random_label_points() -> tuple[np.ndarray, np.ndarray]:
    """20 points with three features whose labels no plane separates."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(20, 3)), rng.integers(0, 2, 20)


_RUN = "a tuple (w, b, errors)"
_SEPARABLE, _SHORT, _ZERO, _RANDOM, _DEFAULTS = (
    "23 separable points, lr=0.1, epochs=50",
    "23 separable points, lr=0.1, epochs=2",
    "23 separable points from w=0, b=0, where the first score is exactly 0",
    "20 points with random labels, lr=0.05, epochs=7",
    "20 points with random labels, lr and epochs left out",
)


def _training_runs() -> dict[str, tuple]:
    """The runs of the check: (X, y, w, b, options) by label."""
    separable, random = _separable_points(), _random_label_points()
    start, start3 = (np.array([-0.7, 0.4]), 0.3), (np.array([0.3, -0.2, 0.1]), -0.4)
    return {
        _SEPARABLE: (*separable, *start, {"lr": 0.1, "epochs": 50}),
        _SHORT: (*separable, *start, {"lr": 0.1, "epochs": 2}),
        _ZERO: (*separable, np.zeros(2), 0.0, {"lr": 0.1, "epochs": 50}),
        _RANDOM: (*random, *start3, {"lr": 0.05, "epochs": 7}),
        _DEFAULTS: (*random, *start3, {}),
    }


def _observe_training(train_perceptron, see):
    for label, (*case, options) in _training_runs().items():
        got = see.call(train_perceptron, *case, **options, label=label, record=False, asks=_RUN)
        fits = isinstance(got, tuple | list) and len(got) == 3
        see.fact(f"{label}: the result", _RUN if fits else describe(got), implied=_RUN)
        if not fits:
            return
        # The errors first: they say more about a mistake than the line does.
        for name, value in (("errors", got[2]), ("the last w", got[0]), ("the last b", got[1])):
            see.fact(f"{label}: {name}", value)


def _reference_training(X, y, w, b, lr=0.01, epochs=25):
    """Every line is the start plus whole multiples of the points: count the updates of each point, as the dual form does."""
    Z = np.column_stack([X, np.ones(len(X))])
    start, sign, counts, errors = np.append(w, b) @ Z.T, 2 * np.asarray(y) - 1, np.zeros(len(X)), []
    inner = Z @ Z.T
    for _ in range(epochs):
        before = counts.sum()
        for i in range(len(X)):
            if (start[i] + lr * (counts * sign) @ inner[i] >= 0) != (y[i] == 1):
                counts[i] += 1
        errors.append(int(counts.sum() - before))
        if errors[-1] == 0:
            break
    line = np.append(w, b) + lr * (counts * sign) @ Z
    return line[:-1], float(line[-1]), errors


def _train_in_batches(X, y, w, b, lr=0.01, epochs=25):
    w = w.copy()
    errors = []
    for _ in range(epochs):
        e = y - (X @ w + b >= 0).astype(int)
        errors.append(int((e != 0).sum()))
        if errors[-1] == 0:
            break
        w = w + lr * (e @ X)
        b = b + lr * e.sum()
    return w, b, errors


def _train_without_stopping(X, y, w, b, lr=0.01, epochs=25):
    w = w.copy()
    errors = []
    for _ in range(epochs):
        c = 0
        for xi, yi in zip(X, y, strict=True):
            e = yi - int(xi @ w + b >= 0)
            w = w + lr * e * xi
            b = b + lr * e
            c += abs(e)
        errors.append(int(c))
    return w, b, errors


def _train_counting_afterwards(X, y, w, b, lr=0.01, epochs=25):
    w = w.copy()
    errors = []
    for _ in range(epochs):
        for xi, yi in zip(X, y, strict=True):
            e = yi - int(xi @ w + b >= 0)
            w = w + lr * e * xi
            b = b + lr * e
        errors.append(int(((X @ w + b >= 0).astype(int) != y).sum()))
        if errors[-1] == 0:
            break
    return w, b, errors


def _train_on(rows, reset: bool = True, stop_first: bool = False, lr=None, epochs=None, early: bool = False, tie: bool = True):
    """A training loop with one thing wrong, for the known mistakes.

    Args: rows(n, epoch), the indices to visit; reset=False counts on from epoch to epoch; stop_first leaves before a last 0
    is noted; lr and epochs replace what was asked for; early returns in the first epoch; tie=False calls a score of 0 a 0.
    """
    wrong_lr, wrong_epochs = lr, epochs

    def train_perceptron(X, y, w, b, lr=0.01, epochs=25):
        lr, epochs, errors, count = wrong_lr or lr, wrong_epochs or epochs, [], 0
        for epoch in range(epochs):
            count = 0 if reset else count
            for i in rows(len(X), epoch):
                score = X[i] @ w + b
                e = y[i] - int(score >= 0 if tie else score > 0)
                w, b, count = w + lr * e * X[i], b + lr * e, count + int(e != 0)
            if stop_first and count == 0:
                break
            errors.append(count)
            if count == 0 or early:
                break
        return w, b, errors
    return train_perceptron


def _in_order(n, epoch):
    return range(n)


def _errors(facts, label) -> list:
    return list(facts[f"{label}: errors"])


def _right_errors(label, **options) -> list[int]:
    *case, asked = _training_runs()[label]
    return _reference_training(*case, **{**asked, **options})[2]


def _padded_with_zeros(facts) -> bool:
    right = _right_errors(_SEPARABLE)
    return _errors(facts, _SEPARABLE) == right + [0] * (50 - len(right))


def _shuffles(facts) -> bool:
    """The same start and the same rows gave other errors in the second run."""
    return _errors(facts, _SEPARABLE)[:2] != _errors(facts, _SHORT)[:2]


train_perceptron = Exercise(
    "01.6", "train_perceptron",
    observe=_observe_training,
    expected=_reference_training,
    mistakes=[
        Mistake("All predictions of an epoch use the old line: update after each point (this is the batch version).",
                _train_in_batches),
        Mistake("You never stop early: an epoch without updates cannot change anything any more.",
                _train_without_stopping, when=_padded_with_zeros),
        Mistake("errors[e] is the number of wrong points after the epoch; asked is the number of updates during it.",
                _train_counting_afterwards),
        Mistake("The last 0 is missing: note the epoch without updates in errors, then stop.",
                _train_on(_in_order, stop_first=True),
                when=lambda facts: _errors(facts, _SEPARABLE) == _right_errors(_SEPARABLE)[:-1]),
        Mistake("The count is not set back to 0 at the start of each epoch.",
                _train_on(_in_order, reset=False),
                when=lambda facts: _errors(facts, _RANDOM) == np.cumsum(_right_errors(_RANDOM)).tolist()),
        Mistake("The function leaves during the first epoch: `return` stands inside a loop. Move it to the left.",
                _train_on(_in_order, early=True),
                when=lambda facts: all(len(_errors(facts, label)) <= 1 for label in (_SEPARABLE, _RANDOM))),
        Mistake("The first row is left out.", _train_on(lambda n, epoch: range(1, n))),
        Mistake("The last row is left out.", _train_on(lambda n, epoch: range(n - 1))),
        Mistake("The rows are shuffled: asked is the order given. (Whoever calls the function shuffles before.)",
                _train_on(lambda n, epoch: np.random.default_rng(epoch).permutation(n)), when=_shuffles),
        Mistake("lr is ignored: the steps have a size of their own.", _train_on(_in_order, lr=0.01),
                when=lambda facts: _errors(facts, _RANDOM) == _right_errors(_RANDOM, lr=0.1)),
        Mistake("More epochs than asked for: `epochs` is the largest number allowed.", _train_on(_in_order, epochs=25),
                when=lambda facts: len(_errors(facts, _SHORT)) > 2),
        Mistake("A score of exactly 0 is called 1: use >=, not >.", _train_on(_in_order, tie=False)),
    ],
    hints=[
        "Two loops: epochs outside, points inside.",
        "Reuse `perceptron_step`; count when the prediction differs from y.",
        "`for _ in range(epochs): count = 0; for xi, yi in zip(X, y): ...; errors.append(count); if count == 0: ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 01.7 signed_distance

def _distance_cases() -> dict[str, tuple]:
    """The cases of the check with a line to measure from: (X, w, b) by label."""
    cases = {"the five students with w=[2, 1], b=-18": (STUDENTS, np.array([2.0, 1.0]), -18.0)}
    rng = np.random.default_rng(7)
    for n, d in ((7, 2), (5, 3), (4, 6)):
        X, w = rng.normal(size=(n, d)), rng.normal(size=d) * 2
        cases[f"{n} points with {d} features, b=1.7"] = (X, w, 1.7)
        if d == 3:
            cases[f"the same {n} points, w and b multiplied by 4"] = (X, 4 * w, 4 * 1.7)
    # Weights that only look like zero: their sum is 0, or one of them is, or all are tiny.
    cases["w=[1.5, -1.5], b=1.7"] = (rng.normal(size=(3, 2)), np.array([1.5, -1.5]), 1.7)
    cases["w=[0, -2.5], b=1.7"] = (rng.normal(size=(3, 2)), np.array([0.0, -2.5]), 1.7)
    cases["w=[3e-12, -4e-12], b=1e-11: tiny, but a line"] = (rng.normal(size=(3, 2)), np.array([3e-12, -4e-12]), 1e-11)
    return cases


def _observe_distance(signed_distance, see):
    for label, case in _distance_cases().items():
        see.call(signed_distance, *case, label=label)
    see.raises(signed_distance, np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 2.0]]), np.zeros(2), 1.7,
               label="w=[0, 0]: there is no line")
    see.raises(signed_distance, np.array([[1.0, -2.0, 0.5, 3.0], [2.0, 1.0, -1.0, 0.5]]), np.zeros(4), 0.0,
               label="w=[0, 0, 0, 0], b=0")


def _measured_as(rule):
    """Recognize distances that follow ``rule(X, w, b)``, whatever happens at w = 0."""
    def when(facts):
        return all(np.allclose(facts[label], rule(*case), rtol=1e-8, atol=0) for label, case in _distance_cases().items())
    return when


def _guarded(rule):
    """An answer that follows ``rule`` and refuses w = 0 as it should."""
    def signed_distance(X, w, b):
        if not np.any(w):
            raise ValueError("w is zero")
        return rule(X, w, b)
    return signed_distance


def _divided_in_place(X, w, b):
    length = np.linalg.norm(w)
    w /= length
    return X @ w + b / length


def _refuses_tiny(facts) -> bool:
    """Right up to the case with tiny weights, and there it raises ValueError."""
    *others, tiny = _distance_cases()
    refused = isinstance(facts[tiny], Raised) and facts[tiny].kind == "ValueError"
    return refused and all(np.allclose(facts[label], _reference_distance(*_distance_cases()[label])) for label in others)


def _distance_refusing_tiny(X, w, b):
    if np.allclose(w, 0):
        raise ValueError("w is zero")
    return (X @ w + b) / np.linalg.norm(w)


def _mismeasured(diagnosis: str, rule) -> Mistake:
    return Mistake(diagnosis, _guarded(rule), when=_measured_as(rule))


def _reference_distance(X, w, b):
    """Drop a perpendicular: the shortest way from x to the boundary is the least-squares solution of w @ way = -score."""
    if not any(w):
        raise ValueError("w is the zero vector: there is no line to measure from")
    scores = np.einsum("nd,d->n", X, w) + b
    ways = np.array([np.linalg.lstsq(w[None, :], np.array([-s]), rcond=None)[0] for s in scores])
    return np.copysign(np.sqrt((ways**2).sum(axis=1)), scores)


signed_distance = Exercise(
    "01.7", "signed_distance",
    observe=_observe_distance,
    expected=_reference_distance,
    mistakes=[
        _mismeasured("This is the score; divide by the length of w.", lambda X, w, b: X @ w + b),
        _mismeasured("The sign is lost: the two sides look the same.",
                     lambda X, w, b: np.abs(X @ w + b) / np.linalg.norm(w)),
        _mismeasured("The bias must be divided too.", lambda X, w, b: (X @ w) / np.linalg.norm(w) + b),
        _mismeasured("b is not part of the normal vector: use only w in the norm.",
                     lambda X, w, b: (X @ w + b) / np.sqrt(w @ w + b * b)),
        _mismeasured("Divided by the squared length.", lambda X, w, b: (X @ w + b) / (w @ w)),
        _mismeasured("The bias is forgotten: the distance is the score, bias included, divided by the length.",
                     lambda X, w, b: (X @ w) / np.linalg.norm(w)),
        _mismeasured("Only the bias is divided: `X @ w + b / length` needs parentheses.",
                     lambda X, w, b: X @ w + b / np.linalg.norm(w)),
        _mismeasured("Divided by the sum of the weights' sizes; the length is the square root of the sum of squares.",
                     lambda X, w, b: (X @ w + b) / np.abs(w).sum()),
        Mistake("w is overwritten: `w /= ...` writes into the caller's array. Give the length a name and leave w alone.",
                _divided_in_place, when=lambda facts: any("inputs stay" in label for label in facts)),
        Mistake("A tiny w is still a w: only the zero vector has no hyperplane, so compare with 0 exactly.",
                _distance_refusing_tiny, when=_refuses_tiny),
    ],
    hints=[
        "Why does (2w, 2b) draw the same line?",
        "`np.linalg.norm`.",
        "`(X @ w + b) / ...`, guard before dividing.",
    ],
)


# ---------------------------------------------------------------------------------------------- 01.8 multiclass_epoch

# The example of the text: the scores of (1, 2) are 0.2, 0.9 and 0.5.
EXAMPLE_W = np.array([[0.0, 0.0], [0.3, 0.2], [0.1, 0.0]])
EXAMPLE_B = np.array([0.2, 0.2, 0.4])
EXAMPLE_W.setflags(write=False)
EXAMPLE_B.setflags(write=False)


def _observe_epoch(multiclass_epoch, see):
    def call(W, b, X, y, label, **options):
        see.call(multiclass_epoch, W, b, X, y, label=label, parts=("the new W", "the new b", "the number of errors"), **options)

    call(EXAMPLE_W, EXAMPLE_B, np.array([[1.0, 2.0]]), np.array([2]), lr=0.5,
         label="the example of the text: x = (1, 2), label 2, lr=0.5")
    for n, d, k, lr, seed in ((17, 5, 4, None, 1), (9, 3, 3, 0.5, 2), (30, 4, 6, 0.25, 3)):
        rng = np.random.default_rng(seed)
        W, b, X, y = rng.normal(size=(k, d)), rng.normal(size=k), rng.normal(size=(n, d)), rng.integers(0, k, n)
        call(W, b, X, y, **({} if lr is None else {"lr": lr}),
             label=f"{n} points, {d} features, {k} classes, " + (f"lr={lr}" if lr else "lr left out"))
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(12, 5)), np.array([2, 0, 1, 3, 3, 0, 2, 1, 1, 2, 0, 3])
    call(np.zeros((4, 5)), np.zeros(4), X, y, lr=0.5, label="12 points from W=0, b=0, where at first all scores are tied")


def _reference_epoch(W, b, X, y, lr=1.0):
    """The same pass with a one-hot matrix: the row of a class is its start plus lr times the points given to it."""
    k, Z = len(W), np.column_stack([X, np.ones(len(X))])
    start, given, errors = np.column_stack([W, b]), np.zeros((k, len(X))), 0
    for i, z in enumerate(Z):
        scores = start @ z + lr * (given @ (Z @ z))
        winner = min(range(k), key=lambda j: (-scores[j], j))
        if winner != y[i]:
            given[y[i], i], given[winner, i] = 1, -1
            errors += 1
    rows = start + lr * given @ Z
    return rows[:, :-1], rows[:, -1], errors


def _epoch_rewarding_only(W, b, X, y, lr=1.0):
    W = W.copy()
    b = b.copy()
    n = 0
    for xi, yi in zip(X, y, strict=True):
        k = int(np.argmax(W @ xi + b))
        if k != yi:
            W[yi] += lr * xi
            b[yi] += lr
            n += 1
    return W, b, n


def _epoch_swapped(W, b, X, y, lr=1.0):
    W = W.copy()
    b = b.copy()
    n = 0
    for xi, yi in zip(X, y, strict=True):
        k = int(np.argmax(W @ xi + b))
        if k != yi:
            W[yi] -= lr * xi
            b[yi] -= lr
            W[k] += lr * xi
            b[k] += lr
            n += 1
    return W, b, n


def _epoch_without_bias(W, b, X, y, lr=1.0):
    W = W.copy()
    n = 0
    for xi, yi in zip(X, y, strict=True):
        k = int(np.argmax(W @ xi + b))
        if k != yi:
            W[yi] += lr * xi
            W[k] -= lr * xi
            n += 1
    return W, b, n


def _epoch_with(winner=None, lr=None, count_all: bool = False, punish_all: bool = False, once: bool = False):
    """An epoch with one thing wrong, for the known mistakes.

    Args: winner(W, b, x), another choice of the row; lr, another learning rate; count_all counts right points too; punish_all
    subtracts from every row but the right one; once predicts all points with the first W.
    """
    choose, wrong_lr = winner or (lambda W, b, x: int(np.argmax(W @ x + b))), lr

    def multiclass_epoch(W, b, X, y, lr=1.0):
        lr, n, old = wrong_lr or lr, 0, (W, b)
        W, b = W.copy(), b.copy()
        for xi, yi in zip(X, y, strict=True):
            k = choose(*(old if once else (W, b)), xi)
            n += int(k != yi or count_all)
            if k != yi:
                losers = np.arange(len(b)) != yi if punish_all else [k]
                W[losers] -= lr * xi
                b[losers] -= lr
                W[yi] += lr * xi
                b[yi] += lr
        return W, b, n
    return multiclass_epoch


multiclass_epoch = Exercise(
    "01.8", "multiclass_epoch",
    observe=_observe_epoch,
    expected=_reference_epoch,
    mistakes=[
        Mistake("Only the right row is rewarded; subtract x from the row that won wrongly.", _epoch_rewarding_only),
        Mistake("Rows swapped: you punish the right class and reward the wrong one.", _epoch_swapped),
        Mistake("The biases are never updated.", _epoch_without_bias),
        Mistake("All points are predicted with the W from the start: predict each point with the W that the last one left.",
                _epoch_with(once=True)),
        Mistake("The learning rate is ignored: rows change by lr * x, biases by lr.", _epoch_with(lr=1.0)),
        Mistake("The bias is left out of the scores: the winner is the argmax of W @ x + b.",
                _epoch_with(winner=lambda W, b, x: int(np.argmax(W @ x)))),
        Mistake("Every point is counted; asked is the number of misclassified ones.", _epoch_with(count_all=True)),
        Mistake("x is subtracted from every wrong row; only the winner is punished.", _epoch_with(punish_all=True)),
        Mistake("np.max gives the largest score; np.argmax gives its place, and that is the row.",
                _epoch_with(winner=lambda W, b, x: np.max(W @ x + b)),
                when=lambda facts: any(isinstance(value, Raised) and value.text.startswith("only integers, slices")
                                       for value in facts.values())),
    ],
    hints=[
        "Two rows change, the right one and the winner.",
        "`np.argmax(W @ xi + b)`; copy W and b first.",
        "`W[yi] += ...; W[k] -= ...; b[yi] += ...; b[k] -= ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("01", [
    Question(
        "Student 3 has 7 in the test and 6 in the grades. The line is 2 · test + grades − 18 = 0; whoever gets 0 or more on the "
        "left-hand side is accepted. Is student 3?",
        right=("Yes", "The score is 2 · 7 + 6 − 18 = 2, and 2 ≥ 0."),
        wrong=[("No", "7 + 6 = 13 < 18 forgets the weight 2: the test counts twice, and 2 · 7 + 6 = 20."),
               ("Undecided", "Undecided would need a score of exactly 0; here it is 2.")]),
    Question(
        "With 5 features, what is the dimension of the decision boundary?",
        right=("4", "One equation takes away one dimension: n features, n − 1 dimensions."),
        wrong=[("5", "5 is the dimension of the whole space."),
               ("2", "2 is the dimension of the picture on the screen, or of a boundary between points with 3 features."),
               ("1", "1 is the case of two features, where the boundary is a line.")]),
    Question(
        "Which (w1, w2, b) gives the same predictions as (2, 1, −18)?",
        right=("(4, 2, −36)", "All three are doubled: every score doubles, no sign changes, the line is the same."),
        wrong=[("(−2, −1, 18)", "The line is the same, but the two sides are swapped."),
               ("(2, 1, −36)", "Only the bias is doubled: that moves the line away from the origin."),
               ("(4, 2, −18)", "The weights are doubled and the bias is not: this line lies closer to the origin.")]),
    Question(
        "A unit has weights (1, 1), bias −1, and answers 1 if its score is ≥ 0. Which gate is it?",
        right=("OR", "(0,1) and (1,0) score exactly 0, and 0 counts as 1. Only (0,0) stays below."),
        wrong=[("AND", "AND needs a bias in [−2, −1), so that (0,1) and (1,0) stay below 0."),
               ("NAND", "NAND has negative weights: it must switch off when both inputs are on."),
               ("XOR", "No single unit computes XOR.")]),
    Question(
        "A point is misclassified. What does it want the line to do?",
        right=("Come closer", "The line must pass over it, so that the point ends on the other side."),
        wrong=[("Go farther away", "That is what a point wants that is already right, in gradient descent: the method of lesson "
                                   "03, where all points pull at the line, the right ones too. This one is on the wrong side, and "
                                   "going away leaves it there."),
               ("Shift in parallel, without turning", "The weights w change too, not only b: the line turns as well.")]),
    Question(
        "The line is (3, 4, −10), and (4, 5) with label 0 is misclassified. After one step with α = 1, why is the "
        "new line bad?",
        right=("Every point with positive coordinates is now called 0",
               "The new score is −x1 − x2 − 11: negative on the whole first quadrant, so all the ones are lost."),
        wrong=[("(4, 5) is still misclassified", "Its score is now −4 − 5 − 11 = −20: it is called 0, as it should be."),
               ("α must be below 0.5", "There is no such rule; what is too large depends on the points.")]),
    Question(
        "The perceptron algorithm reports 0 errors in an epoch. What do you know?",
        right=("It stops, and the training data are separable",
               "Nothing is misclassified, so nothing will ever change; and the line at hand separates the points."),
        wrong=[("It will make no error on new data", "New points may lie anywhere, on the wrong side of this line too."),
               ("The learning rate was well chosen",
                "With a zero start every lr > 0 gives the same lines, apart from rounding: it scales w and b alike.")]),
    Question(
        "Cars are red, blue or green. Why does a linear classifier do badly on them?",
        right=("It has one template per class, which must average the three",
               "The average of three colors looks like none of them."),
        wrong=[("The pictures have too few pixels", "More pixels do not help: there is still one row for all three looks."),
               ("argmax cannot handle ties", "It takes the first of tied scores; and ties play no role here."),
               ("W is too small", "Rows could be added, several for the same class, but that is a different model.")]),
])


# ---------------------------------------------------------------------------------------------- figures: students

# Applicants of past years: test, grades, accepted. Two of them lie on the wrong side of 2 * test + grades = 18.
APPLICANTS = np.array([
    (9, 8, 1), (8, 6, 1), (7, 9, 1), (8, 9, 1), (6, 8, 1), (9, 4, 1), (7, 7, 1), (8, 4, 1), (9.5, 6, 1), (6.5, 6.5, 1),
    (10, 3, 1), (5, 7, 1),
    (3, 4, 0), (2, 7, 0), (4, 8, 0), (5, 5, 0), (6, 3, 0), (7, 2, 0), (1, 5, 0), (5, 2, 0), (4, 6, 0), (2, 2, 0), (3, 9, 0),
    (7.5, 4.5, 0),
])
NAMES = ("0 rejected", "1 accepted")


def _student_axes(ax, legend: bool = True) -> None:
    ax.set(xlim=(0, 10.5), ylim=(0, 10.5), xlabel="test (0 to 10)", ylabel="grades (0 to 10)", aspect="equal",
           xticks=range(0, 11, 2), yticks=range(0, 11, 2))
    if legend:
        plots.legend(ax, outside=True)


def show_applicants() -> None:
    """The applicants of past years, the line, and student 3, who has no answer yet."""
    fig, ax = plots.figure(size=(5.9, 4.2))
    plots.classes(ax, APPLICANTS[:, :2], APPLICANTS[:, 2], NAMES)
    ax.scatter(7, 6, s=150, marker="*", color=plots.BLACK, zorder=4, label="student 3: ?")
    _student_axes(ax)
    plots.line(ax, (2, 1), -18)
    plots.show(fig, "Past applicants by test and grades. A falling line parts most of the accepted (blue circles, upper right) "
                    "from most of the rejected (red crosses, lower left); one of each lies on the wrong side. "
                    "Student 3, a star at (7, 6), lies just above the line.")


def show_scores(scores) -> None:
    """The five students with their scores, and the two sides of the line tinted.

    Args: scores (5,), the score of each row of STUDENTS.
    """
    fig, ax = plots.figure(size=(6.6, 4.2))
    decided = np.asarray(scores) >= 0
    plots.classes(ax, STUDENTS, decided, NAMES, size=80)
    for number, (point, score) in enumerate(zip(STUDENTS, scores, strict=True), 1):
        ax.annotate(f"student {number}: {plots.number(score)}", point, xytext=(9, -4), textcoords="offset points")
    _student_axes(ax)
    ax.set(xlim=(0, 13.5), ylim=(-0.8, 10.5))
    plots.sides(ax, (2, 1), -18)
    plots.line(ax, (2, 1), -18)
    plots.show(fig, "The five students with their scores: 9,8 has 8; 3,4 has −8; 7,6 has 2; 9,1 has 1; 9,0 has 0 and lies "
                    "exactly on the line. The side of the line with scores of 0 and more is tinted blue.")


def draw_line(w1: float, w2: float, b: float):
    """The applicants and the line (w1, w2, b); returns the figure and a sentence that counts the errors."""
    fig, ax = plots.figure(size=(5.6, 4.0))
    text = _applicants_and_line(ax, w1, w2, b)
    return fig, text


def _applicants_and_line(ax, w1, w2, b, legend=True) -> str:
    X, y = APPLICANTS[:, :2], APPLICANTS[:, 2]
    wrong = (X @ np.array([w1, w2]) + b >= 0) != (y == 1)
    plots.classes(ax, X, y, NAMES, size=45)
    ax.scatter(*X[wrong].T, s=150, facecolor="none", edgecolor=plots.BLACK, linewidth=1.3, zorder=4, label="error")
    _student_axes(ax, legend)
    plots.sides(ax, (w1, w2), b)
    plots.line(ax, (w1, w2), b)
    values = f"w1 = {plots.number(w1)}, w2 = {plots.number(w2)}, b = {plots.number(b)}"
    return f"{wrong.sum()} of {len(y)} wrong with {values}"


def show_three_lines() -> None:
    """Three settings of w1, w2 and b, with their errors: what the sliders show, without sliders."""
    fig, axes = plots.figure(1, 3, size=(9.6, 3.5))
    lines = [(2, 1, -18), (1, 2, -18), (2, 1, -12)]
    texts = []
    for ax, values in zip(axes, lines, strict=True):
        texts.append(_applicants_and_line(ax, *values, legend=False))
        ax.set_title(texts[-1].replace(" with ", "\n"), fontsize=10.5)
    plots.show(fig, "Three lines over the same applicants, errors ringed: " + "; ".join(texts) + ".")


def line_sliders() -> None:
    """Sliders for w1, w2 and b with a live count of errors, where the notebook runs in a browser."""
    widgets.sliders(draw_line, w1=(-4, 4, 2, 0.5), w2=(-4, 4, 1, 0.5), b=(-30, 10, -18, 1))


# ---------------------------------------------------------------------------------------------- figures: the unit

def _node(ax, x, y, text, color="white", radius=0.36) -> None:
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), radius, facecolor=color, edgecolor=plots.BLACK, linewidth=1.5, zorder=3))
    ax.text(x, y, text, ha="center", va="center", zorder=4)


def _edge(ax, start, end, text="") -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": plots.BLACK, "shrinkA": 19, "shrinkB": 19})
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        ax.text(x, y, text, ha="center", va="center", color=plots.BLUE, fontweight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5}, zorder=4)


def show_graph(extra_input: bool = False) -> None:
    """The perceptron as a graph: the bias inside the node; with ``extra_input`` also as the edge of an input that is always 1."""
    fig, axes = plots.figure(1, 1 + extra_input, size=(4.7 * (1 + extra_input), 2.9), squeeze=False)
    alt = ("Inputs 7 and 6 on edges with the weights 2 and 1 enter a node that holds the bias −18. It computes 2, and the step "
           "function makes it 1.")
    _draw_graph(axes[0, 0], [("test", "7", "2"), ("grades", "6", "1")], "−18", "bias inside the node")
    if extra_input:
        _draw_graph(axes[0, 1], [("test", "7", "2"), ("grades", "6", "1"), ("always", "1", "−18")], "sum", "bias as an input")
        alt = "Two drawings of one perceptron. Left: " + alt[0].lower() + alt[1:] + (
            " Right: the node only sums, and a third input, always 1, comes in on an edge −18. The result is the same.")
    plots.show(fig, alt)


def _draw_graph(ax, inputs, node, title) -> None:
    """Inputs (name, value, weight) on the left, a summing node, the step, and the answer 1."""
    ax.set(xlim=(-1.3, 6.0), ylim=(-0.6, 3.0), aspect="equal", title=title)
    ax.set_axis_off()
    for (name, value, weight), y in zip(inputs, np.linspace(2.4, 0, len(inputs)), strict=True):
        _node(ax, 0, y, value, plots.YELLOW if name == "always" else "white")
        ax.text(-0.5, y, name, ha="right", va="center")
        _edge(ax, (0, y), (2.4, 1.2), weight)
    _node(ax, 2.4, 1.2, node, plots.SKY)
    _edge(ax, (2.4, 1.2), (4.0, 1.2))
    ax.text(3.2, 1.45, "2", ha="center")
    _node(ax, 4.0, 1.2, "step", plots.SKY)
    _edge(ax, (4.0, 1.2), (5.5, 1.2))
    ax.text(5.6, 1.2, "1", ha="center", va="center", fontsize=14)


def show_step() -> None:
    """The step function, with the tie at 0 drawn as a full dot."""
    fig, ax = plots.figure(size=(5.2, 2.4))
    ax.plot([-4, 0], [0, 0], color=plots.RED, linewidth=3)
    ax.plot([0, 4], [1, 1], color=plots.BLUE, linewidth=3)
    ax.plot(0, 1, "o", color=plots.BLUE, markersize=9)
    ax.plot(0, 0, "o", markerfacecolor="white", markeredgecolor=plots.RED, markersize=9)
    ax.set(xlabel="score", ylabel="step(score)", yticks=[0, 1], ylim=(-0.2, 1.25))
    plots.show(fig, "The step function: 0 for every negative score, 1 from 0 on. The full dot at (0, 1) says that a score of "
                    "exactly 0 gives 1.")


# ---------------------------------------------------------------------------------------------- figures: more features

def show_plane() -> None:
    """Three features: the boundary is a plane."""
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 10, (60, 3))
    score = X @ np.array([0.6, 0.4, 1.0]) - 10
    X, y = X[np.abs(score) > 1.5], (score[np.abs(score) > 1.5] > 0).astype(int)
    fig, ax = plots.figure(size=(5.4, 4.4), subplot_kw={"projection": "3d"})
    test, grades = np.meshgrid(np.linspace(0, 10, 2), np.linspace(0, 10, 2))
    ax.plot_surface(test, grades, 10 - 0.6 * test - 0.4 * grades, color=plots.GREY, alpha=0.35)
    for label, marker, color in ((1, "o", plots.BLUE), (0, "X", plots.RED)):
        ax.scatter(*X[y == label].T, marker=marker, color=color, s=38, edgecolor="white", linewidth=0.5,
                   label=NAMES[label], depthshade=False)
    ax.set(xlabel="test", ylabel="grades", zlabel="class rank (10: best)", zlim=(0, 10), xlim=(0, 10), ylim=(0, 10))
    ax.view_init(12, -62)
    plots.legend(ax, loc="upper left", fontsize=9)
    ax.set_box_aspect(None, zoom=0.88)
    plots.show(fig, "Students with three features, test, grades and class rank, 10 for the best. A gray plane cuts the cube: "
                    "accepted students on one side of it, rejected ones on the other.")


def show_distance() -> None:
    """Score and distance: student 3 and the foot of the perpendicular on the line."""
    fig, ax = plots.figure(size=(5.6, 4.2))
    w = np.array([2.0, 1.0])
    for number, (x, label) in enumerate(zip(STUDENTS[:4], (1, 0, 1, 1), strict=True), 1):
        score = x @ w - 18
        foot = x - score * w / (w @ w)
        ax.plot(*zip(x, foot, strict=True), color=plots.GREY, linestyle="--", zorder=2)
        distance = score / np.sqrt(5)
        place = {1: (-6, 8), 2: (-10, -16), 3: (9, 2), 4: (8, 4)}[number]
        ax.annotate(f"score {plots.number(score)}, distance {plots.number(distance, 3)}", x, xytext=place, textcoords="offset points",
                    ha="left" if number in (3, 4) else "center", fontsize=9.5)
        plots.classes(ax, x[None], np.array([label]))
    ax.set(xlim=(0, 14), ylim=(0, 10.5), xlabel="test", ylabel="grades", aspect="equal")
    plots.line(ax, w, -18)
    plots.show(fig, "Dashed perpendiculars from four students to the line. Student 3 at (7, 6) has score 2 and distance 0.89; "
                    "student 1 at (9, 8) has score 8 and distance 3.58.")


# ---------------------------------------------------------------------------------------------- figures: logic

def _corners(ax, table, title="") -> None:
    corners = np.array(CORNERS, float)
    ax.set(xlim=(-0.55, 1.55), ylim=(-0.55, 1.55), aspect="equal", xticks=[0, 1], yticks=[0, 1], title=title,
           xlabel="first input", ylabel="second input")
    plots.classes(ax, corners, np.array(table), size=130)


def show_gates(gates: dict) -> None:
    """AND, OR, NAND and NOT as lines between the four corners.

    Args: gates, what gate_parameters returns.
    """
    fig, axes = plots.figure(1, 4, size=(10.6, 3.1), sharey=True)
    for ax, name in zip(axes, ("AND", "OR", "NAND", "NOT"), strict=True):
        w, b = gates[name]
        _corners(ax, GATES[name], name if name != "NOT" else "NOT (of the second input)")
        plots.sides(ax, w, b)
        plots.line(ax, w, b)
        ax.set_ylabel("second input" if name == "AND" else "")
    plots.show(fig, "Four squares with the four corners of two inputs; circles are 1, crosses 0. AND and NAND: the line parts (1,1) "
                    "from the other three, with the sides swapped. OR: it parts (0,0) from the other three. NOT: it parts the lower "
                    "two from the upper two.")


def show_xor() -> None:
    """The lines of OR and NAND, and the strip between them."""
    fig, ax = plots.figure(size=(4.9, 3.9))
    _corners(ax, XOR)
    line = np.linspace(-0.55, 1.55, 2)
    ax.fill_between(line, 0.5 - line, 1.5 - line, color=plots.BLUE, alpha=0.15, linewidth=0)
    plots.line(ax, (1, 1), -0.5, color=plots.GREEN, label="OR: x1 + x2 = 0.5")
    plots.line(ax, (1, 1), -1.5, color=plots.PURPLE, linestyle="--", label="NAND: x1 + x2 = 1.5")
    ax.text(0.5, 0.5, "1 in here", ha="center", va="center", rotation=-45, color=plots.BLUE)
    plots.legend(ax, outside=True, fontsize=9)
    plots.show(fig, "The four corners of XOR. (0,1) and (1,0) lie in a strip between two parallel lines: above the line of OR, and "
                    "below the line of NAND. (0,0) and (1,1) lie outside.")


# ---------------------------------------------------------------------------------------------- figures: the trick

# Six points for the line (3, 4, -10): it is right about four of them. A line that is right about all six exists.
SIX_X = np.array([[3.5, 1.5], [5, 2], [1, 1], [4, 5], [0.3, 1.5], [0.2, 0.8]], dtype=float)
SIX_Y = np.array([1, 1, 1, 0, 0, 0])


def _six_points(ax, w, b, title="", tint=True) -> np.ndarray:
    plots.classes(ax, SIX_X, SIX_Y, size=75)
    wrong = (SIX_X @ np.asarray(w, float) + float(b) >= 0) != (SIX_Y == 1)
    ax.scatter(*SIX_X[wrong].T, s=230, facecolor="none", edgecolor=plots.BLACK, linewidth=1.4, zorder=4)
    ax.set(xlim=(0, 6), ylim=(0, 6), aspect="equal", xlabel="x1", ylabel="x2", title=title)
    if tint:
        plots.sides(ax, w, b)
    plots.line(ax, w, b)
    return wrong


def show_six_points() -> None:
    """A line drawn at random, and six points that say whether they are fine."""
    fig, ax = plots.figure(size=(4.6, 4.0))
    wrong = _six_points(ax, (3, 4), -10)
    for point, bad in zip(SIX_X, wrong, strict=True):
        place = (12, -20) if bad else (2, -17) if point[1] < 1 else (9, -4)  # two points lie close to the axis
        ax.annotate("move!" if bad else "fine", point, xytext=place, textcoords="offset points",
                    fontweight="bold" if bad else "normal")
    plots.show(fig, "A falling line and six points. Four say: fine. Two are on the wrong side and say: move! These are the red "
                    "cross at (4, 5), above the line, and the blue circle at (1, 1), below it.")


def show_alphas(perceptron_step) -> None:
    """One step for the point (4, 5): with alpha 1 the line leaves the picture, with 0.1 it moves a little."""
    fig, axes = plots.figure(1, 3, size=(9.6, 3.6))
    _six_points(axes[0], (3, 4), -10, "before: (3, 4, −10)")
    for ax, lr in zip(axes[1:], (1, 0.1), strict=True):
        w, b = perceptron_step(np.array([3.0, 4.0]), -10.0, np.array([4.0, 5.0]), 0, lr)
        _six_points(ax, w, b, f"α = {lr:g}: ({plots.number(w[0])}, {plots.number(w[1])}, {plots.number(b)})")
    plots.show(fig, "One step for the red point (4, 5). Before: the line cuts through the picture. With α = 1 the whole picture is "
                    "on the red side and all three blue points are errors. With α = 0.1 the line has moved a little toward (4, 5).")


def _steps_of(perceptron_step, point, label, lr, count):
    w, b = np.array([3.0, 4.0]), -10.0
    for _ in range(count):
        w, b = perceptron_step(w, b, np.array(point, float), label, lr)
    return w, b


def _one_decimal(score: float) -> str:
    """The score with one decimal and a true minus sign; a hair below 0 is 0.0, not −0.0."""
    return f"{round(score, 1) + 0.0:.1f}".replace("-", "−")


def show_steps(perceptron_step) -> None:
    """Steps 0, 5 and 10 for the point (1, 1): what the button shows, without a button."""
    fig, axes = plots.figure(1, 3, size=(9.6, 3.6))
    for ax, count in zip(axes, (0, 5, 10), strict=True):
        w, b = _steps_of(perceptron_step, (1, 1), 1, 0.1, count)
        _six_points(ax, w, b, f"after {count} steps, score {_one_decimal(w.sum() + b)}")
        ax.scatter(1, 1, s=420, marker="s", facecolor="none", edgecolor=plots.GREEN, linewidth=2, zorder=4)
    plots.show(fig, "The line comes closer to the point (1, 1), in a green square, with α = 0.1: its score is −3.0 at the start and "
                    "−1.5 after 5 steps. After 10 steps the line runs through the point, and yet it is still ringed as an error.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def step_button(perceptron_step) -> None:
    """A slider for alpha and a button that takes one step for the first point in error."""
    def start():
        return np.array([3.0, 4.0]), -10.0, 0

    def step(state, alpha):
        w, b, count = state
        wrong = np.flatnonzero((SIX_X @ w + b >= 0) != (SIX_Y == 1))
        if not len(wrong):
            return state
        return *perceptron_step(w, b, SIX_X[wrong[0]], int(SIX_Y[wrong[0]]), alpha), count + 1

    def draw(state, alpha):
        w, b, count = state
        fig, ax = plots.figure(size=(4.6, 4.0))
        wrong = _six_points(ax, w, b)
        line = f"w1 = {w[0]:.2f}, w2 = {w[1]:.2f}, b = {b:.2f}; the score of (1, 1) is {_one_decimal(w.sum() + b)}"
        taken = _count(count, "step")
        if not wrong.any():
            return fig, f"{taken}, no errors left: {line}"
        x = SIX_X[wrong][0]
        return fig, (f"{taken}, {_count(wrong.sum(), 'error')}: {line}; next is ({x[0]:g}, {x[1]:g}), "
                     f"a step changes its score by {alpha * (x @ x + 1):.2f}")

    widgets.stepper(start, step, draw, alpha=(0.05, 1.0, 0.1, 0.05))


# ---------------------------------------------------------------------------------------------- figures: training

def show_history(errors, accuracy) -> None:
    """Updates in each epoch and accuracy after it, with the best epoch marked.

    Args: errors and accuracy, one number an epoch.
    """
    fig, (top, bottom) = plots.figure(2, 1, size=(6.4, 4.4), sharex=True)
    epochs = np.arange(1, len(errors) + 1)
    best = int(np.argmax(accuracy))
    top.plot(epochs, errors, "o-", markersize=3)
    top.set(ylabel="updates", ylim=(0, None))
    bottom.plot(epochs, accuracy, "s-", markersize=3, color=plots.GREEN)
    bottom.plot(epochs[best], accuracy[best], "*", color=plots.BLACK, markersize=15, label=f"best: epoch {best + 1}")
    highest = max(accuracy)
    bottom.set(xlabel="epoch", ylabel="accuracy", ylim=(max(min(accuracy), highest - 0.15) - 0.01, highest + 0.015))
    plots.legend(bottom, loc="lower right")
    end = "it never reaches 0" if min(errors) > 0 else "it reaches 0, so these points are separable"
    plots.show(fig, f"Above, the number of updates in each of {len(errors)} epochs; it falls at first, and {end}. Below, the accuracy "
                    f"after each epoch; it rises, then jumps up and down; a star marks the best, epoch {best + 1}. The lower axis "
                    "is cut: it does not begin at 0.")


def show_past_lines(X, y, lines) -> None:
    """The points with the lines of past epochs dotted, the last one solid, the best one dashed.

    Args: X (n, 2), y (n,); lines, a list of (w, b, accuracy), one an epoch.
    """
    fig, ax = plots.figure(size=(6.4, 4.4))
    plots.classes(ax, X, y, size=40)
    ax.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1), xlabel="x1", ylabel="x2", aspect="equal")
    few = lines[:-1:max(1, len(lines) // 25)]
    for n, (w, b, _) in enumerate(few):
        plots.line(ax, w, b, color=plots.GREEN, linestyle=":", linewidth=1.2, alpha=0.85,
                   label="past epochs" if n == 0 else None)
    w, b, _ = max(lines, key=lambda item: item[2])
    plots.line(ax, w, b, color=plots.ORANGE, linestyle="--", linewidth=3, label="best epoch")
    plots.line(ax, *lines[-1][:2], label="last epoch")
    plots.legend(ax, outside=True)
    plots.show(fig, "The 100 points with lines of past epochs, dotted in green: they sweep in from the start and crowd between "
                    "the two classes. The best line is dashed, the last one solid.")


def show_sorted(updates, accuracy) -> None:
    """The sorted file: the tempting counts of updates, and the accuracy on all points after each epoch.

    Args: updates and accuracy, one number an epoch.
    """
    fig, (left, right) = plots.figure(1, 2, size=(9.4, 3.2))
    epochs = np.arange(1, len(updates) + 1)
    left.bar(epochs, updates, color=plots.ORANGE)
    left.set(title="updates in each epoch", xlabel="epoch", ylabel="updates", ylim=(0, None))
    right.plot(epochs, accuracy, "s-", color=plots.GREEN, markersize=4)
    right.axhline(0.5, color=plots.GREY, linestyle="--", linewidth=1.2)
    right.text(len(updates), 0.48, "guessing", ha="right", va="top", color=plots.GREY)
    right.set(title="accuracy on all points after it", xlabel="epoch", ylabel="accuracy", ylim=(0, 1.05))
    half = int(np.sum(np.round(accuracy, 2) <= 0.51))
    plots.show(fig, f"The sorted file. Left: from {min(updates)} to {max(updates)} updates in each epoch, which looks excellent. "
                    f"Right: the accuracy on all points; after {half} of the {len(updates)} epochs it is 51 % or less, no better "
                    f"than guessing, and the last value is {accuracy[-1]:.0%}.")


def show_runs(last, best) -> None:
    """Twenty shuffled runs: the last line and the best line of each.

    Args: last and best (20,) accuracies.
    """
    fig, ax = plots.figure(size=(6.4, 3.3))
    order = np.argsort(last)
    ax.vlines(range(len(last)), np.array(last)[order], np.array(best)[order], color=plots.GREY, linewidth=1)
    ax.plot(range(len(last)), np.array(last)[order], "X", color=plots.RED, label="last line", markersize=7)
    ax.plot(range(len(last)), np.array(best)[order], "o", color=plots.BLUE, label="best line (pocket)", markersize=6)
    ax.set(xlabel="run, sorted by its last line", ylabel="accuracy", xticks=[])
    plots.legend(ax, loc="lower right")
    plots.show(fig, "Twenty shuffled runs: the last line (crosses) varies by several points, the best line of each run (circles) is "
                    "never below it. The accuracy axis is cut: it does not begin at 0.")


def most_right(X, y) -> float:
    """An upper bound that no line can pass: the largest share of points that one straight line gets right.

    A line can be shifted and turned, with the same points on each side, until it runs through two of them. So it is enough to
    try the line through each pair of points, both ways round. The points on such a line count as right whatever they are, since
    a nudge could put them on either side; where three or more lie on one line, that may be a little too kind.

    Args:   X (n, 2) points, no two alike; y (n,) labels 0 or 1.
    Returns a share, from 0.5 to 1.
    """
    X, sign = np.asarray(X, dtype=float), np.where(np.asarray(y) == 1, 1, -1)
    i, j = np.triu_indices(len(X), 1)
    normals = np.stack([X[i, 1] - X[j, 1], X[j, 0] - X[i, 0]], axis=1)
    scores = X @ normals.T - (normals * X[i]).sum(axis=1)              # (n, pairs)
    on_line = np.abs(scores) <= 1e-12 * np.abs(X).max() ** 2
    balance = np.abs(sign @ np.where(on_line, 0, np.sign(scores)))     # right minus wrong, the better way round
    right = (len(X) - on_line.sum(axis=0) + balance) / 2 + on_line.sum(axis=0)
    return float(right.max() / len(X))


def show_margin() -> None:
    """R and the margin of six points around a boundary through the origin."""
    X = np.array([(3.2, 0.6), (1.4, 0.9), (2.2, 2.0), (-1.5, 1.3), (-2.2, -0.4), (-0.9, -1.8)])
    y = np.array([1, 1, 1, 0, 0, 0])
    w = _widest_through_origin(X, y)
    fig, ax = plots.figure(size=(5.6, 3.9))
    ax.set(xlim=(-3, 4), ylim=(-2.4, 2.8), aspect="equal", xlabel="first input", ylabel="second input")
    plots.sides(ax, w, 0)
    plots.line(ax, w, 0)
    plots.classes(ax, X, y, size=70)
    longest = X[np.linalg.norm(X, axis=1).argmax()]
    closest = X[np.abs(X @ w).argmin()]
    foot = closest - (closest @ w) * w
    ax.annotate("", longest, (0, 0), arrowprops={"arrowstyle": "-|>", "color": plots.BLACK, "shrinkB": 5})
    ax.text(*(longest * 0.62 + (0, -0.4)), "R", fontsize=13)
    ax.plot(*zip(closest, foot, strict=True), color=plots.GREEN, linewidth=3)
    ax.text(*((closest + foot) / 2 + (0.0, 0.15)), "γ", fontsize=13)
    plots.show(fig, "Six points around the origin and a boundary through it that parts the two classes. R is the arrow to the point "
                    "farthest from the origin. γ, the margin, is the short way from the closest point to the boundary.")


def _widest_through_origin(X, y) -> np.ndarray:
    """The unit normal of the boundary through the origin with the widest margin, out of 3,600 directions."""
    angles = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    normals = np.stack([np.cos(angles), np.sin(angles)])
    return normals[:, (np.where(y == 1, 1, -1)[:, None] * (X @ normals)).min(axis=0).argmax()]


# ---------------------------------------------------------------------------------------------- figures: digits

def show_match(images, W, label: int) -> None:
    """One image times its own template and the one that fits it least: where the two agree, the product is blue.

    Args: images (28, 28) of one digit ``label``, in 0..1; W (10, 784).
    """
    other = int(np.argmin(W @ images.ravel()))
    rows = [W[label].reshape(28, 28), W[other].reshape(28, 28)]
    fig, axes = plots.figure(2, 3, size=(6.6, 4.3))
    for line, (row, name) in enumerate(zip(rows, (label, other), strict=True)):
        product = images * row
        limit, most = np.abs(rows).max(), max(np.abs(images * r).max() for r in rows)
        for ax, picture, title, options in zip(
                axes[line], (images, row, product),
                (f"image of a {label}", f"template {name}", f"product, sum {product.sum():.1f}".replace("-", "−")),
                ({"cmap": "gray"}, {"cmap": plots.DIVERGING, "vmin": -limit, "vmax": limit},
                 {"cmap": plots.DIVERGING, "vmin": -most, "vmax": most}), strict=True):
            ax.imshow(picture, **options)
            ax.set_axis_off()
            ax.set_title(title, fontsize=10)
    for line in (0, 1):
        axes[line, 1].text(-7, 14, "×", fontsize=16, ha="center", va="center")
        axes[line, 2].text(-7, 14, "=", fontsize=16, ha="center", va="center")
    plots.show(fig, f"An image of a {label} times template {label}, and times template {other}, which fits it least, pixel by "
                    f"pixel. The sum of the product is the score before the bias: {(images * rows[0]).sum():.1f} for its own "
                    f"template, {(images * rows[1]).sum():.1f} for the other.".replace("-", "−"))


def show_templates(W, title: str = "") -> None:
    """The ten rows of W as pictures with 0 in white.

    Args: W (10, 784).
    """
    fig = plots.images(np.asarray(W).reshape(10, 28, 28), [str(n) for n in range(10)], columns=5, diverging=True, size=1.2)
    plots.show(fig, "The ten rows of W as 28 by 28 templates: blue pixels speak for the digit, red ones against it, white ones do "
                    "not matter." + (title and f" {title}"))


def show_geometry(X, y, W, b, classes=(0, 1)) -> None:
    """Images of two classes by two of their ten scores; where the two are equal, on the diagonal, the answer changes.

    Args: X (n, 784), y (n,); W (10, 784), b (10,); classes, the two digits shown.
    """
    zero, one = classes
    keep = np.isin(y, classes)
    scores = X[keep] @ W[[zero, one]].T + b[[zero, one]]
    fig, ax = plots.figure(size=(5.8, 3.9))
    plots.classes(ax, scores[:, ::-1], y[keep] == zero, (f"images of a {one}", f"images of a {zero}"), size=26)
    low, high = scores.min(), scores.max()
    ax.plot([low, high], [low, high], color=plots.BLACK, linewidth=2, label="equal scores")
    ax.set(xlabel=f"score of template {one}", ylabel=f"score of template {zero}")
    ax.locator_params(nbins=5)
    plots.legend(ax, outside=True)
    right = ((scores[:, 0] >= scores[:, 1]) == (y[keep] == zero)).mean()
    plots.show(fig, f"Test images of {zero} and {one} as points, by their scores for both templates. On the diagonal both "
                    f"scores are equal: it is the hyperplane between the two classes; {right:.0%} of the points lie on their side of it.")


# ---------------------------------------------------------------------------------------------- figures: limits

def color_squares(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Colored squares in place of small photos: a "car" is a red, blue or green box on gray; the rest is gray with gray boxes.

    Returns X (n, 16, 16, 3) in 0..1 and y (n,), 1 for cars. One third of the cars has each color.
    """
    rng = np.random.default_rng(seed)
    X = 0.5 + 0.005 * rng.normal(size=(n, 16, 16, 3))
    y = np.arange(n) % 2
    paint = np.array([[0.9, 0.15, 0.15], [0.15, 0.25, 0.9], [0.1, 0.7, 0.2]])
    for place in range(n):
        top, left = rng.integers(4, 8), rng.integers(2, 6)
        gray = np.full(3, (0.1, 0.68)[place // 2 % 2])  # on average as dark as the cars
        X[place, top:top + 5, left:left + 9] = paint[place // 2 % 3] if y[place] else gray
    order = rng.permutation(n)
    return np.clip(X[order], 0, 1), y[order]


CAR_LOOKS = ("red car", "blue car", "green car", "dark other", "light other")


def car_looks(X, y) -> np.ndarray:
    """Which of CAR_LOOKS each picture has: (n,) integers from 0 to 4.

    Args: X (n, 16, 16, 3), y (n,), from color_squares.
    """
    color = np.array([0, 2, 1])[X.mean(axis=(1, 2)).argmax(axis=1)]
    return np.where(y == 1, color, np.where(X.mean(axis=(1, 2, 3)) < 0.5, 3, 4))


def show_cars(X, y, W) -> None:
    """Pictures of both classes, the average of each class, and the two templates of a linear classifier.

    Args: X (n, 16, 16, 3), y (n,); W (2, 768), row 0 for the others and row 1 for the cars.
    """
    looks = car_looks(X, y)
    examples = {1: [X[looks == look][0] for look in (0, 1, 2)], 0: [X[looks == look][n] for look, n in ((3, 0), (4, 0), (3, 1))]}
    fig, axes = plots.figure(2, 5, size=(8.6, 3.9))
    limit = np.abs(W).max()
    for line, (label, name) in zip(axes, ((1, "car"), (0, "other")), strict=True):
        pictures = [*examples[label], X[y == label].mean(axis=0), 0.5 + W[label].reshape(16, 16, 3) / (2 * limit)]
        for ax, picture, title in zip(line, pictures, [name] * 3 + [f"average {name}", f"template: {name}"], strict=True):
            ax.imshow(picture)
            ax.set_title(title, fontsize=10)
            ax.set_axis_off()
    plots.show(fig, "Above: a red, a blue and a green box on gray, the average car, and the template for cars. Below: dark and light "
                    "gray boxes, their average, and the template for the rest. The two averages are nearly the same gray smear. "
                    "The template for cars is one speckled patch that shows no car of any color, and the other template is its negative; "
                    "gray in a template means a weight of 0.")


def show_two_pixels() -> None:
    """XOR as pictures of two pixels: two looks for each class, one and the same average."""
    fig, axes = plots.figure(1, 6, size=(9.0, 2.1))
    pictures = [(0, 1), (1, 0), (0.5, 0.5), (0, 0), (1, 1), (0.5, 0.5)]
    titles = ["class 1", "class 1", "average\nof class 1", "class 0", "class 0", "average\nof class 0"]
    for ax, pixels, title in zip(axes, pictures, titles, strict=True):
        ax.imshow([pixels], cmap="gray", vmin=0, vmax=1, aspect="equal")
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        for side in ax.spines.values():
            side.set_visible(True)
        ax.set_title(title, fontsize=10)
    plots.show(fig, "Pictures of two pixels. Class 1, exactly one pixel on, has two looks; class 0, none or both on, has two as well. "
                    "The average of either class is two gray pixels: the same.")


# Applicants under a new policy that wants a fair test and fair grades: test, grades, accepted.
POLICY = np.array([
    (9, 8, 1), (7, 6, 1), (5, 4.5, 1), (9.5, 4, 1), (4.5, 9, 1), (6, 8.5, 1),
    (3, 4, 0), (9, 1, 0), (1.5, 9, 0), (5.5, 2, 0), (2.2, 7, 0), (6.9, 0.8, 0),
])
POLICY.setflags(write=False)


def show_policies() -> None:
    """A policy that no straight line expresses, and three shapes that do."""
    fig, axes = plots.figure(2, 2, size=(7.4, 7.2))
    xx, yy = np.meshgrid(np.linspace(0, 10.5, 400), np.linspace(0, 10.5, 400))
    insides = {
        "one line": lambda x, y: 1.1 * x + y >= 12.25,  # none makes fewer errors: most_right
        "two lines": lambda x, y: (x >= 3.6) & (y >= 3),
        "a curve": lambda x, y: (x > 3) & ((x - 3) * (y - 2) >= 3),
        "a circle": lambda x, y: (x - 8) ** 2 + (y - 7.5) ** 2 <= 4.9**2,
    }
    X, y = POLICY[:, :2], POLICY[:, 2]
    errors = {}
    for ax, (title, inside) in zip(axes.flat, insides.items(), strict=True):
        _student_axes(ax, legend=False)
        accepted = inside(xx, yy)
        ax.contourf(xx, yy, accepted, levels=[-0.5, 0.5, 1.5], colors=[plots.RED, plots.BLUE], alpha=0.14)
        ax.contour(xx, yy, accepted, levels=[0.5], colors=[plots.BLACK], linewidths=2)
        plots.classes(ax, X, y, size=65)
        wrong = inside(*X.T) != (y == 1)
        errors[title] = int(wrong.sum())
        ax.scatter(*X[wrong].T, s=170, facecolor="none", edgecolor=plots.BLACK, linewidth=1.4, zorder=4)
        ax.annotate("student 4", (9, 1), xytext=(5, 9), textcoords="offset points", ha="right", fontsize=9.5)
        ax.set_title(f"{title}: {_count(errors[title], 'error')}")
    plots.show(fig, "Twelve applicants under a policy that wants a fair test and fair grades; circles are accepted, crosses "
                    "rejected. Student 4 at (9, 1), with a good test and hardly any grades, is rejected, and so is (1.5, 9), with "
                    "hardly any test. Errors, ringed: " + ", ".join(
                        f"{title} {count}" for title, count in errors.items()) + ".")
