"""The checks of lesson 03: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from helpers import notebooks
from helpers.lessons import backprop as lesson
from helpers.lessons import exercises
from helpers.lessons.backprop import logistic_error, one_hot, sigmoid
from tests.lessons import common

EXERCISES = exercises(lesson)
FUNCTIONS = [e for e in EXERCISES if e.kind == "function"]
ARITY = {"03.1": 1, "03.2": 4, "03.3": 6, "03.4": 3, "03.5": 3, "03.6": 4, "03.7": 3, "03.9": 3}


# ---------------------------------------------------------------------------------------------- right answers

def _prime_by_cosh(z):
    with np.errstate(over="ignore"):
        return 0.25 / np.cosh(np.asarray(z, float) / 2) ** 2


def _gradient_point_by_point(X, y, w, b):
    dw, db = np.zeros(len(w)), 0.0
    for x, label in zip(X, y, strict=True):
        error = float(sigmoid(x @ w + b)) - label
        dw += error * x / len(X)
        db += error / len(X)
    return dw, db


def _gradient_in_one_vector(X, y, w, b):
    Z = np.hstack([X, np.ones((len(X), 1))])
    g = (sigmoid(Z @ np.append(w, b)) - y) @ Z / X.shape[0]
    return g[:-1], g[-1]


def _descent_in_one_vector(X, y, w, b, lr, epochs):
    Z, t, L = np.column_stack([X, np.ones(len(X))]), np.r_[w, b], []
    for k in range(epochs + 1):
        L.append(logistic_error(Z @ t, y))
        if k < epochs:
            t = t - lr * Z.T @ (sigmoid(Z @ t) - y) / len(y)
    return t[:-1], t[-1], L


def _descent_with_copies(X, y, w, b, lr, epochs):
    w, losses = w.copy(), [logistic_error(X @ w + b, y)]
    while len(losses) <= epochs:
        error = (sigmoid(X @ w + b) - y) / len(y)
        w -= lr * (error @ X)
        b -= lr * error.sum()
        losses.append(logistic_error(X @ w + b, y))
    return w, b, losses


def _features_by_comparison(g, p, r):
    if not np.isin(r, [1, 2, 3, 4]).all():
        raise ValueError("rank")
    return np.hstack([np.stack([g / 800, p / 4], 1), (r[:, None] == [1, 2, 3, 4]).astype(float)])


def _features_into_zeros(gre, gpa, rank):
    table = np.zeros((len(gre), 6))
    table[:, 0] = gre / 800
    table[:, 1] = gpa / 4.0
    for row, k in enumerate(rank):
        if k not in (1, 2, 3, 4):
            raise ValueError("rank")
        table[row, 1 + int(k)] = 1
    return table


def _feedforward_with_ones(X, W1, W2):
    n = len(X)
    H = sigmoid(np.column_stack([X, np.ones(n)]) @ W1)
    return H, sigmoid(np.column_stack([H, np.ones(n)]) @ W2).ravel()


def _feedforward_unit_by_unit(X, W1, W2):
    H = np.empty((X.shape[0], W1.shape[1]))
    for k in range(W1.shape[1]):
        H[:, k] = sigmoid((X * W1[:-1, k]).sum(axis=1) + W1[-1, k])
    return [H, sigmoid((H * W2[:-1, 0]).sum(axis=1) + W2[-1, 0])]


def _backprop_point_by_point(X, y, W1, W2):
    H, q = _feedforward_with_ones(X, W1, W2)
    n, g1, g2 = len(y), np.zeros(W1.shape), np.zeros(W2.shape)
    for i in range(n):
        e = (q[i] - y[i]) / n
        g2[:, 0] += e * np.append(H[i], 1)
        g1 += np.outer(np.append(X[i], 1), e * W2[:-1, 0] * H[i] * (1 - H[i]))
    return g1, g2


def _backprop_by_einsum(X, y, W1, W2):
    H, q = _feedforward_unit_by_unit(X, W1, W2)
    e = (q - y) / X.shape[0]
    back = np.einsum("n,h,nh->nh", e, W2[:-1, 0], H - H**2)
    return np.vstack([X.T @ back, back.sum(0)]), np.append(e @ H, e.sum())[:, None]


def _numerical_with_rows_of_eye(f, x, eps=1e-5):
    return np.array([(f(x + eps * E.reshape(x.shape)) - f(x - eps * E.reshape(x.shape))) / (2 * eps)
                     for E in np.eye(x.size)]).reshape(x.shape)


def _numerical_in_place(f, x, eps=1e-5):
    g = np.zeros(x.shape)
    for i in np.ndindex(*x.shape):
        old = x[i]
        x[i] = old + eps
        above = f(x)
        x[i] = old - eps
        below = f(x)
        x[i] = old
        g[i] = (above - below) / eps / 2
    return g


class NodeByEinsum:
    def forward(self, X, W, b):
        self.saved = X.copy(), W.copy()
        return np.einsum("ni,io->no", X, W) + b

    def backward(self, dY):
        X, W = self.saved
        return np.einsum("no,io->ni", dY, W), np.einsum("ni,no->io", X, dY), np.ones(len(dY)) @ dY


class NodeWithInit:
    def __init__(self):
        self.inputs = None

    def forward(self, X, W, b):
        self.inputs = (X, W)
        return (W.T @ X.T).T + b

    def backward(self, dY):
        X, W = self.inputs
        return [(W @ dY.T).T, (dY.T @ X).T, np.sum(dY, axis=0)]


def _hinge_in_loops(scores, labels, margin=1.0):
    n, c = scores.shape
    loss, g = 0.0, np.zeros((n, c))
    for i in range(n):
        for j in range(c):
            gap = scores[i, j] - scores[i, labels[i]] + margin
            if j != labels[i] and gap > 0:
                loss += gap / n
                g[i, j] += 1 / n
                g[i, labels[i]] -= 1 / n
    return loss, g


def _hinge_with_one_hot(scores, labels, margin=1.0):
    n, c = scores.shape
    right = one_hot(labels, c)
    gaps = (scores - (scores * right).sum(1, keepdims=True) + margin) * (1 - right)
    too_close = (gaps > 0) * 1.0
    return float(np.clip(gaps, 0, None).sum(1).mean()), (too_close - right * too_close.sum(1, keepdims=True)) / n


RIGHT = {
    "03.1": [
        lambda z: sigmoid(z) * sigmoid(-z),
        lambda z: np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2,
        _prime_by_cosh,
    ],
    "03.2": [
        lambda X, y, w, b: (((sigmoid(X@w+b) - y)[:, None] * X).mean(axis=0), np.mean(sigmoid(X@w+b) - y)),
        _gradient_point_by_point,
        _gradient_in_one_vector,
    ],
    "03.3": [_descent_in_one_vector, _descent_with_copies],
    "03.4": [_features_by_comparison, _features_into_zeros],
    "03.5": [
        lambda X, W1, W2: (lambda H: (H, sigmoid(H @ W2[:-1, 0] + W2[-1, 0])))(sigmoid(X @ W1[:-1] + W1[-1])),
        _feedforward_with_ones,
        _feedforward_unit_by_unit,
    ],
    "03.6": [_backprop_point_by_point, _backprop_by_einsum],
    "03.7": [_numerical_with_rows_of_eye, _numerical_in_place],
    "03.8": [NodeByEinsum, NodeWithInit],
    "03.9": [_hinge_in_loops, _hinge_with_one_hot],
}

EQUIVALENT = {  # mutants of the solutions that are right answers
    "03.5": {"y_hat = sigmoid(np.hstack([hidden, ones]) @ W2)[:, 0] | 0 -> -1": "there is one column, the first and the last"},
    "03.6": {
        "back = delta @ W2[:-1].T * hidden * (1 - hidden)         # (n, h): by the hidden scores | "
        "delta @ W2[:-1].T -> delta * W2[:-1].T": "a column times a row is their outer product, with @ and with *",
    },
    "03.7": {"gradient = np.zeros(x.shape) | zeros -> ones": "every entry is written later"},
    "03.9": {"gaps[rows, labels] = 0 | 0 -> -1": "no gap below 0 costs anything"},
}
LEAKS_ALLOWED = {  # lines of solutions that the notebook may show
    "for _ in range(epochs):": "every training begins so; lesson 01 has shown it",
}


# ---------------------------------------------------------------------------------------------- all exercises

@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_right_answers_in_other_styles_pass(exercise):
    common.right_answers_pass(exercise, RIGHT[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_each_mistake_is_refused_with_its_own_message(exercise):
    common.mistakes_are_named(exercise)
    common.mistakes_differ(exercise)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.title)
def test_odd_objects_get_one_clear_message(exercise):
    common.hostile_objects_get_a_message(exercise, ARITY[exercise.id])


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.title)
def test_an_endless_loop_is_stopped(exercise, monkeypatch):
    common.endless_loop_is_stopped(exercise, monkeypatch)


def test_the_lesson_is_complete():
    assert [e.id for e in EXERCISES] == [f"03.{n}" for n in range(1, 10)]
    assert [len(e.mistakes) for e in EXERCISES] == [9, 17, 23, 19, 19, 22, 14, 17, 21]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_starts_without_torch():
    program = "import sys; import helpers.lessons.backprop as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------------------------------------- what lesson 02 left

def test_the_functions_of_lesson_02():
    with np.errstate(all="raise", under="ignore"):
        assert np.allclose(sigmoid([-1000, -2, 0, 1, 1000]), [0, 0.1192029220, 0.5, 0.7310585786, 1], atol=1e-10)
        assert logistic_error([1000, -1000], [1, 0]) == 0 and logistic_error([1000.0], [0]) == 1000
    assert abs(logistic_error(np.zeros(3), np.array([0, 1, 1])) - np.log(2)) < 1e-15
    assert one_hot(np.array([2.0, 0.0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    for label in (-1, 3, 0.5, np.nan):
        with pytest.raises(ValueError, match="0 to 2"):
            one_hot(np.array([1, label]), 3)


# ---------------------------------------------------------------------------------------------- the node, which is a class

class _Shared:
    """All nodes keep their inputs in one place."""

    def forward(self, X, W, b):
        type(self).inputs = X, W
        return X @ W + b

    def backward(self, dY):
        X, W = self.inputs
        return dY @ W.T, X.T @ dY, dY.sum(axis=0)


class _Once(NodeByEinsum):
    """It adds up its gradients, so that the second call gives twice as much."""

    def backward(self, dY):
        result = super().backward(dY)
        self.saved = self.saved[0] * 2, self.saved[1]
        return result


def _stub(forward="raise NotImplementedError"):
    """LinearNode as it stands in the exercise notebook, perhaps with its first half written."""
    source = f"class LinearNode:\n def forward(self, X, W, b): {forward}\n def backward(self, dY): raise NotImplementedError\n"
    namespace = {}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace["LinearNode"]


class _WantsArguments(NodeByEinsum):
    def __init__(self, X, W, b):
        self.saved = X, W


class _BackwardWantsMore(NodeByEinsum):
    def backward(self, dY, X, W):
        return dY @ W.T, X.T @ dY, dY.sum(axis=0)


class _Silent(NodeByEinsum):
    def forward(self, X, W, b):
        super().forward(X, W, b)


class _NoBackward:
    def forward(self, X, W, b):
        return X @ W + b


class _ChangesUpstream(NodeByEinsum):
    def backward(self, dY):
        result = super().backward(dY)
        dY *= 0
        return result


@pytest.mark.parametrize(("node", "saying", "outcome"), [
    (_Shared, "first node", "wrong"),
    (_Once, "the same backward once more", "wrong"),
    (_stub(), "LinearNode.forward is still a stub", "not attempted"),
    (_stub("self.X, self.W = X, W; return X @ W + b"), "LinearNode.backward is still a stub", "not attempted"),
    (_WantsArguments, "cannot be called", "wrong"),
    (_BackwardWantsMore, "cannot be called", "wrong"),
    (_Silent, "return", "wrong"),
    (_ChangesUpstream, "was changed in place", "wrong"),
    (lambda: None, "a class named LinearNode", "wrong"),
    (None, "a class named LinearNode", "wrong"),
    (NodeByEinsum(), "a class named LinearNode", "wrong"),
    (..., "Write LinearNode", "not attempted"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_odd_nodes_get_one_clear_message(node, saying, outcome):
    result = lesson.LinearNode.examine(node)
    assert (result.outcome, saying in common.unwrapped(result.text)) == (outcome, True), result.text


class _NoSelfInBackward(NodeByEinsum):
    def backward(dY):
        return dY


X = np.zeros((100, 2))  # as in the notebook, where backward finds this one if it forgets self


class _GlobalX(NodeByEinsum):
    def backward(self, dY):
        return dY @ self.saved[1].T, X.T @ dY, dY.sum(axis=0)


def test_slips_of_a_node_are_named():
    text = common.refused(lesson.LinearNode, _NoSelfInBackward, saying="self is missing")
    assert "backward(dY)" in text and "yours is backward()" in common.unwrapped(text), text
    common.refused(lesson.LinearNode, _GlobalX, saying="keep them on self")


def test_a_node_without_backward_is_explained():
    common.refused(lesson.LinearNode, _NoBackward, saying="has no attribute 'backward'")


# ---------------------------------------------------------------------------------------------- single exercises

def test_a_stable_derivative_is_asked_for():
    common.refused(lesson.sigmoid_prime, lambda z: 1 / (2 + np.exp(z) + np.exp(-z)), saying="no warning")


def test_a_change_of_the_inputs_is_refused():
    def moves_the_start(X, y, w, b, lr, epochs):
        w, b, losses = _descent_with_copies(X, y, start := w, b, lr, epochs)
        start += 1
        return w, b, losses

    common.refused(lesson.gradient_descent, moves_the_start, saying="w was changed in place")
    for exercise in (lesson.logistic_gradient, lesson.feedforward, lesson.backprop, lesson.hinge_loss):
        def changing(*args, right=RIGHT[exercise.id][0], **kwargs):
            result = right(*args, **kwargs)
            args[0][0] += 1
            return result
        common.refused(exercise, changing, saying="was changed in place")


def test_the_losses_are_a_list_of_all():
    right = RIGHT["03.3"][0]

    def as_array(X, y, w, b, lr, epochs):
        w, b, losses = right(X, y, w, b, lr, epochs)
        return w, b, np.array(losses)

    common.refused(lesson.gradient_descent, as_array, saying="a list of")
    common.refused(lesson.gradient_descent, lambda X, y, w, b, lr, epochs: right(X, y, w, b, lr, epochs + 1))


def test_features_refuse_only_with_value_error():
    def asserting(gre, gpa, rank):
        assert np.isin(rank, [1, 2, 3, 4]).all()
        return _features_by_comparison(gre, gpa, rank)

    common.refused(lesson.admissions_features, asserting, saying="AssertionError")
    common.refused(lesson.admissions_features,
                   lambda g, p, r: _features_by_comparison(g, p, np.minimum(r, 4)), saying="raises ValueError")


def test_ranks_between_the_ranks_are_refused():
    def rounding(gre, gpa, rank):
        if not np.isin(np.round(rank), [1, 2, 3, 4]).all():
            raise ValueError("rank")
        return _features_by_comparison(gre, gpa, np.round(rank))

    common.refused(lesson.admissions_features, rounding, saying="2.5 and 2.9 get through")


def test_the_numerical_gradient_uses_the_eps_it_is_given():
    common.refused(lesson.numerical_gradient, lambda f, x, eps=1e-5: _numerical_with_rows_of_eye(f, x), saying="eps is ignored")


def test_a_margin_met_exactly_costs_and_pushes_nothing():
    def inclusive(scores, labels, margin=1.0):
        loss, _ = _hinge_in_loops(scores, labels, margin)
        return loss, _hinge_in_loops(scores, labels, margin + 1e-9)[1]

    common.refused(lesson.hinge_loss, inclusive, saying="exactly 1 below")


def test_the_known_mistakes_of_backprop_are_close_calls():
    """On other inputs too, each of them differs from the right gradient."""
    rng = np.random.default_rng(0)
    X, y, W1, W2 = rng.normal(size=(6, 2)), np.array([0, 1, 1, 0, 1, 0]), rng.normal(size=(3, 4)), rng.normal(size=(5, 1))
    right = np.concatenate([g.ravel() for g in _backprop_by_einsum(X, y, W1, W2)])
    for mistake in lesson.backprop.mistakes:
        wrong = np.concatenate([g.ravel() for g in mistake.example(X, y, W1, W2)])
        flat = any(g.ndim == 1 for g in mistake.example(X, y, W1, W2))
        assert flat or wrong.shape != right.shape or np.abs(wrong - right).max() > 1e-3, mistake.diagnosis


@pytest.mark.parametrize(("way_back", "saying"), [
    (lambda X1, H, H1, e, W2: (X1.T @ ((e[:, None] @ W2.T) * H * (1 - H)), H1.T @ e[:, None]), "bias row is kept"),
    (lambda X1, H, H1, e, W2: (X1.T @ ((e @ W2[:-1].T) * H * (1 - H)), H1.T @ e), "must be a column"),
    (lambda X1, H, H1, e, W2: (X1.T @ ((e * W2[:-1].T) * H * (1 - H)), H1.T @ e), "must be a column"),
    (lambda X1, H, H1, e, W2: (X1.T @ (((e[:, None] - 0 * e) @ W2[:-1].T) * H * (1 - H)), H1.T @ e), "must be a column"),
    (lambda X1, H, H1, e, W2: (X1[:, :-1].T @ ((e[:, None] @ W2[:-1].T) * H * (1 - H)), H1.T @ e[:, None]), "left out"),
    (lambda X1, H, H1, e, W2: (H1.T @ e[:, None], X1.T @ (e[:, None] @ W2[:-1].T)), "swapped"),
])
def test_common_slips_in_backprop_are_named(way_back, saying):
    def backprop(X, y, W1, W2):
        H, y_hat = _feedforward_with_ones(X, W1, W2)
        ones = np.ones((len(X), 1))
        return way_back(np.hstack([X, ones]), H, np.hstack([H, ones]), (y_hat - y) / len(y), W2)

    common.refused(lesson.backprop, backprop, saying=saying)


def _loss_with(loss):
    """The right gradient beside another loss."""
    def hinge_loss(scores, labels, margin=1.0):
        rows = np.arange(len(scores))
        gaps = np.maximum(0, scores - scores[rows, labels][:, None] + margin)
        own = gaps.copy()
        own[rows, labels] = 0
        return loss(gaps, own), 0 * scores
    return hinge_loss


@pytest.mark.parametrize(("answer", "saying"), [
    (_loss_with(lambda gaps, own: gaps.sum() / len(gaps)), "right class is counted too"),
    (_loss_with(lambda gaps, own: own.max(axis=1).mean()), "Only the worst class"),
    (_loss_with(lambda gaps, own: own.sum()), "asked is the mean"),
])
def test_the_loss_alone_tells_a_slip_of_the_hinge(answer, saying):
    common.refused(lesson.hinge_loss, answer, saying=saying)


def test_a_number_for_an_array_is_explained():
    common.refused(lesson.numerical_gradient, lambda f, x, eps=1e-5: (f(x + eps) - f(x)) / eps, saying="One number for all entries")
    common.refused(lesson.logistic_gradient, lambda X, y, w, b: (float(np.mean(X)), 0.0), saying="dE/dw is one number")


def test_backprop_and_the_graph_agree_with_autograd():
    """The course's own functions, on a network of another size: by hand, node by node, and by automatic differentiation."""
    path = notebooks.solution_path("03")
    backprop = notebooks.solved_namespace(path, "backprop")["backprop"]
    Node = notebooks.solved_namespace(path, "LinearNode")["LinearNode"]
    rng = np.random.default_rng(3)
    X, y, W1, W2 = rng.normal(size=(9, 4)), rng.integers(0, 2, 9), rng.normal(size=(5, 6)), rng.normal(size=(7, 1))
    reference = lesson._reference_backprop(X, y, W1, W2)
    for own, asked in zip(backprop(X, y, W1, W2), reference, strict=True):
        assert np.abs(own - asked).max() < 1e-8
    first, second = Node(), Node()
    hidden = sigmoid(first.forward(X, W1[:-1], W1[-1]))
    upstream = (sigmoid(second.forward(hidden, W2[:-1], W2[-1])) - y[:, None]) / len(y)
    back, dW2, db2 = second.backward(upstream)
    _, dW1, db1 = first.backward(back * hidden * (1 - hidden))
    for own, asked in zip((np.vstack([dW1, db1]), np.vstack([dW2, db2])), reference, strict=True):
        assert np.abs(own - asked).max() < 1e-8


