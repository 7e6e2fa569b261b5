"""Lesson 02, from right or wrong to how sure: its exercises, its quiz and its figures.

NumPy only: PyTorch is loaded when a check first needs it for comparison.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from helpers import plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe


def _sigmoid(x):
    """The sigmoid as figures and known mistakes use it."""
    return np.exp(-np.logaddexp(0, -np.asarray(x, float)))


def _softmax(z, axis=-1):
    """The softmax as figures and known mistakes use it."""
    return np.exp(z - np.logaddexp.reduce(np.asarray(z, float), axis=axis, keepdims=True))


def _same(value, right) -> bool:
    """An array or a number equal to ``right`` up to rounding; never an error, since ``value`` is what a student returned."""
    return (isinstance(value, np.ndarray | np.generic | float) and np.shape(value) == np.shape(right)
            and bool(np.allclose(value, right, rtol=1e-7, atol=1e-10, equal_nan=True)))


def _warned(facts, label: str, word: str) -> bool:
    """NumPy's warnings during the call ``label`` (one with ``quiet=True``) speak of ``word``."""
    return word in facts[f"{label}: no floating-point warning"]


def _tensor(array):
    """An array as a float64 tensor."""
    import torch

    return torch.tensor(np.asarray(array), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------- 02.1 sigmoid

# None of them symmetric to another, and some so close to 0 that a shifted case distinction shows.
_SCORES = np.array([[-2.0, -0.35, 0.6], [1.0, 2.5, -4.75]])


_FAR, _TAIL = "sigmoid of 1000, -1000, 3, 710, -710", "the tail: sigmoid of -40, -25"


def _observe_sigmoid(sigmoid, see):
    see.call(sigmoid, _SCORES, quiet=True)
    see.call(sigmoid, np.array([0.0, 0.125, -0.125, 7.5]), quiet=True)
    see.call(sigmoid, np.array([1000.0, -1000.0, 3.0, 710.0, -710.0]), quiet=True, label=_FAR)
    # Beside 1 the last two would vanish in any tolerance, so they are compared digit by digit.
    see.call(sigmoid, np.array([-40.0, -25.0]), quiet=True, rtol=1e-9, atol=0.0, label=_TAIL)
    for number in (2.0, -3.5):
        result = see.call(sigmoid, number, quiet=True, record=False)
        see.fact(f"sigmoid of the number {number}", float(result) if _is_number(result) else result)


def _is_number(value) -> bool:
    """A float, a NumPy scalar, or an array without dimensions: np.where makes one of those from numbers."""
    return isinstance(value, float) or (isinstance(value, np.ndarray | np.generic) and value.shape == ()
                                        and value.dtype.kind == "f")


def _reference_sigmoid(x):
    import torch

    result = torch.sigmoid(_tensor(x)).numpy()
    return result if result.shape else float(result)


sigmoid = Exercise(
    "02.1", "sigmoid",
    observe=_observe_sigmoid,
    expected=_reference_sigmoid,
    mistakes=[
        Mistake("This is 1 - sigmoid: the exponent needs a minus.",
                lambda x: 1 / (1 + np.exp(x))),
        Mistake("Right values, but exp overflows at -1000. Only ever exponentiate numbers <= 0.",
                lambda x: 1 / (1 + np.exp(-np.asarray(x, float)))),
        Mistake("inf/inf = nan for large scores.",
                lambda x: np.exp(np.asarray(x, float)) / (1 + np.exp(np.asarray(x, float)))),
        Mistake("tanh runs from -1 to 1 and gives 0 at 0; sigmoid gives 0.5.",
                lambda x: np.tanh(x)),
        Mistake("Correct in the middle, but 1 + tanh(-20) rounds to 0: the tail of rare events is lost.",
                lambda x: (np.tanh(np.asarray(x, float) / 2) + 1) / 2),
        Mistake("The right values are picked, but np.where gets both branches computed for every entry, also the one that "
                "overflows there. Let both use exp(-|x|).",
                lambda x: np.where(np.asarray(x) >= 0, 1 / (1 + np.exp(-np.asarray(x, float))),
                                   np.exp(np.asarray(x, float)) / (1 + np.exp(np.asarray(x, float)))),
                when=lambda facts: (_same(facts[_FAR], [1, 0, _sigmoid(3), 1, 0]) and _warned(facts, _FAR, "overflow")
                                    and _warned(facts, _FAR, "invalid"))),
        Mistake("1 - 1/(1 + t) rounds to 0 where t is tiny: t/(1 + t) is the same on paper and keeps the tail.",
                lambda x: np.where(np.asarray(x) >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x)))),
                when=lambda facts: _same(facts[_FAR], [1, 0, _sigmoid(3), 1, 0]) and facts[_TAIL][0] == 0),
    ],
    hints=[
        "Two formulas are equal; which one is safe on which side?",
        "`np.abs` and `np.where`: use t = exp(-|x|).",
        "`t = np.exp(-np.abs(x)); return np.where(x >= 0, ..., t / ...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 02.2 softmax

_SQUARE = np.array([[2, 1, 0], [-1, 0.5, 3], [1, 4, -2]])
_ROWS, _COLUMNS = "softmax([[2, 1, 0], [-1, 0.5, 3], [1, 4, -2]])", "softmax([[2, 1, 0], [-1, 0.5, 3], [1, 4, -2]], axis=0)"
_BATCH, _FAR_APART = "softmax(z (4, 3)), axis left out", "softmax([[1000, -1000, -1000], [-1000, -1000, 1000]])"


def _observe_softmax(softmax, see):
    rng = np.random.default_rng(2)
    batch = rng.normal(size=(4, 3)) * 3
    # A square array goes first: there a missing keepdims gives wrong numbers, not an exception.
    see.call(softmax, _SQUARE, quiet=True, label=_ROWS)
    see.call(softmax, _SQUARE, axis=0, quiet=True, label=_COLUMNS)
    see.call(softmax, batch, quiet=True, label=_BATCH)
    see.call(softmax, batch, axis=0, quiet=True, label="softmax(z (4, 3), axis=0)")
    see.call(softmax, batch, axis=1, quiet=True, label="softmax(z (4, 3), axis=1)")
    see.call(softmax, rng.normal(size=(2, 3, 4)), axis=1, quiet=True, label="softmax(z (2, 3, 4), axis=1)")
    see.call(softmax, np.array([2, 1, 0, -3, 1]), quiet=True, label="softmax of five integers")
    extreme = np.array([[1000.0, 998.5, -1000.0], [-1000.0, -999.0, -1000.5], [0.5, -1000.0, 3.0], [1.0, 2.0, -0.5]])
    see.call(softmax, extreme, quiet=True, label="rows with scores of ±1000, axis left out")
    see.call(softmax, extreme.T, axis=0, quiet=True, label="columns with scores of ±1000, axis=0")
    # One score far above the mean of its row: only the maximum makes all exponents harmless.
    see.call(softmax, np.array([[1000.0, -1000.0, -1000.0], [-1000.0, -1000.0, 1000.0]]), quiet=True, label=_FAR_APART)
    see.call(softmax, np.array([1000.0, -1000.0, -1000.0, -1000.0]), quiet=True)


def _reference_softmax(z, axis=-1):
    import torch

    return torch.softmax(_tensor(z), dim=axis).numpy()


softmax = Exercise(
    "02.2", "softmax",
    observe=_observe_softmax,
    expected=_reference_softmax,
    mistakes=[
        Mistake("The whole array sums to 1: sum along the axis only.",
                lambda z, axis=-1: np.exp(z - z.max()) / np.exp(z - z.max()).sum()),
        Mistake("Default axis is 0: this is softmax over the batch; columns sum to 1, rows do not.",
                lambda z, axis=0: (np.exp(z - z.max(axis=axis, keepdims=True))
                                   / np.exp(z - z.max(axis=axis, keepdims=True)).sum(axis=axis, keepdims=True))),
        Mistake("Scores divided by their sum: negative scores and a zero sum break it. Exponentiate first.",
                lambda z, axis=-1: z / z.sum(axis=axis, keepdims=True)),
        Mistake("Overflow at 1000: subtract the maximum.",
                lambda z, axis=-1: np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True)),
        Mistake("keepdims missing: for a square array the wrong rows are divided, silently.",
                lambda z, axis=-1: (np.exp(z - z.max(axis=axis, keepdims=True))
                                    / np.exp(z - z.max(axis=axis, keepdims=True)).sum(axis=axis))),
        Mistake("One global maximum: a row far below it underflows to 0/0. Take the maximum per slice.",
                lambda z, axis=-1: np.exp(z - z.max()) / np.exp(z - z.max()).sum(axis=axis, keepdims=True)),
        Mistake("Subtracting the mean is not enough: in (1000, -1000, -1000) an exponent of 1333 is left. Subtract the maximum.",
                lambda z, axis=-1: (np.exp(z - z.mean(axis=axis, keepdims=True))
                                    / np.exp(z - z.mean(axis=axis, keepdims=True)).sum(axis=axis, keepdims=True)),
                when=lambda facts: _same(facts[_BATCH].sum(axis=-1), np.ones(4)) and _warned(facts, _FAR_APART, "overflow")
                and not _warned(facts, "rows with scores of ±1000, axis left out", "overflow")),
        Mistake("Your code always runs over axis 0, whatever `axis` says: pass the argument on.",
                lambda z, axis=-1: (np.exp(z - z.max(axis=0, keepdims=True))
                                    / np.exp(z - z.max(axis=0, keepdims=True)).sum(axis=0, keepdims=True)),
                when=lambda facts: all(_same(facts[label], _softmax(_SQUARE, 0)) for label in (_ROWS, _COLUMNS))),
        Mistake("The argument `axis` is ignored: your code always runs over the last axis. Pass it on.",
                lambda z, axis=-1: (np.exp(z - z.max(axis=-1, keepdims=True))
                                    / np.exp(z - z.max(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True)),
                when=lambda facts: all(_same(facts[label], _softmax(_SQUARE, -1)) for label in (_ROWS, _COLUMNS))),
        Mistake("No keepdims at all: the result per row has shape (4,), which does not fit (4, 3), and a square array goes wrong "
                "silently. keepdims=True keeps it (4, 1).",
                lambda z, axis=-1: np.exp(z - z.max(axis=axis)) / np.exp(z - z.max(axis=axis)).sum(axis=axis),
                when=lambda facts: (isinstance(facts[_BATCH], Raised) and "broadcast" in facts[_BATCH].text
                                    and not _same(facts[_ROWS], _softmax(_SQUARE)))),
    ],
    hints=[
        "Adding a constant to all scores changes nothing.",
        "`max(axis=..., keepdims=True)`.",
        "`e = np.exp(z - ...); return e / e.sum(..., keepdims=...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 02.3 two_class_logits

_SIX_SCORES = np.array([1.75, -0.5, 3.0, -6.25, 0.125, -2.0])


def _observe_two_class(two_class_logits, see):
    for z in (_SIX_SCORES, np.array([-1.25, 4.5, 0.75])):
        logits = see.call(two_class_logits, z, record=False)
        shape = (len(z), 2)
        wanted = f"a float64 array of shape {shape}"
        fits = isinstance(logits, np.ndarray) and logits.shape == shape and logits.dtype == np.float64
        see.fact(f"two_class_logits of {len(z)} scores returns", wanted if fits else describe(logits), implied=wanted)
        if not fits:
            return
        with np.errstate(all="ignore"):  # infinities and NaN get their message, not a warning
            column = _softmax(logits)[:, 1]
        # Compared without a tolerance for small numbers beside large ones, so that rare classes count too.
        see.fact(f"column 1 of the softmax of the logits of {len(z)} scores", column, rtol=1e-8, atol=0.0)
        for score, (first, second), p in zip(z, logits, column, strict=True):
            if abs(p - _sigmoid(score)) > 1e-8 and len(see.notes) < 3:
                see.note(f"score {score:g}: logits ({first:.4g}, {second:.4g}), difference {second - first:.4g}")


def _reference_two_class(z):
    """The logarithm of the two probabilities: one of the many right answers."""
    import torch

    score = _tensor(z)
    return torch.stack([torch.nn.functional.logsigmoid(-score), torch.nn.functional.logsigmoid(score)], dim=1).numpy()


two_class_logits = Exercise(
    "02.3", "two_class_logits",
    observe=_observe_two_class,
    expected=_reference_two_class,
    mistakes=[
        Mistake("Columns swapped: column 1 is now 1 - sigmoid(z).",
                lambda z: np.stack([z, np.zeros_like(z)], axis=1)),
        Mistake("Difference is 2z: you get sigmoid(2z). Only differences matter.",
                lambda z: np.stack([-z, z], axis=1)),
        Mistake("Difference is 2z - 1: scores are not probabilities, 1 - z is not the other class.",
                lambda z: np.stack([1 - z, z], axis=1)),
        Mistake("Shape (2, n): one row per example is asked.",
                lambda z: np.stack([np.zeros_like(z), z], axis=0)),
        Mistake("These are probabilities; softmax would squash them again.",
                lambda z: np.stack([1 - _sigmoid(z), _sigmoid(z)], axis=1)),
    ],
    hints=[
        "Which quantity decides a two-class softmax?",
        "The difference of the columns must be z.",
        "`np.stack([np.zeros_like(z), ...], axis=...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 02.4 one_hot

_ONE_ABSENT, _NEGATIVE = "one_hot([2, 0, 3, 0, 2], 4): class 1 never occurs", "one_hot([1, -1, 0], 3)"
_LAST_ABSENT, _TOO_LARGE = "one_hot([1, 0, 2, 1, 2, 0, 1], 5): classes 3 and 4 never occur", "one_hot([0, 3, 1], 3)"
_TABLES = {_ONE_ABSENT: ([2, 0, 3, 0, 2], 4), _LAST_ABSENT: ([1, 0, 2, 1, 2, 0, 1], 5), "one_hot([0], 3)": ([0], 3)}


def _observe_one_hot(one_hot, see):
    for label, (labels, n_classes) in _TABLES.items():
        see.call(one_hot, np.array(labels), n_classes, label=label)
    see.raises(one_hot, np.array([1, -1, 0]), 3, label=_NEGATIVE)
    for labels, n_classes in (([0, 3, 1], 3), ([2, 7], 4), ([-5, 1], 3)):
        see.raises(one_hot, np.array(labels), n_classes, label=f"one_hot({labels}, {n_classes})")


def _reference_one_hot(labels, n_classes):
    import torch

    if not set(labels.tolist()) <= set(range(n_classes)):
        raise ValueError("a label is out of range")
    return torch.nn.functional.one_hot(torch.tensor(labels, dtype=torch.int64), n_classes).double().numpy()


def _tables_right(facts) -> bool:
    """All tables are right, entries and dtype: what is wrong are the errors."""
    return all(isinstance(facts[label], np.ndarray) and facts[label].dtype == np.float64
               and np.array_equal(facts[label], _reference_one_hot(np.array(labels), n_classes))
               for label, (labels, n_classes) in _TABLES.items())


def _one_hot_returns_error(labels, n_classes):
    if (labels < 0).any() or (labels >= n_classes).any():
        return ValueError("label out of range")
    return np.eye(n_classes)[labels]


def _one_hot_checks_below_only(labels, n_classes):
    if (labels < 0).any():
        raise ValueError("a label below 0")
    return np.eye(n_classes)[labels]


one_hot = Exercise(
    "02.4", "one_hot",
    observe=_observe_one_hot,
    expected=_reference_one_hot,
    mistakes=[
        Mistake("Label -1 silently becomes the last class: NumPy counts from the end. Raise ValueError.",
                lambda labels, n_classes: np.eye(n_classes)[labels],
                when=lambda facts: _tables_right(facts) and facts[_NEGATIVE].startswith("returns float64 array")),
        Mistake("The width must be n_classes, even if the last class is absent.",
                lambda labels, n_classes: np.eye(labels.max() + 1)[labels],
                when=lambda facts: facts[_ONE_ABSENT].shape == (5, 4) and facts[_LAST_ABSENT].shape == (7, 3)),
        Mistake("That is one column per label; asked is one column per class.",
                lambda labels, n_classes: np.eye(len(labels))[labels],
                when=lambda facts: facts[_ONE_ABSENT].shape == (5, 5)),
        Mistake("Shifted by one: labels start at 0 here.",
                lambda labels, n_classes: np.eye(n_classes)[labels - 1]),
        Mistake("Booleans: return float64.",
                lambda labels, n_classes: (labels[:, None] == np.arange(n_classes)),
                when=lambda facts: facts[_ONE_ABSENT].dtype.kind == "b"),
        Mistake("Whole numbers: cross-entropy multiplies with them, so ask NumPy for dtype=float.",
                lambda labels, n_classes: np.eye(n_classes, dtype=int)[labels],
                when=lambda facts: facts[_ONE_ABSENT].dtype.kind == "i" and facts[_ONE_ABSENT].shape == (5, 4)),
        Mistake("`return` hands the ValueError back like any other value: `raise` it.",
                _one_hot_returns_error,
                when=lambda facts: any(facts[label] in ("returns a ValueError", "returns the class ValueError")
                                       for label in (_NEGATIVE, _TOO_LARGE))),
        Mistake("A label that is too large must be refused by you: NumPy raises an IndexError, asked is a ValueError.",
                _one_hot_checks_below_only,
                when=lambda facts: (_tables_right(facts) and facts[_NEGATIVE] == "raises ValueError"
                                    and facts[_TOO_LARGE].startswith("raises IndexError"))),
    ],
    hints=[
        "One row per label, a single 1.",
        "Rows of `np.eye`.",
        "check the range, then `np.eye(...)[...]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 02.5 outcome_table

DOORS = (0.8, 0.7, 0.1)  # the probability of a gift behind each of the three doors of the story
_THREE_DOORS = f"outcome_table({DOORS})"
_TINY = (1e-200, 0.25, 1e-150)
_VANISHES = f"p={_TINY}, whose product is too small for a float"


def _observe_table(outcome_table, see):
    see.call(outcome_table, DOORS, label=_THREE_DOORS)
    see.call(outcome_table, [0.35, 0.85])
    see.call(outcome_table, (0.9, 0.15, 0.4, 0.55))
    # Of the 4,096 outcomes of twelve doors only some are compared.
    table = see.call(outcome_table, [0.001] * 12, record=False)
    kind = "a dict of 4096 outcomes" if isinstance(table, dict) and len(table) == 4096 else _size_of(table)
    see.fact("twelve doors with p = 0.001 each", kind, implied="a dict of 4096 outcomes")
    if not isinstance(table, dict):
        return
    for outcome in ((1,) * 12, (0,) * 11 + (1,), (0,) * 12):
        ones = sum(outcome)
        see.fact(f"twelve doors with p = 0.001 each, the outcome with {ones} ones", table.get(outcome, "no such key"))
    see.call(outcome_table, _TINY, label=_VANISHES)


def _size_of(value) -> str:
    return f"a dict of {len(value)} outcomes" if isinstance(value, dict) else describe(value)


def _reference_table(p):
    """Probabilities as an outer product and their costs as an outer sum, one axis for each door."""
    chance = functools.reduce(np.multiply.outer, [np.array([1 - q, q]) for q in p])
    cost = functools.reduce(np.add.outer, [-np.array([math.log1p(-q), math.log(q)]) for q in p])
    return {outcome: (float(chance[outcome]), float(cost[outcome])) for outcome in np.ndindex(*[2] * len(p))}


outcome_table = Exercise(
    "02.5", "outcome_table",
    observe=_observe_table,
    expected=_reference_table,
    mistakes=[
        Mistake("Base 10: use the natural logarithm.",
                lambda p: {o: (math.prod(q if i else 1 - q for q, i in zip(p, o, strict=True)),
                               -math.log10(math.prod(q if i else 1 - q for q, i in zip(p, o, strict=True))))
                           for o in itertools.product((0, 1), repeat=len(p))},
                when=lambda facts: _is_base_10(facts)),
        Mistake("Doors without a gift are ignored: they contribute 1 - p. The table does not sum to 1.",
                lambda p: {o: (math.prod(q for q, i in zip(p, o, strict=True) if i),
                               -sum(math.log(q) for q, i in zip(p, o, strict=True) if i))
                           for o in itertools.product((0, 1), repeat=len(p))}),
        Mistake("Independent events multiply; you averaged.",
                lambda p: {o: (sum(q if i else 1 - q for q, i in zip(p, o, strict=True)) / len(p),
                               -sum(math.log(q if i else 1 - q) for q, i in zip(p, o, strict=True)))
                           for o in itertools.product((0, 1), repeat=len(p))}),
        Mistake("Mean instead of sum: -ln of a product is the plain sum.",
                lambda p: {o: (math.prod(q if i else 1 - q for q, i in zip(p, o, strict=True)),
                               -sum(math.log(q if i else 1 - q) for q, i in zip(p, o, strict=True)) / len(p))
                           for o in itertools.product((0, 1), repeat=len(p))}),
        Mistake("Gift and no gift changed places: a 1 in the key contributes p, a 0 contributes 1 - p.",
                lambda p: {tuple(1 - i for i in o): pair for o, pair in _reference_table(p).items()},
                when=lambda facts: _is_renamed(facts, lambda o: tuple(1 - i for i in o))),
        Mistake("The doors come in reverse: the first place of the key belongs to the first door.",
                lambda p: {o[::-1]: pair for o, pair in _reference_table(p).items()},
                when=lambda facts: _is_renamed(facts, lambda o: o[::-1])),
        Mistake("You take the logarithm of the product, and a product of tiny numbers is rounded to 0. Add up the logarithms of "
                "the doors instead.",
                lambda p: {o: (chance, -math.log(chance)) for o, (chance, _) in _reference_table(p).items()},
                when=lambda facts: _is_renamed(facts, lambda o: o) and _has_no_cost(facts[_VANISHES])),
    ],
    hints=[
        "Every door contributes p or 1 - p.",
        "`itertools.product((0, 1), repeat=n)`.",
        "`q = [a if i else ... for ...]; table[o] = (math.prod(q), -sum(...))`.",
    ],
)


def _is_renamed(facts, rename) -> bool:
    """The table of three doors holds the right pairs, each under the key that ``rename`` makes of its own."""
    table, right = facts[_THREE_DOORS], _reference_table(DOORS)
    return len(table) == 8 and all(np.allclose(table[rename(o)], pair) for o, pair in right.items())


def _has_no_cost(table) -> bool:
    """The logarithm of 0: an exception, or an infinite cost."""
    return isinstance(table, Raised) or any(math.isinf(cost) for _, cost in table.values())


def _is_base_10(facts) -> bool:
    """Right probabilities, but each cost is log10: recognized also where it is a sum of logarithms."""
    table = facts[_THREE_DOORS]
    return all(math.isclose(p, right) and math.isclose(cost, -math.log10(right), abs_tol=1e-9)
               for (p, cost), (right, _) in zip(table.values(), (_reference_table(DOORS)[o] for o in table), strict=True))


# ---------------------------------------------------------------------------------------------- 02.6 binary_cross_entropy

_Y6, _P6 = np.array([1, 0, 0, 1, 1, 0]), np.array([0.9, 0.15, 0.65, 0.3, 0.55, 0.05])
_Y_SOFT = np.array([[0.2, 1.0, 0.5], [0.0, 0.85, 0.4]])
_P_SOFT = np.array([[0.35, 0.8, 0.6], [0.25, 0.7, 0.05]])
_NONE6, _MEAN6, _SUM6 = ('six points, reduction="none"', 'six points, reduction="mean"', 'six points, reduction="sum"')
_UNKNOWN = ("median", "total")
_NONE_SOFT = 'soft labels (2, 3), reduction="none"'
_SMALL, _TINY_P = "y=[1, 0], p=[0.001, 0.001], reduction=\"none\"", "y=[1, 0], p=[1e-9, 1e-9], reduction=\"none\""


def _observe_binary(binary_cross_entropy, see):
    for reduction in ("none", "mean", "sum"):
        see.call(binary_cross_entropy, _Y6, _P6, reduction=reduction, quiet=True, label=f'six points, reduction="{reduction}"')
    see.call(binary_cross_entropy, _Y6, _P6, quiet=True, label="six points, reduction left out")
    for reduction in ("none", "mean", "sum"):
        see.call(binary_cross_entropy, _Y_SOFT, _P_SOFT, reduction=reduction, quiet=True,
                 label=f'soft labels (2, 3), reduction="{reduction}"')
    for wrong in _UNKNOWN:
        see.raises(binary_cross_entropy, _Y6, _P6, reduction=wrong, label=f'reduction="{wrong}"')
    # Small, but not 0: an epsilon that is added, or a clip that is too high, changes these costs.
    see.call(binary_cross_entropy, np.array([1.0, 0.0]), np.array([0.001, 0.001]), reduction="none", quiet=True, label=_SMALL)
    see.call(binary_cross_entropy, np.array([1.0, 0.0]), np.array([1e-9, 1e-9]), reduction="none", quiet=True, rtol=0.0, atol=1e-5,
             label=_TINY_P)
    # p is exactly 0 or 1: twice certain and wrong, then twice certain and right.
    cost = see.call(binary_cross_entropy, np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0, 1.0, 0.0]), reduction="none",
                    quiet=True, record=False, label='y=[1, 0, 1, 0], p=[0, 1, 1, 0], reduction="none"')
    whole = isinstance(cost, np.ndarray) and cost.shape == (4,) and cost.dtype.kind == "f"
    for place, (y, p) in enumerate(((1, 0), (0, 1), (1, 1), (0, 0))):
        low, high = (15, 1000) if y != p else (-1e-6, 1e-6)
        asked = "a cost from 15 to 1000" if y != p else "a cost below 0.000001"
        value = float(cost[place]) if whole else math.nan
        see.fact(f"certain and {'wrong' if y != p else 'right'}: y = {y}, p = {p}",
                 asked if low <= value <= high else f"a cost of {value:.6g}", implied=asked)


def _reference_binary(y, p, reduction="mean"):
    import torch

    if reduction not in ("mean", "sum", "none"):
        raise ValueError("an unknown reduction")
    loss = torch.nn.functional.binary_cross_entropy(_tensor(p), _tensor(y), reduction=reduction).numpy()
    return loss if loss.shape else float(loss)


def _epsilon_added(facts) -> bool:
    """The six losses are those of p + e and 1 - p + e with one e > 0, whatever its size."""
    happened = np.where(_Y6 == 1, _P6, 1 - _P6)
    epsilon = np.exp(-facts[_NONE6]) - happened
    same = epsilon.min() > 1e-13 and epsilon.max() < 1.01 * epsilon.min()
    return bool(same and (epsilon.min() > 1e-7 or _errors_right(facts)))


def _errors_right(facts) -> bool:
    """Unknown reductions are refused as they should be: what is wrong comes later in the check."""
    return all(facts[f'reduction="{wrong}"'] == "raises ValueError" for wrong in _UNKNOWN)


def _exact_costs(y, p):
    """The costs by the formula, for probabilities that are neither 0 nor 1."""
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def _as_formula(costs):
    """A way to write a known mistake of 02.6: from a function of (y, p) that returns the cost of each point."""
    def binary_cross_entropy(y, p, reduction="mean"):
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(reduction)
        e = costs(y, p)
        return e if reduction == "none" else getattr(e, reduction)()

    return binary_cross_entropy


def _certain(facts, y: int, p: int) -> str:
    """What the check found for one of the four certain cases."""
    return facts[f"certain and {'wrong' if y != p else 'right'}: y = {y}, p = {p}"]


binary_cross_entropy = Exercise(
    "02.6", "binary_cross_entropy",
    observe=_observe_binary,
    expected=_reference_binary,
    mistakes=[
        Mistake("The minus must cover both terms: brackets.",
                lambda y, p, reduction="mean": (lambda e: {"mean": e.mean(), "sum": e.sum(), "none": e}.get(reduction))(
                    -y*np.log(p) + (1-y)*np.log(1-p)),
                when=lambda facts: np.allclose(facts[_NONE6], -_Y6 * np.log(_P6) + (1 - _Y6) * np.log(1 - _P6))),
        Mistake("Points with y = 0 cost nothing: the (1 - y) ln(1 - p) term is missing.",
                lambda y, p, reduction="mean": (lambda e: {"mean": e.mean(), "sum": e.sum(), "none": e}.get(reduction))(
                    -y*np.log(p)),
                when=lambda facts: np.allclose(facts[_NONE6], -_Y6 * np.log(_P6))),
        Mistake("`reduction` is ignored: \"none\", \"mean\" and \"sum\" all return the same. Branch on it.",
                lambda y, p, reduction="mean": _exact_costs(y, p).mean(),
                when=lambda facts: _same(facts[_NONE6], facts[_MEAN6]) and _same(facts[_MEAN6], facts[_SUM6])),
        Mistake("Sum instead of mean.",
                lambda y, p, reduction="mean": (lambda e: {"mean": e.sum(), "sum": e.sum(), "none": e}.get(reduction))(
                    -(y*np.log(p) + (1-y)*np.log(1-p))),
                when=lambda facts: math.isclose(facts[_MEAN6], float(_reference_binary(_Y6, _P6, "sum")))),
        Mistake("y and p changed places: the logarithm belongs to the prediction.",
                lambda y, p, reduction="mean": (lambda e: {"mean": e.mean(), "sum": e.sum(), "none": e}.get(reduction))(
                    -(p*np.log(np.clip(y, 1e-12, 1)) + (1-p)*np.log(np.clip(1-y, 1e-12, 1))))),
        Mistake("The epsilon is so large that it changes every value; clip at 1e-12 or cap the log.",
                lambda y, p, reduction="mean": (lambda e: {"mean": e.mean(), "sum": e.sum(), "none": e}[reduction])(
                    -(y*np.log(p + 1e-3) + (1-y)*np.log(1 - p + 1e-3))),
                when=_epsilon_added),
        Mistake("The clip lies above p = 1e-9, so it changes a cost that is not infinite at all. Clip at 1e-12 or lower.",
                _as_formula(lambda y, p: _exact_costs(y, np.clip(p, 1e-7, 1 - 1e-7))),
                when=lambda facts: (_errors_right(facts) and _same(facts[_NONE6], _exact_costs(_Y6, _P6))
                                    and facts[_TINY_P][0] < 20.72)),
        Mistake("np.log10 is the logarithm to base 10: the natural one is np.log.",
                _as_formula(lambda y, p: _exact_costs(y, np.clip(p, 1e-12, 1 - 1e-12)) / math.log(10)),
                when=lambda facts: _same(facts[_NONE6], _exact_costs(_Y6, _P6) / math.log(10))),
        Mistake("0 times ln 0 is nan, and ln 0 alone is infinite: keep p away from 0 and 1 before you take the logarithm.",
                _as_formula(_exact_costs),
                when=lambda facts: (_errors_right(facts) and _same(facts[_NONE_SOFT], _exact_costs(_Y_SOFT, _P_SOFT))
                                    and _certain(facts, 1, 0) == "a cost of inf" and _certain(facts, 1, 1) == "a cost of nan")),
        Mistake("A choice between y = 1 and the rest knows no soft labels: y = 0.2 pays 0.2 of one term and 0.8 of the other.",
                _as_formula(lambda y, p: -np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-12, 1))),
                when=lambda facts: any(_same(facts[_NONE_SOFT], -np.log(np.where(one, _P_SOFT, 1 - _P_SOFT)))
                                       for one in (_Y_SOFT == 1, _Y_SOFT > 0.5, _Y_SOFT >= 0.5, _Y_SOFT > 0))),
        Mistake("p = 0 is safe, p = 1 is not: 1 - 1e-20, for instance, rounds to 1, and 1 - p is still 0. Clip no lower than 1e-15.",
                _as_formula(lambda y, p: _exact_costs(y, np.clip(p, 1e-20, 1 - 1e-20))),
                when=lambda facts: (_errors_right(facts) and _same(facts[_NONE_SOFT], _exact_costs(_Y_SOFT, _P_SOFT))
                                    and _certain(facts, 1, 0) == "a cost from 15 to 1000"
                                    and _certain(facts, 0, 1) == "a cost of inf")),
    ],
    hints=[
        "Each point pays for the probability of what happened.",
        "`np.clip` before `np.log`; brackets.",
        "`e = -(y * ... + (1 - y) * ...)`, then the reduction.",
    ],
)


# ---------------------------------------------------------------------------------------------- 02.7 logistic_error

_EASY, _HUGE = "logistic_error(z=[1, -2, 0.5], y=[1, 0, 0])", "logistic_error(z=[1000, -1000, 1000], y=[1, 0, 0])"
_RARE, _RIGHT_ONES = "logistic_error(z=[-40], y=[0])", "logistic_error(z=[38, 39.5], y=[1, 1])"


def _observe_logistic(logistic_error, see):
    rng = np.random.default_rng(7)
    see.call(logistic_error, np.array([1.0, -2.0, 0.5]), np.array([1, 0, 0]), quiet=True, label=_EASY)
    see.call(logistic_error, rng.normal(size=7) * 3, np.array([1, 0, 0, 1, 1, 0, 1]), quiet=True,
             label="seven random scores, y=[1, 0, 0, 1, 1, 0, 1]")
    see.call(logistic_error, np.array([1000.0, -1000.0, 1000.0]), np.array([1, 0, 0]), quiet=True, label=_HUGE)
    see.call(logistic_error, np.array([-40.0, 40.0]), np.array([1, 0]), quiet=True)
    # A rare event that was foreseen: almost free, but not quite.
    see.call(logistic_error, np.array([-40.0]), np.array([0]), quiet=True, rtol=1e-9, atol=0.0, label=_RARE)
    see.call(logistic_error, np.array([38.0, 39.5]), np.array([1, 1]), quiet=True, rtol=1e-9, atol=0.0, label=_RIGHT_ONES)


def _reference_logistic(z, y):
    """ln(1 + e^t) is PyTorch's softplus. Its loss with logits, the same elsewhere, rounds the tail at -40 to 0."""
    import torch

    t = torch.where(_tensor(y) == 1, -_tensor(z), _tensor(z))
    return float(torch.nn.functional.softplus(t, threshold=700).mean())


_EASY_LOSS = float(np.logaddexp(0, [-1.0, -2.0, 0.5]).mean())  # what the first case costs


logistic_error = Exercise(
    "02.7", "logistic_error",
    observe=_observe_logistic,
    expected=_reference_logistic,
    mistakes=[
        Mistake("log(1 - sigmoid(40)) is log 0: work with the score, not the probability.",
                lambda z, y: float(np.mean(-(y*np.log(_sigmoid(z)) + (1-y)*np.log(1-_sigmoid(z))))),
                when=lambda facts: _same(facts[_EASY], _EASY_LOSS) and _warned(facts, _HUGE, "divide by zero")),
        Mistake("The clip that keeps the probability off 0 and 1 caps the loss: a score of 1000 on the wrong side must cost 1000.",
                lambda z, y: float(np.mean(-(y*np.log(np.clip(_sigmoid(z), 1e-12, 1-1e-12))
                                             + (1-y)*np.log(np.clip(1-_sigmoid(z), 1e-12, 1))))),
                when=lambda facts: _same(facts[_EASY], _EASY_LOSS) and 0 < facts[_HUGE] < 1000 / 3 - 1),
        Mistake("Sum instead of mean.",
                lambda z, y: float(np.sum(np.maximum(z, 0) - z*y + np.log1p(np.exp(-np.abs(z)))))),
        Mistake("The term is minus z·y.",
                lambda z, y: float(np.mean(np.maximum(z, 0) + z*y + np.log1p(np.exp(-np.abs(z)))))),
        Mistake("log(1 + tiny) rounds to 0: np.log1p keeps it.",
                lambda z, y: float(np.mean(np.maximum(z, 0) - z*y + np.log(1 + np.exp(-np.abs(z)))))),
        Mistake("exp(1000) overflows. ln(1 + e^t) is right on paper; for a large t it is t and next to nothing, so no e^t is needed.",
                lambda z, y: float(np.mean(np.where(y == 1, np.log(1 + np.exp(-z)), np.log(1 + np.exp(z))))),
                when=lambda facts: _same(facts[_EASY], _EASY_LOSS) and _warned(facts, _HUGE, "overflow")),
        Mistake("ln(1 + e^z) - z·y takes 38 from 38 and a little: the little is lost. Let a one pay ln(1 + e^-z).",
                lambda z, y: float(np.mean(np.logaddexp(0, z) - z*y)),
                when=lambda facts: _same(facts[_EASY], _EASY_LOSS) and 4e-18 < facts[_RARE] < 5e-18 and facts[_RIGHT_ONES] == 0),
    ],
    hints=[
        "$-\\ln\\sigma(z)=\\ln(1+e^{-z})$.",
        "`np.logaddexp(0, t)` is a safe ln(1+e^t).",
        "y=1 pays `np.logaddexp(0, -z)`, y=0 pays `np.logaddexp(0, ...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 02.8 cross_entropy

_SEVEN, _BEHIND = "seven examples, four classes", "rows (1000, 0, -1000) and (5, 1005, 5), labels [2, 1]"


def _observe_cross_entropy(cross_entropy, see):
    rng = np.random.default_rng(8)
    see.call(cross_entropy, rng.normal(size=(7, 4)) * 2, np.array([3, 0, 1, 1, 2, 0, 3]), quiet=True,
             label=_SEVEN)
    see.call(cross_entropy, rng.normal(size=(3, 3)) * 2, np.array([2, 0, 2]), quiet=True, label="three examples, three classes")
    see.call(cross_entropy, rng.normal(size=(1, 5)) * 2, np.array([3]), quiet=True, label="one example, five classes")
    see.call(cross_entropy, np.array([[1000.0, 0.0, -1000.0], [5.0, 1005.0, 5.0]]), np.array([2, 1]), quiet=True, label=_BEHIND)
    see.call(cross_entropy, np.array([[-1000.0, -999.0]]), np.array([0]), quiet=True)
    see.call(cross_entropy, np.array([[1000.0, 998.5], [-1000.0, -999.0], [2.0, 1.5]]), np.array([1, 0, 1]), quiet=True,
             label="rows near 1000, -1000 and 2, labels [1, 0, 1]")


def _reference_cross_entropy(logits, labels):
    import torch

    return float(torch.nn.functional.cross_entropy(_tensor(logits), torch.tensor(labels, dtype=torch.int64)))


def _seven_right(facts) -> bool:
    """Right where the scores are of ordinary size."""
    rng = np.random.default_rng(8)
    return _same(facts[_SEVEN], _reference_cross_entropy(rng.normal(size=(7, 4)) * 2, [3, 0, 1, 1, 2, 0, 3]))


cross_entropy = Exercise(
    "02.8", "cross_entropy",
    observe=_observe_cross_entropy,
    expected=_reference_cross_entropy,
    mistakes=[
        Mistake("The probability underflows to 0 and the log is infinite: use log-sum-exp.",
                lambda z, labels: float(-np.log(_softmax(z)[np.arange(len(z)), labels]).mean()),
                when=lambda facts: (_seven_right(facts) and math.isinf(facts[_BEHIND])
                                    and not _warned(facts, _BEHIND, "overflow"))),
        Mistake("Softmax twice: the loss can never get near 0.",
                lambda z, labels: float(np.mean(np.logaddexp.reduce(_softmax(z), axis=1)
                                                - _softmax(z)[np.arange(len(z)), labels]))),
        Mistake("Sum over the examples; asked is the mean.",
                lambda z, labels: float(np.sum(np.logaddexp.reduce(z, axis=1) - z[np.arange(len(z)), labels]))),
        Mistake("Divided by n·k: the mean runs over examples only.",
                lambda z, labels: float(np.sum(np.logaddexp.reduce(z, axis=1) - z[np.arange(len(z)), labels]) / z.size)),
        Mistake("z[:, labels] takes all rows for every label; pair them with np.arange(n).",
                lambda z, labels: float(np.mean(np.logaddexp.reduce(z, axis=1)[:, None] - z[:, labels]))),
        Mistake("exp(1000) overflows: subtract the row maximum inside, add it back.",
                lambda z, labels: float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels])),
                when=lambda facts: _seven_right(facts) and _warned(facts, _BEHIND, "overflow")),
        Mistake("The row maximum is subtracted inside and not added back. Add it, or subtract it from the label's score too.",
                lambda z, labels: float(np.mean(np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1))
                                                - z[np.arange(len(z)), labels]))),
        Mistake("A one-hot table times log(softmax): where softmax is 0, 0 times ln 0 is nan. Take the logarithm on paper first: "
                "z minus log-sum-exp.",
                lambda z, labels: float(-(np.eye(z.shape[1])[labels] * np.log(_softmax(z))).sum(axis=1).mean()),
                when=lambda facts: (_seven_right(facts) and math.isnan(facts[_BEHIND])
                                    and not _warned(facts, _BEHIND, "overflow"))),
        Mistake("A clipped probability caps the loss: a class 2000 below the largest score must cost 2000.",
                lambda z, labels: float(-np.log(np.clip(_softmax(z)[np.arange(len(z)), labels], 1e-12, 1)).mean()),
                when=lambda facts: _seven_right(facts) and 0 < facts[_BEHIND] < 400),
    ],
    hints=[
        "$-\\ln\\mathrm{softmax}(z)_c=\\ln\\sum_j e^{z_j}-z_c$.",
        "subtract the row maximum first; pick with `[np.arange(n), labels]`.",
        "`s = z - z.max(...); lse = np.log(...); return np.mean(lse - s[..., labels])`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("02", [
    Question(
        "Which function makes every number positive?",
        right=("exp", "e to any power is above 0, and larger powers give larger numbers, so the order is kept."),
        wrong=[("sin", "sin changes its sign again and again."),
               ("cos", "cos changes its sign again and again."),
               ("log", "log needs a positive number to begin with, and returns negative ones too.")]),
    Question(
        "The scores (2, 1, 0) become (102, 101, 100). What happens to the softmax?",
        right=("It does not change", "Only differences count: the common factor e^100 cancels."),
        wrong=[("It gets sharper", "Multiplying the scores does that; adding the same number does not."),
               ("It overflows", "e^102 is about 2e44, far below the limit of about 1.8e308. Add 1000 instead of 100, and it would "
                  "overflow in a program that does not subtract the maximum.")]),
    Question(
        "Is the softmax of two classes the sigmoid?",
        right=("Yes, of the difference of the two scores",
               "Divide above and below by the first exponential: 1 / (1 + e^(z2 − z1)), the sigmoid of z1 − z2."),
        wrong=[("Yes, of the first score", "For (1.3, −0.4) the softmax is 0.8455, but σ(1.3) = 0.7858."),
               ("No", "The algebra says yes: divide above and below by the first exponential.")]),
    Question(
        "Why not give a network the labels 0, 1, 2 for duck, beaver, walrus as one number to hit?",
        right=("It invents an order and distances",
               "The beaver would lie between duck and walrus, and the walrus twice as far from the duck."),
        wrong=[("Zero cannot be multiplied", "It can, and nothing here multiplies labels."),
               ("One column per class takes less memory", "It takes more; that is not why we do it.")]),
    Question(
        "For one student, one model said 80 % accepted, another 55 %. Which model is better?",
        right=("It depends on what happened",
               "Accepted: 80 % gave more to what happened. Rejected: 45 % is more than 20 %."),
        wrong=[("The one that said 80 %", "Only if the student was accepted. If not, it gave what happened only 20 %."),
               ("The one that said 55 %, it is more careful",
                "Only if the student was rejected. If accepted, 80 % was the better forecast.")]),
    Question(
        "Which function turns products into sums?",
        right=("log", "ln(a · b) = ln a + ln b."),
        wrong=[("exp", "exp does the opposite: it turns sums into products."),
               ("sin", "sin(a · b) has no such rule."),
               ("cos", "cos(a · b) has no such rule.")]),
    Question(
        "The loss of model A is printed as 1.2, that of model B as 1.2 as well. Are they equally good?",
        right=("No: one is a mean of four points, the other a sum of four",
               "The mean of A is 1.1949, the sum of B 1.1960. As means they are 1.1949 and 0.2990."),
        wrong=[("Yes, the numbers agree", "They are different things: a mean and a sum. Compare mean with mean."),
               ("Yes, up to rounding", "1.1949 and 1.1960 happen to be close, but one is a mean and the other a sum.")]),
    Question(
        "A function `cross_entropy` expects logits. What does `cross_entropy(softmax(z), y)` do with three classes?",
        right=("It runs, and is never below 0.551",
               "A perfect prediction (1, 0, 0) is taken for scores, and softmax makes 0.576 of the 1: −ln 0.576 = 0.551."),
        wrong=[("It raises an error", "Probabilities are numbers like any others: nobody notices."),
               ("The same as `cross_entropy(z, y)`", "Softmax would be applied twice, which flattens every prediction.")]),
])


