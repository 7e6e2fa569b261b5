"""The checks of lesson 02: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import copy
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from helpers.lessons import cross_entropy as lesson
from helpers.lessons import exercises
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"02.1": 1, "02.2": 2, "02.3": 1, "02.4": 2, "02.5": 1, "02.6": 3, "02.7": 2, "02.8": 2}


# ---------------------------------------------------------------------------------------------- right answers

def _sigmoid(x):
    return np.exp(-np.logaddexp(0, -np.asarray(x, float)))


def _sigmoid_side_by_side(x):
    x = np.asarray(x, dtype=float)
    out, right = np.empty_like(x), x > 0
    out[right] = 1 / (1 + np.exp(-x[right]))
    small = np.exp(x[~right])
    out[~right] = small / (small + 1)
    return out


def _softmax_with_moved_axis(z, axis=-1):
    z = np.moveaxis(z, axis, -1)
    t = np.exp(z - z.max(-1)[..., None]).reshape(-1, z.shape[-1])
    return np.moveaxis((t.T / t.T.sum(0)).T.reshape(z.shape), -1, axis)


def _softmax_slice_by_slice(z, axis=-1):
    def one(scores):
        powers = [math.exp(s - max(scores)) for s in scores]
        return np.array(powers) / sum(powers)

    return np.apply_along_axis(one, axis, z)


def _one_hot_or_error(labels, n_classes):
    if not ((labels >= 0) & (labels < n_classes)).all():
        raise ValueError("label")
    return (labels[:, None] == np.arange(n_classes)).astype(float)


def _one_hot_in_a_loop(labels, n_classes):
    rows = []
    for label in labels:
        if label not in range(n_classes):
            raise ValueError(f"{label} is no class")
        rows.append([1.0 if k == label else 0.0 for k in range(n_classes)])
    return np.array(rows)


def _table_by_binary_numbers(p):
    outcomes = (list(map(int, np.binary_repr(k, len(p)))) for k in range(2 ** len(p)))
    return {tuple(o): (float(np.prod(np.where(o, p, 1 - np.array(p)))), float(-np.log(np.where(o, p, 1 - np.array(p))).sum()))
            for o in outcomes}


def _table_door_by_door(p):
    table = {(): (1.0, 0.0)}
    for q in p:
        table = {(*o, i): [chance * r, cost - math.log(r)] for o, (chance, cost) in table.items() for i, r in ((0, 1 - q), (1, q))}
    return table


def _binary_with_clip(y, p, reduction="mean"):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(reduction)
    q = np.clip(p, 1e-15, 1 - 1e-15)
    e = -np.log(q) * y - np.log1p(-q) * (1 - y)
    return e if reduction == "none" else getattr(np, reduction)(e)


def _binary_with_capped_log(y, p, reduction="mean"):
    def log(t):
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(t), -100)

    loss = -(y * log(p) + (1 - y) * log(1 - p))
    match reduction:
        case "none":
            return loss
        case "sum":
            return float(loss.sum())
        case "mean":
            return float(loss.sum() / loss.size)
    raise ValueError("unknown reduction")


def _cross_entropy_row_by_row(logits, labels):
    return float(np.mean([np.logaddexp.reduce(row) - row[c] for row, c in zip(logits, labels, strict=True)]))


def _cross_entropy_shifted(logits, labels):
    s = logits - logits.max(1, keepdims=True)
    return float((np.log(np.exp(s).sum(1)) - np.take_along_axis(s, labels[:, None], 1)[:, 0]).mean())


def _cross_entropy_one_hot(logits, labels):
    picked = np.eye(logits.shape[1])[labels]
    return ((np.logaddexp.reduce(logits, axis=1, keepdims=True) - logits) * picked).sum() / len(labels)


RIGHT = {
    "02.1": [
        lambda x: np.where(np.asarray(x, float) >= 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x))),
        lambda x: np.exp(-np.logaddexp(0, -np.asarray(x, float))),
        _sigmoid_side_by_side,
    ],
    "02.2": [
        lambda z, axis=-1: np.exp(z - np.logaddexp.reduce(np.asarray(z, float), axis=axis, keepdims=True)),
        _softmax_with_moved_axis,
        _softmax_slice_by_slice,
    ],
    "02.3": [
        lambda z: np.column_stack([-z / 2, z / 2]),
        lambda z: np.log(np.column_stack([_sigmoid(-z), _sigmoid(z)])),
        lambda z: np.array([[3.0, 3.0 + score] for score in z]),
    ],
    "02.4": [
        lambda labels, n_classes: ((labels[:, None] == np.arange(n_classes)).astype(float)
                                   if ((labels >= 0) & (labels < n_classes)).all()
                                   else (_ for _ in ()).throw(ValueError("label"))),
        _one_hot_or_error,
        _one_hot_in_a_loop,
    ],
    "02.5": [_table_by_binary_numbers, _table_door_by_door],
    "02.6": [_binary_with_clip, _binary_with_capped_log],
    "02.7": [
        lambda z, y: float(np.logaddexp(0, np.where(y == 1, -z, z)).mean()),
        lambda z, y: float(np.mean(y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z))),
        lambda z, y: sum(max(0.0, t) + math.log1p(math.exp(-abs(t))) for t in np.where(y, -z, z)) / len(z),
    ],
    "02.8": [_cross_entropy_row_by_row, _cross_entropy_shifted, _cross_entropy_one_hot],
}

EQUIVALENT = {  # mutants of the solutions that are right answers
    "02.1": {
        "return np.where(np.asarray(x) >= 0, upper, tail * upper) | np.asarray(x) >= 0 -> np.asarray(x) > 0":
            "at 0 both sides give one half",
    },
    "02.3": {
        "logits[:, 1] = z                             # class 0 keeps the score 0 | 1 -> -1":
            "of two columns number 1 is the last",
    },
}


# ---------------------------------------------------------------------------------------------- all exercises

@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_right_answers_in_other_styles_pass(exercise):
    common.right_answers_pass(exercise, RIGHT[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_each_mistake_is_refused_with_its_own_message(exercise):
    common.mistakes_are_named(exercise)
    common.mistakes_differ(exercise)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_odd_objects_get_one_clear_message(exercise):
    common.hostile_objects_get_a_message(exercise, ARITY[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_an_endless_loop_is_stopped(exercise, monkeypatch):
    common.endless_loop_is_stopped(exercise, monkeypatch)


def test_the_lesson_is_complete():
    assert [e.id for e in EXERCISES] == [f"02.{n}" for n in range(1, 9)]
    assert [len(e.mistakes) for e in EXERCISES] == [7, 10, 5, 8, 7, 11, 7, 9]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_starts_without_torch():
    program = "import sys; import helpers.lessons.cross_entropy as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------------------------------------- inputs stay as they are

def _changing(answer, place):
    """The right answer, but it also writes into its argument number ``place``."""
    def function(*args, **kwargs):
        result = copy.deepcopy(answer(*args, **kwargs))
        if isinstance(args[place], list):
            args[place][0] /= 2
        elif isinstance(args[place], np.ndarray):
            args[place][...] = args[place] + 1
        return result
    return function


@pytest.mark.parametrize(("exercise", "places"), [
    (lesson.sigmoid, (0,)), (lesson.softmax, (0,)), (lesson.two_class_logits, (0,)), (lesson.one_hot, (0,)),
    (lesson.outcome_table, (0,)), (lesson.binary_cross_entropy, (0, 1)), (lesson.logistic_error, (0, 1)),
    (lesson.cross_entropy, (0, 1)),
], ids=lambda value: getattr(value, "title", ""))
def test_a_change_of_the_inputs_is_refused(exercise, places):
    for place in places:
        common.refused(exercise, _changing(RIGHT[exercise.id][-1], place), saying="was changed in place")


# ---------------------------------------------------------------------------------------------- numerical care

def test_floating_point_warnings_are_refused():
    def noisy(function):
        def answer(*args, **kwargs):
            np.exp(np.array([1000.0]))  # overflows
            return function(*args, **kwargs)
        return answer

    with np.errstate(over="ignore"):
        for exercise in (lesson.sigmoid, lesson.softmax, lesson.binary_cross_entropy, lesson.logistic_error,
                         lesson.cross_entropy):
            common.refused(exercise, noisy(RIGHT[exercise.id][-1]), saying="overflow")


def test_underflow_is_no_fault():
    with np.errstate(under="warn"):
        common.passes(lesson.softmax, RIGHT["02.2"][0])


def test_naive_log_of_a_probability_fails_only_at_the_ends():
    """The check shows the first place that is wrong: the formula is right, the certain cases are not."""
    def naive(y, p, reduction="mean"):
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(reduction)
        e = -(y * np.log(p) + (1 - y) * np.log(1 - p))
        return e if reduction == "none" else getattr(e, reduction)()

    text = common.refused(lesson.binary_cross_entropy, naive, saying="p=[0, 1, 1, 0]")
    assert "divide by zero" in text
    assert "0 times ln 0 is nan" in text


@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 1e-7, 1e-8, 1e-9, 1e-12])
def test_an_epsilon_of_any_size_is_named(epsilon):
    def with_epsilon(y, p, reduction="mean"):
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(reduction)
        e = -(y * np.log(p + epsilon) + (1 - y) * np.log(1 - p + epsilon))
        return e if reduction == "none" else getattr(e, reduction)()

    common.refused(lesson.binary_cross_entropy, with_epsilon, saying="epsilon is so large")


@pytest.mark.parametrize("smallest", [1e-10, 1e-12, 1e-300])
def test_any_sensible_clip_passes(smallest):
    def clipped(y, p, reduction="mean"):
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(reduction)
        e = -(y * np.log(np.maximum(p, smallest)) + (1 - y) * np.log(np.maximum(1 - p, smallest)))
        return e if reduction == "none" else getattr(e, reduction)()

    common.passes(lesson.binary_cross_entropy, clipped)


def test_the_references_agree_with_pytorchs_own_losses():
    """The reference of 02.7 is softplus, because PyTorch's loss with logits loses the tail; elsewhere they agree."""
    import torch

    rng = np.random.default_rng(0)
    z, y = rng.normal(size=50) * 10, rng.integers(0, 2, 50)
    own = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(z), torch.tensor(y, dtype=torch.float64))
    assert math.isclose(lesson._reference_logistic(z, y), float(own), rel_tol=1e-12)
    for score, label in ((1000, 1), (-1000, 0), (1000, 0), (-1000, 1)):
        own = torch.nn.functional.binary_cross_entropy_with_logits(
            torch.tensor([float(score)]), torch.tensor([float(label)]))
        assert lesson._reference_logistic([score], [label]) == float(own)
    assert math.isclose(lesson._reference_logistic([-40], [0]), 4.248354255291589e-18, rel_tol=1e-12)


