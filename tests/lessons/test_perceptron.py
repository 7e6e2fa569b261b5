"""The checks of lesson 01: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import copy
import itertools
import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from helpers.lessons import exercises
from helpers.lessons import perceptron as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"01.1": 3, "01.2": 0, "01.3": 0, "01.4": 5, "01.5": 5, "01.6": 6, "01.7": 3, "01.8": 5}


# ---------------------------------------------------------------------------------------------- right answers

def _predict_in_a_loop(X, w, b):
    answers = []
    for x in X:
        score = b
        for a, c in zip(w, x, strict=True):
            score += a * c
        answers.append(0 if score < 0 else 1)
    return np.asarray(answers, dtype=np.int32)


def _gates_from_each_other():
    w, b = np.array([1, 1]), -1.5
    return {"NOT": ((0, -1), 0.25), "AND": (w, b), "NAND": (-w, -b), "OR": [w, np.float64(-0.5)]}


def _xor_with_three_units():
    """One unit of no use, counted with weight 0."""
    return [[1, 1], [-1, -1], [1, 0]], [-0.5, 1.5, 3], [2, 2, 0], -3


def _step_by_cases(w, b, x, y, lr):
    hit = np.dot(w, x) + b >= 0
    if hit and y == 0:
        return w - lr * x, b - lr
    if not hit and y == 1:
        return w + lr * x, b + lr
    return w.copy(), b


def _step_in_one_vector(w, b, x, y, lr):
    line, point = np.r_[w, b], np.r_[x, 1]
    line = line + lr * (y - np.heaviside(line @ point, 1)) * point
    return [line[:-1], line[-1]]


def _step_that_returns_the_same_array(w, b, x, y, lr):
    if (sum(w * x) + b >= 0) == bool(y):
        return w, b
    sign = 2 * y - 1
    return w + sign * lr * x, b + sign * lr


def _flips_by_walking(w, b, x, y, lr):
    w = list(w)
    k = 0
    while True:
        e = y - (1 if sum(p * q for p, q in zip(w, x, strict=True)) + b >= 0 else 0)
        if e == 0:
            return k
        w = [p + lr * e * q for p, q in zip(w, x, strict=True)]
        b = b + lr * e
        k += 1


def _flips_by_trying(w, b, x, y, lr):
    score = b
    for p, q in zip(w, x, strict=True):
        score += p * q
    change = lr * (1 + sum(q**2 for q in x)) * (1 if y else -1)
    return next(k for k in itertools.count() if (score + k * change >= 0) is bool(y))


def _flips_with_whole_numbers(w, b, x, y, lr):
    parts = sum((p * q for p, q in zip(w, x, strict=True)), b) / (lr * (sum(q * q for q in x) + 1))
    n, d = parts.numerator, parts.denominator
    return max(0, -(n // d)) if y == 1 else max(0, n // d + 1)


def _train_in_one_vector(X, y, w, b, lr=0.01, epochs=25):
    theta = np.append(w, b).astype(float)
    errors = []
    Z = np.column_stack([X, np.ones(len(X))])
    for _ in range(epochs):
        wrong = 0
        for i in range(len(Z)):
            p = 1 if Z[i].dot(theta) >= 0 else 0
            if p != y[i]:
                theta = theta + (lr if y[i] == 1 else -lr) * Z[i]
                wrong += 1
        errors.append(wrong)
        if not wrong:
            break
    return theta[:-1], theta[-1], errors


def _train_with_while(X, y, w, b, lr=0.01, epochs=25):
    w, errors = np.array(w), []
    while len(errors) < epochs and (not errors or errors[-1] > 0):
        errors.append(0)
        for row, label in zip(X, y, strict=True):
            error = label - (w @ row + b >= 0)
            w, b = w + lr * error * row, b + lr * error
            errors[-1] += int(error != 0)
    return w, b, errors


def _distance_scaled_first(X, w, b):
    length = math.sqrt(float(w @ w))
    if length == 0:
        raise ValueError("w must not be zero")
    return np.dot(X, w / length) + b / length


def _distance_row_by_row(X, w, b):
    if not np.any(w):
        raise ValueError("no line")
    return np.array([(np.dot(w, x) + b) / np.hypot.reduce(w) for x in X])


def _epoch_in_one_matrix(W, b, X, y, lr=1.0):
    A = np.column_stack([W, b])
    n = 0
    for i in range(X.shape[0]):
        z = np.r_[X[i], 1.0]
        k = (A * z).sum(axis=1).argmax()
        if k != y[i]:
            d = np.zeros(len(A))
            d[y[i]] = 1
            d[k] = -1
            A = A + lr * np.outer(d, z)
            n += 1
    return A[:, :-1], A[:, -1], n


def _epoch_without_if(W, b, X, y, lr=1.0):
    W, b, errors = np.array(W), np.array(b), 0
    classes = np.arange(len(b))
    for x, label in zip(X, y, strict=True):
        winner = np.argmax(x @ W.T + b)
        change = lr * ((classes == label).astype(float) - (classes == winner))
        W, b = W + change[:, None] * x, b + change
        errors += int(winner != label)
    return W, b, errors


RIGHT = {
    "01.1": [
        lambda X, w, b: np.where((X * w).sum(axis=1) + b < 0, 0, 1),
        lambda X, w, b: np.array([1 if float(np.dot(x, w)) + b >= 0 else 0 for x in X]),
        _predict_in_a_loop,
    ],
    "01.2": [
        lambda: {"AND": (np.array([1., 1]), -2.0), "OR": (np.array([3., 3]), -3.0),
                 "NAND": (np.array([-2., -2]), 3.0), "NOT": (np.array([0., -7]), 0.0)},
        lambda: {"AND": ([2, 1], -2.5), "OR": ([1, 2], -0.9), "NAND": ([-1, -1], 1.99), "NOT": ([0.1, -1], 0.5)},
        _gates_from_each_other,
    ],
    "01.3": [
        lambda: (np.array([[1., 1], [-1, -1]]), np.array([-0.5, 1.5]), np.array([1., 1]), -1.5),
        lambda: (np.array([[1., -1], [-1, 1]]), np.array([-0.5, -0.5]), np.array([1., 1]), -0.5),
        _xor_with_three_units,
    ],
    "01.4": [_step_by_cases, _step_in_one_vector, _step_that_returns_the_same_array],
    "01.5": [_flips_by_walking, _flips_by_trying, _flips_with_whole_numbers],
    "01.6": [_train_in_one_vector, _train_with_while],
    "01.7": [_distance_scaled_first, _distance_row_by_row],
    "01.8": [_epoch_in_one_matrix, _epoch_without_if],
}

_GATES = 'return {"AND": (w, -1.5), "OR": (w, -0.5), "NAND": (-w, 1.5), "NOT": (np.array([0, -1]), 0.5)}'
EQUIVALENT = {  # mutants of the solutions that are right answers
    "01.2": {
        f"{_GATES} | 1 -> 2": "NOT with weight -2 is a right NOT",
        f"{_GATES} | 0.5 -> 0.0 (2)": "NOT with bias 0 is a right NOT, with margin 0",
    },
    "01.5": {
        "score = sum(wi * xi for wi, xi in zip(w, x)) + b | zip(w, x) -> zip(x, w)": "a product does not mind the order",
        "return max(0, math.floor(score / change) + 1)      # smallest k with score - k * change < 0 | "
        "score / change -> score // change": "the floor of a floor",
    },
}
_NUMBERS = "weights and biases may be any numbers, in arrays or lists"
ACCEPTED_IMPOSTORS = {"01.2": {"dtype": _NUMBERS, "list": _NUMBERS}, "01.3": {"dtype": _NUMBERS, "list": _NUMBERS}}
LEAKS_ALLOWED = {  # lines of solutions that hints may show
    "for _ in range(epochs):": "the third hint of 01.6 gives the two loops",
    "for xi, yi in zip(X, y):": "the third hint of 01.6 gives the two loops",
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
    assert [e.id for e in EXERCISES] == [f"01.{n}" for n in range(1, 9)]
    assert [len(e.mistakes) for e in EXERCISES] == [9, 8, 4, 12, 11, 12, 10, 9]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_starts_without_torch():
    program = "import sys; import helpers.lessons.perceptron as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------------------------------------- inputs stay as they are

def _changing(answer, place):
    """The right answer, but it also writes into its argument number ``place``."""
    def function(*args, **kwargs):
        result = copy.deepcopy(answer(*args, **kwargs))
        if isinstance(args[place], list):
            args[place][0] += 1
        else:
            args[place][...] = args[place] + 1
        return result
    return function


@pytest.mark.parametrize(("exercise", "places"), [
    (lesson.predict, (0, 1)), (lesson.perceptron_step, (0, 2)), (lesson.steps_to_flip, (0, 2)),
    (lesson.train_perceptron, (0, 1, 2)), (lesson.signed_distance, (0, 1)), (lesson.multiclass_epoch, (0, 1, 2, 3)),
], ids=lambda value: getattr(value, "title", ""))
def test_a_change_of_the_inputs_is_refused(exercise, places):
    for place in places:
        answer = _changing(RIGHT[exercise.id][0], place)
        common.refused(exercise, answer, saying="was changed in place")


# ---------------------------------------------------------------------------------------------- single exercises

def test_predict_refuses_other_kinds_of_numbers():
    right = RIGHT["01.1"][0]
    common.refused(lesson.predict, lambda X, w, b: right(X, w, b).astype(float), saying="float64")
    common.refused(lesson.predict, lambda X, w, b: right(X, w, b)[:, None], saying="dimension of size 1")
    common.refused(lesson.predict, lambda X, w, b: right(X, w, b).tolist(), saying="array is asked for")
    common.refused(lesson.predict, lambda X, w, b: 1 - right(X, w, b))


def test_gates_with_margin_zero_pass_with_a_remark():
    result = lesson.gate_parameters.examine(RIGHT["01.2"][0])
    assert result.outcome == "passed"
    assert "AND is right, with margin 0" in result.text
    assert "NAND is right, with margin 0" not in result.text
    assert "margin" not in lesson.gate_parameters.examine(RIGHT["01.2"][1]).text


def test_a_wrong_gate_prints_its_four_rows():
    gates = {**RIGHT["01.2"][1](), "OR": ([1, 1], -2)}
    text = common.refused(lesson.gate_parameters, lambda: gates, saying="OR on (0,0), (0,1), (1,0), (1,1)")
    assert [len(re.findall(re.escape(str(corner)) + " scores", text)) for corner in lesson.CORNERS] == [1, 1, 1, 1]
    assert "(0, 1) scores -1 -> 0, should be 1" in text


@pytest.mark.parametrize(("change", "saying"), [
    ({"NOR": ([1, 1], 0)}, "NOR"),
    ({"OR": ([1, 1, 1], -0.5)}, "(3,)"),
    ({"OR": ([1, 1], [-0.5])}, "b of shape (1,)"),
    ({"OR": ([1, float("nan")], -0.5)}, "value 0"),
    ({"OR": ([1, "1"], -0.5)}, "value 0"),
    ({"OR": ([1, 1], None)}, "value 1 is None"),
    ({"OR": 3}, "a pair (w, b)"),
    ({"OR": "ab"}, "a pair (w, b)"),
    ({5: ([1, 1], 0)}, "5, AND"),
])
def test_gates_of_another_form_are_refused(change, saying):
    common.refused(lesson.gate_parameters, lambda: {**RIGHT["01.2"][1](), **change}, saying=saying)


def test_a_missing_gate_is_refused():
    gates = RIGHT["01.2"][1]()
    del gates["NOT"]
    common.refused(lesson.gate_parameters, lambda: gates, saying="AND, NAND, NOT, OR")


@pytest.mark.parametrize(("network", "saying"), [
    (([[1, 1], [-1, -1]], [-0.5, 1.5], [1, 1]), "a tuple of 3"),
    (([[1, 1], [-1, -1]], [-0.5, 1.5], [1, 1], [-1.5]), "(1,)"),
    (([[1, 1, 0], [-1, -1, 0]], [-0.5, 1.5], [1, 1], -1.5), "(2, 3)"),
    (([[1, 1], [-1, -1]], [-0.5], [1, 1], -1.5), "(1,)"),
    (([[1, 1], [-1]], [-0.5, 1.5], [1, 1], -1.5), "value 0"),
    (([[1, 1], [-1, -1]], [-0.5, math.inf], [1, 1], -1.5), "value 1"),
    ((1, 2, 3, 4), "()"),
])
def test_networks_of_another_form_are_refused(network, saying):
    common.refused(lesson.xor_network, lambda: network, saying=saying)


def test_a_wrong_network_shows_its_hidden_values():
    network = ([[1, 1], [-1, -1]], [-0.5, 1.5], [1, 1], -0.5)  # OR instead of AND at the end
    text = common.refused(lesson.xor_network, lambda: network)
    assert "(0, 0) -> hidden [0, 1] -> score 0.5 -> 1, should be 0" in text


def test_a_diagnosis_is_not_given_to_another_mistake():
    always = ([[1, 1], [1, 1]], [-0.5, -0.5], [1, 1], 5)  # fires at (0,0) too, but no output bias could help
    assert lesson.xor_network.examine(lambda: always).mistake is None
    shifted = {**RIGHT["01.2"][1](), "AND": ([1, 1], -0.5)}  # OR, but no corner scores 0
    assert lesson.gate_parameters.examine(lambda: shifted).mistake is None


def test_steps_to_flip_wants_an_int():
    right = RIGHT["01.5"][0]
    common.refused(lesson.steps_to_flip, lambda *a: Fraction(right(*a)), saying="an int")
    common.refused(lesson.steps_to_flip, lambda *a: float(right(*a)), saying="an int")
    common.refused(lesson.steps_to_flip, lambda *a: right(*a) + 1)


def test_training_must_use_the_order_given():
    right = RIGHT["01.6"][0]
    common.refused(lesson.train_perceptron, lambda X, y, w, b, lr=0.01, epochs=25: right(X[::-1], y[::-1], w, b, lr, epochs))
    common.refused(lesson.train_perceptron, lambda X, y, w, b, lr=0.02, epochs=25: right(X, y, w, b, lr, epochs))
    common.refused(lesson.train_perceptron, lambda X, y, w, b, lr=0.01, epochs=26: right(X, y, w, b, lr, epochs))
    common.refused(lesson.train_perceptron, lambda X, y, w, b, lr, epochs: right(X, y, w, b, lr, epochs), saying="called")


def test_the_traces_of_training_do_not_hang_on_rounding():
    """Other orders of summation must not flip a prediction: no score comes close to 0 without being exactly 0."""
    X, y = lesson._separable_points()
    assert len(X) == 23 and 0 < y.sum() < 23
    cases = [(X, y, np.array([-0.7, 0.4]), 0.3, 0.1, 50), (X, y, np.zeros(2), 0.0, 0.1, 50),
             (*lesson._random_label_points(), np.array([0.3, -0.2, 0.1]), -0.4, 0.05, 7),
             (*lesson._random_label_points(), np.array([0.3, -0.2, 0.1]), -0.4, 0.01, 25)]
    for X, y, w, b, lr, epochs in cases:
        smallest, errors = math.inf, []
        for _ in range(epochs):
            errors.append(0)
            for x, label in zip(X, y, strict=True):
                score = x @ w + b
                smallest = min(smallest, abs(score) or math.inf)
                e = label - int(score >= 0)
                w, b = w + lr * e * x, b + lr * e
                errors[-1] += abs(e)
            if errors[-1] == 0:
                break
        assert smallest > 1e-6
        if epochs == 50:
            assert 3 <= len(errors) < 50  # stops early, but not at once


def test_signed_distance_raises_only_value_error():
    def other_error(X, w, b):
        if not w.any():
            raise TypeError("no line")
        return (X @ w + b) / np.linalg.norm(w)

    common.refused(lesson.signed_distance, other_error, saying="TypeError")
    with np.errstate(all="ignore"):
        common.refused(lesson.signed_distance, lambda X, w, b: (X @ w + b) / np.linalg.norm(w), saying="raises ValueError")


def test_a_transposed_template_is_caught_by_value():
    right = RIGHT["01.8"][0]

    def transposed(W, b, X, y, lr=1.0):
        W, b, n = right(W, b, X, y, lr)
        return (W.T if W.shape[0] == W.shape[1] else W), b, n

    common.refused(lesson.multiclass_epoch, transposed, saying="transpose")


def test_the_button_of_the_trick_goes_on_until_no_error_is_left(monkeypatch):
    kept = {}
    monkeypatch.setattr(lesson.widgets, "stepper", lambda start, step, draw, **ranges: kept.update(s=start, t=step, d=draw))
    lesson.step_button(_step_by_cases)
    state = kept["s"]()
    text = kept["d"](state, alpha=0.1)[1]
    assert "0 steps, 2 errors" in text and "the score of (1, 1) is −3.0" in text
    assert text.endswith("next is (1, 1), a step changes its score by 0.30")
    assert kept["d"](kept["t"](state, alpha=0.1), alpha=0.1)[1].startswith("1 step, ")
    for _ in range(40):
        state = kept["t"](state, alpha=1.0)
    text = kept["d"](state, alpha=1.0)[1]
    assert "no errors left" in text
    assert kept["t"](state, alpha=1.0) == state


def _gates(**changes):
    return lambda: {**RIGHT["01.2"][1](), **changes}


def _walk_with_numpy_floats(w, b, x, y, lr):
    w, x, b, k, sign = np.array(w, float), np.array(x, float), float(b), 0, 2 * y - 1
    while (w @ x + b >= 0) != (y == 1):
        w, b, k = w + sign * float(lr) * x, b + sign * float(lr), k + 1
    return k


def _walk_on_a_float_score(w, b, x, y, lr):
    score, k = float(sum((p * q for p, q in zip(w, x, strict=True)), b)), 0
    while (score >= 0) != (y == 1):
        score, k = score + (2 * y - 1) * float(lr * (sum(q * q for q in x) + 1)), k + 1
    return k


def _divide_floats(w, b, x, y, lr):
    score = sum(float(p) * float(q) for p, q in zip(w, x, strict=True)) + float(b)
    steps = score / (float(lr) * (sum(float(q) ** 2 for q in x) + 1))
    return max(0, math.ceil(-steps) if y == 1 else math.floor(steps) + 1)


def _walk_without_bias(w, b, x, y, lr):
    w, k = list(w), 0
    while k < 5000 and (sum(p * q for p, q in zip(w, x, strict=True)) + b >= 0) != (y == 1):
        w, k = [p + lr * (2 * y - 1) * q for p, q in zip(w, x, strict=True)], k + 1
    return k


def _divide_without_one(w, b, x, y, lr):
    score = sum((p * q for p, q in zip(w, x, strict=True)), b)
    if (score >= 0) == (y == 1):
        return 0
    steps = score / (lr * sum(q * q for q in x))  # ends with ZeroDivisionError at x = (0, 0)
    return math.ceil(-steps) if y == 1 else math.floor(steps) + 1


def _walk_100(w, b, x, y, lr):
    return next((k for k in range(100) if k == _flips_with_whole_numbers(w, b, x, y, lr)), None)


def _always_up(w, b, x, y, lr):
    return math.ceil(abs(sum((p * q for p, q in zip(w, x, strict=True)), b)) / (lr * (sum(q * q for q in x) + 1)))


def _train_padded(X, y, w, b, lr=0.01, epochs=25):
    w, b, errors = _train_in_one_vector(X, y, w, b, lr, epochs)
    return w, b, np.array(errors + [0] * (epochs - len(errors)))


def _train_shuffled(X, y, w, b, lr=0.01, epochs=25):
    order = np.random.permutation(len(X))
    return _train_in_one_vector(X[order], y[order], w, b, lr, epochs)


def _epoch_with_max(W, b, X, y, lr=1.0):
    W, b, n = W.copy(), b.copy(), 0
    for x, label in zip(X, y, strict=True):
        k = max(W @ x + b)
        if k != label:
            W[label], W[k], n = W[label] + lr * x, W[k] - lr * x, n + 1
    return W, b, n


@pytest.mark.parametrize(("exercise", "answer", "saying"), [
    (lesson.predict, lambda X, w, b: np.array([np.sign(x @ w + b) for x in X]).astype(int), "np.sign"),
    (lesson.gate_parameters, _gates(NAND=([2, 2], 3)), "only half of AND is negated"),
    (lesson.gate_parameters, _gates(AND=([2, 2], -4), NAND=([-2, -2], 4)), "does not flip a tie"),
    (lesson.gate_parameters, _gates(NOT=([0, 3], -1)), "repeats the second input"),
    (lesson.gate_parameters, _gates(NOT=([0, -3], 4)), "Your NOT always says the same"),
    (lesson.steps_to_flip, _walk_with_numpy_floats, "Keep the Fractions"),
    (lesson.steps_to_flip, _walk_on_a_float_score, "Keep the Fractions"),
    (lesson.steps_to_flip, _divide_floats, "Keep the Fractions"),
    (lesson.steps_to_flip, _walk_without_bias, "The bias moves as well"),
    (lesson.steps_to_flip, _divide_without_one, "The bias moves as well"),
    (lesson.steps_to_flip, _walk_100, "gives up too early"),
    (lesson.steps_to_flip, _always_up, "needs 0 steps"),
    (lesson.train_perceptron, _train_padded, "never stop early"),
    (lesson.train_perceptron, _train_shuffled, "shuffled"),
    (lesson.train_perceptron, lambda X, y, w, b, lr=0.01, epochs=25: _train_in_one_vector(X, y, w, b, 0.1, epochs),
     "lr is ignored"),
    (lesson.train_perceptron, lambda X, y, w, b, lr=0.01, epochs=25: _train_in_one_vector(X, y, w, b, lr, 1000),
     "More epochs than asked for"),
    (lesson.signed_distance, lambda X, w, b: X @ w + b / max(np.linalg.norm(w), 1e-300), "needs parentheses"),
    (lesson.signed_distance, lambda X, w, b: abs(X @ w + b) / max(np.linalg.norm(w), 1e-300), "The sign is lost"),
    (lesson.signed_distance, lambda X, w, b: _distance_row_by_row(X, w * (np.linalg.norm(w) > 1e-8), b), "A tiny w is still a w"),
    (lesson.multiclass_epoch, _epoch_with_max, "np.argmax gives its place"),
])
def test_common_mistakes_are_recognized_in_other_styles(exercise, answer, saying):
    common.refused(exercise, answer, saying=saying)


def test_the_first_difference_of_training_is_in_the_errors():
    text = common.refused(lesson.train_perceptron, lesson._train_in_batches)
    assert "epochs=50: errors" in text


def test_answers_have_names_in_messages():
    common.refused(lesson.perceptron_step, lambda w, b, x, y, lr: (_step_by_cases(w, b, x, y, lr)[0], 2.0), saying="the new b: ")
    common.refused(lesson.multiclass_epoch, lesson._epoch_with(count_all=True), saying="the number of errors: 17")
    common.refused(lesson.xor_network, lambda: None, saying="a tuple (W1, b1, w2, b2)")


def test_the_example_of_the_text_is_the_first_case():
    W, b, n = _epoch_in_one_matrix(lesson.EXAMPLE_W, lesson.EXAMPLE_B, np.array([[1.0, 2.0]]), np.array([2]), lr=0.5)
    assert np.allclose(lesson.EXAMPLE_W @ (1, 2) + lesson.EXAMPLE_B, (0.2, 0.9, 0.5))
    assert np.allclose(W - lesson.EXAMPLE_W, [[0, 0], [-0.5, -1], [0.5, 1]])
    assert np.allclose(b - lesson.EXAMPLE_B, [0, -0.5, 0.5]) and n == 1
    assert "the example of the text" in common.refused(lesson.multiclass_epoch, lambda W, b, X, y, lr=1.0: (W, b, 1))


def test_no_line_gets_more_right_than_the_bound():
    assert lesson.most_right(np.array(lesson.CORNERS), lesson.XOR) == 0.75
    assert lesson.most_right(np.array(lesson.CORNERS), lesson.GATES["NAND"]) == 1
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(15, 2)), rng.integers(0, 2, 15)
    best = 0.0
    for w1, w2, b in rng.normal(size=(20_000, 3)):
        right = np.mean((X @ (w1, w2) + b >= 0) == (y == 1))
        best = max(best, right, 1 - right)
    assert best == pytest.approx(lesson.most_right(X, y)) and best < 1


def test_no_line_expresses_the_new_policy():
    X, y = lesson.POLICY[:, :2], lesson.POLICY[:, 2]
    assert lesson.most_right(X, y) == pytest.approx(11 / 12)
    assert [9, 1, 0] in lesson.POLICY.tolist()  # student 4


def test_the_averages_of_cars_and_others_nearly_agree():
    X, y = lesson.color_squares(600)
    looks = lesson.car_looks(X, y)
    assert np.bincount(looks).tolist() == [100, 100, 100, 150, 150]
    assert np.array_equal(looks < 3, y == 1)
    assert np.abs(X[y == 1].mean(axis=0).mean() - X[y == 0].mean(axis=0).mean()) < 0.01


def test_the_sliders_count_errors():
    assert lesson.draw_line(2, 1, -18)[1] == "2 of 24 wrong with w1 = 2, w2 = 1, b = −18"
    assert lesson.draw_line(0, 0, 0)[1].startswith("12 of 24 wrong")


def test_ties_go_to_the_first_class():
    def last_of_tied(W, b, X, y, lr=1.0):
        W, b, n = W.copy(), b.copy(), 0
        for x, label in zip(X, y, strict=True):
            scores = W @ x + b
            winner = len(b) - 1 - int(np.argmax(scores[::-1]))
            if winner != label:
                W[label] += lr * x
                W[winner] -= lr * x
                b[label] += lr
                b[winner] -= lr
                n += 1
        return W, b, n

    common.refused(lesson.multiclass_epoch, last_of_tied)