# ---------------------------------------------------------------------------------------------- figures: the height

COLORS = ("red", "blue")  # class 0 and class 1 of the pictures
ANIMALS = ("duck", "beaver", "walrus")


def _penalties(X, y, w, b):
    """What each point pays: near 0 on its own side of the line, about its score behind the line.

    Args: X (n, 2), y (n,); w (2,), b, or arrays that broadcast against (n,).
    """
    score = X[:, 0] * w[0] + X[:, 1] * w[1] + b
    return -np.log(np.where(y == 1, _sigmoid(score), _sigmoid(-score)))


def _wrong(X, y, w, b):
    return (X[:, 0] * w[0] + X[:, 1] * w[1] + b >= 0) != (y == 1)


def _height(x):
    """The profile of a mountain with two valleys; the deeper one lies to the right."""
    return 4.2 - 3.4 * np.exp(-((x - 7.2) / 1.7) ** 2) - 1.9 * np.exp(-((x - 2.2) / 1.1) ** 2) + 0.015 * (x - 5) ** 2


def _descent(x, step, count):
    """Walk downhill: each step is the slope at the spot times ``step``."""
    path = [x]
    for _ in range(count):
        slope = (_height(path[-1] + 1e-5) - _height(path[-1] - 1e-5)) / 2e-5
        path.append(path[-1] - step * slope)
    return np.array(path)