# ---------------------------------------------------------------------------------------------- single exercises

def test_sigmoid_takes_numbers_and_keeps_shapes():
    right = RIGHT["02.1"][0]
    common.passes(lesson.sigmoid, lambda x: float(right(x)) if np.ndim(x) == 0 else right(x))
    common.refused(lesson.sigmoid, lambda x: np.atleast_1d(right(x)), saying="the number 2.0")
    common.refused(lesson.sigmoid, lambda x: right(x).ravel())
    common.refused(lesson.sigmoid, lambda x: right(x).astype(np.float32) if np.ndim(x) else right(x), saying="float32")


def test_many_pairs_of_logits_are_right_and_a_wrong_one_is_explained():
    common.passes(lesson.two_class_logits, lambda z: np.stack([-0.25 * z + 5, 0.75 * z + 5], axis=1))
    common.refused(lesson.two_class_logits, lambda z: np.stack([0 * z, z + 1], axis=1), saying="difference 2.75")
    common.refused(lesson.two_class_logits, lambda z: np.stack([0 * z, z], axis=1).astype(np.float32), saying="float32")
    common.refused(lesson.two_class_logits, lambda z: np.stack([0 * z, z], axis=1).tolist(), saying="float64 array of shape (6, 2)")
    common.refused(lesson.two_class_logits, lambda z: np.full((len(z), 2), np.nan))


