"""Lesson 03, gradients by hand: its exercises, its quiz and its figures.

NumPy only: PyTorch is loaded when a check first needs it for comparison.
"""

from __future__ import annotations

import math

import numpy as np

from helpers import plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised

# ---------------------------------------------------------------------------------------------- from lesson 02


def sigmoid(z):
    """1 / (1 + exp(-z)), for an array of any shape or a number; exact and silent for scores of ±1000 too."""
    return np.exp(-np.logaddexp(0, -np.asarray(z, dtype=float)))


def logistic_error(z, y) -> float:
    """Mean binary cross-entropy of scores z (n,) with labels y (n,) of 0 and 1, in nats; never infinite."""
    z, y = np.asarray(z, dtype=float), np.asarray(y)
    return float(np.mean(np.logaddexp(0, z) - y * z))


def one_hot(labels, n_classes: int) -> np.ndarray:
    """A row of zeros with a single 1 for each label: (n,) whole numbers from 0 to n_classes - 1 -> (n, n_classes) float64.

    Raises ValueError for any other label.
    """
    switches = np.asarray(labels)[:, None] == np.arange(n_classes)
    if not switches.any(axis=1).all():
        raise ValueError(f"labels must be whole numbers from 0 to {n_classes - 1}")
    return switches.astype(float)


# ---------------------------------------------------------------------------------------------- for checks and mistakes

def _ones(A):
    """A with a column of ones appended at the right."""
    return np.column_stack([A, np.ones(len(A))])


def _is_number(value) -> bool:
    return isinstance(value, float | int | np.number) or isinstance(value, np.ndarray) and value.ndim == 0


def _first(facts):
    """What the first call returned."""
    return next(iter(facts.values()))


def _forms(value) -> list:
    """The shapes of the parts of a tuple or list; nothing for anything else."""
    return [np.shape(part) for part in value] if isinstance(value, tuple | list) else []


def _same(value, asked) -> bool:
    """The same shape and the same numbers."""
    return np.shape(value) == np.shape(asked) and np.allclose(value, asked, rtol=1e-7, atol=1e-12)


def _leaf(array):
    """An array as a float64 tensor that collects a gradient."""
    import torch

    return torch.tensor(np.asarray(array), dtype=torch.float64, requires_grad=True)


def _gradients(loss, *leaves):
    """d loss / d leaf for each leaf, by automatic differentiation, as arrays."""
    import torch

    return tuple(g.numpy() for g in torch.autograd.grad(loss, leaves))


def _mean_cross_entropy(scores, y):
    import torch

    targets = torch.tensor(np.asarray(y), dtype=torch.float64)
    return torch.nn.functional.binary_cross_entropy_with_logits(scores, targets)


# ---------------------------------------------------------------------------------------------- 03.1 sigmoid_prime

def _observe_prime(sigmoid_prime, see):
    see.call(sigmoid_prime, np.array([[-2.0, -0.35, 0.6], [1.0, 2.5, -4.75]]), quiet=True)
    see.call(sigmoid_prime, np.array([0.0, 0.125, -0.75, 3.5]), quiet=True)
    see.call(sigmoid_prime, np.array(0.8), quiet=True, label="sigmoid_prime of an array without dimensions, 0.8")
    see.call(sigmoid_prime, np.linspace(-3, 2, 12).reshape(2, 3, 2), quiet=True)
    see.call(sigmoid_prime, np.array([1000.0, -1000.0, 0.3, 710.0, -710.0]), quiet=True,
             label="sigmoid_prime of 1000, -1000, 0.3, 710, -710")


def _reference_prime(z):
    import torch

    scores = _leaf(z)
    return _gradients(torch.sigmoid(scores).sum(), scores)[0]


def _prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