def show_mountain() -> None:
    """Mount Errorest from the side, with the paths of two hikers who only ever step downhill."""
    fig, ax = plots.figure(size=(6.8, 3.5))
    x = np.linspace(0, 10, 400)
    ax.fill_between(x, _height(x), color=plots.GREY, alpha=0.18, linewidth=0)
    ax.plot(x, _height(x), color=plots.GREY, linewidth=2)
    for start, color, marker, name in ((4.9, plots.BLUE, "o", "hiker 1: the deepest valley"),
                                       (3.7, plots.ORANGE, "s", "hiker 2: a valley, not the deepest")):
        path = _descent(start, 0.16, 25)
        ax.plot(path, _height(path) + 0.13, marker, color=color, markersize=6, markeredgecolor="white", label=name, linestyle="")
    ax.set(xlabel="where you stand: the weights and the bias", ylabel="height: the error", ylim=(0, 6.4), xticks=[], yticks=[])
    plots.legend(ax, loc="upper center", ncols=1, fontsize=9.5)
    plots.show(fig, "A mountain in profile; its height is the error. Hiker 1 starts right of the middle ridge and steps down to the "
                    "deepest valley. Hiker 2 starts left of it and ends in a shallower one.")


def _points(ax, X, y, w, b, ring=True) -> np.ndarray:
    """The points, the line through them, and a ring around each error; returns which are errors."""
    wrong = _wrong(X, y, w, b)
    plots.classes(ax, X, y, COLORS, size=75)
    if ring:
        ax.scatter(*X[wrong].T, s=210, facecolor="none", edgecolor=plots.BLACK, linewidth=1.4, zorder=4)
    ax.set(xlim=(0, 10), ylim=(0, 8), xlabel="x1", ylabel="x2", aspect="equal")
    plots.line(ax, w, b)
    return wrong