@pytest.mark.parametrize("error", [IndexError, TypeError])
def test_one_hot_raises_only_value_error(error):
    def other_error(labels, n_classes):
        if (labels < 0).any() or (labels >= n_classes).any():
            raise error("label")
        return np.eye(n_classes)[labels]

    common.refused(lesson.one_hot, other_error, saying=error.__name__)


def test_one_hot_with_one_side_guarded_is_told_apart():
    def upper_only(labels, n_classes):
        if labels.max() >= n_classes:
            raise ValueError("label")
        return np.eye(n_classes)[labels]

    def lower_only(labels, n_classes):
        if labels.min() < 0:
            raise ValueError("label")
        return np.eye(n_classes)[labels]

    common.refused(lesson.one_hot, upper_only, saying="NumPy counts from the end")
    common.refused(lesson.one_hot, lower_only, saying="IndexError")


def test_the_table_must_not_take_the_log_of_a_product_that_vanished():
    def log_of_product(p):
        table = {}
        for o in itertools.product((0, 1), repeat=len(p)):
            chance = math.prod(q if i else 1 - q for q, i in zip(p, o, strict=True))
            table[o] = (chance, -math.log(chance) if chance else math.inf)
        return table

    common.refused(lesson.outcome_table, log_of_product, saying="too small for a float")