def _wiggled(slope):
    """One entry after the other, with the central difference changed by ``slope``."""
    return lambda f, x, eps=1e-5: slope(_numerical_with_rows_of_eye(f, x, eps))


def test_a_falling_function_has_a_negative_slope():
    common.refused(lesson.numerical_gradient, _wiggled(np.abs), saying="without abs")
    common.refused(lesson.numerical_gradient, _wiggled(lambda g: np.maximum(g, 0)))


@pytest.mark.parametrize(("answer", "saying"), [
    (lambda g: g[0], "Only dE/dw comes back"),
    (lambda g: g[::-1], "The other way round"),
    (lambda g: (g[0].mean(), g[1]), "dE/dw is one number"),
])
def test_what_comes_back_of_the_gradient_is_named(answer, saying):
    def logistic_gradient(X, y, w, b):
        return answer(_gradient_point_by_point(X, y, w, b))

    common.refused(lesson.logistic_gradient, logistic_gradient, saying=saying)


def test_a_slip_in_the_table_is_named_whether_or_not_no_rank_is_refused():
    def by_the_maximum(gre, gpa, rank):
        return _features_by_comparison(800 * gre / gre.max(), 4 * gpa / gpa.max(), rank)

    def unscaled(gre, gpa, rank):
        return _features_by_comparison(800 * gre, 4 * gpa, rank)

    common.refused(lesson.admissions_features, by_the_maximum, saying="maximum of this batch")
    common.refused(lesson.admissions_features, unscaled, saying="are not scaled")
    transposed = common.refused(lesson.admissions_features, lambda g, p, r: _features_by_comparison(g, p, r).T, saying="transpose")
    assert "maximum" not in transposed