def draw_staircase(X, y, w, b):
    """The points with the line (w, b), the number of errors over b, and a smooth error over b.

    Args: X (n, 2), y (n,), w (2,); b the bias. Returns the figure and a sentence.
    """
    fig, (left, middle, right) = plots.figure(1, 3, size=(9.9, 3.2))
    _points(left, X, y, w, b)
    plots.sides(left, w, b)
    shifts = np.linspace(-9, -1, 1601)
    counts = [_wrong(X, y, w, s).sum() for s in shifts]
    smooth = [_penalties(X, y, w, s).sum() for s in shifts]
    count, error = int(_wrong(X, y, w, b).sum()), _penalties(X, y, w, b).sum()
    left.set_title(f"{count} of {len(y)} wrong")
    middle.plot(shifts, counts, color=plots.ORANGE, linewidth=2.5)
    middle.plot(b, count, "o", color=plots.BLACK, markersize=9)
    middle.set(xlabel="bias b", title="number of errors", ylim=(-0.2, 3.4), yticks=[0, 1, 2, 3])
    right.plot(shifts, smooth, color=plots.GREEN, linewidth=2.5)
    right.plot(b, error, "o", color=plots.BLACK, markersize=9)
    right.set(xlabel="bias b", title="smooth error", ylim=(0, None))
    slope = _penalties(X, y, w, b + 1e-5).sum() - _penalties(X, y, w, b - 1e-5).sum()
    way = "a larger b lowers it" if slope < 0 else "a smaller b lowers it"
    return fig, f"b = {plots.number(b)}: {count} wrong; the smooth error is {error:.2f}, and {way}"