def test_a_table_with_other_keys_or_too_few_is_refused():
    right = RIGHT["02.5"][1]
    common.refused(lesson.outcome_table, lambda p: {"".join(map(str, o)): v for o, v in right(p).items()}, saying="Missing")
    common.refused(lesson.outcome_table, lambda p: dict(list(right(p).items())[1:]), saying="(0, 0, 0)")
    common.refused(lesson.outcome_table, lambda p: {o[::-1]: v for o, v in right(p).items()})
    common.refused(lesson.outcome_table, lambda p: {o: v[::-1] for o, v in right(p).items()})
    common.refused(lesson.outcome_table, lambda p: right(p) if len(p) < 12 else {}, saying="a dict of 0 outcomes")


def test_base_10_is_named_also_where_logarithms_are_summed():
    common.refused(lesson.outcome_table,
                   lambda p: {o: (chance, cost / math.log(10)) for o, (chance, cost) in RIGHT["02.5"][1](p).items()},
                   saying="natural logarithm")


def test_an_unknown_reduction_must_be_refused():
    right = RIGHT["02.6"][0]
    common.refused(lesson.binary_cross_entropy, lambda y, p, reduction="mean": right(
        y, p, reduction if reduction in ("mean", "sum", "none") else "mean"), saying="raises ValueError")
    common.refused(lesson.binary_cross_entropy, lambda y, p, reduction="sum": right(y, p, reduction), saying="left out")


def test_cross_entropy_wants_a_number_not_an_array():
    common.refused(lesson.cross_entropy, lambda logits, labels: np.array([RIGHT["02.8"][0](logits, labels)]))
    common.refused(lesson.logistic_error, lambda z, y: np.logaddexp(0, np.where(y == 1, -z, z)))


# ---------------------------------------------------------------------------------------------- natural first tries

def _reduced(costs):
    """An answer to 02.6 from a function of (y, p) that gives the cost of each point."""
    def answer(y, p, reduction="mean"):
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(reduction)
        e = costs(y, p)
        return e if reduction == "none" else getattr(e, reduction)()

    return answer


def _formula(y, p):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def _one_hot_that(labels, n_classes, error=None, width=None, dtype=float, returned=None):
    if ((labels < 0) | (labels >= n_classes)).any():
        if returned is not None:
            return returned
        raise error or ValueError("label")
    return np.eye(n_classes if width is None else width(labels), dtype=dtype)[labels]


def _masked_tail(x):
    tail = np.exp(-np.abs(x))
    upper = 1 / (1 + tail)
    return np.where(np.asarray(x) >= 0, upper, 1 - upper)