sigmoid_prime = Exercise(
    "03.1", "sigmoid_prime",
    observe=_observe_prime,
    expected=_reference_prime,
    mistakes=[
        Mistake("That formula wants the activation: apply sigmoid first.",
                lambda z: z * (1 - z)),
        Mistake("This is the sigmoid, not its derivative.",
                lambda z: sigmoid(z)),
        Mistake("Sigmoid applied twice.",
                lambda z: sigmoid(sigmoid(z)) * (1 - sigmoid(sigmoid(z)))),
        Mistake("Right formula, but overflows at -1000.",
                lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
        Mistake("The second factor is 1 - z: it needs the sigmoid as well.", lambda z: sigmoid(z) * (1 - z)),
        Mistake("Plus in place of minus: the second factor is 1 minus the sigmoid.", lambda z: sigmoid(z) * (1 + sigmoid(z))),
        Mistake("That is the slope of tanh, 1 - tanh². The slope of the sigmoid is its value times 1 minus its value.",
                lambda z: 1 - np.tanh(z) ** 2),
        Mistake("The sigmoid squared: one of the two factors is 1 minus the sigmoid.", lambda z: sigmoid(z) ** 2),
        Mistake("One number for all scores: each score keeps a slope of its own, so take no mean and no sum.",
                lambda z: np.mean(_prime(z)), when=lambda facts: _is_number(_first(facts))),
    ],
    hints=[
        "Quotient rule, then recognize σ.",
        "σ(z)(1 - σ(z)).",
        "`s = sigmoid(...); return s * (...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.2 logistic_gradient

def _labeled_points(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n points with d features and labels in no order; both labels occur, and not equally often."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, d)), rng.integers(0, 2, n)
    y[0] = 1
    if n > 1:
        y[1] = 0
    return X, y


def _observe_gradient(logistic_gradient, see):
    for n, d, b, seed in ((7, 3, 0.7, 1), (5, 2, 0.7, 2), (1, 4, 0.7, 3), (6, 1, -1.3, 4)):
        X, y = _labeled_points(n, d, seed)
        see.call(logistic_gradient, X, y, np.linspace(-0.8, 1.5, d), b, parts=("dE/dw", "dE/db"))


def _reference_gradient(X, y, w, b):
    import torch

    weights, bias = _leaf(w), _leaf(b)
    loss = _mean_cross_entropy(torch.tensor(X) @ weights + bias, y)
    dw, db = _gradients(loss, weights, bias)
    return dw, float(db)


def _gradient_from(combine):
    """A wrong answer made of the points and their right errors."""
    return lambda X, y, w, b: combine(X, sigmoid(X @ w + b) - y, w, b)


logistic_gradient = Exercise(
    "03.2", "logistic_gradient",
    observe=_observe_gradient,
    expected=_reference_gradient,
    mistakes=[
        Mistake("Sign: this is minus the gradient.",
                lambda X, y, w, b: (X.T @ (y - sigmoid(X@w+b)) / len(y), (y - sigmoid(X@w+b)).mean())),
        Mistake("Sum over the points; asked is the mean.",
                lambda X, y, w, b: (X.T @ (sigmoid(X@w+b) - y), (sigmoid(X@w+b) - y).sum())),
        Mistake("Extra sigma': that belongs to squared error.",
                lambda X, y, w, b: (X.T @ ((sigmoid(X@w+b) - y) * _prime(X@w+b)) / len(y),
                                    ((sigmoid(X@w+b) - y) * _prime(X@w+b)).mean())),
        Mistake("Hard predictions: this is the perceptron direction.",
                lambda X, y, w, b: (X.T @ ((X@w+b >= 0) - y) / len(y), ((X@w+b >= 0) - y).mean())),
        Mistake("b is forgotten: the score is X @ w + b.",
                lambda X, y, w, b: (X.T @ (sigmoid(X@w) - y) / len(y), (sigmoid(X@w) - y).mean())),
        Mistake("No sigmoid: the error is y_hat - y, and X @ w + b is the score, not y_hat.",
                lambda X, y, w, b: (X.T @ (X@w+b - y) / len(y), (X@w+b - y).mean())),
        Mistake("sigma' is dropped: you divide by y_hat (1 - y_hat), as in dE/dy_hat, but between y_hat and w lies the sigmoid, whose "
                "slope cancels just that.",
                lambda X, y, w, b: (X.T @ ((sigmoid(X@w+b) - y) / _prime(X@w+b)) / len(y),
                                    ((sigmoid(X@w+b) - y) / _prime(X@w+b)).mean())),
        Mistake("dE/dw is one number: average over the points alone (axis=0), so that each weight keeps its own.",
                lambda X, y, w, b: (((sigmoid(X@w+b) - y)[:, None] * X).mean(), (sigmoid(X@w+b) - y).mean()),
                when=lambda facts: _forms(_first(facts)) == [(), ()]),
        Mistake("dE/db is the sum over the points: average it, as dE/dw.",
                _gradient_from(lambda X, e, w, b: (X.T @ e / len(e), e.sum()))),
        Mistake("dE/dw is the sum over the points: average it, as dE/db.",
                _gradient_from(lambda X, e, w, b: (X.T @ e, e.mean()))),
        Mistake("dE/db holds one error for each point: average them, then it is one number.",
                _gradient_from(lambda X, e, w, b: (X.T @ e / len(e), e)), when=lambda facts: _forms(_first(facts))[1:] == [(7,)]),
        Mistake("dE/dw has one number for each point: you averaged over the features. Average over the points, axis=0.",
                _gradient_from(lambda X, e, w, b: ((e[:, None] * X).mean(axis=1), e.mean())),
                when=lambda facts: _forms(_first(facts))[:1] == [(7,)]),
        Mistake("The mean error times the mean point: multiply for each point first, then average the products.",
                _gradient_from(lambda X, e, w, b: (e.mean() * X.mean(axis=0), e.mean()))),
        Mistake("dE/db is not the mean of dE/dw: it is the mean of the errors.",
                _gradient_from(lambda X, e, w, b: (X.T @ e / len(e), (X.T @ e / len(e)).mean()))),
        Mistake("These are w and b after a step: return the gradient itself, the caller takes the step.",
                _gradient_from(lambda X, e, w, b: (w - X.T @ e / len(e), b - e.mean()))),
        Mistake("Only dE/dw comes back: return the pair, dE/dw and dE/db.",
                _gradient_from(lambda X, e, w, b: X.T @ e / len(e)),
                when=lambda facts: isinstance(_first(facts), np.ndarray) and _first(facts).shape == (3,)),
        Mistake("The other way round: dE/dw first, then dE/db.",
                _gradient_from(lambda X, e, w, b: (e.mean(), X.T @ e / len(e))),
                when=lambda facts: _forms(_first(facts)) == [(), (3,)]),
    ],
    hints=[
        "Error times input, averaged.",
        "`X.T @ e` has shape (d,).",
        "`e = sigmoid(...) - y; return X.T @ e / ..., ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.3 gradient_descent

def _observe_descent(gradient_descent, see):
    for n, d, lr, epochs, seed in ((7, 3, 0.5, 4, 5), (5, 2, 1.3, 3, 6), (6, 1, 0.1, 0, 7), (9, 4, 2.0, 1, 8)):
        X, y = _labeled_points(n, d, seed)
        see.call(gradient_descent, X, y, np.linspace(0.9, -0.6, d), 0.4, lr=lr, epochs=epochs,
                 label=f"{n} points, {d} features, lr={lr}, epochs={epochs}", parts=("w", "b", "the losses"))


def _reference_descent(X, y, w, b, lr, epochs):
    """The same trace with gradients from automatic differentiation."""
    import torch

    theta, Z = np.append(w, b), torch.tensor(_ones(X))
    losses = []
    for epoch in range(epochs + 1):
        leaf = _leaf(theta)
        loss = _mean_cross_entropy(Z @ leaf, y)
        losses.append(float(loss))
        if epoch < epochs:
            theta = theta - lr * _gradients(loss, leaf)[0]
    return theta[:-1], float(theta[-1]), losses


def _logistic_gradient(X, y, w, b):
    error = sigmoid(X @ w + b) - y
    return np.einsum("n,nd->d", error, X) / len(y), error.mean()


def _descend_upward(X, y, w, b, lr, epochs):
    L = [logistic_error(X @ w + b, y)]
    for _ in range(epochs):
        g, h = _logistic_gradient(X, y, w, b)
        w = w + lr * g
        b = b + lr * h
        L.append(logistic_error(X @ w + b, y))
    return w, b, L


def _descend_one_after_the_other(X, y, w, b, lr, epochs):
    L = [logistic_error(X @ w + b, y)]
    for _ in range(epochs):
        w = w - lr * _logistic_gradient(X, y, w, b)[0]
        b = b - lr * _logistic_gradient(X, y, w, b)[1]
        L.append(logistic_error(X @ w + b, y))
    return w, b, L


def _descend_without_the_last_loss(X, y, w, b, lr, epochs):
    L = []
    for _ in range(epochs):
        L.append(logistic_error(X @ w + b, y))
        g, h = _logistic_gradient(X, y, w, b)
        w = w - lr * g
        b = b - lr * h
    return w, b, L


def _descend_without_the_first_loss(X, y, w, b, lr, epochs):
    return (*(result := _descend(X, y, w, b, lr, epochs))[:2], result[2][1:])


def _descend_with_losses_of_probabilities(X, y, w, b, lr, epochs):
    states = [_descend(X, y, w, b, lr, epoch)[:2] for epoch in range(epochs + 1)]
    return (*states[-1], [logistic_error(sigmoid(X @ w + b), y) for w, b in states])


def _descend_with_one_gradient(X, y, w, b, lr, epochs):
    g, h = _logistic_gradient(X, y, w, b)
    steps = range(epochs + 1)
    L = [logistic_error(X @ (w - k * lr * g) + b - k * lr * h, y) for k in steps]
    return w - epochs * lr * g, b - epochs * lr * h, L


def _descend(X, y, w, b, lr, epochs):
    Z, t = _ones(X), np.append(w, b)
    L = [logistic_error(Z @ t, y)]
    while len(L) <= epochs:
        t = t - lr * (sigmoid(Z @ t) - y) @ Z / len(y)
        L.append(logistic_error(Z @ t, y))
    return t[:-1], float(t[-1]), L


def _descend_by(step):
    """A wrong answer with a step of its own: ``step(w, b, dw, db, lr, n)`` gives the new w and b."""
    def descend(X, y, w, b, lr, epochs):
        L = [logistic_error(X @ w + b, y)]
        for _ in range(epochs):
            w, b = step(w, b, *_logistic_gradient(X, y, w, b), lr, len(y))
            L.append(logistic_error(X @ w + b, y))
        return w, b, L
    return descend


def _descend_point_by_point(X, y, w, b, lr, epochs):
    L = [logistic_error(X @ w + b, y)]
    for _ in range(epochs):
        for i in range(len(y)):
            g, h = _logistic_gradient(X[i:i + 1], y[i:i + 1], w, b)
            w, b = w - lr * g, b - lr * h
        L.append(logistic_error(X @ w + b, y))
    return w, b, L


def _descend_with(change):
    """The right trace, changed by ``change(w, b, losses, n)``."""
    return lambda X, y, w, b, lr, epochs: change(*_descend(X, y, w, b, lr, epochs), len(y))


def _moved(facts, epochs: int) -> bool:
    """w stands where it would after this many updates of the first setting, which asks for 4."""
    return _same(_first(facts)[0], _descend(*_labeled_points(7, 3, 5), np.linspace(0.9, -0.6, 3), 0.4, 0.5, epochs)[0])


gradient_descent = Exercise(
    "03.3", "gradient_descent",
    observe=_observe_descent,
    expected=_reference_descent,
    mistakes=[
        Mistake("The loss rises: subtract the gradient.", _descend_upward),
        Mistake("b uses the gradient at the already moved w: compute both first.", _descend_one_after_the_other),
        Mistake("The final loss is missing: epochs + 1 values are asked.", _descend_without_the_last_loss),
        Mistake("The first loss is missing, that before the first update: epochs + 1 values are asked.",
                _descend_without_the_first_loss),
        Mistake("logistic_error takes scores, X @ w + b; it squashes them itself. You gave it probabilities.",
                _descend_with_losses_of_probabilities),
        Mistake("The gradient is computed only once: each step needs the gradient where w and b are now, so inside the loop.",
                _descend_with_one_gradient),
        Mistake("b never moves: it takes a step too, lr times dE/db.", _descend_by(lambda w, b, g, h, lr, n: (w - lr * g, b))),
        Mistake("w never moves: it takes a step too, lr times dE/dw.", _descend_by(lambda w, b, g, h, lr, n: (w, b - lr * h))),
        Mistake("b goes the wrong way: subtract its gradient, as for w.", _descend_by(lambda w, b, g, h, lr, n: (w - lr * g, b + lr * h))),
        Mistake("lr is ignored: a step is lr times the gradient.", _descend_by(lambda w, b, g, h, lr, n: (w - g, b - h))),
        Mistake("The gradient is a mean already: do not divide by the number of points again.",
                _descend_by(lambda w, b, g, h, lr, n: (w - lr * g / n, b - lr * h / n))),
        Mistake("Each step goes along the sum over the points: take the mean, as logistic_gradient gives it.",
                _descend_by(lambda w, b, g, h, lr, n: (w - lr * g * n, b - lr * h * n))),
        Mistake("One update for each point: full batch is one gradient over all points, then one step.", _descend_point_by_point),
        Mistake("One update too many: `epochs` updates, and one more loss than updates.",
                lambda X, y, w, b, lr, epochs: _descend(X, y, w, b, lr, epochs + 1), when=lambda facts: _moved(facts, 5)),
        Mistake("One update is missing: `epochs` updates are asked.",
                lambda X, y, w, b, lr, epochs: _descend(X, y, w, b, lr, max(0, epochs - 1)), when=lambda facts: _moved(facts, 3)),
        Mistake("Only one update: does `return` stand inside the loop?",
                lambda X, y, w, b, lr, epochs: _descend(X, y, w, b, lr, min(1, epochs)), when=lambda facts: _moved(facts, 1)),
        Mistake("The first loss comes twice and the last is missing: in the loop, take the loss after the update.",
                _descend_with(lambda w, b, L, n: (w, b, L[:1] + L[:-1])), when=lambda facts: _moved(facts, 4)
                and len(_first(facts)[2]) == 5 and _first(facts)[2][0] == _first(facts)[2][1] != _first(facts)[2][2]),
        Mistake("You start from zeros: start from the w and b that the caller gives.",
                lambda X, y, w, b, lr, epochs: _descend(X, y, np.zeros(len(w)), 0.0, lr, epochs)),
        Mistake("The losses are sums over the points: the mean is asked, as logistic_error gives it.",
                _descend_with(lambda w, b, L, n: (w, b, [n * loss for loss in L]))),
        Mistake("The losses are an array: collect them in a list, or convert with .tolist().",
                _descend_with(lambda w, b, L, n: (w, b, np.array(L))),
                when=lambda facts: isinstance(_first(facts)[2], np.ndarray) and _first(facts)[2].shape == (5,)),
        Mistake("Only one loss comes back: return the list of all.", _descend_with(lambda w, b, L, n: (w, b, L[-1])),
                when=lambda facts: _forms(_first(facts)) == [(3,), (), ()]),
        Mistake("Three values are asked: w, b, and the list of losses.", _descend_with(lambda w, b, L, n: (w, b)),
                when=lambda facts: _forms(_first(facts)) == [(3,), ()]),
        Mistake("Another order: w first, then b, then the losses.", _descend_with(lambda w, b, L, n: (L, w, b)),
                when=lambda facts: _forms(_first(facts)) == [(5,), (3,), ()]),
    ],
    hints=[
        "Gradient, step, record.",
        "Reuse 03.2 and `logistic_error`.",
        "`losses = [start]; for ...: dw, db = ...; w = w - ...; losses.append(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.4 admissions_features

_FIVE, _TWO = "five applicants of ranks 3, 1, 4, 2, 4", "two applicants of ranks 2.0 and 3.0"
_FIVE_GRE, _FIVE_GPA = np.array([380.0, 660, 800, 640, 520]), np.array([3.61, 3.67, 4.0, 3.19, 2.93])
_FIVE_RANKS = np.array([3, 1, 4, 2, 4])
_NO_RANKS = ([2, 0, 1], [4, 5, 1], [3.0, 1.0, -1.0], [2.0, 2.9, 1.0], [4.0, 1.0, 2.5], [3.0, math.nan, 1.0])


def _ranks_text(ranks) -> str:
    return f"ranks {', '.join(map(str, ranks))}: one is not 1, 2, 3 or 4"


def _observe_features(admissions_features, see):
    gre, gpa = _FIVE_GRE.copy(), _FIVE_GPA.copy()
    see.call(admissions_features, gre, gpa, _FIVE_RANKS, label=_FIVE)
    see.call(admissions_features, gre[1:3], gpa[1:3], np.array([2.0, 3.0]), label=_TWO)
    see.call(admissions_features, np.array([700.0]), np.array([3.3]), np.array([1]), label="one applicant of rank 1")
    for ranks in _NO_RANKS:
        see.raises(admissions_features, gre[:3], gpa[:3], np.array(ranks), label=_ranks_text(ranks))


def _reference_features(gre, gpa, rank):
    """Row by row in plain Python."""
    rows = []
    for score, grade, place in zip(gre.tolist(), gpa.tolist(), rank.tolist(), strict=True):
        if place not in (1, 2, 3, 4):
            raise ValueError("rank")
        rows.append([score / 800, grade / 4, *(float(place == k) for k in (1, 2, 3, 4))])
    return np.array(rows)


def _features_cut(gre, gpa, rank):
    """Fractions are cut off before anybody looks at them."""
    if not ((rank >= 1) & (rank < 5)).all():
        raise ValueError("rank")
    return np.column_stack([gre / 800, gpa / 4.0, np.eye(4)[rank.astype(int) - 1]])


def _features_range(gre, gpa, rank):
    """A comparison with NaN is False, so that NaN is not found outside; and 2.9 gets no switch at all."""
    if (rank < 1).any() or (rank > 4).any():
        raise ValueError("rank")
    return np.column_stack([gre / 800, gpa / 4.0, *(rank == k for k in (1, 2, 3, 4))])


def _takes_fractions(facts) -> bool:
    """A rank between two ranks gets through, and those outside 1..4 do not."""
    outside, between = _NO_RANKS[:3], _NO_RANKS[3:]
    return (all(facts[_ranks_text(ranks)] == "raises ValueError" for ranks in outside)
            and any(facts[_ranks_text(ranks)].startswith("returns") for ranks in between))


def _slip(diagnosis: str, example) -> Mistake:
    """A wrong table is recognized by the five applicants alone, whether or not it refuses what is no rank."""
    return Mistake(diagnosis, example, when=lambda facts: _same(facts[_FIVE], example(_FIVE_GRE, _FIVE_GPA, _FIVE_RANKS)))


def _switches(rank, places=(1, 2, 3, 4)):
    return (rank[:, None] == np.array(places)).astype(float)


def _features_on_no_rank(answer):
    """The right table, and for what is no rank another answer than a ValueError."""
    def admissions_features(gre, gpa, rank):
        if not np.isin(rank, [1, 2, 3, 4]).all():
            return answer(gre, gpa, rank)
        return _reference_features(gre, gpa, rank)
    return admissions_features


def _raise_assertion(gre, gpa, rank):
    raise AssertionError("rank")


def _of_no_rank(facts, start: str) -> bool:
    """The five applicants are right, and each rank outside 1..4 gives something that begins so."""
    return (_same(facts[_FIVE], _reference_features(_FIVE_GRE, _FIVE_GPA, _FIVE_RANKS))
            and all(facts[_ranks_text(ranks)].startswith(start) for ranks in _NO_RANKS[:3]))


admissions_features = Exercise(
    "03.4", "admissions_features",
    observe=_observe_features,
    expected=_reference_features,
    mistakes=[
        Mistake("Rank as a number: one column per rank is asked.",
                lambda g, p, r: np.column_stack([g/800, p/4.0, r])),
        Mistake("Five rank columns: ranks start at 1.",
                lambda g, p, r: np.column_stack([g/800, p/4.0, np.eye(5)[r.astype(int)]])),
        Mistake("Scaled by the maximum of this batch: use 800 and 4.0.",
                lambda g, p, r: np.column_stack([g/g.max(), p/p.max(), np.eye(4)[r.astype(int)-1]]),
                when=lambda facts: np.shape(facts[_FIVE]) == (5, 6) and _same(facts["one applicant of rank 1"][:, :2], [[1, 1]])),
        Mistake("Rank 0 silently becomes rank 4: raise ValueError.",
                lambda g, p, r: np.column_stack([g/800, p/4.0, np.eye(4)[r.astype(int)-1]])),
        Mistake("2.5 and 2.9 get through, cut or rounded to a whole rank (astype(int) cuts): compare the ranks as they are, and raise "
                "ValueError.",
                _features_cut),
        Mistake("2.5, 2.9 or NaN gets through: they lie in no list of ranks, so raise ValueError. Ask for each rank whether it is "
                "1, 2, 3 or 4, not whether it lies between.", _features_range, when=_takes_fractions),
        Mistake("What is no rank gets a row without any switch: raise ValueError.",
                _features_on_no_rank(lambda g, p, r: np.column_stack([g/800, p/4.0, _switches(r)])),
                when=lambda facts: _of_no_rank(facts, "returns float64 array")),
        Mistake("For what is no rank you return None. A print is overlooked, an error is not: raise ValueError(...).",
                _features_on_no_rank(lambda g, p, r: None), when=lambda facts: _of_no_rank(facts, "returns None")),
        Mistake("`assert` raises AssertionError: write `raise ValueError(...)`.", _features_on_no_rank(_raise_assertion),
                when=lambda facts: _of_no_rank(facts, "raises AssertionError")),
        Mistake("The columns depend on the ranks that happen to occur: make four columns always, for rank 1, 2, 3 and 4.",
                lambda g, p, r: np.column_stack([g/800, p/4.0, _switches(r, np.unique(r))]),
                when=lambda facts: np.shape(facts[_FIVE]) == (5, 6) and np.shape(facts[_TWO]) == (2, 4)),
        _slip("GRE and GPA are not scaled: divide by 800 and by 4.0.", lambda g, p, r: np.column_stack([g, p, _switches(r)])),
        _slip("The two constants are swapped: GRE goes up to 800, GPA up to 4.0.", lambda g, p, r: np.column_stack([g/4.0, p/800, _switches(r)])),
        _slip("GPA stands first: the order is GRE, GPA, then the ranks.", lambda g, p, r: np.column_stack([p/4.0, g/800, _switches(r)])),
        _slip("The rank columns stand first: the order is GRE, GPA, then the ranks.",
              lambda g, p, r: np.column_stack([_switches(r), g/800, p/4.0])),
        _slip("The rank columns run backward: rank 1 comes first.", lambda g, p, r: np.column_stack([g/800, p/4.0, _switches(r)[:, ::-1]])),
        _slip("The rank columns are off by one: ranks are 1 to 4, not 0 to 3.",
              lambda g, p, r: np.column_stack([g/800, p/4.0, _switches(r, (0, 1, 2, 3))])),
        _slip("The number of the rank is still there: its four switches replace it.",
              lambda g, p, r: np.column_stack([g/800, p/4.0, r, _switches(r)])),
        _slip("Rank 1 has no column: each of the four ranks gets one.",
              lambda g, p, r: np.column_stack([g/800, p/4.0, _switches(r, (2, 3, 4))])),
        _slip("Scaled by the mean and the spread of this batch: use 800 and 4.0, so that one applicant alone gives the same numbers.",
              lambda g, p, r: np.column_stack([(g - g.mean()) / (g.std() or 1), (p - p.mean()) / (p.std() or 1), _switches(r)])),
    ],
    hints=[
        "Two scaled columns, four switches.",
        "`one_hot(rank - 1, 4)`.",
        "`np.column_stack([gre / ..., gpa / ..., ...])`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.5 feedforward

# The network of the lesson, and a small one with which the chain rule is done by hand. The last row holds the biases.
W1_STORY = np.array([[5.0, 7.0], [-2.0, -3.0], [8.0, -1.0]])
W2_STORY = np.array([[7.0], [5.0], [-6.0]])
W1_SMALL = np.array([[0.5, -0.4], [-0.3, 0.8], [0.1, -0.2]])
W2_SMALL = np.array([[0.7], [-0.6], [0.2]])
for _array in (W1_STORY, W2_STORY, W1_SMALL, W2_SMALL):
    _array.setflags(write=False)  # the checks use them, so no cell of a notebook may change them


def _network(n: int, d: int, h: int, seed: int) -> tuple[np.ndarray, ...]:
    """Points, labels and weights of a d-h-1 network."""
    X, y = _labeled_points(n, d, seed)
    rng = np.random.default_rng(seed + 100)
    return X, y, rng.normal(size=(d + 1, h)), rng.normal(size=(h + 1, 1))


def _observe_feedforward(feedforward, see):
    for n, d, h, seed in ((5, 2, 3, 11), (4, 6, 2, 12), (1, 3, 4, 13)):
        X, _, W1, W2 = _network(n, d, h, seed)
        see.call(feedforward, X, W1, W2, label=f"feedforward of {n} points, {d} features, {h} hidden units",
                 parts=("hidden", "y_hat"))
    see.call(feedforward, np.array([[1.0, 1], [0, 0], [-1, 2], [1, 4]]), W1_STORY, W2_STORY,
             label="the 2-2-1 network of the lesson at (1,1), (0,0), (-1,2), (1,4)", parts=("hidden", "y_hat"))


def _tensor_feedforward(X, W1, W2):
    """Hidden values (n, h) and scores (n,) of the network, as tensors."""
    import torch

    hidden = torch.sigmoid(torch.nn.functional.linear(torch.tensor(np.asarray(X)), W1[:-1].T, W1[-1]))
    return hidden, torch.nn.functional.linear(hidden, W2[:-1].T, W2[-1])[:, 0]


def _reference_feedforward(X, W1, W2):
    import torch

    hidden, scores = _tensor_feedforward(X, torch.tensor(W1), torch.tensor(W2))
    return hidden.numpy(), torch.sigmoid(scores).numpy()


def _feedforward(X, W1, W2):
    hidden = sigmoid(X @ W1[:-1] + W1[-1])
    return hidden, sigmoid(hidden @ W2[:-1, 0] + W2[-1, 0])


feedforward = Exercise(
    "03.5", "feedforward",
    observe=_observe_feedforward,
    expected=_reference_feedforward,
    mistakes=[
        Mistake("Bias is the last row, you used the first.",
                lambda X, W1, W2: (sigmoid(X@W1[1:]+W1[0]), sigmoid(sigmoid(X@W1[1:]+W1[0])@W2[1:]+W2[0])[:, 0])),
        Mistake("No sigmoid on the hidden layer: two linear maps are one.",
                lambda X, W1, W2: (X@W1[:-1]+W1[-1], sigmoid((X@W1[:-1]+W1[-1])@W2[:-1]+W2[-1])[:, 0])),
        Mistake("Output bias missing: append 1 to the hidden values as well.",
                lambda X, W1, W2: (sigmoid(X@W1[:-1]+W1[-1]), sigmoid(sigmoid(X@W1[:-1]+W1[-1])@W2[:-1])[:, 0])),
        Mistake("This is the score; the output needs its sigmoid.",
                lambda X, W1, W2: (sigmoid(X@W1[:-1]+W1[-1]), (sigmoid(X@W1[:-1]+W1[-1])@W2[:-1]+W2[-1])[:, 0])),
        Mistake("The appended 1 comes back with the hidden values: return them without that column, (n, h).",
                lambda X, W1, W2: (_ones(_feedforward(X, W1, W2)[0]), _feedforward(X, W1, W2)[1]),
                when=lambda facts: next(iter(facts.values()))[0].shape == (5, 4)),
        Mistake("Sigmoid twice at the output: once is enough.",
                lambda X, W1, W2: (_feedforward(X, W1, W2)[0], sigmoid(_feedforward(X, W1, W2)[1]))),
        Mistake("Sigmoid twice on the hidden layer: once is enough.",
                lambda X, W1, W2: (lambda H: (H, sigmoid(sigmoid(H)@W2[:-1, 0]+W2[-1, 0])))(_feedforward(X, W1, W2)[0])),
        Mistake("Sigmoid twice on the hidden layer: once is enough. (What you return as hidden is squashed twice too.)",
                lambda X, W1, W2: (lambda H: (H, sigmoid(H@W2[:-1, 0]+W2[-1, 0])))(sigmoid(_feedforward(X, W1, W2)[0]))),
        Mistake("The hidden scores come back: return them after the sigmoid.",
                lambda X, W1, W2: (X@W1[:-1]+W1[-1], _feedforward(X, W1, W2)[1])),
        Mistake("The output layer got the hidden scores: it wants the hidden values, after the sigmoid.",
                lambda X, W1, W2: (_feedforward(X, W1, W2)[0], sigmoid((X@W1[:-1]+W1[-1])@W2[:-1, 0]+W2[-1, 0]))),
        Mistake("The 1 was squashed as well: append it to the hidden values after the sigmoid.",
                lambda X, W1, W2: (_feedforward(X, W1, W2)[0], sigmoid(_feedforward(X, W1, W2)[0]@W2[:-1, 0]+sigmoid(1)*W2[-1, 0]))),
        Mistake("At the output the 1 stands in front of the hidden values: it comes last, as the bias row does.",
                lambda X, W1, W2: (_feedforward(X, W1, W2)[0], sigmoid(_feedforward(X, W1, W2)[0]@W2[1:, 0]+W2[0, 0]))),
        Mistake("At the hidden layer the 1 stands in front of the points: it comes last, as the bias row does.",
                lambda X, W1, W2: (lambda H: (H, sigmoid(H@W2[:-1, 0]+W2[-1, 0])))(sigmoid(X@W1[1:]+W1[0]))),
        Mistake("Both biases are missing: the last row of W1 and of W2 must be added, too.",
                lambda X, W1, W2: (lambda H: (H, sigmoid(H@W2[:-1, 0])))(sigmoid(X@W1[:-1]))),
        Mistake("The hidden biases are missing: append 1 to the points.",
                lambda X, W1, W2: (lambda H: (H, sigmoid(H@W2[:-1, 0]+W2[-1, 0])))(sigmoid(X@W1[:-1]))),
        Mistake("That is ReLU at the hidden layer: the sigmoid is asked.",
                lambda X, W1, W2: (lambda H: (H, sigmoid(H@W2[:-1, 0]+W2[-1, 0])))(np.maximum(X@W1[:-1]+W1[-1], 0))),
        Mistake("That is tanh at the hidden layer: the sigmoid is asked.",
                lambda X, W1, W2: (lambda H: (H, sigmoid(H@W2[:-1, 0]+W2[-1, 0])))(np.tanh(X@W1[:-1]+W1[-1]))),
        Mistake("Only y_hat comes back: return the pair, the hidden activations and y_hat.",
                lambda X, W1, W2: _feedforward(X, W1, W2)[1],
                when=lambda facts: isinstance(_first(facts), np.ndarray) and _first(facts).shape in ((5,), (5, 1))),
        Mistake("The other way round: the hidden activations first, then y_hat.",
                lambda X, W1, W2: _feedforward(X, W1, W2)[::-1], when=lambda facts: _forms(_first(facts)) in ([(5,), (5, 3)], [(5, 1), (5, 3)])),
    ],
    hints=[
        "Append, multiply, squash, twice.",
        "`np.column_stack([X, np.ones(n)])`.",
        "`H = sigmoid(X1 @ W1); y = sigmoid(H1 @ ...)[:, 0]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.6 backprop

def _observe_backprop(backprop, see):
    for n, d, h, seed in ((5, 2, 3, 21), (4, 6, 2, 22), (1, 3, 4, 23)):
        X, y, W1, W2 = _network(n, d, h, seed)
        see.call(backprop, X, y, W1, W2, label=f"backprop for {n} points, {d} features, {h} hidden units",
                 parts=("dW1", "dW2"))


def _back_of(facts):
    """What backprop returned, or the exception, on the first network: 5 points, 2 features, 3 hidden units."""
    return next(iter(facts.values()))


def _shapes(facts):
    """The shapes of what was returned; nothing for an exception."""
    found = _back_of(facts)
    return tuple(np.shape(g) for g in found) if isinstance(found, tuple | list) else ()


def _raised(facts, *texts) -> bool:
    """The code ended with an exception whose text holds one of these."""
    return any(isinstance(value, Raised) and any(text in value.text for text in texts) for value in facts.values())


def _back_with_bias_row(X, y, W1, W2):
    H, q = _feedforward(X, W1, W2)
    d, H1 = ((q - y) / len(y))[:, None], _ones(H)
    return _ones(X).T @ ((d @ W2.T) * H1 * (1 - H1)), H1.T @ d


def _back_without_biases(X, y, W1, W2):
    H, q = _feedforward(X, W1, W2)
    d = ((q - y) / len(y))[:, None]
    return X.T @ ((d @ W2[:-1].T) * H * (1 - H)), H.T @ d


def _back_swapped(X, y, W1, W2):
    H, q = _feedforward(X, W1, W2)
    d = ((q - y) / len(y))[:, None]
    return _ones(H).T @ d, _ones(X).T @ ((d @ W2[:-1].T) * H * (1 - H))


def _back_with_a_flat_error(X, y, W1, W2):
    H, q = _feedforward(X, W1, W2)
    d = (q - y) / len(y)
    return _ones(X).T @ (np.outer(d, W2[:-1]) * H * (1 - H)), _ones(H).T @ d


def _back_with_a_square_error(X, y, W1, W2):
    H, q = _feedforward(X, W1, W2)
    d = (q[:, None] - y) / len(y)
    return _ones(X).T @ ((d.sum(axis=1, keepdims=True) @ W2[:-1].T) * H * (1 - H)), _ones(H).T @ d


def _reference_backprop(X, y, W1, W2):
    W1, W2 = _leaf(W1), _leaf(W2)
    return _gradients(_mean_cross_entropy(_tensor_feedforward(X, W1, W2)[1], y), W1, W2)


def _back_by(error=lambda q, y: q - y, back=lambda d, W2: d @ W2[:-1].T, slope=lambda H, q: H * (1 - H), finish=lambda g1, g2, W1, W2: (g1, g2)):
    """A wrong answer that differs from the right one in the given steps."""
    def backprop(X, y, W1, W2):
        H, q = _feedforward(X, W1, W2)
        d = (error(q, y) / len(y))[:, None]
        return finish(_ones(X).T @ (back(d, W2) * slope(H, q[:, None])), _ones(H).T @ d, W1, W2)
    return backprop


def _without_bias_gradients(g1, g2, W1, W2):
    g1[-1], g2[-1] = 0, 0
    return g1, g2


def _right_back() -> tuple[np.ndarray, np.ndarray]:
    """The right gradients of the first network."""
    return _back_by()(*_network(5, 2, 3, 21))


backprop = Exercise(
    "03.6", "backprop",
    observe=_observe_backprop,
    expected=_reference_backprop,
    mistakes=[
        Mistake("sigma' of the output counted twice: y_hat - y already contains it.",
                lambda X, y, W1, W2: (lambda H, q: (lambda d: (_ones(X).T @ ((d@W2[:-1].T)*H*(1-H)), _ones(H).T @ d))(
                    (((q-y)*q*(1-q))/len(y))[:, None]))(*_feedforward(X, W1, W2))),
        Mistake("Hidden sigma' is missing.",
                lambda X, y, W1, W2: (lambda H, q: (lambda d: (_ones(X).T @ (d@W2[:-1].T), _ones(H).T @ d))(
                    ((q-y)/len(y))[:, None]))(*_feedforward(X, W1, W2))),
        Mistake("Sum instead of mean.",
                lambda X, y, W1, W2: (lambda H, q: (lambda d: (_ones(X).T @ ((d@W2[:-1].T)*H*(1-H)), _ones(H).T @ d))(
                    (q-y)[:, None]))(*_feedforward(X, W1, W2))),
        Mistake("sigmoid_prime wants the pre-activation; H is already activated: H(1 - H).",
                lambda X, y, W1, W2: (lambda H, q: (lambda d: (_ones(X).T @ ((d@W2[:-1].T)*_prime(H)), _ones(H).T @ d))(
                    ((q-y)/len(y))[:, None]))(*_feedforward(X, W1, W2))),
        Mistake("The first row was dropped; the bias row is the last.",
                lambda X, y, W1, W2: (lambda H, q: (lambda d: (_ones(X).T @ ((d@W2[1:].T)*H*(1-H)), _ones(H).T @ d))(
                    ((q-y)/len(y))[:, None]))(*_feedforward(X, W1, W2))),
        Mistake("The bias row is kept on the way back. Nothing flows into the constant 1: take W2 without its last row, and the hidden "
                "values without the 1.",
                _back_with_bias_row, when=lambda facts: _shapes(facts)[:1] == ((3, 4),)
                or _raised(facts, "shapes (5,4) (5,3)", "shapes (5,3) (5,4)")),
        Mistake("The bias gradients are left out: a 1 must be appended to X and to the hidden values here too, as in feedforward.",
                _back_without_biases, when=lambda facts: _shapes(facts) in (((2, 3), (3, 1)), ((2, 3), (4, 1)), ((3, 3), (3, 1)))),
        Mistake("dW1 and dW2 are swapped: return that of W1 first.",
                _back_swapped, when=lambda facts: _shapes(facts) == ((4, 1), (3, 3))),
        Mistake("The error is (n, n): a column minus a row. Make the whole difference a column, then it is (n, 1).",
                _back_with_a_square_error, when=lambda facts: _shapes(facts)[1:] == ((4, 5),)),
        Mistake("The error must be a column, (n, 1): add [:, None] behind the whole difference. Flat, (n,), it does not fit W2, and "
                "y_hat[:, None] - y is even (n, n).",
                _back_with_a_flat_error, when=lambda facts: _shapes(facts)[1:] == ((4,),)
                or _raised(facts, "size 1 is different from 5", "shapes (5,) (1,3)", "shapes (1,3) (5,)")),
        Mistake("Sign: this is minus the gradient. The error is y_hat - y.", _back_by(error=lambda q, y: y - q)),
        Mistake("You start with dE/dy_hat: the error by the score is y_hat - y, without the division by y_hat (1 - y_hat).",
                _back_by(error=lambda q, y: (q - y) / (q * (1 - q)))),
        Mistake("You start with hard predictions, 0 or 1: the error is y_hat - y with the probability.",
                _back_by(error=lambda q, y: (q >= 0.5) - y)),
        Mistake("W2 is left out on the way back: how loudly the error reaches a hidden unit depends on its weight in W2.",
                _back_by(back=lambda d, W2: d)),
        Mistake("The slope is only half there: H(1 - H), not H.", _back_by(slope=lambda H, q: H)),
        Mistake("1 - H² is the slope of tanh: that of the sigmoid is H(1 - H).", _back_by(slope=lambda H, q: 1 - H**2)),
        Mistake("That is the slope of the output, y_hat (1 - y_hat): here the hidden one is wanted, H(1 - H).",
                _back_by(slope=lambda H, q: q * (1 - q))),
        Mistake("These are the weights after a step: return the gradients, the caller takes the step.",
                _back_by(finish=lambda g1, g2, W1, W2: (W1 - g1, W2 - g2))),
        Mistake("The bias gradients stand in the first row: append the 1 last, as the biases are the last row.",
                _back_by(finish=lambda g1, g2, W1, W2: (np.roll(g1, 1, axis=0), np.roll(g2, 1, axis=0))),
                when=lambda facts: any(_same(own, np.roll(asked, 1, axis=0)) for own, asked in zip(_first(facts), _right_back(), strict=True))),
        Mistake("A bias row of the gradient is zero. Nothing flows back through the constant 1, but the bias itself has a gradient: the "
                "sum of what reaches its units.",
                _back_by(finish=_without_bias_gradients), when=lambda facts: _shapes(facts) == ((3, 3), (4, 1))
                and any(np.any(g) and not np.any(g[-1]) for g in _first(facts))),
        Mistake("Only one gradient comes back: return the pair, that of W1 and that of W2.",
                _back_by(finish=lambda g1, g2, W1, W2: g1), when=lambda facts: isinstance(_first(facts), np.ndarray)),
        Mistake("Four gradients: here the biases are the last rows of W1 and W2, so stack each bias gradient under its weights.",
                _back_by(finish=lambda g1, g2, W1, W2: (g1[:-1], g1[-1], g2[:-1], g2[-1])), when=lambda facts: len(_shapes(facts)) == 4),
    ],
    hints=[
        "Start with y_hat - y, go one layer back.",
        "Shapes decide the transposes; leave the bias row out on the way back.",
        "`d2 = (y_hat - y)[:, None] / n; dW2 = H1.T @ d2; d1 = (d2 @ W2[...].T) * ...; dW1 = X1.T @ d1`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.7 numerical_gradient

class _Cubes:
    """f(x) = sum of c * x**3, one c below 0, plus a term that ties the first entry to the last; its central difference is known exactly."""

    def __init__(self, shape):
        self.c = np.linspace(0.5, 2.0, math.prod(shape)).reshape(shape)
        self.c.flat[1] *= -1  # so that not all slopes go up

    def __call__(self, x):
        return float((self.c * x**3).sum() + 1.5 * x.flat[0] * x.flat[-1])

    def central(self, x, eps):
        result = self.c * (3 * x**2 + eps**2)
        result.flat[0] += 1.5 * x.flat[-1]
        result.flat[-1] += 1.5 * x.flat[0]
        return result


class _Exponentials:
    """f(x) = sum of exp(x): the central difference is the derivative times sinh(eps) / eps, about 1 + eps**2 / 6."""

    def __call__(self, x):
        return float(np.exp(x).sum())

    def central(self, x, eps):
        return np.exp(x) * math.sinh(eps) / eps


_WIDE, _NARROW = "the sum of exp(x), eps=0.5", "the sum of exp(x), eps=1e-2"
_CUBES, _CUBES_2D = "cubes plus a cross term, x of shape (3,)", "cubes plus a cross term, x of shape (2, 4)"


def _observe_numerical(numerical_gradient, see):
    for shape in ((3,), (2, 4), (2, 3, 2)):
        x = np.random.default_rng(len(shape)).uniform(0.3, 1.7, shape)
        x.flat[1] *= -1
        see.call(numerical_gradient, _Cubes(shape), x, label=f"cubes plus a cross term, x of shape {shape}")
    x = np.array([0.2, -0.4, 1.1, 0.7, -1.3])
    for eps, label in ((0.5, _WIDE), (1e-2, _NARROW)):
        see.call(numerical_gradient, _Exponentials(), x, eps, rtol=1e-7, label=label)


def _reference_numerical(f, x, eps=1e-5):
    return f.central(x, eps)


def _numerical_without_restoring(f, x, eps=1e-5):
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += eps
        a = f(x)
        x[i] -= 2 * eps
        g[i] = (a - f(x)) / (2 * eps)
    return g


def _numerical_with_its_own_eps(f, x, eps=1e-5):
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        E = np.zeros(x.shape)
        E[i] = 1e-5
        g[i] = (f(x + E) - f(x - E)) / 2e-5
    return g


def _numerical_without_copies(f, x, eps=1e-5):
    g = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        xp, xm = x, x
        xp[i] += eps
        xm[i] -= eps
        g[i] = (f(xp) - f(xm)) / (2 * eps)
    return g


def _numerical_by(quotient, finish=lambda g: g):
    """One entry at a time with a wrong quotient: ``quotient(above, here, below, eps)``."""
    def numerical_gradient(f, x, eps=1e-5):
        g = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            E = np.zeros(x.shape)
            E[i] = eps
            g[i] = quotient(f(x + E), f(x), f(x - E), eps)
        return finish(g)
    return numerical_gradient


def _numerical_along_the_first_axis(f, x, eps=1e-5):
    g = np.zeros(len(x))
    for i in range(len(x)):
        xp, xm = x.copy(), x.copy()
        xp[i] += eps
        xm[i] -= eps
        g[i] = (f(xp) - f(xm)) / (2 * eps)
    return g


numerical_gradient = Exercise(
    "03.7", "numerical_gradient",
    observe=_observe_numerical,
    expected=_reference_numerical,
    mistakes=[
        Mistake("Forward difference: error proportional to eps; use both sides.",
                lambda f, x, eps=1e-5: np.array([(f(x + eps*np.eye(x.size)[i].reshape(x.shape)) - f(x))/eps
                                                 for i in range(x.size)]).reshape(x.shape)),
        Mistake("Twice too large: divide by 2 eps.",
                lambda f, x, eps=1e-5: np.array([(f(x + eps*np.eye(x.size)[i].reshape(x.shape))
                                                  - f(x - eps*np.eye(x.size)[i].reshape(x.shape)))/eps
                                                 for i in range(x.size)]).reshape(x.shape)),
        Mistake("All entries moved together; one at a time.",
                lambda f, x, eps=1e-5: np.full(x.shape, (f(x + eps) - f(x - eps))/(2*eps))),
        Mistake("x is not restored after each entry.", _numerical_without_restoring),
        Mistake("eps is ignored: a number stands in its place. Use the eps that the caller gives.", _numerical_with_its_own_eps,
                when=lambda facts: np.allclose(facts[_WIDE], facts[_NARROW], rtol=1e-6, atol=0)
                and not np.allclose(facts[_WIDE], 0)),
        Mistake("All zeros: is the result filled in? And xp = x makes no copy, only a second name, so both wiggles undo each other: "
                "xp = x.copy().",
                _numerical_without_copies, when=lambda facts: np.shape(facts[_CUBES]) == (3,) and not np.any(facts[_CUBES])),
        Mistake("One number for all entries: x + eps moves them all at once. Move one entry at a time, and note one number for each.",
                lambda f, x, eps=1e-5: (f(x + eps) - f(x - eps))/(2*eps), when=lambda facts: _is_number(facts[_CUBES])),
        Mistake("Each slope is positive: f may also fall, so keep the sign of the difference, without abs.",
                _numerical_by(lambda above, here, below, eps: abs(above - below) / (2 * eps))),
        Mistake("Backward difference: error proportional to eps; use both sides.",
                _numerical_by(lambda above, here, below, eps: (here - below) / eps)),
        Mistake("The sign: first f with the entry moved up, minus f with it moved down.",
                _numerical_by(lambda above, here, below, eps: (below - above) / (2 * eps))),
        Mistake("`/ 2 * eps` divides by 2 and multiplies by eps: write `/ (2 * eps)`.",
                _numerical_by(lambda above, here, below, eps: (above - below) / 2 * eps)),
        Mistake("The difference alone: divide it by 2 eps, the distance between both points.",
                _numerical_by(lambda above, here, below, eps: above - below)),
        Mistake("x[i] moves a whole row of a matrix: move one entry at a time, with np.ndindex(x.shape).",
                _numerical_along_the_first_axis, when=lambda facts: np.shape(facts[_CUBES_2D]) == (2,)),
        Mistake("The result is flat: give it the shape of x, with reshape(x.shape).",
                _numerical_by(lambda above, here, below, eps: (above - below) / (2 * eps), finish=np.ravel),
                when=lambda facts: np.shape(facts[_CUBES_2D]) == (8,)),
    ],
    hints=[
        "Wiggle one entry, both ways.",
        "`np.ndindex(x.shape)`, copies.",
        "`p[i] += eps; m[i] -= eps; g[i] = (f(p) - f(m)) / ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.8 LinearNode

_BACK = "backward of the first node, after the second one's forward"


def _first_back(facts):
    """What backward returned first: X (5, 3), W (3, 2)."""
    return facts[f"{_BACK}, X (5, 3), W (3, 2)"]


def _observe_node(LinearNode, see):
    rng = np.random.default_rng(31)
    for n, i, o in ((5, 3, 2), (1, 4, 3), (3, 3, 3)):
        see.name, see.parameters = "LinearNode", ()
        node = see.call(LinearNode, label="LinearNode()", record=False, asks="a LinearNode")
        other = see.call(LinearNode, label="a second LinearNode()", record=False, asks="a LinearNode")
        shapes = f"X {(n, i)}, W {(i, o)}"
        see.name, see.parameters = "forward", ("X", "W", "b")  # so that messages name the method
        for one, name in ((node, "forward"), (other, "forward of a second node")):
            see.call(one.forward, rng.normal(size=(n, i)), rng.normal(size=(i, o)), rng.normal(size=o), label=f"{name}, {shapes}")
        see.name, see.parameters = "backward", ("dY",)
        dY = rng.normal(size=(n, o))
        for one, upstream, label in ((node, dY, f"{_BACK}, {shapes}"), (node, dY, f"the same backward once more, {shapes}"),
                                     (other, rng.normal(size=(n, o)), f"backward of the second node, {shapes}")):
            see.call(one.backward, upstream, label=label, parts=("dX", "dW", "db"))


class _ReferenceNode:
    def forward(self, X, W, b):
        import torch

        self.leaves = [_leaf(X), _leaf(W), _leaf(b)]
        self.Y = torch.addmm(self.leaves[2], self.leaves[0], self.leaves[1])
        return self.Y.detach().numpy()

    def backward(self, dY):
        import torch

        return tuple(g.numpy() for g in torch.autograd.grad(self.Y, self.leaves, torch.tensor(dY), retain_graph=True))


class _NodeUnsummedBias:
    def forward(self, X, W, b):
        self.X, self.W = X, W
        return X @ W + b

    def backward(self, dY):
        return dY @ self.W.T, self.X.T @ dY, dY


class _NodeAveraged:
    def forward(self, X, W, b):
        self.X, self.W = X, W
        return X @ W + b

    def backward(self, dY):
        return dY @ self.W.T, self.X.T @ dY / len(dY), dY.mean(0)


class _NodeWithoutTranspose:
    def forward(self, X, W, b):
        self.X, self.W = X, W
        return X @ W + b

    def backward(self, dY):
        return dY @ self.W, self.X.T @ dY, dY.sum(0)


class _NodeOneBias(_NodeUnsummedBias):
    def backward(self, dY):
        return dY @ self.W.T, self.X.T @ dY, dY.sum()


class _NodeInAnotherOrder(_NodeUnsummedBias):
    def backward(self, dY):
        return self.X.T @ dY, dY @ self.W.T, dY.sum(0)


class _NodeWithoutSelf:
    def forward(X, W, b):
        return X @ W + b

    def backward(dY):
        return dY


class _NodeWithBareNames(_NodeUnsummedBias):
    def backward(self, dY):
        return dY @ W.T, X.T @ dY, dY.sum(0)  # noqa: F821


def _node_with(back, forward=lambda X, W, b: X @ W + b):
    """A node whose backward returns ``back(X, W, dY)``, and whose forward returns ``forward(X, W, b)``."""
    class Node:
        def forward(self, X, W, b):
            self.X, self.W = X, W
            return forward(X, W, b)

        def backward(self, dY):
            return back(self.X, self.W, dY)
    return Node


def _right_way_back(X, W, dY):
    return dY @ W.T, X.T @ dY, dY.sum(axis=0)


def _shared_node():
    """A new class, whose nodes keep their inputs in one place."""
    kept = {}

    class Node:
        def forward(self, X, W, b):
            kept["inputs"] = X, W
            return X @ W + b

        def backward(self, dY):
            return _right_way_back(*kept["inputs"], dY)
    return Node


class _NodeThatAddsUp(_NodeUnsummedBias):
    def backward(self, dY):
        self.sums = [a + b for a, b in zip(getattr(self, "sums", (0, 0, 0)), _right_way_back(self.X, self.W, dY), strict=True)]
        return tuple(self.sums)


LinearNode = Exercise(
    "03.8", "LinearNode",
    observe=_observe_node,
    expected=_ReferenceNode,
    kind="class",
    mistakes=[
        Mistake("Bias gradient must be summed over the batch: shape (o,).", _NodeUnsummedBias),
        Mistake("dW is averaged: the mean belongs to the loss, the node only passes on.", _NodeAveraged),
        Mistake("Transpose of W missing in dX: only a square W lets it run.", _NodeWithoutTranspose),
        Mistake("db is one number: sum over the batch alone (axis=0), so that each output keeps its own, shape (o,).",
                _NodeOneBias, when=lambda facts: _is_number(_first_back(facts)[2])),
        Mistake("Another order: backward returns dX first, then dW, then db.", _NodeInAnotherOrder,
                when=lambda facts: [np.shape(g) for g in _first_back(facts)[:2]] == [(3, 2), (5, 3)]),
        Mistake("self is missing: forward and backward begin with it, as in the stub: the node itself comes before the arrays.",
                _NodeWithoutSelf, when=lambda facts: any("forward(W, b)" in str(v) or "backward()" in str(v) for v in facts.values())),
        Mistake("backward does not know the X and W of forward: keep them on self there, and read them from self here.",
                _NodeWithBareNames, when=lambda facts: _raised(facts, "name 'W' is not defined", "name 'X' is not defined",
                                                               "different from 100)")  # the notebook has another X
                and f"{_BACK}, X (5, 3), W (3, 2)" in facts and isinstance(_first_back(facts), Raised)),
        Mistake("forward leaves out b: Y = XW + b.", _node_with(_right_way_back, forward=lambda X, W, b: X @ W)),
        Mistake("Two nodes share what they keep, so the second overwrites the first: keep X and W on self, not on the class or outside.",
                _shared_node()),
        Mistake("The second call adds to the first: backward computes its gradients anew each time.", _NodeThatAddsUp),
        Mistake("db is averaged: it is the sum over the batch; the mean belongs to the loss.",
                _node_with(lambda X, W, dY: (dY @ W.T, X.T @ dY, dY.mean(axis=0)))),
        Mistake("Everything is averaged: the mean belongs to the loss, the node only passes on.",
                _node_with(lambda X, W, dY: _right_way_back(X, W, dY / len(dY)))),
        Mistake("db has one number for each example: sum over the batch, axis=0, not over the outputs.",
                _node_with(lambda X, W, dY: (dY @ W.T, X.T @ dY, dY.sum(axis=1))), when=lambda facts: _forms(_first_back(facts))[2:] == [(5,)]),
        Mistake("Another order: backward returns dX first, then dW, then db. (Yours is dW, db, dX.)",
                _node_with(lambda X, W, dY: (X.T @ dY, dY.sum(axis=0), dY @ W.T)),
                when=lambda facts: _forms(_first_back(facts)) == [(3, 2), (2,), (5, 3)]),
        Mistake("Three gradients are asked, dX, dW and db: b has one too.",
                _node_with(lambda X, W, dY: (dY @ W.T, X.T @ dY)), when=lambda facts: len(_forms(_first_back(facts))) == 2),
        Mistake("backward returns the tuple (dX, dW, db), not a dict.",
                _node_with(lambda X, W, dY: dict(zip(("dX", "dW", "db"), _right_way_back(X, W, dY), strict=True))),
                when=lambda facts: isinstance(_first_back(facts), dict)),
        Mistake("The upstream gradient is left out: W, X and 1 are the slopes of this node alone. Multiply each by dY.",
                _node_with(lambda X, W, dY: (W, X, np.ones(W.shape[1])))),
    ],
    hints=[
        "Shape rule.",
        "Save X and W in forward.",
        "`dX = dY @ ...; dW = ... @ dY; db = dY.sum(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 03.9 hinge_loss

_THREE = "the three examples of the lesson"


def _observe_hinge(hinge_loss, see):
    scores = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    see.call(hinge_loss, scores, np.array([0, 1, 2]), label=_THREE, parts=("the loss", "the gradient"))
    for n, c, margin, seed in ((5, 4, 0.5, 1), (1, 6, 2.0, 2), (7, 3, 1.0, 3), (4, 2, 2.0, 4)):
        rng = np.random.default_rng(seed)
        scores, labels = rng.normal(size=(n, c)) * 1.5, rng.integers(0, c, n)
        see.call(hinge_loss, scores, labels, margin=margin, label=f"scores {(n, c)}, margin={margin}",
                 parts=("the loss", "the gradient"))
    # The margin is met exactly by the second class: gradient 0 there.
    see.call(hinge_loss, np.array([[2.0, 1.0, 1.5], [0.25, 3.0, -1.0]]), np.array([0, 1]),
             label="two examples, and one wrong class exactly 1 below the right one", parts=("the loss", "the gradient"))


def _reference_hinge(scores, labels, margin=1.0):
    import torch

    s = _leaf(scores)
    loss = torch.nn.functional.multi_margin_loss(s, torch.tensor(labels), margin=margin) * scores.shape[1]
    return float(loss), _gradients(loss, s)[0]


def _hinge(s, labels, margin=1.0):
    rows = np.arange(len(s))
    gaps = s - s[rows, labels][:, None] + margin
    gaps[rows, labels] = 0
    g = np.where(gaps > 0, 1.0, 0.0)
    g[rows, labels] = -g.sum(axis=1)
    return np.maximum(gaps, 0).sum() / len(s), g / len(s)


def _hinge_inclusive(s, labels, margin=1.0, own=False):
    """A margin that is met exactly pushes too, and with ``own`` the gap 0 of the right class as well."""
    rows = np.arange(len(s))
    gaps = s - s[rows, labels][:, None] + margin
    gaps[rows, labels] = 0
    g = np.where(gaps >= 0, 1.0, 0.0)
    g[rows, labels] = 1.0 if own else 0.0
    g[rows, labels] = -g.sum(axis=1)
    return np.maximum(gaps, 0).sum() / len(s), g / len(s)


def _hinge_minus_one(s, labels, margin=1.0):
    g = _hinge(s, labels, margin)[1]
    g[np.arange(len(s)), labels] = -1 / len(s)
    return _hinge(s, labels, margin)[0], g


def _hinge_maximum(s, labels, margin=1.0):
    rows = np.arange(len(s))
    gaps = s - s[rows, labels][:, None] + margin
    gaps[rows, labels] = 0
    g = np.where(gaps == gaps.max(axis=1, keepdims=True), 1.0, 0.0) * (gaps > 0)
    g[rows, labels] = -g.sum(axis=1)
    return np.maximum(gaps, 0).max(axis=1).mean(), g / len(s)


def _first_loss(facts, asked: float) -> bool:
    """The loss of the lesson's three examples, 15.8 / 3 if all is right, is ``asked``."""
    return abs(float(facts[_THREE][0]) - asked) < 1e-9


def _hinge_with(cost=lambda gaps: np.maximum(gaps, 0), gap=lambda s, right, margin: s - right + margin):
    """Another gap or another cost of it; the gradient is the right one."""
    def hinge_loss(s, labels, margin=1.0):
        rows = np.arange(len(s))
        costs = cost(gap(s, s[rows, labels][:, None], margin))
        costs[rows, labels] = 0
        return costs.sum() / len(s), _hinge(s, labels, margin)[1]
    return hinge_loss


def _hinge_plus(s, labels, margin=1.0):
    rows, (loss, g) = np.arange(len(s)), _hinge(s, labels, margin)
    g[rows, labels] *= -1
    return loss, g


def _hinge_gaps_as_gradient(s, labels, margin=1.0):
    rows = np.arange(len(s))
    gaps = np.maximum(s - s[rows, labels][:, None] + margin, 0)
    gaps[rows, labels] = 0
    gaps[rows, labels] = -gaps.sum(axis=1)
    return _hinge(s, labels, margin)[0], gaps / len(s)


def _softmax_loss(s, labels, margin=1.0):
    rows = np.arange(len(s))
    logs = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
    g = np.exp(logs)
    g[rows, labels] -= 1
    return -logs[rows, labels].mean(), g / len(s)


hinge_loss = Exercise(
    "03.9", "hinge_loss",
    observe=_observe_hinge,
    expected=_reference_hinge,
    mistakes=[
        Mistake("The right class is counted too: the loss is too large by the margin. Set its gap to 0 before you add up.",
                lambda s, l, margin=1.: (lambda m: (m.sum()/len(s), _hinge(s, l, margin)[1]))(
                    np.maximum(0, s - s[np.arange(len(s)), l][:, None] + margin)),
                when=lambda facts: _first_loss(facts, 15.8 / 3 + 1)),
        Mistake("The right class needs a gradient: minus the number of violated margins.",
                lambda s, l, margin=1.: (_hinge(s, l, margin)[0],
                                         np.where(np.arange(s.shape[1]) == l[:, None], 0, _hinge(s, l, margin)[1]))),
        Mistake("Divided by the number of classes as well (this is what multi_margin_loss does).",
                lambda s, l, margin=1.: (_hinge(s, l, margin)[0] / s.shape[1], _hinge(s, l, margin)[1] / s.shape[1]),
                when=lambda facts: _first_loss(facts, 15.8 / 9)),
        Mistake("margin is ignored.",
                lambda s, l, margin=1.: _hinge(s, l, 1.0)),
        Mistake("The right class always gets -1: it gets minus the NUMBER of classes that come too close, which may be 0 or 2.",
                _hinge_minus_one),
        Mistake("Only the worst class is counted: add up over all wrong classes.",
                _hinge_maximum, when=lambda facts: _first_loss(facts, (2.9 + 6.6) / 3)),
        Mistake("Sum over the examples: asked is the mean, for the loss and for its gradient.",
                lambda s, l, margin=1.: tuple(len(s) * part for part in _hinge(s, l, margin)),
                when=lambda facts: _first_loss(facts, 15.8)),
        Mistake("Where the margin is met exactly the gradient is 0: ask for > 0, not for >= 0.", _hinge_inclusive),
        Mistake(">= 0 counts the right class as well, whose gap you set to 0: ask for > 0.",
                lambda s, l, margin=1.: _hinge_inclusive(s, l, margin, own=True)),
        Mistake("Negative gaps count: a class that is far enough behind costs 0, so take max(0, gap).",
                _hinge_with(cost=lambda gaps: gaps), when=lambda facts: _first_loss(facts, 7.4 / 3) or _first_loss(facts, 7.4 / 3 + 1)),
        Mistake("The margin is subtracted: it is added to the gap, s_j - s_c + margin.",
                _hinge_with(gap=lambda s, right, margin: s - right - margin), when=lambda facts: _first_loss(facts, 9.8 / 3)),
        Mistake("The gap is the wrong way round: the score of the wrong class minus that of the right one, plus the margin.",
                _hinge_with(gap=lambda s, right, margin: right - s + margin), when=lambda facts: _first_loss(facts, 4.8)
                or _first_loss(facts, 5.8)),
        Mistake("You compare with the best score: compare with the score of the right class, scores[rows, labels].",
                _hinge_with(gap=lambda s, right, margin: s - s.max(axis=1, keepdims=True) + margin),
                when=lambda facts: _first_loss(facts, 0.9)),
        Mistake("The gaps are squared: here each costs just what it is.", _hinge_with(cost=lambda gaps: np.maximum(gaps, 0) ** 2),
                when=lambda facts: _first_loss(facts, 91.66 / 3)),
        Mistake("The sign of the right class: raising its score lowers the loss, so its gradient is negative.", _hinge_plus),
        Mistake("The gradient is not averaged: divide it by the number of examples, as the loss.",
                lambda s, l, margin=1.: (_hinge(s, l, margin)[0], len(s) * _hinge(s, l, margin)[1])),
        Mistake("The gradient holds the sizes of the gaps: a gap grows by 1 with its score, whatever its size, so count 1 for each.",
                _hinge_gaps_as_gradient, when=lambda facts: abs(abs(_first(facts)[1][0, 1]) * 3 - 2.9) < 1e-9
                or abs(abs(_first(facts)[1][0, 1]) - 2.9) < 1e-9),
        Mistake("One loss for each example: return their mean.",
                lambda s, l, margin=1.: (_hinge(s, l, margin)[0] * np.ones(len(s)), _hinge(s, l, margin)[1]),
                when=lambda facts: _forms(_first(facts)) == [(3,), (3, 3)]),
        Mistake("Only the loss comes back: return the pair, the loss and its gradient.", lambda s, l, margin=1.: _hinge(s, l, margin)[0],
                when=lambda facts: _is_number(_first(facts))),
        Mistake("The other way round: the loss first, then its gradient.", lambda s, l, margin=1.: _hinge(s, l, margin)[::-1],
                when=lambda facts: _forms(_first(facts)) == [(3, 3), ()]),
        Mistake("That is the softmax loss of lesson 02: the hinge loss has no exponentials.", _softmax_loss),
    ],
    hints=[
        "Which classes come too close?",
        "Broadcast `scores - right[:, None] + margin`, set the right class to 0.",
        "`g = (m > 0).astype(float); g[i, labels] = -...; return m.sum()/n, g/n`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("03", [
    Question(
        "Are the update of the perceptron and the update of gradient descent the same?",
        right=("Yes, except that ŷ is 0 or 1 in one and between 0 and 1 in the other",
               "Both add α(y − ŷ)x to the weights. Only the kind of prediction differs."),
        wrong=[("No, they have different signs",
                "That confuses y − ŷ with ŷ − y: adding α(y − ŷ)x is subtracting α(ŷ − y)x."),
               ("No, the perceptron has no learning rate", "It has one: α scales its step too (lesson 01).")]),
    Question(
        "What does a well classified point do in gradient descent?",
        right=("It pushes the line away", "Its ŷ is not quite y, so it still asks for a little more: farther away is surer."),
        wrong=[("Nothing", "That is the perceptron, whose ŷ is exactly y for such a point."),
               ("It pulls the line closer", "That is what a wrong point asks for, so that the line passes over it.")]),
    Question(
        "For the cross-entropy of one point, what is ∂E/∂ŷ?",
        right=("(ŷ − y) / (ŷ(1 − ŷ))", "Differentiate −y ln ŷ − (1 − y) ln(1 − ŷ) by ŷ and collect."),
        wrong=[("ŷ − y", "That is ∂E/∂h, the derivative by the score: σ' has been multiplied in already."),
               ("ŷ(1 − ŷ)", "That is σ', the derivative ∂ŷ/∂h of the activation.")]),
    Question(
        "A point with y = 1 is called wrong. Of the two hidden models, one says the right thing (0.9) and one the wrong thing "
        "(0.1). What does backpropagation do to their weights in W2?",
        right=("It raises both, that of the right one much more",
               "∂E/∂W2_j = (ŷ − y)·H_j, and H_j > 0: for one point all hidden weights move the same way, most that of the loudest "
               "model. Here the right one is louder, so it gains trust relative to the other. With y = 0 all would go down, most "
               "that of the loud, wrong one."),
        wrong=[("It raises that of the right one and lowers that of the wrong one",
                "(ŷ − y)·H_j has the same sign for both, since H_j > 0: only the relative trust shifts."),
               ("It removes the wrong one", "There is no such step: weights and biases move a little, units stay."),
               ("It only moves the two lines", "That forgets W2, the weights with which the output listens to them.")]),
    Question(
        "W has shape (3, 4) and the batch holds 10 points. What is the shape of ∂E/∂W?",
        right=("(3, 4)", "The loss is one number, so each gradient has the shape of its own array."),
        wrong=[("(10, 3, 4)", "That would be one gradient for each example; they are summed, since the loss is."),
               ("(4, 3)", "That is the transpose: W − α · gradient could not even be computed.")]),
    Question(
        "Your test accuracy is 0.70 on 40 students; always saying no would give 0.6825 on average. What do you conclude?",
        right=("40 are too few to tell; compare the losses",
               "One student is 2.5 points, so the difference is less than one student. The loss sees every probability."),
        wrong=[("The model works", "0.70 beats 0.6825 by less than one student in 40."),
               ("The model has failed", "That reads as much into less than one student; the loss may be clearly better.")]),
    Question(
        "You check a gradient with eps = 1e-13. What happens?",
        right=("Rounding ruins it", "f(x + eps) and f(x − eps) agree in almost all digits; their difference is mostly noise."),
        wrong=[("It becomes more exact", "On paper, yes; but a float has 16 digits, and the subtraction eats them."),
               ("Nothing, eps has no effect", "It has two: too large, and the curve bends; too small, and digits are lost.")]),
    Question(
        "All weights of a network, those of the output too, start with the same value. What follows?",
        right=("The hidden units stay equal to each other",
               "Equal weights get equal gradients, so all units make the same steps: ten units are worth one."),
        wrong=[("It converges faster", "It cannot even use its units: they all compute the same."),
               ("The gradient is zero", "Only the hidden gradients are, and only if all weights in W2 are 0.")]),
])


# ---------------------------------------------------------------------------------------------- figures: the loss as a landscape

# With w1 = w2 = v two numbers are left, v and b, and the loss is a landscape over a plane.
_V, _B = (-13.0, 5.0), (-6.0, 14.0)


def _landscape(ax, X, y) -> None:
    """Contours of the loss over (v, b), darker where it is higher."""
    total = X.sum(axis=1)
    v, b = np.meshgrid(np.linspace(*_V, 90), np.linspace(*_B, 90))
    scores = v[..., None] * total + b[..., None]
    height = (np.logaddexp(0, scores) - y * scores).mean(axis=-1)
    levels = [0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1, 1.5, 2.2, 3.3, 5, 8, 13]
    ax.contourf(v, b, np.log(height), levels=np.log([0.01, *levels]), cmap="Blues", alpha=0.55, extend="both", zorder=0)
    lines = ax.contour(v, b, height, levels=levels, colors=[plots.GREY], linewidths=0.8, zorder=1)
    for text in ax.clabel(lines, levels=[0.2, 0.3, 0.7, 1.5, 3.3], fontsize=9, fmt="%g", colors=plots.BLACK, inline_spacing=2):
        text.set_zorder(3)
    ax.set(xlim=_V, ylim=_B, xlabel="v, both weights of the line", ylabel="b", xticks=[-10, -5, 0, 5], aspect="equal")
    ax.grid(False)


def show_landscape(X, y) -> None:
    """Three points of the plane (v, b), and the three lines that they stand for.

    Args: X (n, 2), y (n,) of 0 and 1.
    """
    fig, (plane, picture) = plots.figure(1, 2, size=(9.4, 4.1))
    _landscape(plane, X, y)
    plots.classes(picture, X, y, size=28)
    picture.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel="x1", ylabel="x2", aspect="equal")
    heights = []
    for (name, v, b), color, style in zip((("A", -4, 6.5), ("B", -8, 8.5), ("C", -9, 3.5)),
                                          (plots.ORANGE, plots.BLUE, plots.PURPLE), ("--", "-", ":"), strict=True):
        height = logistic_error(v * X.sum(axis=1) + b, y)
        heights.append(f"{name} has E = {height:.2f}")
        plane.plot(v, b, "o", color=color, markeredgecolor="white", markersize=11, zorder=5)
        plane.annotate(name, (v, b), xytext=(9, 5), textcoords="offset points", fontweight="bold", fontsize=12, zorder=5)
        plots.line(picture, (v, v), b, color=color, linestyle=style, linewidth=2.5, label=f"line {name}")
    plots.legend(picture, outside=True)
    plane.set_title("height: the loss E")
    plots.show(fig, "Left, a map: each point is a setting of v and b, and contour lines give the loss E, small in a long pale "
                    "valley. Right, the lines that three settings stand for: " + ", ".join(heights) + ".")


def _descent_path(X, y, alpha, steps):
    """Positions (steps + 1, 2) and losses of gradient descent on (v, b) from (0, 0)."""
    Z, t = _ones(X.sum(axis=1, keepdims=True)), np.zeros(2)
    path, losses = [t], [logistic_error(Z @ t, y)]
    for _ in range(steps):
        t = t - alpha * Z.T @ (sigmoid(Z @ t) - y) / len(y)
        path.append(t)
        losses.append(logistic_error(Z @ t, y))
    return np.array(path), losses


def _draw_descent(ax, X, y, alpha, steps=40) -> str:
    _landscape(ax, X, y)
    path, losses = _descent_path(X, y, alpha, steps)
    ax.plot(*path.T, "o-", color=plots.RED, markersize=4, linewidth=1.5, zorder=4)
    ax.plot(0, 0, "s", color=plots.BLACK, markersize=9, zorder=5)
    ax.set(xlim=_V, ylim=_B)
    rises = sum(after > before for before, after in zip(losses, losses[1:], strict=False))
    return (f"with α = {alpha:g} the loss goes from {losses[0]:.3f} to {losses[-1]:.3f} in {steps} steps, "
            + (f"and {rises} of them go up" if rises else "always down"))


def show_descents(X, y) -> None:
    """Forty steps down the landscape with a small, a good and a large step size: what the slider shows, without a slider."""
    fig, axes = plots.figure(1, 3, size=(10.2, 4.1), sharey=True)
    texts = []
    for ax, alpha in zip(axes, (0.3, 3, 15), strict=True):
        texts.append(_draw_descent(ax, X, y, alpha))
        ax.set_title(f"α = {alpha:g}")
        ax.label_outer()
    plots.show(fig, "Forty steps of gradient descent from the black square, v = b = 0: " + "; ".join(texts) + ".")


def descent_slider(X, y) -> None:
    """A slider for the step size, where the notebook runs in a browser."""
    def draw(alpha):
        fig, ax = plots.figure(size=(5.4, 4.2))
        text = _draw_descent(ax, X, y, alpha)
        return fig, text[0].upper() + text[1:]

    widgets.sliders(draw, alpha=(0.25, 20.0, 3.0, 0.25))


# ---------------------------------------------------------------------------------------------- figures: the derivation

def show_prime() -> None:
    """The sigmoid and its derivative."""
    h = np.linspace(-7, 7, 300)
    fig, ax = plots.figure(size=(6.2, 3.2))
    ax.plot(h, sigmoid(h), label="σ(h)")
    ax.plot(h, _prime(h), "--", label="σ'(h) = σ(h)(1 − σ(h))")
    ax.plot(0, 0.25, "o", color=plots.BLACK)
    ax.annotate("0.25 at h = 0", (0, 0.25), xytext=(10, 8), textcoords="offset points")
    ax.set(xlabel="score h", yticks=[0, 0.25, 0.5, 0.75, 1])
    plots.legend(ax, outside=True)
    plots.show(fig, "The sigmoid rises from 0 to 1. Its derivative, dashed, is a bell of height 0.25 at h = 0 that is almost 0 "
                    "beyond h = ±6.")


def show_cancellation() -> None:
    """Why the score gets a clean message: the two factors for y = 1, and their product, with the squared error beside it."""
    h = np.linspace(-6, 6, 300)
    p = sigmoid(h)
    fig, (left, right) = plots.figure(1, 2, size=(9.6, 3.5))
    left.plot(h, -1 / p, "--", label="∂E/∂ŷ = −1/ŷ")
    left.plot(h, _prime(h), ":", linewidth=2.5, label="∂ŷ/∂h = σ'(h)")
    left.plot(h, p - 1, color=plots.BLACK, linewidth=2.5, label="product: ŷ − 1")
    left.set(ylim=(-6, 1), xlabel="score h of a point with y = 1", title="cross-entropy: two factors")
    plots.legend(left, loc="lower right")
    right.plot(h, p - 1, color=plots.BLACK, linewidth=2.5, label="cross-entropy: ŷ − 1")
    right.plot(h, (p - 1) * _prime(h), "--", color=plots.RED, label="squared error: (ŷ − 1) σ'(h)")
    right.set(xlabel="score h of a point with y = 1", title="∂E/∂h for two losses", ylim=(-1.05, 0.25))
    plots.legend(right, loc="lower right")
    plots.show(fig, "Left, for y = 1: one factor runs to minus infinity where the other runs to 0, and their product ŷ − 1 stays between "
                    "−1 and 0. Right: with squared error the factor σ' stays, so that a point at h = −6, sure and wrong, "
                    "gets almost no message.")


# ---------------------------------------------------------------------------------------------- figures: descent on points

def _field(ax, score, xlim, ylim, alpha=0.55) -> None:
    """Tint the plane by the probability of class 1, with a line at one half. ``score(points)`` maps (n, 2) to (n,)."""
    xx, yy = np.meshgrid(np.linspace(*xlim, 120), np.linspace(*ylim, 120))
    p = sigmoid(score(np.column_stack([xx.ravel(), yy.ravel()]))).reshape(xx.shape)
    ax.contourf(xx, yy, p, levels=np.linspace(0, 1, 11), cmap=plots.DIVERGING, alpha=alpha, zorder=0)
    if p.min() < 0.5 < p.max():
        ax.contour(xx, yy, p, levels=[0.5], colors=[plots.BLACK], linewidths=2, zorder=2)
    ax.set(xlim=xlim, ylim=ylim, xlabel="x1", ylabel="x2", aspect="equal")
    ax.grid(False)


def show_three_epochs(X, y, lines) -> None:
    """The probabilities of three lines over the points.

    Args: X (n, 2), y (n,); lines, three tuples (title, w, b).
    """
    fig, axes = plots.figure(1, 3, size=(10.2, 4.0), sharey=True)
    texts = []
    for ax, (title, w, b) in zip(axes, lines, strict=True):
        _field(ax, lambda points, w=w, b=b: points @ w + b, (-0.05, 1.05), (-0.05, 1.05))
        plots.classes(ax, X, y, size=26)
        accuracy = np.mean((X @ w + b >= 0) == (y == 1))
        texts.append(f"{title}: {accuracy:.0%} right")
        ax.set_title(texts[-1])
        ax.label_outer()
    plots.show(fig, "The 100 points, and the probability of class 1 as a tint from red over white to blue, with a line at one half. "
                    + "; ".join(texts) + ".")


def show_history(curves, accuracy=None, base=None, title="") -> None:
    """Loss histories, with the accuracy below where it is given.

    Args: curves, a dict name -> losses; accuracy (epochs + 1,) of one of them or None; base, a loss to beat, or None.
    """
    fig, axes = plots.figure(1 + (accuracy is not None), 1, size=(6.6, 4.4 if accuracy is not None else 3.2), sharex=True, squeeze=False)
    top = axes[0, 0]
    for (name, losses), style in zip(curves.items(), ("-", "--", ":", "-."), strict=False):
        top.plot(losses, style, label=name, linewidth=2)
    if base is not None:
        top.axhline(base, color=plots.GREY, linestyle="--", label=f"always the base rate: {base:.4f}")
    top.set(ylabel="loss E", title=title)
    if len(curves) > 1 or base is not None:
        plots.legend(top)
    if accuracy is not None:
        axes[1, 0].plot(accuracy, color=plots.GREEN)
        axes[1, 0].set(ylabel="accuracy", ylim=(0, 1.02))
    axes[-1, 0].set_xlabel("epoch")
    ends = "; ".join(f"{name}: from {losses[0]:.3f} to {losses[-1]:.3f}" for name, losses in curves.items())
    also = "" if accuracy is None else f" Below, the accuracy, from {accuracy[0]:.2f} to {accuracy[-1]:.2f}."
    also += "" if base is None else f" A dashed line marks {base:.4f}, the loss of always answering the base rate."
    plots.show(fig, f"Loss over {max(len(c) for c in curves.values()) - 1:,} epochs. {ends}.{also}")


# ---------------------------------------------------------------------------------------------- figures: admissions

def show_admissions(table) -> None:
    """Share of admitted applicants by rank, and the applicants by score and grades.

    Args: table, what data.admissions returns.
    """
    fig, (left, right) = plots.figure(1, 2, size=(9.4, 3.6), width_ratios=(1, 1.4))
    shares = [table.admit[table.rank == k].mean() for k in (1, 2, 3, 4)]
    bars = left.bar(["1", "2", "3", "4"], shares, color=plots.BLUE)
    left.bar_label(bars, [f"{share:.3f}" for share in shares], padding=2)
    rate = table.admit.mean()
    left.axhline(rate, color=plots.BLACK, linestyle="--", linewidth=1.5)
    left.text(3.45, rate + 0.01, f"all: {rate:.4f}", ha="right")
    left.set(xlabel="rank of the school", ylabel="share admitted", ylim=(0, 0.65))
    plots.classes(right, np.column_stack([table.gre, table.gpa]), table.admit, ("rejected", "admitted"), size=28)
    right.set(xlabel="GRE score (220 to 800)", ylabel="GPA (up to 4.0)")
    plots.legend(right, outside=True)
    plots.show(fig, "Left: the share of admitted applicants falls with the rank of the school, "
                    + ", ".join(f"{share:.3f}" for share in shares)
                    + f"; over all it is {rate:.4f}. Right: by score and grades, admitted and rejected lie thoroughly mixed.")


def show_base_rate(losses, base_loss, accuracies, base_accuracies, test_losses, base_losses) -> None:
    """Accuracy hides, the loss shows: test accuracy and test loss of many splits beside their base rates, and one training.

    Args: losses (epochs + 1,), on the training rows; base_loss; the other four (splits,), on the test rows.
    """
    fig, axes = plots.figure(1, 3, size=(10.6, 3.6))
    for ax, kind, model, base, name in ((axes[0], "accuracy", accuracies, base_accuracies, "always no"),
                                        (axes[1], "loss", test_losses, base_losses, "base rate")):
        model, base = np.asarray(model), np.asarray(base)
        order, places = np.argsort(model, kind="stable"), np.arange(len(model))
        ax.plot(places, base[order], "X", color=plots.RED, label=f"{name}, mean {base.mean():.3f}")
        ax.plot(places, model[order], "o", color=plots.BLUE, label=f"model, mean {model.mean():.3f}")
        low, high = min(model.min(), base.min()), max(model.max(), base.max())
        ax.set(xlabel=f"{len(model)} splits, sorted by the model", ylabel=f"TEST {kind}", xticks=[],
               ylim=(low - 0.1 * (high - low), high + 0.4 * (high - low)))
        plots.legend(ax, loc="upper left")
    axes[0].set_title("accuracy hides")
    axes[1].set_title("the loss shows")
    axes[2].plot(losses, color=plots.BLUE, linewidth=2, label=f"model, at the end {losses[-1]:.3f}")
    axes[2].axhline(base_loss, color=plots.RED, linestyle="--", label=f"base rate, {base_loss:.3f}")
    axes[2].set(xlabel="epoch", ylabel="TRAINING loss", title="one training")
    plots.legend(axes[2], loc="upper right")
    plots.show(fig, f"Left: test accuracy in {len(accuracies)} random splits; circles for the model, mean {np.mean(accuracies):.4f}, and crosses "
                    f"for always answering no, mean {np.mean(base_accuracies):.4f}, lie mixed. Middle: test loss in the same splits; "
                    f"the model's mean is {np.mean(test_losses):.3f}, that of always answering the training rows' rate "
                    f"{np.mean(base_losses):.3f}. Right: one training, whose loss on the training rows falls from {losses[0]:.4f} "
                    f"to {losses[-1]:.4f}; always the base rate costs {base_loss:.4f}.")


# ---------------------------------------------------------------------------------------------- figures: networks

_MODEL_1, _MODEL_2 = (np.array([3.0, 0.4]), -1.0), (np.array([-0.6, 3.0]), -1.0)


def show_adding_models() -> None:
    """Two linear models, the straight line between them, and the curve that it is between the points."""
    fig, axes = plots.figure(1, 3, size=(10.4, 3.7))
    lim = (-2.0, 2.5)
    (w1, b1), (w2, b2) = _MODEL_1, _MODEL_2
    axes[0].set(xlim=lim, ylim=lim, xlabel="x1", ylabel="x2", aspect="equal", title="two models, two lines")
    plots.line(axes[0], w1, b1, color=plots.BLUE)
    plots.line(axes[0], w2, b2, color=plots.GREEN, linestyle="--")
    axes[0].text(0.75, -1.6, "P1 = 0.5", color=plots.BLUE)
    axes[0].text(-1.9, -0.6, "P2 = 0.5", color=plots.GREEN)
    square = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], float)
    _field(axes[1], lambda p: p @ np.array([7, 5]) - 6, (-0.2, 1.2), (-0.2, 1.2))
    plots.classes(axes[1], square, square @ np.array([7, 5]) - 6 >= 0, size=90)
    axes[1].plot(0.7, 0.8, "*", color=plots.BLACK, markersize=15)
    axes[1].annotate("(0.7, 0.8)", (0.7, 0.8), xytext=(-12, -17), textcoords="offset points")
    axes[1].set(xlabel="P1", ylabel="P2", title="between the models: a line")

    def combined(points):
        return 7 * sigmoid(points @ w1 + b1) + 5 * sigmoid(points @ w2 + b2) - 6

    _field(axes[2], combined, lim, lim)
    axes[2].set_title("between the points: a curve")
    plots.show(fig, "Left: the lines of two models. Middle: the plane of their answers P1 and P2, where 7 P1 + 5 P2 = 6 is a straight "
                    "line; of the four corners, (1,0) and (1,1) lie on its blue side, and so does (0.7, 0.8), a star. "
                    "Right: the same boundary among the points themselves is a curve.")


def _node(ax, x, y, text, color="white", radius=0.33, size=10.5) -> None:
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), radius, facecolor=color, edgecolor=plots.BLACK, linewidth=1.4, zorder=3))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=4)


def _edge(ax, start, end, text="", at=0.5, color=plots.BLUE) -> None:
    ax.plot(*zip(start, end, strict=True), color=plots.GREY, linewidth=1.2, zorder=1)
    if text:
        x, y = (s + at * (e - s) for s, e in zip(start, end, strict=True))
        ax.text(x, y, text, ha="center", va="center", color=color, fontweight="bold", fontsize=10,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, zorder=2)


def show_network() -> None:
    """The 2-2-1 network of the lesson with the values for the point (1, 1)."""
    x = np.array([1.0, 1.0])
    before = x @ W1_STORY[:-1] + W1_STORY[-1]
    hidden, y_hat = _feedforward(x[None], W1_STORY, W2_STORY)
    fig, ax = plots.figure(size=(8.6, 3.9))
    ax.set(xlim=(-1.3, 8.3), ylim=(-2.4, 2.1), aspect="equal")
    ax.set_axis_off()
    inputs, units, output = [(0, 1.3), (0, -0.3), (0, -1.9)], [(3, 1.3), (3, -0.3), (3, -1.9)], (6, 0.5)
    for place, text in zip(inputs, ("1", "1", "1"), strict=True):
        _node(ax, *place, text, plots.YELLOW if place[1] < -1 else "white")
    for place, text in zip(inputs, ("x1", "x2", "bias"), strict=True):
        ax.text(place[0] - 0.45, place[1], text, ha="right", va="center")
    for k, unit in enumerate(units[:2]):
        for i, place in enumerate(inputs):
            _edge(ax, place, unit, plots.number(W1_STORY[i, k]), at=0.25 if k == 0 else 0.62)
        _node(ax, *unit, f"{hidden[0, k]:.3f}", plots.SKY)
        ax.text(unit[0] + 0.05, unit[1] + 0.42, f"h{k + 1} = {plots.number(before[k])}", ha="center")
    _node(ax, *units[2], "1", plots.YELLOW)
    for k, unit in enumerate(units):
        _edge(ax, unit, output, plots.number(W2_STORY[k, 0]), at=0.5)
    _node(ax, *output, f"{y_hat[0]:.3f}", plots.SKY)
    ax.text(6.5, 0.5, f"ŷ = {y_hat[0]:.5f}", va="center")
    plots.show(fig, f"The 2-2-1 network for x = (1, 1). The hidden scores are {before[0]:g} and {before[1]:g}, the hidden values "
                    f"{hidden[0, 0]:.3f} and {hidden[0, 1]:.3f}; with the weights 7, 5 and the bias −6 the output is {y_hat[0]:.5f}. Yellow nodes "
                    "are always 1 and carry the biases.")


def show_architectures() -> None:
    """Four ways to grow a network."""
    fig, axes = plots.figure(1, 4, size=(10.2, 2.3))
    kinds = [("more hidden units", (2, 3, 1), ["out"]), ("more inputs", (3, 3, 1), ["out"]),
             ("more outputs", (2, 3, 3), ["cat", "dog", "bird"]), ("more layers: deep", (2, 3, 3, 1), ["out"])]
    for ax, (title, layers, names) in zip(axes, kinds, strict=True):
        width = 1.5 if len(layers) == 3 else 1.0
        places = [[(column * width, (n - 1) / 2 - k) for k in range(n)] for column, n in enumerate(layers)]
        for left, right in zip(places, places[1:], strict=False):
            for start in left:
                for end in right:
                    _edge(ax, start, end)
        for column, layer in enumerate(places):
            for place in layer:
                _node(ax, *place, "", "white" if column == 0 else plots.SKY, radius=0.2)
        for place, name in zip(places[-1], names, strict=True):
            if len(names) > 1:
                ax.text(place[0] + 0.3, place[1], name, va="center")
        ax.set(xlim=(-0.4, 4.1), ylim=(-1.4, 1.4), aspect="equal", title=title)
        ax.set_axis_off()
    plots.show(fig, "Four small networks. More hidden units: three lines, which can enclose a triangle. More inputs: planes in place of "
                    "lines. More outputs: cat, dog and bird share the early layer. More layers: curves of curves.")


def triangle_points(n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of the square [-1, 1] x [-1, 1]: label 1 inside a triangle, 0 outside, none close to its sides.

    Returns X (n, 2), y (n,) int.
    """
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (4 * n, 2))
    angles = np.pi / 2 + 2 * np.pi * np.arange(3) / 3
    inside = 0.42 - (X @ np.array([-np.cos(angles), -np.sin(angles)])).max(axis=1)  # the distance to the nearest side
    X, inside = X[np.abs(inside) > 0.06], inside[np.abs(inside) > 0.06]
    return X[:n], (inside[:n] > 0).astype(int)


def _draw_bend(ax, X, y, W1, W2) -> float:
    def score(points):
        return sigmoid(points @ W1[:-1] + W1[-1]) @ W2[:-1, 0] + W2[-1, 0]

    _field(ax, score, (-1.1, 1.1), (-1.1, 1.1), alpha=0.35)
    ax.scatter(*X[y == 1].T, s=22, marker="o", color=plots.BLUE, zorder=3)
    ax.scatter(*X[y == 0].T, s=20, marker="x", color=plots.RED, linewidth=1.3, zorder=3)
    return float(np.mean((score(X) >= 0) == (y == 1)))


def show_bends(X, y, networks) -> None:
    """The boundary of networks with more and more hidden units.

    Args: X (n, 2), y (n,); networks, a dict number of units -> (W1, W2).
    """
    fig, axes = plots.figure(1, len(networks), size=(2.75 * len(networks), 3.3), sharey=True)
    texts = []
    for ax, (units, (W1, W2)) in zip(axes, networks.items(), strict=True):
        accuracy = _draw_bend(ax, X, y, W1, W2)
        texts.append(f"{units} unit{'s' * (units > 1)}: {accuracy:.0%} right")
        ax.set_title(texts[-1], fontsize=11)
        ax.label_outer()
    plots.show(fig, "Points inside a triangle (blue circles) and outside (red crosses), and the boundary that a network draws. It bends as "
                    "hidden units are added. " + "; ".join(texts) + ".")


def units_slider(X, y, train) -> None:
    """A slider for the number of hidden units, where the notebook runs in a browser.

    Args: X (n, 2), y (n,); train, a function of the number of units that returns (W1, W2).
    """
    kept = {}

    def draw(units):
        units = int(units)
        if units not in kept:
            kept[units] = train(units)
        fig, ax = plots.figure(size=(4.4, 4.0))
        accuracy = _draw_bend(ax, X, y, *kept[units])
        return fig, f"{units} hidden unit{'s' * (units > 1)}: {accuracy:.0%} of the points are right"

    widgets.sliders(draw, units=(1, 10, 3, 1))


def show_xor(W1, W2) -> None:
    """What a trained network says of the four corners.

    Args: W1 (3, h), W2 (h + 1, 1).
    """
    corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], float)
    _, y_hat = _feedforward(corners, W1, W2)
    fig, ax = plots.figure(size=(4.9, 3.9))
    _field(ax, lambda p: sigmoid(p @ W1[:-1] + W1[-1]) @ W2[:-1, 0] + W2[-1, 0], (-0.5, 1.5), (-0.5, 1.5))
    plots.classes(ax, corners, np.array([0, 1, 1, 0]), size=130)
    plots.legend(ax, outside=True)
    ax.set(xticks=[0, 1], yticks=[0, 1])
    said = ", ".join(f"({a:g},{b:g}) gets {p:.2f}" for (a, b), p in zip(corners, y_hat, strict=True))
    plots.show(fig, f"The four corners of XOR and the probabilities of the trained network: {said}. A single line could not part them.")


# ---------------------------------------------------------------------------------------------- figures: the computational graph

def _short(value, digits: int = 3) -> str:
    """One row of numbers a line, rounded."""
    rows = np.atleast_2d(np.asarray(value, float))
    return "\n".join(", ".join(f"{v:.{digits}f}".replace("-", "−") for v in row) for row in rows)


def draw_graph(values: dict, gradients: dict):
    """The graph x -> L1 -> sigmoid -> L2 -> loss: values above each edge, gradients below; returns (figure, text).

    Args: values and gradients of "x", "h", "a", "s", "E" along the edges and of "W1", "b1", "W2", "b2", for one point.
    """
    from matplotlib.patches import FancyBboxPatch

    fig, ax = plots.figure(size=(10.4, 4.0))
    ax.set(xlim=(0.0, 14.5), ylim=(-3.45, 2.2))
    ax.set_axis_off()
    boxes = {"L1": 2.9, "σ": 5.9, "L2": 8.9, "loss": 11.9}
    for name, x in boxes.items():
        ax.add_patch(FancyBboxPatch((x - 0.45, -0.42), 0.9, 0.84, boxstyle="round,pad=0.08", facecolor=plots.SKY,
                                    edgecolor=plots.BLACK, zorder=3))
        ax.text(x, 0, name, ha="center", va="center", fontsize=13, zorder=4)
    edges = {"x": (0.6, 2.3), "h": (3.5, 5.3), "a": (6.5, 8.3), "s": (9.5, 11.3), "E": (12.5, 13.9)}
    for name, (left, right) in edges.items():
        arrow = {"arrowstyle": "-|>", "color": plots.BLACK, "linewidth": 1.3}
        ax.annotate("", (right, 0), (left, 0), arrowprops=arrow)
        middle = (left + right) / 2
        ax.text(middle, 0.75, f"{name}\n{_short(values[name])}", ha="center", va="bottom", color=plots.BLUE, fontsize=10)
        ax.text(middle, -0.75, f"d{name}\n{_short(gradients[name])}", ha="center", va="top", color=plots.RED, fontsize=10)
    for node, names in (("L1", ("W1", "b1")), ("L2", ("W2", "b2"))):
        x = boxes[node]
        ax.annotate("", (x, -0.52), (x, -1.75), arrowprops={"arrowstyle": "-|>", "color": plots.BLACK, "linewidth": 1.3})
        ax.text(x - 0.1, -1.9, "\n".join(f"{n}\n{_short(values[n], 1)}" for n in names), ha="right", va="top",
                color=plots.BLUE, fontsize=9.5)
        ax.text(x + 0.1, -1.9, "\n".join(f"d{n}\n{_short(gradients[n])}" for n in names), ha="left", va="top",
                color=plots.RED, fontsize=9.5)
    ax.text(0.6, 1.9, "values, left to right  →", color=plots.BLUE, fontweight="bold", fontsize=11)
    ax.text(13.9, 1.9, "←  gradients, right to left", color=plots.RED, fontweight="bold", fontsize=11, ha="right")
    one = {name: _short(values[name]) for name in edges}
    back = {name: _short(gradients[name]) for name in edges}
    text = (f"Above the edges the values: x = ({one['x']}), h = ({one['h']}), a = ({one['a']}), s = {one['s']}, E = {one['E']}. Below, from "
            f"right to left, the derivative of E by each: dE = {back['E']}, ds = {back['s']}, da = ({back['a']}), "
            f"dh = ({back['h']}), dx = ({back['x']}). W1, b1, W2 and b2 come in from below, with gradients of their own shapes.")
    return fig, text


def show_graph(values: dict, gradients: dict) -> None:
    """Show the graph of ``draw_graph``."""
    fig, text = draw_graph(values, gradients)
    plots.show(fig, text)


def graph_sliders(run) -> None:
    """Sliders for the two inputs, where the notebook runs in a browser.

    Args: run, a function of X (1, 2) that returns (values, gradients) for ``draw_graph``.
    """
    widgets.sliders(lambda x1, x2: draw_graph(*run(np.array([[x1, x2]]))), x1=(-4, 4, 1, 0.5), x2=(-8, 8, 2, 0.5))


# ---------------------------------------------------------------------------------------------- figures: gradient check, second loss

def show_v_curve(eps, central, forward) -> None:
    """The error of two numerical derivatives for each step size.

    Args: eps, central, forward (n,) step sizes and absolute errors.
    """
    fig, ax = plots.figure(size=(6.6, 3.8))
    tiny = 1e-17
    ax.loglog(eps, np.maximum(forward, tiny), "s--", color=plots.RED, markersize=4, label="forward: one side")
    ax.loglog(eps, np.maximum(central, tiny), "o-", color=plots.BLUE, markersize=4, label="central: both sides")
    ax.axvline(1e-5, color=plots.GREY, linestyle=":")
    ax.annotate("the default, 1e−5", (1e-5, 2e-3), xytext=(-4, 0), textcoords="offset points", ha="right", fontsize=9.5)
    ax.set(xlabel="eps", ylabel="absolute error", xticks=[1e-13, 1e-11, 1e-9, 1e-7, 1e-5, 1e-3, 1e-1])
    plots.legend(ax, outside=True)
    plots.show(fig, "Error of the numerical derivative of sin at 1 against eps, both axes logarithmic. Each curve is a V: on the right the "
                    "error falls as eps shrinks, faster for the central difference; on the left rounding makes it grow again.")


def show_hinge() -> None:
    """Hinge loss and cross-entropy against the lead of the right class."""
    lead = np.linspace(-3, 4, 300)
    fig, ax = plots.figure(size=(6.4, 3.3))
    ax.plot(lead, np.maximum(0, 1 - lead), linewidth=2.5, label="hinge, margin 1")
    ax.plot(lead, np.logaddexp(0, -lead), "--", linewidth=2, label="cross-entropy")
    ax.axvline(1, color=plots.GREY, linestyle=":")
    ax.annotate("margin met:\nsatisfied", (1, 2.6), xytext=(6, 0), textcoords="offset points")
    ax.set(xlabel="lead of the right class, score minus score", ylabel="loss")
    plots.legend(ax, outside=True)
    plots.show(fig, "Two losses against the lead of the right class over one wrong class. The hinge loss falls along a straight line and is "
                    "exactly 0 from a lead of 1 on. Cross-entropy falls along a curve and never reaches 0.")