def show_staircase(X, y, w, b) -> None:
    """The line at ``b`` with the staircase and the smooth error. Arguments as for draw_staircase."""
    fig, text = draw_staircase(X, y, w, b)
    plots.show(fig, "Left: six points and a line; errors are ringed. Middle: the number of errors over b is a staircase, level "
                    f"almost everywhere. Right: a smooth error over b is a valley. At the dot, {text}.")


def staircase_slider(X, y, w, b) -> None:
    """A slider for b. Arguments as for draw_staircase."""
    widgets.sliders(lambda b: draw_staircase(X, y, w, b), b=(-9, -1, b, 0.25))


def show_sized_dots(X, y, w, b) -> None:
    """Each point as large as its penalty. Arguments as for draw_staircase."""
    fig, ax = plots.figure(size=(5.8, 4.1))
    cost, wrong = _penalties(X, y, w, b), _wrong(X, y, w, b)
    distance = np.abs(X @ w + b) / np.hypot(*w)
    for label, marker, color in ((1, "o", plots.BLUE), (0, "X", plots.RED)):
        mine = y == label
        ax.scatter(*X[mine].T, s=25 + 420 * cost[mine], marker=marker, color=color, edgecolor="white", zorder=3)
    for point, c, bad, d in zip(X, cost, wrong, distance, strict=True):
        ax.annotate(f"{c:.2f}" + (f"\n{d:.1f} behind" if bad else ""), point, xytext=(0, -17) if bad else (9, 4),
                    textcoords="offset points", fontweight="bold" if bad else "normal", ha="center" if bad else "left",
                    va="top" if bad else "center")
    ax.set(xlim=(0, 10), ylim=(0, 8), xlabel="x1", ylabel="x2", aspect="equal")
    plots.sides(ax, w, b)
    plots.line(ax, w, b)
    plots.show(fig, "The six points, each as large as its penalty. The four that are right pay at most "
                    f"{cost[~wrong].max():.2f}. The two blue ones on the wrong side pay "
                    + " and ".join(f"{c:.2f} for a distance of {d:.1f}" for c, d in zip(cost[wrong], distance[wrong], strict=True))
                    + ".")


# ---------------------------------------------------------------------------------------------- figures: probabilities

def _tint():
    """The twenty colors of a probability, red over white to blue, pale enough to read black on them."""
    import matplotlib as mpl

    return [0.6 * np.array(mpl.colormaps[plots.DIVERGING](p)[:3]) + 0.4 for p in np.linspace(0.025, 0.975, 20)]


def _field(ax, sigmoid, w, b, levels=(), named=None, view=(0, 10, 0, 8)) -> None:
    """The plane tinted by sigmoid(w @ x + b), red below one half, blue above, with level lines.

    Args: levels, probabilities to draw a line at; named, those with a number (default: all); view, the ranges shown.
    """
    left, right, low, high = view
    xx, yy = np.meshgrid(np.linspace(left, right, 160), np.linspace(low, high, 140))
    p = sigmoid(w[0] * xx + w[1] * yy + b)
    ax.contourf(xx, yy, p, levels=np.linspace(0, 1, 21), colors=_tint(), zorder=0)
    inside = [level for level in levels if p.min() < level < p.max()]
    if inside:
        lines = ax.contour(xx, yy, p, levels=inside, colors=[plots.BLACK], linewidths=1, zorder=1)
        ax.clabel(lines, levels=[v for v in inside if named is None or v in named], fmt=lambda v: f"{v:.0%}", fontsize=9)
    ax.set(xlim=(left, right), ylim=(low, high), aspect="equal", xlabel="x1", ylabel="x2")
    ax.grid(False)


def show_percentages() -> None:
    """Yes or no on the left, percentages on the right, for the same line."""
    fig, (left, right) = plots.figure(1, 2, size=(8.6, 3.9))
    w, b = (0.6, 0.8), -5.0
    spots = np.array([[5.4, 0.0], [3.0, 0.0]])
    spots[:, 1] = (np.log([0.85 / 0.15, 0.2 / 0.8]) - b - w[0] * spots[:, 0]) / w[1]
    for ax, words in ((left, ("yes", "no")), (right, ("85 %", "20 %"))):
        ax.scatter(*spots.T, s=90, color=plots.BLACK, zorder=4)
        for spot, word in zip(spots, words, strict=True):
            ax.annotate(word, spot, xytext=(9, 5), textcoords="offset points", fontweight="bold", fontsize=12)
        ax.set(xlim=(0, 10), ylim=(0, 8), xlabel="x1", ylabel="x2", aspect="equal")
    left.set_title("discrete: blue, yes or no?")
    plots.sides(left, w, b, alpha=0.3)
    plots.line(left, w, b)
    right.set_title("continuous: how many percent blue?")
    _field(right, _sigmoid, w, b, (0.05, 0.2, 0.5, 0.85, 0.98), named=(0.05, 0.5, 0.98))
    plots.show(fig, "The same line twice. Left, two sides: one point is blue, one is not. Right, the tint changes gradually, with "
                    "level lines at 5, 20, 50, 85 and 98 %: one point is 85 % blue, the other 20 %; on the line it is 50 %.")