FIRST_TRIES = [  # (exercise, answer, a part of its diagnosis): none is the example of a known mistake
    ("02.1", lambda x: np.where(np.asarray(x) < 0, np.exp(x) / (np.exp(x) + 1), 1 / (1 + np.exp(-np.asarray(x, float)))),
     "both branches"),
    ("02.1", _masked_tail, "keeps the tail"),
    ("02.2", lambda z, axis=-1: (lambda e: e / e.sum(axis=axis, keepdims=True))(
        np.exp(z - np.mean(z, axis=axis, keepdims=True))), "exponent of 1333"),
    ("02.2", lambda z, axis=-1: np.exp(z) / np.exp(z).sum(axis=0), "always runs over axis 0"),
    ("02.2", lambda z, axis=-1: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True), "always runs over the last axis"),
    ("02.2", lambda z, axis=-1: np.exp(z) / np.exp(z).sum(axis=axis), "No keepdims at all"),
    ("02.4", lambda labels, n: np.eye(n)[labels] if labels.max() < n else _one_hot_that(labels, n), "NumPy counts from the end"),
    ("02.4", lambda labels, n: _one_hot_that(labels, n, width=lambda t: t.max() + 1), "last class is absent"),
    ("02.4", lambda labels, n: _one_hot_that(labels, n, width=len), "one column per label"),
    ("02.4", lambda labels, n: _one_hot_that(labels, n, dtype=int), "dtype=float"),
    ("02.4", lambda labels, n: _one_hot_that(labels, n, dtype=bool), "Booleans"),
    ("02.4", lambda labels, n: _one_hot_that(labels, n, returned=ValueError), "`raise` it"),
    ("02.4", lambda labels, n: np.eye(n)[labels] if (labels >= 0).all() else _one_hot_that(labels, n), "refused by you"),
    ("02.5", lambda p: {tuple(1 - i for i in o): v for o, v in RIGHT["02.5"][1](p).items()}, "changed places"),
    ("02.5", lambda p: {o[::-1]: v for o, v in RIGHT["02.5"][1](p).items()}, "in reverse"),
    ("02.5", lambda p: {o: (v[0], -math.log(v[0]) if v[0] else math.inf) for o, v in RIGHT["02.5"][1](p).items()},
     "logarithm of the product"),
    ("02.6", lambda y, p, reduction="mean": _formula(y, p), "`reduction` is ignored"),
    ("02.6", lambda y, p, reduction="mean": float(_formula(y, np.clip(p, 1e-9, 1 - 1e-9)).sum()), "`reduction` is ignored"),
    ("02.6", _reduced(lambda y, p: -(y * np.log10(p) + (1 - y) * np.log10(1 - p))), "base 10"),
    ("02.6", _reduced(lambda y, p: -y * np.log(p) - (1 - y) * np.log1p(-p)), "0 times ln 0"),
    ("02.6", _reduced(lambda y, p: -np.log(np.where(y > 0.5, np.maximum(p, 1e-15), np.maximum(1 - p, 1e-15)))), "soft labels"),
    ("02.6", _reduced(lambda y, p: _formula(y, np.clip(p, 1e-18, 1 - 1e-18))), "1 - p is still 0"),
    ("02.6", _reduced(lambda y, p: _formula(y, np.clip(p, 1e-8, 1 - 1e-8))), "the clip lies above"),
    ("02.7", lambda z, y: float(np.mean(np.log(1 + np.exp(z)) - z * y)), "exp(1000) overflows"),
    ("02.7", lambda z, y: float(np.mean(_formula(y, np.clip(_sigmoid(z), 1e-15, 1 - 1e-15)))), "caps the loss"),
    ("02.7", lambda z, y: float(np.mean(_formula(y, _sigmoid(z)))), "log 0"),
    ("02.7", lambda z, y: float(np.logaddexp(z, 0).mean() - np.mean(z * y)), "takes 38 from 38"),
    ("02.8", lambda z, c: float(np.mean([math.log(np.exp(r).sum()) - r[k] if np.exp(r).sum() else math.inf
                                         for r, k in zip(z, c, strict=True)])), "add it back"),
    ("02.8", lambda z, c: -np.mean(np.log(_softmax_with_moved_axis(z))[np.arange(len(c)), c]), "use log-sum-exp"),
    ("02.8", lambda z, c: float((np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) - z[np.arange(len(c)), c]).mean()),
     "not added back"),
    ("02.8", lambda z, c: -np.sum(np.eye(z.shape[1])[c] * np.log(_softmax_with_moved_axis(z))) / len(c), "one-hot table"),
    ("02.8", lambda z, c: -np.mean(np.log(_softmax_with_moved_axis(z)[np.arange(len(c)), c] + 1e-15)), "caps the loss"),
]


@pytest.mark.parametrize(("number", "answer", "said"), FIRST_TRIES, ids=[f"{n}-{said}" for n, _, said in FIRST_TRIES])
def test_a_natural_first_try_is_recognized(number, answer, said):
    exercise = next(e for e in EXERCISES if e.id == number)
    common.refused(exercise, answer)
    assert said.lower() in common.unwrapped(exercise.examine(answer).text).lower(), exercise.examine(answer).text


def test_a_later_fault_is_not_named_while_an_earlier_one_is_shown():
    def key_error(y, p, reduction="mean"):
        e = _formula(y, p)
        return {"none": e, "mean": e.mean(), "sum": e.sum()}[reduction]

    text = common.refused(lesson.binary_cross_entropy, key_error, saying="KeyError")
    assert "likely" not in text


def test_other_faults_of_one_hot_are_not_blamed_on_the_label_minus_one():
    for answer in (lambda labels, n: np.eye(n, dtype=int)[labels], lambda labels, n: np.eye(labels.max() + 1)[labels],
                   lambda labels, n: np.eye(n, dtype=np.float32)[labels]):
        assert "Label -1" not in lesson.one_hot.examine(answer).text


def test_the_first_case_of_softmax_shows_its_numbers():
    common.refused(lesson.softmax, lambda z, axis=-1: z * 1.0, saying="[[2, 1, 0], [-1, 0.5, 3], [1, 4, -2]]")