@pytest.mark.parametrize(("losses", "saying"), [
    (lambda L: L[:1] + L[:-1], "The first loss comes twice"),
    (np.array, "The losses are an array"),
])
def test_slips_of_the_losses_are_named(losses, saying):
    def gradient_descent(*args, **kwargs):
        w, b, L = _descent_with_copies(*args, **kwargs)
        return w, b, losses(L)

    common.refused(lesson.gradient_descent, gradient_descent, saying=saying)


def test_a_list_that_holds_no_losses_is_not_taken_for_shifted_losses():
    def gradient_descent(*args, **kwargs):
        w, b, L = _descent_with_copies(*args, **kwargs)
        return w, b, [0.5] * len(L)

    assert "comes twice" not in common.refused(lesson.gradient_descent, gradient_descent)


# ---------------------------------------------------------------------------------------------- interactive figures

@pytest.fixture
def sliders(monkeypatch):
    """What a figure hands to the sliders: the drawing function and the ranges."""
    kept = {}
    monkeypatch.setattr(lesson.widgets, "sliders", lambda draw, **ranges: kept.update(draw=draw, ranges=ranges))
    return kept


def test_the_slider_for_the_step_size_says_whether_the_loss_falls(sliders):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    lesson.descent_slider(rng.normal(0.65, 0.15, (40, 2)) - 0.3 * y[:, None], y)
    assert sliders["draw"](alpha=1.0)[1].startswith("With α = 1 the loss goes from 0.693 to ")
    assert sliders["draw"](alpha=1.0)[1].endswith("always down")
    assert sliders["draw"](alpha=sliders["ranges"]["alpha"][1])[1].endswith("of them go up")