def show_sigmoid(sigmoid) -> None:
    """The curve of the sigmoid with the values at whole scores, and the same values on level lines of a plane."""
    fig, (left, right) = plots.figure(1, 2, size=(9.6, 3.7))
    x = np.linspace(-6, 6, 241)
    left.plot(x, x >= 0, color=plots.GREY, linestyle=":", linewidth=2, label="step")
    left.plot(x, sigmoid(x), color=plots.BLUE, linewidth=2.5, label="sigmoid")
    whole = np.arange(-2.0, 3.0)
    left.plot(whole, sigmoid(whole), "o", color=plots.BLACK)
    for score, p in zip(whole, sigmoid(whole), strict=True):
        place, side = ((8, -11), "left") if score >= 0 else ((-7, 5), "right")
        left.annotate(f"{p:.4f}", (score, p), xytext=place, textcoords="offset points", ha=side, fontsize=9.5)
    left.set(xlabel="score", ylabel="probability of blue", yticks=[0, 0.25, 0.5, 0.75, 1], ylim=(-0.04, 1.06))
    plots.legend(left, loc="upper left")
    w, b = np.array([0.6, 0.8]), -5.0
    _field(right, sigmoid, w, b)
    for score in whole:
        plots.line(right, w, b - score, color=plots.BLACK, linewidth=2 if score == 0 else 1, linestyle="-" if score == 0 else "--")
        spot = np.array([2.6, (score - b - 2.6 * w[0]) / w[1]])
        right.text(*spot, f"score {score:g}: {float(sigmoid(score)):.2f}".replace("-", "−"), rotation=-37, ha="center", va="center",
                   fontsize=9, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8})
    right.set_title("level lines: score −2, −1, 0, 1, 2")
    plots.show(fig, "Left: the sigmoid climbs from 0 to 1 where the step function jumps; at scores −2, −1, 0, 1, 2 it is "
                    "0.1192, 0.2689, 0.5, 0.7311, 0.8808. Right: the same five scores as parallel level lines in the plane.")


def draw_space(sigmoid, X, y, w1, w2, b, ax=None, named=(0.1, 0.5, 0.9)):
    """The probability space of the weights over the points; returns the figure and a sentence."""
    fig = None
    if ax is None:
        fig, ax = plots.figure(size=(5.6, 4.2))
    w = np.array([w1, w2])
    _field(ax, sigmoid, w, b, (0.1, 0.5, 0.9), named=named)
    plots.classes(ax, X, y, COLORS, size=70)
    p = sigmoid(X @ w + b)
    for point, q in zip(X, p, strict=True):
        ax.annotate(f"{q:.0%}", point, xytext=(8, 5), textcoords="offset points", fontsize=9.5)
    values = f"w1 = {plots.number(w1)}, w2 = {plots.number(w2)}, b = {plots.number(b)}"
    return fig, (f"{values}: length of W {np.hypot(w1, w2):.2f}; {int(((p >= 0.5) == (y == 1)).sum())} of {len(y)} right; "
                 f"least sure of the truth: {np.where(y == 1, p, 1 - p).min():.1%}")


def show_spaces(sigmoid, X, y, w, b) -> None:
    """Three probability spaces: the weights as they are, ten times as large, and turned."""
    fig, axes = plots.figure(1, 3, size=(10.2, 3.3))
    turned = np.array([w[1], -0.2])
    for ax, (v, c), title in zip(axes, ((w, b), (10 * w, 10 * b), (turned, -3.0)),
                                 ("(W, b)", "(10 W, 10 b): the same line", "other weights: the line turns"), strict=True):
        draw_space(sigmoid, X, y, *v, c, ax=ax, named=(0.5,))
        ax.set_title(title, fontsize=11)
    plots.show(fig, "Three probability spaces over the six points, with level lines at 10, 50 and 90 %. With (W, b) the tint changes "
                    "gradually. With (10 W, 10 b) the line is the same, but the change is ten times as steep. With other weights "
                    "the line turns.")


def space_sliders(sigmoid, X, y) -> None:
    """Sliders for w1, w2 and b that redraw the probability space."""
    widgets.sliders(lambda w1, w2, b: draw_space(sigmoid, X, y, w1, w2, b),
                    w1=(-3, 3, 0.6, 0.1), w2=(-3, 3, 0.8, 0.1), b=(-12, 6, -5, 0.5))


def show_points(X, y, p, w, b) -> None:
    """The hundred points of lesson 01, colored by the probability that they are 1.

    Args: X (n, 2), y (n,), p (n,) probabilities; w (2,), b the line.
    """
    fig, ax = plots.figure(size=(5.6, 4.2))
    ax.set(xlim=(-0.15, 1.15), ylim=(-0.15, 1.15), xlabel="x1", ylabel="x2", aspect="equal")
    for label, marker in ((1, "o"), (0, "X")):
        dots = ax.scatter(*X[y == label].T, c=p[y == label], cmap=plots.DIVERGING, vmin=0, vmax=1, marker=marker, s=60,
                          edgecolor=plots.BLACK, linewidth=0.6, label=f"label {label}", zorder=3)
    for level, style in ((0.1, ":"), (0.5, "-"), (0.9, ":")):
        plots.line(ax, w, b - math.log(level / (1 - level)), linestyle=style, linewidth=2 if level == 0.5 else 1.3)
    fig.colorbar(dots, ax=ax, label="probability of label 1", shrink=0.9)
    plots.legend(ax, loc="lower left", fontsize=9)
    plots.show(fig, "The hundred points, circles for label 1 and crosses for label 0, colored by their probability from red over "
                    "white to blue. The solid line is 50 %, the dotted ones 10 and 90 %. Near the line the colors are pale.")


# ---------------------------------------------------------------------------------------------- figures: softmax

def show_exp() -> None:
    """exp turns scores of either sign into positive numbers, in the same order."""
    fig, ax = plots.figure(size=(5.6, 3.0))
    z = np.linspace(-3, 2.3, 200)
    ax.plot(z, np.exp(z), color=plots.BLUE, linewidth=2.5)
    whole = np.array([-2, -1, 0, 1, 2])
    ax.vlines(whole, 0, np.exp(whole), color=plots.GREY, linestyle="--", linewidth=1)
    ax.plot(whole, np.exp(whole), "o", color=plots.BLACK)
    for score in whole:
        ax.annotate(f"{math.exp(score):.2f}", (score, math.exp(score)), xytext=(-6, 7), textcoords="offset points", ha="right")
    ax.set(xlabel="score z", ylabel="exp(z)", ylim=(0, 10))
    plots.show(fig, "The exponential function: at −2, −1, 0, 1, 2 it is 0.14, 0.37, 1, 2.72, 7.39. It is always above 0 and always "
                    "climbing, so the order of the scores is kept.")


def _bars(ax, values, names, title="", text=".3f", top=1.0) -> None:
    """Labeled bars for probabilities."""
    colors = (plots.BLUE, plots.ORANGE, plots.GREEN)
    bars = ax.bar(names, values, color=[colors[n % 3] for n in range(len(values))], width=0.65)
    for bar, hatch in zip(bars, itertools.cycle(("", "//", ".."))):
        bar.set(hatch=hatch, edgecolor="white")
    for n, value in enumerate(values):
        ax.text(n, value + 0.02 * top, format(value, text), ha="center", fontsize=10)
    ax.set(ylim=(0, 1.12 * top), title=title)
    ax.locator_params(axis="y", nbins=6, integer=top > 1)
    ax.grid(axis="x", visible=False)


def show_scores(z) -> None:
    """The scores of the three animals. Args: z (3,)."""
    fig, ax = plots.figure(size=(4.6, 2.7))
    _bars(ax, z, ANIMALS, text=".0f", top=max(z))
    ax.set_ylabel("score")
    plots.show(fig, f"The scores of duck, beaver and walrus as bars: {', '.join(f'{score:g}' for score in z)}.")


def show_animals(softmax, z) -> None:
    """Scores of the three animals and their softmax.

    Args: softmax, the student's function; z (3,) scores.
    """
    fig, (left, right) = plots.figure(1, 2, size=(7.6, 3.1))
    _bars(left, z, ANIMALS, "scores", ".0f", top=max(z))
    _bars(right, softmax(z), ANIMALS, "probabilities", ".4f")
    plots.show(fig, "Left: the scores of duck, beaver and walrus, 2, 1 and 0. Right: their softmax, 0.6652, 0.2447 and 0.0900. The "
                    "order is the same, and the probabilities sum to 1.")


def draw_softmax(softmax, duck, beaver, walrus, temperature):
    """Bars of softmax(scores / temperature); returns the figure and a sentence with what the largest lacks to 1."""
    fig, ax = plots.figure(size=(5.4, 3.2))
    p = softmax(np.array([duck, beaver, walrus]) / temperature)
    _bars(ax, p, ANIMALS, text=".4f")
    ax.set_ylabel("probability")
    rest = np.delete(p, p.argmax()).sum()  # 1 - p itself would be rounded to 0
    return fig, (f"scores {plots.number(duck)}, {plots.number(beaver)}, {plots.number(walrus)}, temperature "
                 f"{temperature:g}: " + ", ".join(f"{name} {q:.4f}" for name, q in zip(ANIMALS, p, strict=True))
                 + f"; 1 − p of the largest: {rest:.1e}")


def show_temperatures(softmax, z) -> None:
    """The softmax of the scores times 10, as they are, and times 0.1. Arguments as for show_animals."""
    fig, axes = plots.figure(1, 3, size=(9.6, 3.0), sharey=True)
    for ax, factor in zip(axes, (10, 1, 0.1), strict=True):
        _bars(ax, softmax(factor * z), ANIMALS, f"scores × {factor:g} (temperature {1 / factor:g})")
    axes[0].set_ylabel("probability")
    plots.show(fig, "The softmax of three multiples of the scores (2, 1, 0). Times 10, the duck takes almost everything. As they are: "
                    "0.665, 0.245, 0.090. Times 0.1, the three bars are nearly equal.")


def softmax_sliders(softmax) -> None:
    """Sliders for three scores and the temperature."""
    widgets.sliders(lambda duck, beaver, walrus, temperature: draw_softmax(softmax, duck, beaver, walrus, temperature),
                    duck=(-5, 5, 2, 0.5), beaver=(-5, 5, 1, 0.5), walrus=(-5, 5, 0, 0.5), temperature=(0.1, 10, 1, 0.1))


def show_pins(softmax, seed: int = 0) -> None:
    """A pin board with ten slots. The weights push the balls, so that slot k is hit with the softmax of score k."""
    scores = np.array([0.5, -1.0, 1.5, 0.0, 2.5, 1.0, -0.5, 2.0, -2.0, 0.2])
    p = softmax(scores)
    rng = np.random.default_rng(seed)
    balls = np.bincount(rng.choice(10, size=500, p=p), minlength=10)
    fig, (board, ax) = plots.figure(2, 1, size=(6.6, 4.6), sharex=True, height_ratios=(1, 1.5))
    for row in range(6):  # the pins of every second row stand between those above
        places = np.arange(-0.5 if row % 2 else 0, 10)
        board.plot(places, np.full(len(places), 6 - row), "o", color=plots.GREY, markersize=4)
    end = int(np.argmax(balls))
    hits = end + np.array([1, 1.5, 1, 0.5, 1, 0.5, 0])  # at each pin, half a place to the left or to the right
    board.plot([hits[0], *hits], [7.2, *(6.35 - np.arange(6)), 0.2], color=plots.ORANGE, linewidth=1.8)
    board.plot(hits[0], 7.2, "o", color=plots.ORANGE, markersize=11)
    board.set(ylim=(0, 7.8))
    board.set_axis_off()
    ax.bar(range(10), balls, color=plots.ORANGE, alpha=0.75, label="500 balls, drawn at random")
    ax.plot(range(10), 500 * p, "D", color=plots.BLACK, markersize=6, label="500 times the softmax")
    ax.set(xlabel="slot", ylabel="balls", xticks=range(10))
    ax.grid(axis="x", visible=False)
    plots.legend(ax, loc="upper left", fontsize=9)
    plots.show(fig, "A ball falls through pins into one of ten slots. Below, how 500 balls spread over the slots (bars), and what the "
                    f"softmax of ten scores says (diamonds): most fall into slot {end}, few into slot {int(np.argmin(p))}.")