def test_the_caption_says_how_far_from_certain_the_largest_is():
    _, said = lesson.draw_softmax(RIGHT["02.2"][0], 5, -5, -5, 0.1)
    assert said.endswith("duck 1.0000, beaver 0.0000, walrus 0.0000; 1 − p of the largest: 7.4e-44")


# ---------------------------------------------------------------------------------------------- figures that move

SIX = np.array([[8, 5], [2, 6], [6, 2], [1, 3], [3, 1], [4, 2]], dtype=float)
BLUE = np.array([1, 1, 1, 0, 0, 0])


def _table(p):
    return RIGHT["02.5"][1](p)


@pytest.mark.parametrize(("draw", "text"), [
    (lambda: lesson.draw_staircase(SIX, BLUE, (0.6, 0.8), -7.0), "b = −7: 2 wrong; the smooth error is 3.50, and a larger b lowers it"),
    (lambda: lesson.draw_staircase(SIX, BLUE, (0.6, 0.8), -4.5), "b = −4.5: 0 wrong; the smooth error is 1.43, and a smaller b lowers it"),
    (lambda: lesson.draw_space(_sigmoid, SIX, BLUE, 0.6, 0.8, -5.0),
     "w1 = 0.6, w2 = 0.8, b = −5: length of W 1.00; 6 of 6 right; least sure of the truth: 55.0%"),
    (lambda: lesson.draw_space(_sigmoid, SIX, BLUE, 0, 0, 0), "least sure of the truth: 50.0%"),
    (lambda: lesson.draw_softmax(RIGHT["02.2"][0], 2, 1, 0, 1), "duck 0.6652, beaver 0.2447, walrus 0.0900"),
    (lambda: lesson.draw_softmax(RIGHT["02.2"][0], -5, 5, 0, 0.1), "beaver 1.0000"),
    (lambda: lesson.draw_doors(_table, 0.8, 0.7, 0.1), "most likely (1, 1, 0) with 0.504, costs 0.69; least likely (0, 0, 1)"),
    (lambda: lesson.draw_error(SIX, BLUE, 125, -1.5), "direction 125 degrees, b = −1.5: E = 1.110, 3 of 6 wrong"),
])
def test_moving_figures_say_what_they_show(draw, text):
    fig, said = draw()
    assert text in said
    assert len(fig.axes) >= 1


def test_the_sliders_start_at_the_static_picture(monkeypatch):
    calls = []
    monkeypatch.setattr(lesson.widgets, "sliders", lambda draw, **ranges: calls.append((draw, ranges)))
    lesson.staircase_slider(SIX, BLUE, (0.6, 0.8), -7.0)
    lesson.space_sliders(_sigmoid, SIX, BLUE)
    lesson.softmax_sliders(RIGHT["02.2"][0])
    lesson.door_sliders(_table)
    lesson.error_sliders(SIX, BLUE, 125, -1.5)
    assert len(calls) == 5
    for draw, ranges in calls:
        for values in ({name: r[2] for name, r in ranges.items()}, {name: r[0] for name, r in ranges.items()},
                       {name: r[1] for name, r in ranges.items()}):
            _, said = draw(**values)
            assert "nan" not in said
        assert all(low <= start <= high for low, high, start, _ in ranges.values())


def test_the_map_of_the_mountain_agrees_with_the_points():
    smooth, counts = lesson._maps_of(SIX, BLUE)
    for row, column in ((0, 0), (10, 100), (144, 152), (70, 75)):
        w, b = lesson._direction(lesson.TURNS[column]), lesson.SHIFTS[row]
        score = SIX @ w + b
        assert math.isclose(smooth[row, column], RIGHT["02.7"][0](score, BLUE))
        assert counts[row, column] == np.sum((score >= 0) != BLUE)


def test_the_two_models_place_their_points_where_the_probabilities_say(monkeypatch):
    drawn = []
    monkeypatch.setattr(lesson.plots, "classes", lambda ax, X, y, names, size: drawn.append(X))
    monkeypatch.setattr(lesson.plots, "show", lambda fig, alt: None)
    given = [[0.1, 0.6, 0.7, 0.2], [0.7, 0.9, 0.8, 0.6]]
    lesson.show_models(*given, [1, 1, 0, 0])
    for X, (w, b), p in zip(drawn, lesson._MODELS, given, strict=True):
        blue = _sigmoid(X @ w + b)
        assert np.allclose(np.where([1, 1, 0, 0], blue, 1 - blue), p)