def test_the_slider_for_the_units_trains_each_number_once(sliders):
    X, y = lesson.triangle_points()
    assert X.shape == (150, 2) and 0.1 < y.mean() < 0.4
    trained = []

    def train(units):
        trained.append(units)
        return np.zeros((3, units)), np.full((units + 1, 1), -1.0)

    lesson.units_slider(X, y, train)
    assert sliders["draw"](units=3.0)[1] == f"3 hidden units: {1 - y.mean():.0%} of the points are right"
    assert sliders["draw"](units=1.0)[1].startswith("1 hidden unit: ")
    sliders["draw"](units=3.0)
    assert trained == [3, 1]


def test_the_graph_shows_what_it_is_given(sliders):
    def run(X):
        one = np.array([[1.0, -2.0]])
        values = {"x": X, "h": one, "a": one, "s": np.array([[0.5]]), "E": 0.25, "W1": np.eye(2), "b1": one[0], "W2": one.T, "b2": one[0, :1]}
        return values, {**values, "E": 1.0}

    lesson.graph_sliders(run)
    assert "x = (3.000, −1.500)" in sliders["draw"](x1=3.0, x2=-1.5)[1]
    assert "dE = 1.000, ds = 0.500" in sliders["draw"](x1=3.0, x2=-1.5)[1]