def show_axes(softmax, scores) -> None:
    """The same scores with the softmax along the rows and along the columns.

    Args: softmax, the student's function; scores (n, k), one example a row.
    """
    fig, axes = plots.figure(1, 2, size=(8.6, 3.4))
    n, k = scores.shape
    for ax, axis in zip(axes, (-1, 0), strict=True):
        p = softmax(scores, axis=axis)
        ax.imshow(p, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
        for i, j in np.ndindex(n, k):
            ax.text(j, i, f"{p[i, j]:.2f}", ha="center", va="center", color="white" if p[i, j] > 0.75 else plots.BLACK)
        if axis == -1:
            for i in range(n):
                ax.text(k - 0.35, i, f"= {p[i].sum():.2f}", va="center")
        else:
            for j in range(k):
                ax.text(j, n - 0.25, f"= {p[:, j].sum():.2f}", ha="center")
        ax.set(xticks=range(k), yticks=range(n), yticklabels=[f"animal {i + 1}" for i in range(n)],
               title=f"axis={axis}: {'each row sums to 1' if axis == -1 else 'each column sums to 1'}")
        ax.set_xticklabels(ANIMALS)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.grid(False)
        for side in ax.spines.values():
            side.set_visible(False)
        ax.set(xlim=(-0.5, k - 0.5 + 0.75), ylim=(n - 0.5 + 0.55, -0.5))
    plots.show(fig, f"{n} animals as rows, three classes as columns. With axis=-1 each row sums to 1: one forecast for each animal. "
                    "With axis=0 each column sums to 1: the animals compete for being the duck.")


def show_difference(softmax) -> None:
    """The softmax of two scores over the plane of both: its level lines are the diagonals."""
    fig, ax = plots.figure(size=(5.4, 4.2))
    z = np.linspace(-3, 3, 121)
    z1, z2 = np.meshgrid(z, z)
    p = softmax(np.stack([z1, z2], axis=-1))[..., 0]
    picture = ax.contourf(z, z, p, levels=np.linspace(0, 1, 21), colors=_tint())
    lines = ax.contour(z, z, z1 - z2, levels=[-3, -1.5, 0, 1.7, 3.5], colors=[plots.BLACK], linewidths=1, linestyles="-")
    ax.clabel(lines, fmt=lambda v: f"z1 − z2 = {v:g}".replace("-", "−"), fontsize=9)
    ax.plot(1.3, -0.4, "o", color=plots.BLACK, markersize=8)
    ax.annotate("(1.3, −0.4)", (1.3, -0.4), xytext=(9, -4), textcoords="offset points",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8})
    ax.set(xlabel="z1", ylabel="z2", aspect="equal")
    ax.grid(False)
    fig.colorbar(picture, ax=ax, label="softmax, first class", ticks=[0, 0.25, 0.5, 0.75, 1])
    plots.show(fig, "The softmax of the first of two classes over both scores. Its level lines are diagonals on which z1 − z2 is "
                    "constant: only the difference counts. The point (1.3, −0.4) lies on the diagonal 1.7.")


def show_labels() -> None:
    """Class numbers on a line, and one-hot vectors as three corners."""
    fig = plots.figure(size=(8.6, 3.3))[0]
    fig.clear()
    left, right = fig.add_subplot(1, 2, 1), fig.add_subplot(1, 2, 2, projection="3d")
    left.plot([-0.4, 2.4], [0, 0], color=plots.GREY, linewidth=1.5)
    markers = (("o", plots.BLUE), ("s", plots.ORANGE), ("^", plots.GREEN))
    for k, (name, (marker, color)) in enumerate(zip(ANIMALS, markers, strict=True)):
        left.plot(k, 0, marker, color=color, markersize=12)
        left.text(k, 0.25, name, ha="center")
        left.text(k, -0.4, str(k), ha="center")
        corner = np.eye(3)[k]
        right.plot(*[[0, c] for c in corner], color=plots.GREY, linewidth=1)
        right.plot(*[[c] for c in corner], marker, color=color, markersize=10)
        right.text(*(corner * 1.05 + (np.array([0, 0, 0.12]) if k == 2 else np.array([0, 0, -0.42]))),
                   f"{name}\n({', '.join(str(int(c)) for c in corner)})", ha="center", fontsize=9)
    left.annotate("", (2, -0.75), (0, -0.75), arrowprops={"arrowstyle": "<->", "color": plots.BLACK})
    left.text(1, -1.1, "twice as far?", ha="center")
    left.set(ylim=(-1.4, 1), xlim=(-0.5, 2.5), title="one number: an order that is not there")
    left.set_axis_off()
    right.set(xlim=(0, 1.1), ylim=(0, 1.1), zlim=(0, 1.1), title="one-hot: all equally far apart")
    right.set_axis_off()
    right.view_init(25, 45)
    right.set_box_aspect(None, zoom=0.95)
    plots.show(fig, "Left: duck 0, beaver 1 and walrus 2 on a line, the beaver between the others. Right: three one-hot vectors as "
                    "points on three perpendicular axes; each is equally far from the other two.")


# ---------------------------------------------------------------------------------------------- figures: likelihood

_MODELS = ((np.array([-0.45, 1.0]), -2.4), (np.array([1.1, 0.55]), -6.2))  # two lines, A and B


def show_models(p_a, p_b, y) -> None:
    """Four points and two models. The points are placed so that each gets the probabilities given.

    Args: p_a, p_b (4,), what models A and B give to what happened; y (4,) of 0 and 1, what happened.
    """
    sign = 2 * np.asarray(y) - 1
    scores = np.stack([sign * np.log(np.divide(p, 1 - np.asarray(p))) for p in (p_a, p_b)])
    W, b = np.stack([w for w, _ in _MODELS]), np.array([c for _, c in _MODELS])
    X = np.linalg.solve(W, scores - b[:, None]).T
    fig, axes = plots.figure(1, 2, size=(9.4, 3.7))
    for ax, name, p, (w, c) in zip(axes, "AB", (p_a, p_b), _MODELS, strict=True):
        _field(ax, _sigmoid, w, c, (0.5,), view=(0.5, 8.0, 0.5, 6.5))
        plots.classes(ax, X, np.asarray(y), COLORS, size=90)
        for n, (point, q) in enumerate(zip(X, p, strict=True), 1):
            ax.annotate(f"{n}: {q:g}", point, xytext=(8, 6), textcoords="offset points", fontweight="bold" if q < 0.5 else "normal")
        right = int((np.asarray(p) > 0.5).sum())
        ax.set_title(f"model {name}: {right} of 4 right, product {math.prod(p):.4f}")
    plots.show(fig, "Four points, two blue and two red, and two models. Beside each point stands the probability that the model gave to "
                    f"its real color. Model A: {', '.join(map(str, p_a))}, two points on the wrong side. Model B: "
                    f"{', '.join(map(str, p_b))}, all on the right side.")


def show_underflow() -> None:
    """0.5 multiplied by itself in two precisions, and the sum of the logarithms."""
    fig, (left, right) = plots.figure(1, 2, size=(9.2, 3.3))
    for dtype, color, style, name in ((np.float64, plots.BLUE, "-", "float64"), (np.float32, plots.ORANGE, "--", "float32")):
        products = np.cumprod(np.full(1100, 0.5, dtype), dtype=dtype)
        alive = products > 0
        left.plot(np.arange(1, 1101)[alive], np.log10(products[alive].astype(float)), color=color, linewidth=2.5, linestyle=style)
        end = int(alive.sum())
        left.plot(end, np.log10(float(products[alive][-1])), "X", color=color, markersize=11, label=f"{name}: 0 after {end + 1:,} factors")
    left.set(xlabel="factors of 0.5", ylabel="power of ten of the product", title="the product vanishes")
    plots.legend(left, loc="lower left", fontsize=9.5)
    right.plot(np.arange(1, 1101), np.arange(1, 1101) * math.log(0.5), color=plots.GREEN, linewidth=2.5)
    right.plot(1000, 1000 * math.log(0.5), "o", color=plots.BLACK)
    right.annotate("−693.147", (1000, 1000 * math.log(0.5)), xytext=(-70, -4), textcoords="offset points")
    right.set(xlabel="factors of 0.5", ylabel="sum of the logarithms", title="the logarithm goes on")
    plots.show(fig, "Left: 0.5 multiplied by itself. In float32 the product is exactly 0 after 150 factors, in float64 after 1,075. "
                    "Right: the sum of the logarithms is a straight line; after 1,000 factors it is −693.147.")


def show_costs(p_a, p_b) -> None:
    """-ln p as a curve with the points of both models, and as bars. Arguments (4,) probabilities of what happened."""
    fig, (left, right) = plots.figure(1, 2, size=(9.2, 3.5))
    p = np.linspace(0.03, 1, 200)
    left.plot(p, -np.log(p), color=plots.GREY, linewidth=2)
    place = np.arange(4)
    for values, color, marker, size, hatch, name, side in ((p_a, plots.ORANGE, "X", 9, "//", "model A", -0.2),
                                                           (p_b, plots.BLUE, "o", 14, "", "model B", 0.2)):
        cost = -np.log(values)
        left.plot(values, cost, marker, color=color, markersize=size, label=name, linestyle="", markeredgecolor="white",
                  zorder=4 if marker == "X" else 3)  # at 0.6 and 0.7 one lies on the other
        bars = right.bar(place + side, cost, 0.4, color=color, hatch=hatch, edgecolor="white", label=f"{name}, sum {cost.sum():.4f}")
        right.bar_label(bars, fmt="%.3f", fontsize=9, padding=2)
    left.set(xlabel="probability of what happened", ylabel="−ln p", ylim=(0, 3.5))
    right.set(xlabel="point", ylabel="−ln p", xticks=place, xticklabels=["1", "2", "3", "4"], ylim=(0, 2.9))
    right.grid(axis="x", visible=False)
    plots.legend(left, loc="upper right", labelspacing=0.8)
    plots.legend(right, loc="upper center", fontsize=9.5)
    plots.show(fig, "Left: −ln p falls from large values near 0 to 0 at p = 1. Right: the four costs of both models. Model A pays "
                    "most for points 1 and 4, the two that it has on the wrong side.")


# ---------------------------------------------------------------------------------------------- figures: doors

def _door_bars(axes, table) -> None:
    outcomes = list(itertools.product((1, 0), repeat=3))
    names = ["".join(map(str, o)) for o in outcomes]
    for ax, column, title, color in zip(axes, (0, 1), ("probability", "cross-entropy, −ln of it"), (plots.BLUE, plots.ORANGE),
                                        strict=True):
        bars = ax.barh(names, [table[o][column] for o in outcomes], color=color)
        ax.bar_label(bars, fmt="%.3f" if column == 0 else "%.2f", padding=3, fontsize=9.5)
        ax.invert_yaxis()
        ax.set(title=title, xlim=(0, 1.2 * max(table[o][column] for o in outcomes)))
        ax.grid(axis="y", visible=False)
    axes[0].set_ylabel("gift behind door 1, 2, 3")


def show_doors(table) -> None:
    """The eight outcomes of three doors, their probabilities and costs.

    Args: table, what outcome_table returns for three doors.
    """
    fig, axes = plots.figure(1, 2, size=(8.6, 3.6))
    _door_bars(axes, table)
    likely, rare = max(table, key=lambda o: table[o][0]), min(table, key=lambda o: table[o][0])
    plots.show(fig, "The eight outcomes of three doors. The longest bar on the left is the shortest on the right: "
                    f"{likely} has probability {table[likely][0]:.3f} and costs {table[likely][1]:.2f}; {rare} has "
                    f"{table[rare][0]:.3f} and costs {table[rare][1]:.2f}.")


def draw_doors(outcome_table, door1, door2, door3):
    """The eight outcomes for any three doors; returns the figure and a sentence."""
    fig, axes = plots.figure(1, 2, size=(8.0, 3.4))
    table = outcome_table([door1, door2, door3])
    _door_bars(axes, table)
    likely, rare = max(table, key=lambda o: table[o][0]), min(table, key=lambda o: table[o][0])
    return fig, (f"P(gift) = {door1:g}, {door2:g}, {door3:g}: most likely {likely} with {table[likely][0]:.3f}, costs "
                 f"{table[likely][1]:.2f}; least likely {rare} with {table[rare][0]:.4f}, costs {table[rare][1]:.2f}")


def door_sliders(outcome_table) -> None:
    """Sliders for the probabilities of three doors."""
    widgets.sliders(lambda door1, door2, door3: draw_doors(outcome_table, door1, door2, door3),
                    door1=(0.05, 0.95, 0.8, 0.05), door2=(0.05, 0.95, 0.7, 0.05), door3=(0.05, 0.95, 0.1, 0.05))


def show_animal_doors(P, happened) -> None:
    """Three doors with animals: the probabilities as bars, what came out as a black frame.

    Args: P (3, 3), one row a door; happened (3,) class behind each door.
    """
    fig, axes = plots.figure(1, 3, size=(8.8, 2.9), sharey=True)
    for door, (ax, p, c) in enumerate(zip(axes, P, happened, strict=True), 1):
        _bars(ax, p, ANIMALS, f"door {door}: a {ANIMALS[c]}", ".1f")
        ax.patches[c].set(edgecolor=plots.BLACK, linewidth=2.5)
    axes[0].set_ylabel("probability")
    plots.show(fig, "Probabilities of duck, beaver and walrus behind three doors. Behind the doors were "
                    + ", ".join(f"a {ANIMALS[c]} ({p[c]:.1f})" for p, c in zip(P, happened, strict=True)) + ", framed in black.")


# ---------------------------------------------------------------------------------------------- figures: the error

TURNS, SHIFTS = np.linspace(-40, 150, 153), np.linspace(-9, 0, 145)  # the map of the mountain: direction of W, bias


def _direction(turn):
    """The unit vector that points ``turn`` degrees up from the first axis."""
    return np.array([math.cos(math.radians(turn)), math.sin(math.radians(turn))])


@functools.lru_cache(maxsize=4)
def _maps(points: tuple, labels: tuple):
    """Mean error and number of errors for each bias (rows) and direction (columns)."""
    X, y = np.array(points), np.array(labels)
    along = np.array([_direction(t) for t in TURNS]) @ X.T  # (turns, points)
    score = along[None] + SHIFTS[:, None, None]
    smooth = -np.log(np.where(y == 1, _sigmoid(score), _sigmoid(-score))).mean(axis=-1)
    return smooth, ((score >= 0) != (y == 1)).sum(axis=-1)


def _maps_of(X, y):
    return _maps(tuple(map(tuple, X.tolist())), tuple(y.tolist()))


def show_error_mountain(X, y) -> None:
    """The number of errors and the logistic error over the direction of W (length 1) and the bias."""
    smooth, counts = _maps_of(X, y)
    fig, (flat, right) = plots.figure(1, 2, size=(9.6, 4.0), subplot_kw={"projection": "3d"})
    flat.remove()
    left = fig.add_subplot(1, 2, 1)
    steps = left.contourf(TURNS, SHIFTS, counts, levels=np.arange(-0.5, counts.max() + 1), cmap="viridis")
    fig.colorbar(steps, ax=left, ticks=range(counts.max() + 1), shrink=0.8)
    left.set(xlabel="direction of W (degrees)", ylabel="bias b", title="number of errors: terraces", xticks=[0, 45, 90, 135])
    turn, shift = np.meshgrid(TURNS, SHIFTS)
    right.plot_surface(turn, shift, smooth, cmap="viridis", vmax=3, rcount=49, ccount=51, linewidth=0, antialiased=False)
    right.set(xlabel="direction of W", ylabel="bias b", title="logistic error: a mountain", xticks=[0, 45, 90, 135],
              yticks=[-8, -6, -4, -2, 0])
    right.view_init(40, -60)
    right.set_box_aspect(None, zoom=1.0)
    low = np.unravel_index(smooth.argmin(), smooth.shape)
    plots.show(fig, "The error of the six points over the direction of W (of length 1) and the bias. Left, the number of errors as a "
                    "map: every area of one color is level. Right, the logistic error as a mountain: slopes everywhere. Its lowest "
                    f"spot is {smooth.min():.2f} at {TURNS[low[1]]:.0f} degrees and b = {plots.number(SHIFTS[low[0]], 3)}.")


def draw_error(X, y, turn, b):
    """The points with the line, and where it stands on the map of the error; returns the figure and a sentence."""
    smooth, _ = _maps_of(X, y)
    w = _direction(turn)
    fig, (left, right) = plots.figure(1, 2, size=(9.0, 3.6))
    wrong = _points(left, X, y, w, b)
    plots.sides(left, w, b)
    picture = right.contourf(TURNS, SHIFTS, smooth, levels=np.linspace(0.2, 3, 29), cmap="viridis", extend="max")
    fig.colorbar(picture, ax=right, label="logistic error E", ticks=[0.5, 1, 1.5, 2, 2.5, 3])
    right.plot(turn, b, "o", color="white", markeredgecolor=plots.BLACK, markersize=11)
    right.set(xlabel="direction of W (degrees)", ylabel="bias b")
    right.grid(False)
    error = _penalties(X, y, w, b).mean()
    return fig, f"direction {turn:g} degrees, b = {plots.number(b)}: E = {error:.3f}, {wrong.sum()} of {len(y)} wrong"


def show_error_map(X, y, turn, b) -> None:
    """The start of the walk, without sliders. Arguments as for draw_error."""
    fig, text = draw_error(X, y, turn, b)
    plots.show(fig, f"Left: the six points and a line. Right: the error as a map, dark where it is low; the white dot is that line, {text}.")


def error_sliders(X, y, turn, b) -> None:
    """Sliders for the direction of W and the bias."""
    widgets.sliders(lambda turn, b: draw_error(X, y, turn, b), turn=(-40, 150, turn, 5), b=(-9, 0, b, 0.25))


def show_tails(logistic_error) -> None:
    """The loss of a 0 over its score, three ways: from a rounded probability, clipped, and from the score."""
    scores = np.linspace(-60, 60, 481)
    zero = np.array([0])
    stable = np.array([logistic_error(np.array([z]), zero) for z in scores])
    with np.errstate(all="ignore"):
        naive = -np.log(1 - _sigmoid(scores))
        clipped = -np.log(np.clip(1 - _sigmoid(scores), 1e-12, 1))
    fig, (left, right) = plots.figure(1, 2, size=(9.6, 3.6))
    shown = np.isfinite(naive) & (naive > 0)
    first, last = np.flatnonzero(shown)[[0, -1]]
    for ax, part in ((left, scores <= 0), (right, scores >= 0)):
        ax.plot(scores[part], stable[part], color=plots.GREEN, linewidth=5, alpha=0.5, label="from the score")
        ax.plot(scores[part & shown], naive[part & shown], color=plots.BLACK, linewidth=1.8, linestyle=":",
                label="−ln(1 − σ(z))")
        ax.set_xlabel("score z of an example with y = 0")
    right.plot(scores[scores >= 0], clipped[scores >= 0], color=plots.ORANGE, linewidth=2, linestyle="--", label="clipped at 1e-12")
    for ax, edge, word, where in ((left, first, "here it becomes 0", (10, -4)), (right, last, "here it becomes inf", (-4, 10))):
        ax.plot(scores[edge], naive[edge], "X", color=plots.BLACK, markersize=9)
        ax.annotate(word, (scores[edge], naive[edge]), xytext=where, textcoords="offset points", fontsize=9.5,
                    ha="left" if ax is left else "right")
    left.set(yscale="log", ylabel="loss, logarithmic", title="right, and very sure")
    right.set(ylabel="loss", title="wrong, and very sure")
    right.annotate("stuck at 27.6", (60, 27.6), xytext=(0, -14), textcoords="offset points", fontsize=9.5, ha="right")
    plots.legend(left, loc="upper left")
    plots.legend(right, loc="upper left")
    plots.show(fig, "The loss of an example with y = 0. Left, negative scores, on a logarithmic scale: through the probability the "
                    f"loss becomes 0 below about {plots.number(scores[first], 3)}; from the score it goes on. Right, positive scores: "
                    f"through the probability it becomes infinite above about {scores[last]:.0f}, clipped it is stuck at 27.6; from "
                    "the score it grows as it should.")


def show_too_sure(sigmoid) -> None:
    """Two models with the same line along the diagonal, one ten times as steep."""
    fig, ax = plots.figure(size=(6.6, 3.4))
    t = np.linspace(-1.6, 1.6, 321)
    for factor, color, style in ((1, plots.BLUE, "-"), (10, plots.ORANGE, "--")):
        name = "x1 + x2" if factor == 1 else "10 x1 + 10 x2"
        ax.plot(t, sigmoid(2 * factor * t), color=color, linewidth=2.5, linestyle=style, label=f"σ({name})")
        ax.plot(1, float(sigmoid(2.0 * factor)), "o", color=color, markersize=9)
        ax.plot(-1, float(sigmoid(-2.0 * factor)), "X", color=color, markersize=10)
    ax.annotate("(1, 1), blue", (1, 0.88), xytext=(4, -18), textcoords="offset points")
    ax.annotate("(−1, −1), red", (-1, 0.12), xytext=(-20, 14), textcoords="offset points", ha="center")
    ax.set(xlabel="along the diagonal: x1 = x2", ylabel="probability of blue", ylim=(-0.05, 1.08))
    plots.legend(ax, loc="upper left")
    plots.show(fig, "Two models along the diagonal. Both cross 50 % at the same place. σ(x1 + x2) gives the blue point 0.8808 and the "
                    "red one 0.1192; σ(10 x1 + 10 x2) jumps almost like a step and is all but certain of both.")
