"""Lesson 07, from fitting to generalizing: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import tempfile
from pathlib import Path

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import describe, is_tensor

_show = functools.partial(plots.show, dpi=80)  # two dozen figures: the notebook must stay small
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


def _cpu(values) -> np.ndarray:
    """Numbers of a tensor on any device, or of anything array-like."""
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)


def _fill(model, seed: int, scale: float = 1.0):
    """The same weights and biases for everybody, other than 0 and without a pattern; returns the model."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float32))
    return model


def _normal(shape, seed: int):
    """Random numbers, the same in every precision, of torch's default one."""
    import torch

    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    return numbers.to(torch.get_default_dtype())


# ---------------------------------------------------------------------------------------------- 07.1 penalty

def _two_layers():
    from torch import nn

    return _fill(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), seed=71).to(devices.device())


def _with_convolution():
    from torch import nn

    return _fill(nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(5, 2)), seed=72).to(devices.device())


_PENALTIES = (("a 4-3-2 network", _two_layers, 0.1, 0.0), ("a 4-3-2 network", _two_layers, 0.0, 0.3),
              ("a convolution, batch normalization and a 5-2 layer", _with_convolution, 0.2, 0.05))


def _observe_penalty(penalty, see):
    for name, build, l1, l2 in _PENALTIES:
        asked, model = f"{name}, l1={l1}, l2={l2}", build()
        got = see.call(penalty, model, l1, l2, label=asked, changes_inputs=True, rtol=1e-5)
        flows = is_tensor(got) and got.requires_grad and got.ndim == 0
        see.fact(f"{asked}: can be differentiated", "yes" if flows else "no", implied="yes")
        if not flows:
            return
        got.backward()
        for place, parameter in enumerate(model.parameters()):
            what = "weights" if parameter.ndim > 1 else "biases"
            gradient = parameter.grad if parameter.grad is not None else parameter.detach() * 0  # none is as good as zero
            see.fact(f"{asked}: its gradient for the {what} of layer {place // 2 + 1}", gradient, rtol=1e-5)


def _reference_penalty(model, l1=0.0, l2=0.0):
    """By torch's own norms of all weights in one row."""
    import torch

    row = torch.cat([layer.weight.flatten() for layer in model if hasattr(layer, "weight") and layer.weight.ndim > 1])
    return l1 * torch.linalg.vector_norm(row, 1) + l2 * torch.linalg.vector_norm(row, 2) ** 2


def _penalty_with(model, l1, l2, *, biases=False, square=lambda w: w * w, axes=(2, 4), mean=False):
    """The right answer with one part changed, for the mistakes below."""
    return sum((l1 * w.abs().sum() + l2 * square(w).sum()) / (w.numel() if mean else 1)
               for w in model.parameters() if biases or w.ndim in axes)


def _first_value(facts) -> float:
    return float(facts["a 4-3-2 network, l1=0.0, l2=0.3"])


def _norms(power: float) -> float:
    """0.3 times the L2 norm of each weight matrix, or of all weights together (power 0.5 outside the sum)."""
    squares = [float((w.detach() ** 2).sum()) for w in _two_layers().parameters() if w.ndim > 1]
    return 0.3 * (math.sqrt(sum(squares)) if power else sum(map(math.sqrt, squares)))


penalty = Exercise(
    "07.1", "penalty",
    observe=_observe_penalty,
    expected=_reference_penalty,
    mistakes=[
        Mistake("The value is too large by the bias part: leave the biases out, they only shift.",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model, l1, l2, biases=True)),
        Mistake("There is no gradient: the penalty would change nothing. Stay with tensors, without item() and detach().",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model, l1, l2).item(),
                when=lambda facts: facts["a 4-3-2 network, l1=0.1, l2=0.0: can be differentiated"] == "no"
                and np.isclose(float(facts["a 4-3-2 network, l1=0.1, l2=0.0"]), float(_cpu(_penalty_with(_two_layers(), 0.1, 0.0))))),
        Mistake("L2 sums squares: this is the signed sum or the norm.",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model, l1, l2, square=lambda w: w),
                when=lambda facts: any(np.isclose(_first_value(facts), _norms(power)) for power in (0, 0.5))),
        Mistake("The value matches with the two arguments exchanged: l1 belongs to the absolute values, l2 to the squares.",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model, l2, l1)),
        Mistake("The weights of batch normalization are among yours. They have one axis, like biases, and only scale: ask for `dim() > 1`, not for a name.",
                lambda model, l1=0.0, l2=0.0: sum(l1 * w.abs().sum() + l2 * (w * w).sum()
                                                  for name, w in model.named_parameters() if "weight" in name)),
        Mistake("Only linear layers count in yours. A convolution has weights too: ask each parameter for its axes.",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model, l1, l2, axes=(2,))),
        Mistake("Only the first weight matrix counts in yours: add up all of them.",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model[:1], l1, l2)),
        Mistake("The mean of each matrix, not the sum: a large layer would pay no more than a small one.",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model, l1, l2, mean=True)),
        Mistake("L1 adds up absolute values: yours cancel each other.",
                lambda model, l1=0.0, l2=0.0: sum(l1 * w.sum() + l2 * (w * w).sum() for w in model.parameters() if w.ndim > 1)),
        Mistake("The squares are halved. Some books do that; here the price is l2 times the sum itself.",
                lambda model, l1=0.0, l2=0.0: _penalty_with(model, l1, l2 / 2)),
    ],
    hints=[
        "Add up one number for every weight matrix.",
        "`model.parameters()` yields weights and biases; `p.dim() > 1` tells them apart.",
        "`sum(l1 * p._().sum() + l2 * (p ** _).sum() for p in ... if _)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 07.2 dropout

_CASES = (((300, 400), 0.2), ((250, 410), 0.5))


def _activations(shape):
    return 3 + _normal(shape, seed=sum(shape))


def _generator(seed: int):
    import torch

    return torch.Generator().manual_seed(seed)


def _share(value: float, asked: float) -> str:
    """A share of elements, where a hundredth more or less is luck."""
    return f"{asked:g}, give or take 0.01" if abs(value - asked) <= 0.01 else f"about {value:.1f}"


def _observe_dropout(dropout, see):
    import torch

    for shape, p in _CASES:
        asked = f"dropout(x {shape}, p={p}, training=True, generator)"
        x = _activations(shape)
        torch.manual_seed(1)
        got = see.call(dropout, x, p, True, _generator(5), label=asked, record=False, asks="a tensor")
        fits = is_tensor(got) and got.shape == x.shape and got.dtype == x.dtype
        see.fact(f"{asked} returns", f"{describe(x)}" if fits else describe(got))
        if not fits:
            return
        kept = got != 0
        see.fact(f"{asked}: share of zeros", _share(1 - kept.float().mean().item(), p))
        see.fact(f"{asked}: the others, as multiples of x", _factors(got[kept] / x[kept]))
        see.fact(f"{asked}: rows with the mask of the first row", int((kept == kept[:1]).all(1).sum()) - 1)
        see.fact(f"{asked}: columns with the mask of the first column", int((kept == kept[:, :1]).all(0).sum()) - 1)
        torch.manual_seed(2)
        again = see.call(dropout, x, p, True, _generator(5), label=f"{asked} again", record=False, asks="a tensor")
        see.fact(f"{asked}: generators with the same seed", "the same mask" if torch.equal(again != 0, kept) else "another mask")
    _observe_switches(dropout, _activations((7, 5)), see)


def _observe_switches(dropout, x, see) -> None:
    """On a small input: evaluation, p = 0, a new mask in each call, and the way back."""
    import torch

    see.call(dropout, x, 0.4, False, label="dropout(x (7, 5), p=0.4, training=False)")
    see.call(dropout, x, 0.0, True, label="dropout(x (7, 5), p=0, training=True)")
    one, two = (see.call(dropout, x, 0.4, True, label=f"dropout(x (7, 5), p=0.4, training=True), call {n}", record=False, asks="a tensor")
                for n in (1, 2))
    see.fact("two calls without a generator", "another mask" if not torch.equal(one != 0, two != 0) else "the same mask")
    x.requires_grad_(True)
    out = see.call(dropout, x, 0.4, True, _generator(8), label="dropout(x with gradient, p=0.4)", record=False, asks="a tensor",
                   changes_inputs=True)
    if out.requires_grad:
        out.sum().backward()
        see.fact("gradient for x", "that of x times the same mask" if torch.allclose(x.grad * x, out, rtol=1e-4) else "another one")
    else:
        see.fact("gradient for x", "none")


def _factors(ratios) -> str:
    values = sorted({round(float(v), 3) for v in ratios.flatten()[:2000]})
    return ", ".join(f"{v:g}" for v in values[:3]) if values else "there are none"


def _reference_dropout(x, p, training, generator=None):
    import torch

    if not training:
        return x
    return x * torch.bernoulli(torch.full(x.shape, 1 - p), generator=generator).div(1 - p)


def _dropout_with(x, p, *, keep=None, factor=None, generator=None):
    import torch

    keep = keep if keep is not None else 1 - p
    return torch.where(torch.rand(x.shape, generator=generator) < keep, x * (1 / (1 - p) if factor is None else factor), x * 0)


def _dropout_by_normal(x, p, training, generator=None):
    import torch

    return x * (torch.randn(x.shape, generator=generator) >= p) / (1 - p) if training else x


_FIRST = "dropout(x (300, 400), p=0.2, training=True, generator)"

dropout = Exercise(
    "07.2", "dropout",
    observe=_observe_dropout,
    expected=_reference_dropout,
    mistakes=[
        Mistake("Not rescaled: the mean shrinks by the factor 1-p. Divide what is left by the share that is left.",
                lambda x, p, training, generator=None: _dropout_with(x, p, factor=1, generator=generator) if training else x,
                when=lambda facts: facts[f"{_FIRST}: the others, as multiples of x"] == "1"),
        Mistake("Dropout is active at evaluation: training=False must return x unchanged.",
                lambda x, p, training, generator=None: _dropout_with(x, p, generator=generator),
                when=lambda facts: bool((facts["dropout(x (7, 5), p=0.4, training=False)"] == 0).any())),
        Mistake("There are 80 % zeros for p = 0.2: p is the share to drop, you drop 1-p.",
                lambda x, p, training, generator=None: _dropout_with(x, p, keep=p, generator=generator) if training else x,
                when=lambda facts: facts[f"{_FIRST}: share of zeros"] == "about 0.8"),
        Mistake("Survivors are multiplied by 1/(1-p), not 1/p.",
                lambda x, p, training, generator=None: _dropout_with(x, p, factor=1 / max(p, 1e-9), generator=generator)
                if training else x,
                when=lambda facts: facts[f"{_FIRST}: the others, as multiples of x"] == "5"),
        Mistake("Whole rows or columns go together: every element gets its own random number, so the mask has the shape of x.",
                lambda x, p, training, generator=None: _dropout_with(x[:, :1] * 0 + 1, p, generator=generator) * x if training else x,
                when=lambda facts: facts[f"{_FIRST}: rows with the mask of the first row"] > 50
                or facts[f"{_FIRST}: columns with the mask of the first column"] > 50),
        Mistake("Two generators with the same seed give two masks: the random numbers do not come from `generator`. Pass it on.",
                lambda x, p, training, generator=None: _dropout_with(x, p) if training else x,
                when=lambda facts: facts.get(f"{_FIRST}: generators with the same seed") == "another mask"),
        Mistake("`randn` draws from the normal distribution, and half of its numbers are negative. `rand` is uniform in 0..1.",
                _dropout_by_normal, when=lambda facts: facts[f"{_FIRST}: share of zeros"] in {"about 0.6", "about 0.4"}),
    ],
    hints=[
        "The expectation must stay: what is left speaks louder.",
        "A mask of the same shape: `torch.rand(x.shape, generator=generator) >= p`.",
        "`return x * mask / (_)`, and something simpler if not training.",
    ],
)


# ---------------------------------------------------------------------------------------------- 07.3 EarlyStopping

_NAN = float("nan")
_SEQUENCES = (
    ((2,), (1.0, 0.8, 0.9, 0.7, 0.75, 0.72, 0.74, 0.6, 0.65)),
    ((3, 0.1), (1.0, 0.95, 0.85, 0.8, 0.78, 0.74, 0.9, 0.65, 0.7, 0.71)),
    ((3,), (1.0, 0.5, 0.9, 0.8, 0.7, 0.6)),
    ((2,), (_NAN, 2.0, _NAN, 1.5, _NAN, _NAN)),
    ((2,), (_NAN, _NAN, 0.9, 0.8)),
    ((2,), (-0.5, -0.9, -0.9, -0.9)),
)


def _observe_stopping(EarlyStopping, see):
    for arguments, losses in _SEQUENCES:
        asked = f"patience={arguments[0]}" + (f", min_delta={arguments[1]}" if arguments[1:] else "") \
                + f", losses {', '.join(f'{loss:g}' for loss in losses)}"
        stopper = see.call(EarlyStopping, *arguments, label=asked, record=False, asks="an EarlyStopping")
        other = see.call(EarlyStopping, 1, label=f"{asked}: another one", record=False, asks="an EarlyStopping")
        answers = []
        for place, loss in enumerate(losses):
            answers.append(see.call(stopper.step, loss, label=f"{asked}: step number {place}", record=False, asks="True or False"))
            if place == 1:  # another object in between must not disturb
                see.call(other.step, 0.0, label=f"{asked}: step of another object", record=False, asks="True or False")
        see.fact(f"{asked}: answers", answers)
        see.fact(f"{asked}: best_loss", float(stopper.best_loss))
        see.fact(f"{asked}: best_epoch", int(stopper.best_epoch))


class _ReferenceStopping:
    """Looks through all losses so far, each time anew."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta, self.losses = patience, min_delta, []

    def step(self, loss):
        self.losses.append(loss)
        self.best_loss, self.best_epoch = math.inf, -1
        for epoch, value in enumerate(self.losses):
            if value + self.min_delta < self.best_loss:
                self.best_loss, self.best_epoch = value, epoch
        return len(self.losses) - 1 - self.best_epoch >= self.patience


class _Stopping:
    """The right answer with one part changed, for the mistakes below."""

    reset, previous, late, ignore, sign, ties, counts_from = True, False, 0, False, -1, False, 0

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, 0.0 if self.ignore else min_delta
        self.best_loss, self.best_epoch, self.last, self.bad, self.epoch = math.inf, -1, math.inf, 0, self.counts_from - 1

    def step(self, loss):
        self.epoch += 1
        mark = (self.last if self.previous else self.best_loss) + self.sign * self.min_delta
        better = loss < mark or (self.ties and loss == mark)
        self.last = loss
        if better:
            self.best_loss, self.best_epoch = loss, self.epoch
        self.bad = 0 if better and self.reset else self.bad + (not better)
        return self.bad >= self.patience + self.late


class _NeverResets(_Stopping):
    reset = False


class _ComparesWithPrevious(_Stopping):
    previous = True


class _OneEpochLate(_Stopping):
    late = 1


class _IgnoresMinDelta(_Stopping):
    ignore = True


class _AddsMinDelta(_Stopping):
    sign = 1


class _TakesTies(_Stopping):
    ties = True


class _CountsFromOne(_Stopping):
    counts_from = 1


class _TakesTheFirst(_Stopping):
    """The first loss is the best so far, whatever it is."""

    def step(self, loss):
        if self.epoch < 0:
            self.best_loss = loss + 2 * self.min_delta + 1
            if loss != loss:
                self.best_loss, self.best_epoch, self.epoch = loss, 0, 0
                return False
        return super().step(loss)


class _ForgetsToTakeTheBest(_Stopping):
    """Remembers the lowest loss, but counts against the loss before."""

    def step(self, loss):
        self.epoch += 1
        self.bad = 0 if loss < self.last - self.min_delta else self.bad + 1
        self.last = loss
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
        return self.bad >= self.patience


EarlyStopping = Exercise(
    "07.3", "EarlyStopping",
    observe=_observe_stopping,
    expected=_ReferenceStopping,
    kind="class",
    mistakes=[
        Mistake("The counter is not reset: it stops at 4, after two bad epochs that were not in a row.", _NeverResets),
        Mistake("You compare with the previous loss: a slow fall after a jump counts as progress. Compare with the best.",
                _ComparesWithPrevious),
        Mistake("One epoch late: stop as soon as the number of bad epochs reaches patience.", _OneEpochLate),
        Mistake("min_delta is ignored: a gain of 0.05 counts although min_delta is 0.1.", _IgnoresMinDelta),
        Mistake("You compare with the loss before, and keep the best only to report it. Compare with the best.", _ForgetsToTakeTheBest),
        Mistake("min_delta has the wrong sign: yours calls a slightly higher loss an improvement. It is loss < best_loss - min_delta.", _AddsMinDelta),
        Mistake("An equal loss counts as an improvement in yours: use < in place of <=.", _TakesTies),
        Mistake("Epochs count from 0: your best_epoch is one too large.", _CountsFromOne),
        Mistake("The first loss counts as the best even if it is NaN, and then nothing is ever smaller. Start with infinity.", _TakesTheFirst),
    ],
    hints=[
        "Remember the best loss, and how long ago it was.",
        "A new best resets the count of bad epochs; anything else adds one to it.",
        "`if loss < self.best_loss - _: ... else: self.bad += _`, and then `return self.bad >= _`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 07.4 lr_at

_EPOCHS = (0, 1, 2, 3, 5, 6, 10)


def _observe_lr(lr_at, see):
    for epoch in _EPOCHS:
        see.call(lr_at, epoch, 0.1, "step", every=3, factor=0.5)
    for epoch in _EPOCHS:
        see.call(lr_at, epoch, 0.4, "exponential", every=4, factor=0.9)
    for epoch in _EPOCHS:
        see.call(lr_at, epoch, 0.1, "cosine", total=10)
    see.call(lr_at, 4, 0.3, "step", every=2, factor=0.1)
    see.call(lr_at, 2, 0.02, "cosine", total=7)
    see.raises(lr_at, 1, 0.1, "linear", total=10)


def _reference_lr(epoch, initial, kind, *, every=1, factor=0.5, total=1):
    """What torch's schedulers say after so many epochs."""
    import torch
    from torch.optim import lr_scheduler

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=initial)
    if kind == "step":
        schedule = lr_scheduler.StepLR(optimizer, every, factor)
    elif kind == "exponential":
        schedule = lr_scheduler.ExponentialLR(optimizer, factor)
    elif kind == "cosine":
        schedule = lr_scheduler.CosineAnnealingLR(optimizer, total)
    else:
        raise ValueError(kind)
    for _ in range(epoch):
        optimizer.step()
        schedule.step()
    return float(schedule.get_last_lr()[0])


def _lr_with(change):
    """A right lr_at in which ``change(epoch, initial, every, factor, total)`` gives the rate of one kind."""
    kind_changed, rate = change

    def lr_at(epoch, initial, kind, *, every=1, factor=0.5, total=1):
        if kind == kind_changed or kind_changed == "both" and kind in ("step", "exponential"):
            return rate(epoch, initial, every if kind == "step" or kind_changed == "exponential" else 1, factor, total)
        return {
            "step": lambda: initial * factor ** (epoch // every),
            "exponential": lambda: initial * factor**epoch,
            "cosine": lambda: initial / 2 * (1 + math.cos(math.pi * epoch / total)),
        }.get(kind, _no_kind)()

    return lr_at


def _no_kind():
    raise ValueError("step, exponential or cosine")


lr_at = Exercise(
    "07.4", "lr_at",
    observe=_observe_lr,
    expected=_reference_lr,
    atol=1e-12,
    rtol=1e-9,
    mistakes=[
        Mistake("0.0794 at epoch 1: steps must stay flat. Use // in place of /.",
                _lr_with(("step", lambda e, i, every, f, total: i * f ** (e / every)))),
        Mistake("Epoch 0 must still have the initial rate: you count one decay too many.",
                _lr_with(("both", lambda e, i, every, f, total: i * f ** (e // every + 1))),
                when=lambda facts: np.isclose(next(iter(facts.values())), 0.05)),
        Mistake("The factor is raised to the power of the number of decays, not multiplied by it.",
                _lr_with(("both", lambda e, i, every, f, total: i * f * (e // every))),
                when=lambda facts: np.isclose(next(iter(facts.values())), 0)),
        Mistake("The rate hardly falls: math.cos takes radians, and so does math.pi. Convert nothing.",
                _lr_with(("cosine", lambda e, i, every, f, total: i / 2 * (1 + math.cos(math.radians(math.pi * e / total)))))),
        Mistake("The rate jumps up and down: math.cos takes radians. Half a turn is math.pi, not 180.",
                _lr_with(("cosine", lambda e, i, every, f, total: i / 2 * (1 + math.cos(180 * e / total))))),
        Mistake("The exponential schedule falls in every epoch: `every` is for the steps only.",
                _lr_with(("exponential", lambda e, i, every, f, total: i * f ** (e // every)))),
        Mistake("0.05 at epoch 2: the first drop comes when `every` epochs are over, so at epoch 3.",
                _lr_with(("step", lambda e, i, every, f, total: i * f ** ((e + 1) // every)))),
        Mistake("The exponential schedule multiplies by `factor` once per epoch: factor ** epoch. Yours is e to the power of -factor · epoch.",
                _lr_with(("exponential", lambda e, i, every, f, total: i * math.exp(-f * e)))),
        Mistake("The cosine starts at twice the rate: 1 + cos goes from 2 to 0, so halve it.",
                _lr_with(("cosine", lambda e, i, every, f, total: i * (1 + math.cos(math.pi * e / total))))),
        Mistake("π is missing: after `total` epochs the cosine must have gone half a turn.",
                _lr_with(("cosine", lambda e, i, every, f, total: i / 2 * (1 + math.cos(e / total))))),
        Mistake("The rate becomes negative: cos goes from 1 to -1. Lift it by 1, and halve it.",
                _lr_with(("cosine", lambda e, i, every, f, total: i * math.cos(math.pi * e / total)))),
        Mistake("A quarter of a turn: the rate must leave the top as gently as it reaches zero. Use half a turn, lifted by 1.",
                _lr_with(("cosine", lambda e, i, every, f, total: i * math.cos(math.pi / 2 * e / total)))),
    ],
    hints=[
        "How many decays have there been until now?",
        "`//` counts full periods; the cosine takes `math.cos` and `math.pi`.",
        "For the steps: `initial * factor ** (epoch // _)`. For the cosine: `initial / 2 * (1 + math.cos(_))`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 07.5 gradient_norms

def _nets():
    """(name, network, inputs, targets): three activations, other sizes, two batch sizes; all gradients are stale fives."""
    import torch
    from torch import nn

    sizes = {"tanh": ((5, 4, 3, 2), nn.Tanh, 7), "sigmoid": ((5, 4, 3, 2), nn.Sigmoid, 7), "ReLU": ((6, 8, 3), nn.ReLU, 4)}
    for number, (name, (widths, activation, batch)) in enumerate(sizes.items()):
        layers = []
        for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(fan_in, fan_out), activation()]
        net = _fill(nn.Sequential(*layers[:-1]), seed=75 + number)
        x, y = _normal((batch, widths[0]), seed=number), torch.arange(batch) * 5 % widths[-1]
        net, x, y = (thing.to(devices.device()) for thing in (net, x, y))
        for parameter in net.parameters():
            parameter.grad = torch.full_like(parameter, 5.0)
        yield f"a {'-'.join(map(str, widths))} network with {name}", net, x, y


def _observe_norms(gradient_norms, see):
    import torch.nn.functional as F

    for name, net, x, y in _nets():
        before = [p.detach().clone() for p in net.parameters()]
        see.call(gradient_norms, net, F.cross_entropy(net(x), y), label=name, changes_inputs=True, rtol=1e-4)
        moved = any(not bool((a == b).all()) for a, b in zip(before, net.parameters(), strict=True))
        see.fact(f"{name}: weights", "changed" if moved else "unchanged", implied="unchanged")


def _reference_norms(model, loss):
    import torch

    weights = [layer.weight for layer in model if hasattr(layer, "weight")]
    return [float(np.sqrt((_cpu(g).astype(float) ** 2).sum())) for g in torch.autograd.grad(loss, weights)]


def _norms_with(model, loss, *, clear=True, of=lambda p: p.grad, biases=False, power=1):
    if clear:
        model.zero_grad()
    loss.backward()
    return [(of(p).norm() ** power).item() for p in model.parameters() if biases or p.ndim > 1]


_FIRST_NET = "a 5-4-3-2 network with tanh"

gradient_norms = Exercise(
    "07.5", "gradient_norms",
    observe=_observe_norms,
    expected=_reference_norms,
    mistakes=[
        Mistake("All norms are near 5·√n: what stood in .grad before was added. Clear the gradients first.",
                lambda model, loss: _norms_with(model, loss, clear=False)),
        Mistake("This is the norm of the parameter, not of its gradient.",
                lambda model, loss: _norms_with(model, loss, of=lambda p: p)),
        Mistake("6 numbers, expected are 3: biases are included. A weight matrix has two axes.",
                lambda model, loss: _norms_with(model, loss, biases=True),
                when=lambda facts: len(facts[_FIRST_NET]) == 6),
        Mistake("These are the squared norms: take the square root.", lambda model, loss: _norms_with(model, loss, power=2)),
        Mistake("The last layer stands first: keep the order of the signal.", lambda model, loss: _norms_with(model, loss)[::-1]),
        Mistake("The mean of the absolute values; asked is the Euclidean norm, the root of the sum of squares.",
                lambda model, loss: [g / p.numel() for g, p in zip(
                    _norms_with(model, loss, of=lambda p: p.grad.abs().sum()), [p for p in model.parameters() if p.ndim > 1], strict=True)]),
    ],
    hints=[
        "Clear, differentiate, measure.",
        "`p.grad.norm().item()`, after `loss.backward()`.",
        "`[p.grad._().item() for p in model.parameters() if p.dim() > _]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 07.6 random_restart

def _valley(x):
    """Two valleys; the left one is deeper."""
    return x**4 - 3 * x**2 + x


def _tilted(x):
    return (x - 1) ** 2 * (x + 2) ** 2 / 4 - 0.3 * x


# The number of steps is small enough to matter in the last two.
_WALKS = ((_valley, "x⁴ - 3x² + x", [2.0, -2.0, 1.5], 0.01, 90), (_valley, "x⁴ - 3x² + x", [2.0, 1.5], 0.01, 60),
          (_valley, "x⁴ - 3x² + x", [-2.0, 0.5], 0.01, 60), (_valley, "x⁴ - 3x² + x", [0.9, 1.7, 0.4], 0.02, 3),
          (_tilted, "(x-1)²(x+2)²/4 - 0.3x", [-2.5, 2.0, 0.1], 0.03, 6))


def _observe_restart(random_restart, see):
    for objective, name, starts, lr, steps in _WALKS:
        see.call(random_restart, objective, starts, lr, steps, label=f"{name}, starts {starts}, lr {lr}, {steps} steps",
                 rtol=2e-4, atol=2e-4, parts=("x", "value"))


def _reference_restart(objective, starts, lr, steps):
    """The derivative by a complex step: f(x + ih) = f(x) + ih f'(x) but for h², so its imaginary part over h."""
    ends = []
    for x in starts:
        for _ in range(steps):
            x = x - lr * objective(complex(x, 1e-30)).imag / 1e-30
        ends.append((objective(x), x))
    value, x = min(ends)
    return float(x), float(value)


def _restart_with(objective, starts, lr, steps, *, choose=None, memory=0.0, sign=-1):
    ends = []
    for start in starts:
        x, slope = start, 0.0
        for _ in range(steps):
            try:
                slope = memory * slope + objective(complex(x, 1e-30)).imag / 1e-30
                x = x + sign * lr * slope
            except OverflowError:
                x = _NAN
        ends.append((objective(x) if x == x else _NAN, x, objective(start)))
    value, x, _ = choose(ends) if choose else min(ends)
    return float(x), float(value)


def _value_of_the_step_before(objective, starts, lr, steps):
    walks = [(_restart_with(objective, [start], lr, steps - 1)[1], _restart_with(objective, [start], lr, steps)[0]) for start in starts]
    value, x = min(walks)
    return x, value


random_restart = Exercise(
    "07.6", "random_restart",
    observe=_observe_restart,
    expected=_reference_restart,
    mistakes=[
        Mistake("This is the last walk, 1.1309 instead of -1.3008: keep the best of them.",
                lambda objective, starts, lr, steps: _restart_with(objective, starts, lr, steps, choose=lambda ends: ends[-1])),
        Mistake("The start with the lowest value need not end lowest: compare the ends.",
                lambda objective, starts, lr, steps: _restart_with(objective, starts, lr, steps,
                                                                   choose=lambda ends: min(ends, key=lambda e: e[2]))),
        Mistake("The path differs from plain descent after step 1: gradients add up. Clear the gradient before each step.",
                lambda objective, starts, lr, steps: _restart_with(objective, starts, lr, steps, memory=1.0)),
        Mistake("The value is NaN: the sign of the step is wrong, this walks uphill.",
                lambda objective, starts, lr, steps: _restart_with(objective, starts, lr, steps, sign=1),
                when=lambda facts: not np.isfinite(next(iter(facts.values()))[1])),
        Mistake("This is the highest end: look for the lowest value.",
                lambda objective, starts, lr, steps: _restart_with(objective, starts, lr, steps, choose=max)),
        Mistake("This is the first walk: `return` inside the loop ends it. Look at all of them, then return the best.",
                lambda objective, starts, lr, steps: _restart_with(objective, starts[:1], lr, steps)),
        Mistake("The lowest x is not the lowest value: compare objective(x).",
                lambda objective, starts, lr, steps: _restart_with(objective, starts, lr, steps, choose=lambda ends: min(ends, key=lambda e: e[1]))),
        Mistake("Swapped: return x first, then the value.", lambda objective, starts, lr, steps: _restart_with(objective, starts, lr, steps)[::-1]),
        Mistake("x is right, but its value belongs to the step before: compute objective(x) again after the last step.", _value_of_the_step_before),
    ],
    hints=[
        "Several walks, one winner.",
        "A tensor that requires a gradient for each start, and `torch.autograd.grad` in each step.",
        "`if best is None or value < best[_]: best = (_, _)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 07.7, 07.8 checkpoints

_SIZES = ((7, 5, 4, 3), (6, 2))


def _built(sizes):
    """What a lesson's ``build(sizes)`` makes: linear layers with ReLU and dropout between them."""
    from torch import nn

    layers = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers[:-2])


_GOOD_FILE = "a dict that weights_only takes"


def _observe_save(save_checkpoint, see):
    import torch

    with tempfile.TemporaryDirectory() as folder:
        for number, sizes in enumerate(_SIZES):
            asked, path = f"sizes {sizes}", Path(folder) / f"checkpoint{number}.pt"
            model = _fill(_built(sizes), seed=sum(sizes)).train(number == 0)
            wanted = {name: value.clone() for name, value in model.state_dict().items()}
            see.call(save_checkpoint, str(path) if number else path, model, list(sizes) if number else sizes, label=asked,
                     changes_inputs=True)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.zero_()  # the file must not mind
            kind, content = _content(path)
            see.fact(f"{asked}: the file at path", kind, implied=_GOOD_FILE)
            if kind != _GOOD_FILE:
                return
            see.fact(f"{asked}: entries besides sizes and state_dict", "may be there", implied="may be there")
            see.fact(f"{asked}: the entry 'sizes'", _size_text(content.get("sizes")))
            state = content.get("state_dict")
            see.fact(f"{asked}: names in 'state_dict'", ", ".join(state) if isinstance(state, dict) else describe(state))
            if isinstance(state, dict):
                same = set(state) == set(wanted) and all(torch.equal(state[name].cpu(), wanted[name]) for name in wanted)
                see.fact(f"{asked}: tensors in 'state_dict'", "those of the model" if same else "others")
            see.fact(f"{asked}: the model's mode", "training" if model.training else "eval", implied="eval" if number else "training")


def _size_text(sizes) -> str:
    try:
        return str(tuple(int(n) for n in sizes))
    except Exception:  # anything may stand in the file
        return "there is none" if sizes is None else describe(sizes)


def _content(path: Path):
    """What the file is, and what it holds (None where that cannot be had)."""
    import torch

    if not path.is_file():
        return "there is none", None
    try:
        content = torch.load(path, weights_only=True)
    except Exception:
        return "weights_only refuses it", None
    if not isinstance(content, dict):
        return describe(content), None
    return _GOOD_FILE, content


def _save(path, content):
    import torch

    torch.save(content, path)


def _reference_save(path, model, sizes):
    with Path(path).open("wb") as file:
        _save(file, {"state_dict": {name: value.detach().clone() for name, value in model.state_dict().items()},
                     "sizes": tuple(sizes)})


save_checkpoint = Exercise(
    "07.7", "save_checkpoint",
    observe=_observe_save,
    expected=_reference_save,
    mistakes=[
        Mistake("weights_only refuses your file: something in it is more than tensors, numbers, strings, lists, tuples and dicts. A whole model? "
                "Store its state_dict(). A NumPy number or array? Store int(n), or a list.",
                lambda path, model, sizes: _save(path, {"sizes": list(sizes), "state_dict": model}),
                when=lambda facts: facts["sizes (7, 5, 4, 3): the file at path"] == "weights_only refuses it"),
        Mistake("The sizes are not stored: nobody can rebuild the second model from this file.",
                lambda path, model, sizes: _save(path, {"state_dict": model.state_dict()}),
                when=lambda facts: facts["sizes (7, 5, 4, 3): the entry 'sizes'"] == "there is none"),
        Mistake("Parameters without names: store state_dict(), in which each tensor has the name of its place.",
                lambda path, model, sizes: _save(path, {"sizes": list(sizes), "state_dict": [p.detach() for p in model.parameters()]})),
        Mistake("The model was switched to eval mode on the way. Saving must leave it as it is.",
                lambda path, model, sizes: _save(path, {"sizes": list(sizes), "state_dict": model.eval().state_dict()})),
    ],
    hints=[
        "What is needed to build the model anew in another program?",
        "One dict with two entries, written by `torch.save`; the tensors come from `model.state_dict()`.",
        '`torch.save({"sizes": _(sizes), "state_dict": model._()}, _)`.',
    ],
)


class _Trap:
    """When it is unpickled, it runs a function: a stand-in for a file from a stranger."""

    sprung = 0

    def __reduce__(self):
        return _spring, ()


def _spring():
    _Trap.sprung += 1
    return {}


def _observe_load(load_checkpoint, see):
    import torch

    with tempfile.TemporaryDirectory() as folder:
        for number, sizes in enumerate(_SIZES):
            asked, path = f"a file with sizes {sizes}", Path(folder) / f"checkpoint{number}.pt"
            saved = _fill(_built(sizes), seed=sum(sizes))
            _save(path, {"sizes": list(sizes), "state_dict": saved.state_dict(), "epoch": 3})
            calls: list = []
            build = functools.partial(_noted_build, calls)
            model = see.call(load_checkpoint, path, build, label=asked, record=False, asks="an nn.Module")
            see.fact(f"{asked} gives", "an nn.Module" if isinstance(model, torch.nn.Module) else describe(model), implied="an nn.Module")
            if not isinstance(model, torch.nn.Module):
                return
            see.fact(f"{asked}: sizes that build was called with", ", ".join(map(_size_text, calls)))
            right = all(torch.equal(a.cpu(), b) for a, b in zip(model.parameters(), saved.parameters(), strict=False))
            see.fact(f"{asked}: weights", "those of the file" if right else "others")
            modes = {m.training for m in model.modules()}
            see.fact(f"{asked}: mode", "eval" if modes == {False} else "training" if True in modes and model.training else "mixed")
        _save(path, {"sizes": [7, 4, 2], "state_dict": saved.state_dict()})
        see.raises(load_checkpoint, path, build, error=RuntimeError, label="a file whose tensors do not fit its sizes")
        _save(path, {"sizes": [6, 2], "state_dict": {"0.weight": saved.state_dict()["0.weight"]}})
        see.raises(load_checkpoint, path, build, error=RuntimeError, label="a file in which a tensor is missing")
        _save(path, {"sizes": [6, 2], "state_dict": saved.state_dict(), "extra": _Trap()})
        before = _Trap.sprung
        see.raises(load_checkpoint, path, build, error=pickle.UnpicklingError, label="a file with program code in it")
        see.fact("code in that file", "was run" if _Trap.sprung > before else "was not run", implied="was not run")


def _noted_build(calls: list, sizes):
    calls.append(list(sizes))
    return _built(sizes)


def _reference_load(path, build):
    import torch

    content = torch.load(path, weights_only=True)
    model, state = build(content["sizes"]), content["state_dict"]
    if {n: p.shape for n, p in model.named_parameters()} != {n: p.shape for n, p in state.items()}:
        raise RuntimeError("the tensors do not fit")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[name])
    return model.train(False)


def _load_with(path, build, *, load=True, evaluate=True, sizes=None, safe=True, strict=True):
    import torch

    content = torch.load(path, weights_only=safe)
    model = build(sizes or content["sizes"])
    if load:
        model.load_state_dict(content["state_dict"], strict=strict)
    return model.eval() if evaluate else model


load_checkpoint = Exercise(
    "07.8", "load_checkpoint",
    observe=_observe_load,
    expected=_reference_load,
    mistakes=[
        Mistake("Random weights: the state of the file was not loaded into the model.",
                lambda path, build: _load_with(path, build, load=False),
                when=lambda facts: facts["a file with sizes (7, 5, 4, 3): weights"] == "others"),
        Mistake("Dropout is active after loading: call eval().", lambda path, build: _load_with(path, build, evaluate=False),
                when=lambda facts: facts["a file with sizes (7, 5, 4, 3): mode"] == "training"
                and facts["a file with sizes (7, 5, 4, 3): weights"] == "those of the file"),
        Mistake("The code in the file was run: weights_only=False trusts whoever wrote it. Load with weights_only=True.",
                lambda path, build: _load_with(path, build, safe=False),
                when=lambda facts: facts["code in that file"] == "was run"),
        Mistake("`strict=False` keeps quiet about a missing tensor, and leaves random numbers in its place. Leave it out.",
                lambda path, build: _load_with(path, build, strict=False)),
        Mistake("`load_state_dict` fills the model and returns a report on the names. Return the model.",
                lambda path, build: build([7, 5, 4, 3]).load_state_dict(build([7, 5, 4, 3]).state_dict()),
                when=lambda facts: "IncompatibleKeys" in str(facts.get("a file with sizes (7, 5, 4, 3) gives"))),
        Mistake("Size mismatch on the second model: build it with the sizes that stand in the file.",
                lambda path, build: _load_with(path, build, sizes=[7, 5, 4, 3]),
                when=lambda facts: "size mismatch" in str(list(facts.values())[-1]) and "(6, 2)" in list(facts)[-1]),
    ],
    hints=[
        "Read, rebuild, fill, switch.",
        "`torch.load`, `build`, `load_state_dict`, and the mode for predictions.",
        '`ck = torch.load(path, weights_only=_); model = build(ck[_]); model._(ck["state_dict"]); return model._()`.',
    ],
)


# ---------------------------------------------------------------------------------------------- 07.9 predict

_recording: list[bool] = []  # whether a graph was built, in each forward pass of _Spy


def _spy_class():
    from torch import nn

    class Spy(nn.Module):
        """Passes its input on, and notes whether gradients are recorded. Copies of it write into the same list."""

        def forward(self, x):
            import torch

            _recording.append(torch.is_grad_enabled())
            return x

    return Spy


def _mixed_model(state: str):
    """Batch normalization and dropout, in one of three states."""
    from torch import nn

    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), _spy_class()(), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 5))
    _fill(model, seed=79)
    model[1].running_mean.copy_(_normal((8,), seed=1))
    model[1].running_var.copy_(1 + _normal((8,), seed=2) ** 2)
    model.train(state != "eval")
    if state == "training, with frozen batch normalization":
        model[1].eval()
    return model.to(devices.device())


def _observe_predict(predict, see):
    import torch

    for state, batch in (("training", 7), ("eval", 4), ("training, with frozen batch normalization", 3)):
        asked, model = f"a model in the state {state}", _mixed_model(state)
        x = _normal((batch, 6), seed=batch).to(devices.device())
        modes = [m.training for m in model.modules()]
        statistics = [b.detach().clone() for b in model.buffers()]
        _recording.clear()
        with torch.enable_grad():
            got = see.call(predict, model, x, label=asked, rtol=1e-4, changes_inputs=True)
            recording = torch.is_grad_enabled()
            if not is_tensor(got):
                return
            again = see.call(predict, model, x, label=f"{asked}, called again", record=False, asks="a tensor", changes_inputs=True)
        see.fact(f"{asked}: two calls", "alike" if is_tensor(again) and torch.equal(got, again) else "differ")
        see.fact(f"{asked}: the output", "requires grad" if got.requires_grad else "without a graph")
        see.fact(f"{asked}: a graph", "was built on the way" if any(_recording) else "was not built", implied="was not built")
        see.fact(f"{asked}: recording of gradients afterwards", "on" if recording else "off", implied="on")
        after = [m.training for m in model.modules()]
        see.fact(f"{asked}: modes of all modules", "as found" if after == modes else "all training" if all(after)
                 else "none training" if not any(after) else "changed")
        kept = all(torch.equal(a, b) for a, b in zip(statistics, model.buffers(), strict=True))
        see.fact(f"{asked}: running statistics", "as found" if kept else "changed", implied="as found")


def _reference_predict(model, x):
    """A copy of the model in eval mode, and the softmax written out."""
    import torch

    with torch.no_grad():
        e = copy.deepcopy(model).eval()(x).exp()
    return e / e.sum(1, keepdim=True)


def _predict_with(model, x, *, evaluate=True, graph=False, back="modes", dim: int | None = 1):
    import torch

    modes = [(m, m.training) for m in model.modules()]
    if evaluate:
        model.eval()
    with torch.enable_grad() if graph else torch.no_grad():
        out = model(x)
        out = out.softmax(dim) if dim is not None else out
    if back in {"train", "was"}:
        model.train(back == "train" or modes[0][1])
    elif back == "modes":
        for module, training in modes:
            module.training = training
    return out


_TRAINED = "a model in the state training"

predict = Exercise(
    "07.9", "predict",
    observe=_observe_predict,
    expected=_reference_predict,
    mistakes=[
        Mistake("Dropout is active: two calls differ. no_grad does not switch it off; eval() does.",
                lambda model, x: _predict_with(model, x, evaluate=False),
                when=lambda facts: facts[f"{_TRAINED}: two calls"] == "differ"),
        Mistake("The output requires grad: eval() does not stop the recording; no_grad() does.",
                lambda model, x: _predict_with(model, x, graph=True),
                when=lambda facts: facts[f"{_TRAINED}: the output"] == "requires grad"),
        Mistake("An eval model was switched on: give every submodule the mode in which you found it.",
                lambda model, x: _predict_with(model, x, back="train"),
                when=lambda facts: facts["a model in the state eval: modes of all modules"] == "all training"),
        Mistake("The model stays in eval mode: give every submodule the mode in which you found it.",
                lambda model, x: _predict_with(model, x, back="none"),
                when=lambda facts: facts[f"{_TRAINED}: modes of all modules"] == "none training"),
        Mistake("Rows do not sum to 1: these are logits, the softmax is missing.",
                lambda model, x: _predict_with(model, x, dim=None)),
        Mistake("Columns sum to 1, rows must: the softmax belongs over the classes, dim 1.",
                lambda model, x: _predict_with(model, x, dim=0)),
        Mistake("`model.train(was)` switches every submodule, and a frozen batch normalization is not frozen any more. Remember each module's mode.",
                lambda model, x: _predict_with(model, x, back="was"),
                when=lambda facts: facts.get("a model in the state training, with frozen batch normalization: modes of all modules") == "all training"
                and facts["a model in the state eval: modes of all modules"] == "as found"),
        Mistake("These are logarithms of probabilities: softmax in place of log_softmax.",
                lambda model, x: _predict_with(model, x, dim=None).log_softmax(1)),
        Mistake("Each score is squashed by itself, so the rows do not sum to 1. The classes share one softmax.",
                lambda model, x: _predict_with(model, x, dim=None).sigmoid()),
        Mistake("These are classes; asked are the probabilities of all of them. Leave argmax to the caller.",
                lambda model, x: _predict_with(model, x, dim=None).argmax(1),
                when=lambda facts: not facts[_TRAINED].is_floating_point()),
    ],
    hints=[
        "Two switches, and both are needed.",
        "Record `m.training` for every module of `model.modules()`, and put it back at the end.",
        "`with torch._(): p = model(x).softmax(dim=_)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("07", [
    Question("Two equal lines have the weights (1, 1) and (10, 10). Which has the smaller error, and which is the better model?",
             ("(10, 10) has the smaller error, (1, 1) is the better model",
              "Scaling up makes right points look better and wrong ones far worse."),
             [("They are the same in both", "The loss depends on the scale, although the line does not."),
              ("(10, 10) in both", "It is over-certain: a point on the wrong side costs ten times as much.")]),
    Question("Why does L1 give zeros?",
             ("Its pull is constant, also near zero", "The pull of L2 fades with the weight, so it never quite arrives."),
             [("It is larger than L2", "That depends on the weight: below 1/2, |w| pulls harder than w², above it, w² does."),
              ("L2 is not differentiable", "L2 is smooth everywhere; it is L1 that has a corner at zero.")]),
    Question("You call `model.eval()` but not `no_grad()` during validation. What happens?",
             ("Right values, wasted memory", "The graph is built and never used."),
             [("Wrong values", "eval() made the layers behave; recording changes no value."),
              ("Dropout is active", "No: eval() switched it off.")]),
    Question("And `no_grad()` without `eval()`?",
             ("Dropout distorts the values", "Nothing is recorded, but the layers still behave as in training."),
             [("All is well", "no_grad() changes no layer: dropout goes on."),
              ("An error", "Nothing complains. That is what makes it nasty.")]),
    Question("With dropout, the validation loss lies below the training loss. What now?",
             ("It is expected: training loss is measured with dropout on. Or the divisor is wrong: check it",
              "Evaluate the training set in eval mode, and count the samples."),
             [("Test data have leaked", "Possible, but not the first suspect."),
              ("The network underfits", "The order of the two losses does not say so.")]),
    Question("The training loss falls, the validation loss rises, the validation accuracy stays. Why?",
             ("The errors get more confident", "The same pictures are wrong, and each costs more."),
             [("The metrics are broken", "Both can be true: accuracy counts errors, the loss weighs them."),
              ("The learning rate is too small", "Then both losses would fall slowly.")]),
    Question("A network of ten sigmoid layers does not learn. Should it get a larger learning rate?",
             ("No: change the activation and the initialization", "ReLU with a Kaiming start, or tanh with Xavier."),
             [("Yes, a larger one", "A factor of 1e-9 between first and last layer cannot be repaired by one common rate."),
              ("No, but more epochs", "The same factor would need a billion times as many.")]),
    Question("`best = model.state_dict()`, and training goes on. What does `best` hold at the end?",
             ("The last weights: it changes too, so copy it deeply", "copy.deepcopy(model.state_dict()), or a file."),
             [("The best weights: it is a copy", "The dict is new, but its tensors are those of the model."),
              ("The best weights, and the last biases", "All tensors of the model move, weights and biases alike.")]),
])


# ---------------------------------------------------------------------------------------------- figures: the clothes

def show_clothes(images, labels) -> None:
    """Two of each kind, a column each. Args: images (n, 28, 28) uint8, labels (n,)."""
    images, labels = _cpu(images), _cpu(labels)
    fig, axes = plots.figure(2, 10, size=(9.8, 2.5))
    for kind, column in enumerate(axes.T):
        for ax, place in zip(column, np.flatnonzero(labels == kind)[:2], strict=True):
            # sharp pixels in sixteen grays take half the bytes
            ax.imshow(images[place] // 16 * 17, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            ax.set_axis_off()
        column[0].set_title(f"{kind}\n{CLASSES[kind]}", fontsize=10.5)
    _show(fig, "Two pictures of each of the ten kinds of clothes, a column for each: T-shirt, trouser, pullover, dress, coat, sandal, "
               "shirt, sneaker, bag, ankle boot. Shirts look much like T-shirts, pullovers and coats.")


# ---------------------------------------------------------------------------------------------- figures: too simple, too complex

def _line(x):
    return 0.2 + 0.6 * x


def _curve(x):
    """The line with two bumps, each just large enough to get around one odd point."""
    return _line(x) + 0.24 * np.exp(-((x - 0.25) / 0.06) ** 2) - 0.24 * np.exp(-((x - 0.72) / 0.06) ** 2)


# (x, y, class); class 1 lies above the line. Two training points are odd, and one test point.
_TRAIN = np.array([(0.06, 0.55, 1), (0.15, 0.8, 1), (0.3, 0.75, 1), (0.42, 0.62, 1), (0.55, 0.85, 1), (0.68, 0.9, 1), (0.9, 0.95, 1),
                   (0.08, 0.06, 0), (0.2, 0.14, 0), (0.38, 0.22, 0), (0.5, 0.3, 0), (0.62, 0.12, 0), (0.8, 0.3, 0), (0.93, 0.5, 0),
                   (0.25, 0.47, 0), (0.72, 0.52, 1)])
_TEST = np.array([(0.1, 0.42, 1), (0.27, 0.45, 1), (0.5, 0.72, 1), (0.8, 0.85, 1), (0.46, 0.4, 1),
                  (0.12, 0.16, 0), (0.33, 0.1, 0), (0.57, 0.35, 0), (0.76, 0.4, 0), (0.88, 0.62, 0)])


def line_and_curve() -> dict[str, dict[str, int]]:
    """Errors on training and test points of the line and of the curve."""
    return {name: {part: int(((points[:, 1] > border(points[:, 0])) != points[:, 2]).sum())
                   for part, points in (("training", _TRAIN), ("test", _TEST))}
            for name, border in (("line", _line), ("curve", _curve))}


def show_line_and_curve(test: bool = False) -> None:
    """The same points with a line and with a curve; with ``test``, new points."""
    points, errors = (_TEST if test else _TRAIN), line_and_curve()
    part = "test" if test else "training"
    fig, axes = plots.figure(1, 2, size=(8.6, 3.6), sharey=True)
    for ax, (name, border) in zip(axes, (("line", _line), ("curve", _curve)), strict=True):
        plots.classes(ax, points[:, :2], points[:, 2].astype(int), size=70)
        xs = np.linspace(0, 1, 300)
        ax.plot(xs, border(xs), color=plots.BLACK, linewidth=2)
        wrong = (points[:, 1] > border(points[:, 0])) != points[:, 2]
        ax.plot(points[wrong, 0], points[wrong, 1], "o", markersize=19, color="none", markeredgecolor=plots.ORANGE, markeredgewidth=2.5)
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="$x_1$", title=f"{name}: {errors[name][part]} {part} error{'s' * (errors[name][part] != 1)}")
    axes[0].set_ylabel("$x_2$")
    _show(fig, f"{part.capitalize()} points of two classes with a straight line, {errors['line'][part]} errors, and with a curve that has "
               f"two bumps, {errors['curve'][part]} errors. Rings mark the errors.")


def show_three_fits() -> None:
    """Polynomials of degree 1, 3 and 10 through the same twelve points of a wave."""
    rng = np.random.default_rng(4)
    x = np.linspace(0.04, 0.96, 12)
    y = np.sin(2 * np.pi * x) + rng.normal(0, 0.25, 12)
    xs, told = np.linspace(0, 1, 300), []
    new = np.sin(2 * np.pi * xs)
    fig, axes = plots.figure(1, 3, size=(9.8, 3.4), sharey=True)
    for ax, degree, name in zip(axes, (1, 3, 10), ("a flyswatter against a monster", "about right", "a bazooka against a fly"), strict=True):
        fit = np.polynomial.Polynomial.fit(x, y, degree)
        ax.plot(xs, new, "--", color=plots.GREY, label="the truth")
        ax.plot(xs, fit(xs), color=plots.BLUE, linewidth=2, label=f"degree {degree}")
        ax.plot(x, y, "o", color=plots.BLACK)
        train, test = np.sqrt(np.mean((fit(x) - y) ** 2)), np.sqrt(np.mean((fit(xs) - new) ** 2))
        told.append(f"degree {degree} {train:.2f} and {test:.2f}")
        ax.set(ylim=(-2.2, 2.2), xlabel=f"error: {train:.2f} on the points\n{test:.2f} from the truth")
        ax.set_title(name, fontsize=11)
        plots.legend(ax, loc="lower left", fontsize=9)
    _show(fig, "Twelve noisy points of a wave and three polynomials. Root mean square error on the points, and from the truth: "
               f"{', '.join(told)}. A straight line misses both; degree 10 goes through nearly all points, and far from the wave.")


def show_complexity_sketch() -> None:
    """A sketch of the model complexity graph with the epochs 1, 20, 100 and 600."""
    at = np.linspace(0, 3, 300)
    train = 0.85 * np.exp(-1.25 * at) + 0.01
    valid = 0.85 * np.exp(-1.35 * at) + 0.1 + 0.13 * np.clip(at - 0.9, 0, None) ** 2
    fig, ax = plots.figure(size=(7.8, 3.9))
    ax.axvspan(-0.25, 0.6, color=plots.SKY, alpha=0.18)
    ax.axvspan(1.75, 3.25, color=plots.ORANGE, alpha=0.15)
    ax.plot(at, train, label="training", linewidth=2)
    ax.plot(at, valid, "--", color=plots.RED, label="validation", linewidth=2)
    for place in range(4):
        i = min(place * 100, 299)
        ax.plot([place, place], [train[i], valid[i]], "o", color=plots.BLACK, markersize=7)
    for x, text in ((0.17, "underfitting:\nboth large"), (1.17, "good:\nboth small"), (2.5, "overfitting:\nthe curves part")):
        ax.text(x, 1.27, text, ha="center", va="top")
    ax.set(xticks=range(4), xticklabels=["1", "20", "100", "600"], xlabel="epochs", ylabel="error", ylim=(0, 1.3), xlim=(-0.25, 3.25),
           yticks=[], title="a sketch")
    plots.legend(ax, outside=True)
    _show(fig, "A sketch of the model complexity graph. After 1 epoch both errors are large; after 20 both are small; by 100 validation "
               "has begun to rise; after 600 the training error is tiny and the validation error large.")


# ---------------------------------------------------------------------------------------------- figures: the ladder

def _draw_history(ax, history, name: str, top: float) -> int:
    """Two curves and a star at the best epoch; returns that epoch, from 0."""
    epochs = np.arange(1, len(history.train_loss) + 1)
    best = int(np.argmin(history.valid_loss))
    ax.plot(epochs, history.train_loss, label="training", linewidth=2)
    ax.plot(epochs, history.valid_loss, "--", color=plots.RED, label="validation", linewidth=2)
    ax.plot(epochs[best], history.valid_loss[best], "*", color=plots.BLACK, markersize=14, zorder=4)
    ax.set(ylim=(0, top), title=name)
    ax.xaxis.get_major_locator().set_params(integer=True)  # half an epoch means nothing
    return best


def _said(name: str, history) -> str:
    best = int(np.argmin(history.valid_loss))
    return f"{name}: validation loss {history.valid_loss[best]:.3f} in epoch {best + 1}, {history.valid_loss[-1]:.3f} at the end"


def show_histories(histories: dict, top: float = 1.3) -> None:
    """Training and validation loss, a panel for each row of the ladder. Args: name -> History; top of the axis."""
    n = len(histories)
    rows, columns = (1, n) if n <= 3 else (2, -(-n // 2))
    fig, axes = plots.figure(rows, columns, size=(5.6 if n == 1 else 3.3 * columns if n <= 3 else 2.75 * columns, 3.4 if rows == 1 else 5.2),
                             sharey=True, squeeze=False)
    for ax, (name, history) in zip(axes.flat, histories.items(), strict=False):
        _draw_history(ax, history, name, top)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    for ax in axes[:, 0]:
        ax.set_ylabel("mean loss")
    plots.legend(axes[0, 0], loc="lower left", fontsize=9)
    _show(fig, "Training loss (solid) and validation loss (dashed), with a star at the lowest validation loss. "
               + "; ".join(_said(name, h) for name, h in histories.items()) + ".")


def ladder_menu(histories: dict) -> None:
    """A menu of the rows of the ladder; it redraws the two curves. Args: name -> History."""
    def draw(name):
        fig, ax = plots.figure(size=(6.4, 3.5))
        _draw_history(ax, histories[name], name, 1.6)
        ax.set(xlabel="epoch", ylabel="mean loss")
        plots.legend(ax)
        accuracy = histories[name].valid_accuracy
        return fig, f"{_said(name, histories[name])}; validation accuracy at the end {100 * accuracy[-1]:.1f} %."

    _menu(draw, list(histories), "row")


def _menu(draw, options: list[str], description: str) -> None:
    """A drop-down menu, and the picture that ``draw(option)`` makes: (figure, text)."""
    if not widgets.available():
        print("○ The menu needs a notebook with ipywidgets; the picture above shows the same without it.")
        return
    import ipywidgets
    from IPython.display import display

    choice = ipywidgets.Dropdown(options=options, description=description)
    picture = ipywidgets.HTML()

    def redraw(change=None):
        picture.value = widgets._picture(*draw(choice.value))

    choice.observe(redraw, names="value")
    redraw()
    display(ipywidgets.VBox([choice, picture]))


# ---------------------------------------------------------------------------------------------- figures: weights

def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def show_same_line() -> None:
    """σ along the way from the red to the blue point, for the weights (1, 1) and (10, 10)."""
    at = np.linspace(-2, 2, 401)
    fig, axes = plots.figure(1, 2, size=(8.8, 3.3), sharey=True)
    for ax, scale in zip(axes, (1, 10), strict=True):
        ax.plot(at, _sigmoid(2 * scale * at), color=plots.BLACK, linewidth=2)
        ax.plot(1, _sigmoid(2 * scale), "o", color=plots.BLUE, markersize=11)
        ax.plot(-1, _sigmoid(-2 * scale), "X", color=plots.RED, markersize=11)
        ax.axvline(0, color=plots.GREY, linestyle=":")
        ax.set(xlabel="$x_1 = x_2$", title=f"weights ({scale}, {scale})")
        said = f"{_sigmoid(2 * scale):.4f}" if scale == 1 else "1 − 2.1e−9"
        ax.annotate(said, (1, _sigmoid(2 * scale)), xytext=(8, -19), textcoords="offset points")
    axes[0].set_ylabel("probability of blue")
    _show(fig, "The probability of blue along the diagonal, for the weights 1 and 10. Both are 0.5 at the same place, the line. With 1 the "
               "blue point gets 0.88 and the curve is gentle; with 10 it gets 1.0 and the curve is a cliff.")


def show_diamond_and_circle() -> None:
    """Lines of equal loss around its minimum, and the budget of L1 (diamond) and of L2 (circle)."""
    w1, w2 = np.meshgrid(np.linspace(-1.4, 3.2, 300), np.linspace(-1.4, 1.9, 300))
    loss = (w1 - 2) ** 2 + 2.2 * (w2 - 0.4) ** 2
    fig, axes = plots.figure(1, 2, size=(8.6, 3.9), sharey=True)
    angle = np.linspace(0, 2 * np.pi, 721)
    for ax, name in zip(axes, ("L1: |w₁| + |w₂| ≤ 1", "L2: w₁² + w₂² ≤ 1"), strict=True):
        border = np.stack([np.cos(angle), np.sin(angle)])
        if name.startswith("L1"):
            border = border / np.abs(border).sum(axis=0)
        values = (border[0] - 2) ** 2 + 2.2 * (border[1] - 0.4) ** 2
        best = border[:, values.argmin()]
        ax.contour(w1, w2, loss, levels=np.sort([0.1, 0.45, values.min(), 3, 5.5]), colors=plots.GREY, linewidths=1)
        ax.fill(*border, color=plots.SKY, alpha=0.4)
        ax.plot(2, 0.4, "k+", markersize=12, markeredgewidth=2)
        ax.plot(*best, "*", color=plots.RED, markersize=18, zorder=4)
        ax.axhline(0, color=plots.BLACK, linewidth=0.8)
        ax.axvline(0, color=plots.BLACK, linewidth=0.8)
        ax.set(aspect="equal", xlabel="$w_1$", title=f"{name}\nbest: ({best[0]:.2f}, {abs(best[1]):.2f})")
    axes[0].set_ylabel("$w_2$")
    _show(fig, "Rings of equal loss around its minimum (cross), and all weights within a budget: a diamond for L1, a disk for L2. The best "
               "point of the diamond (star) is its corner, where the second weight is 0; the best point of the disk has two weights.")


def show_decay_step(before, after) -> None:
    """One step of weight decay without a gradient of the loss, and where 40 more lead. Args: before, after, two weights each."""
    before, after = _cpu(before), _cpu(after)
    more = after * (after[0] / before[0]) ** np.arange(1, 41)[:, None]
    fig, ax = plots.figure(size=(6.2, 3.4))
    ax.plot(more[:, 0], more[:, 1], "o", color=plots.GREY, markersize=4, label="40 more steps")
    ax.plot(*before, "o", color=plots.BLACK, markersize=9, label=f"before: ({before[0]:g}, −{abs(before[1]):g})")
    ax.plot(*after, "D", color=plots.RED, markersize=8, label=f"after one step: ({after[0]:.2f}, −{abs(after[1]):.2f})")
    ax.plot(0, 0, "k+", markersize=13, markeredgewidth=2)
    ax.set(xlabel="$w_1$", ylabel="$w_2$", xlim=(-0.15, 1.2), ylim=(-2.2, 0.2))
    plots.legend(ax, loc="upper right")
    _show(fig, "One step of weight decay: the weights move from (1, −2) straight towards the origin, to (0.95, −1.90). Further steps go on "
               "in the same direction, shorter and shorter.")


def show_three_regressions(weights: dict) -> None:
    """Eight weights of three regressions. Args: name -> (8,)."""
    fig, ax = plots.figure(size=(8.2, 3.4))
    places = np.arange(8)
    for n, ((name, w), marker) in enumerate(zip(weights.items(), "osD", strict=True)):
        ax.plot(places + 0.22 * (n - 1), _cpu(w), marker, markersize=8, label=name)
    ax.axhline(0, color=plots.BLACK, linewidth=1)
    ax.set(xticks=places, xticklabels=[f"w{n}" for n in range(1, 9)], ylabel="weight")
    plots.legend(ax, outside=True)
    _show(fig, "Eight weights of a regression in which only the first two inputs matter. All three methods keep the other six near zero. "
               "L1 shortens the two large ones by a fixed piece, L2 by a share.")


# ---------------------------------------------------------------------------------------------- figures: dropout, early stopping

def show_dropout(x, first, second, p: float) -> None:
    """Activations of a few samples, and what two passes leave of them. Args: three arrays (samples, units); p."""
    samples, units = x.shape
    fig, axes = plots.figure(1, 3, size=(9.8, 2.5))
    for ax, values, title in zip(axes, (x, first, second), ("activations", "first pass", "second pass"), strict=True):
        values = _cpu(values)
        ax.imshow(values, cmap="Blues", vmin=0, vmax=1.6 / (1 - p))
        for (row, column), v in np.ndenumerate(values):
            ax.text(column, row, f"{v:g}" if v else "0", ha="center", va="center", fontsize=10.5,
                    color="white" if v > 0.9 / (1 - p) else plots.RED if v == 0 else plots.BLACK)
        ax.set(title=title, xlabel=f"{units} units", xticks=[], yticks=[])
        ax.grid(False)
    axes[0].set_ylabel(f"{samples} samples")
    _show(fig, f"A table of ones, {samples} samples by {units} units, and what two passes of dropout with p = {p:g} make of it: zeros in other places each "
               f"time, and {1 / (1 - p):g} everywhere else.")


def show_patience(losses, best: int, stopped: int, patience: int) -> None:
    """Losses of the epochs from 0, the best one, and the one after which training ended."""
    fig, ax = plots.figure(size=(6.8, 3.3))
    epochs = np.arange(len(losses))
    ax.plot(epochs[:stopped + 1], losses[:stopped + 1], "o--", color=plots.RED, linewidth=2, label="validation loss")
    if stopped + 1 < len(losses):
        ax.plot(epochs[stopped:], losses[stopped:], ":", color=plots.GREY, label="never computed")
    ax.plot(best, losses[best], "*", color=plots.BLACK, markersize=18, zorder=4, label=f"go back to epoch {best}")
    ax.axvline(stopped, color=plots.BLUE, linewidth=2, label=f"stop after epoch {stopped}")
    ax.set(xlabel="epoch, from 0", ylabel="loss")
    plots.legend(ax, outside=True)
    _show(fig, f"Validation loss per epoch. The lowest so far is in epoch {best} (star); {patience} epochs later, after epoch {stopped}, "
               "nothing better has come, and training stops.")


def show_schedules(rates: dict[str, list[float]]) -> None:
    """Learning rates over the epochs. Args: name -> rates."""
    fig, axes = plots.figure(1, len(rates), size=(10, 2.9), sharey=True)
    for ax, (name, values) in zip(axes, rates.items(), strict=True):
        if name == "step":
            ax.step(np.arange(len(values)), values, where="post", color=plots.GREY, linewidth=1)
        ax.plot(values, "o-" if name != "step" else "o", markersize=5)
        ax.set(title=name, xlabel="epoch", ylim=(0, 0.108))
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("learning rate")
    _show(fig, "Four schedules from 0.1. Step: flat for three epochs, then halved. Exponential: a tenth less in each epoch. Cosine: slow at "
               "first, then fast, then slow, to zero. One cycle: up to 0.1 in two steps, then down to zero.")


# ---------------------------------------------------------------------------------------------- figures: valleys

valley = _valley  # the function of the story: x⁴ - 3x² + x


def walk(start: float, lr: float = 0.01, steps: int = 500, momentum: float = 0.0) -> list[float]:
    """Places of a ball on the valley, the start included: v ← momentum · v + slope, then x ← x - lr · v."""
    x, v, places = float(start), 0.0, [float(start)]
    for _ in range(steps):
        v = momentum * v + 4 * x**3 - 6 * x + 1
        x -= lr * v
        places.append(x)
    return places


def _draw_valley(ax) -> None:
    xs = np.linspace(-2.15, 2.1, 300)
    ax.plot(xs, _valley(xs), color=plots.BLACK, linewidth=1.5)
    ax.set(xlabel="x", ylim=(-5.2, 7))


def show_walks(starts) -> None:
    """Where plain gradient descent ends, from each start."""
    fig, ax = plots.figure(size=(7.6, 3.9))
    _draw_valley(ax)
    for start in starts:
        end = walk(start)[-1]
        color, marker = (plots.BLUE, "o") if end < 0 else (plots.RED, "X")
        ax.plot(start, _valley(start), marker, color=color, markersize=9)
        ax.annotate("", xy=(end, _valley(end) + 0.25), xytext=(start, _valley(start)),
                    arrowprops={"arrowstyle": "->", "color": color, "linewidth": 1.4, "connectionstyle": "arc3,rad=0.12"})
    for end in (walk(-2)[-1], walk(2)[-1]):
        ax.plot(end, _valley(end), "*", color=plots.BLACK, markersize=15)
        ax.text(end, _valley(end) - 0.45, f"{end:.4f}: f = {_valley(end):.4f}".replace("-", "−"), ha="center", va="top")
    ax.set_ylabel("f(x)")
    _show(fig, "The function with two valleys, and six starts. From 2, 1.5 and 0.5 (crosses) gradient descent ends in the right valley, at "
               "1.1309; from 0.1, −0.5 and −2 (circles) in the left one, at −1.3008, which is deeper.")


def show_momentum(betas, start: float = 2.0) -> None:
    """The first 60 places of a ball from the start, for each momentum."""
    fig, axes = plots.figure(1, len(betas), size=(10, 3.1), sharey=True)
    ends = []
    for ax, beta in zip(axes, betas, strict=True):
        _draw_valley(ax)
        places = np.array(walk(start, momentum=beta))
        ends.append(f"{beta:g}: {places[-1]:.4f}")
        ax.plot(places[:60], _valley(places[:60]), "o-", color=plots.SKY, markersize=4, linewidth=1)
        ax.plot(places[-1], _valley(places[-1]), "*", color=plots.RED, markersize=15, zorder=4)
        ax.set_title(f"β = {beta:g}\nends at {places[-1]:.4f}".replace("-", "−"), fontsize=11)
    axes[0].set_ylabel("f(x)")
    _show(fig, f"A ball that starts at {start:g}, with growing momentum. Where it ends, for each β: {', '.join(ends)}. Only with 0.9 it "
               "rolls over the hill.".replace("-", "−"))


def rolling_ball() -> None:
    """Sliders for the start and the momentum of the ball, and for the number of steps shown."""
    def draw(start, momentum, steps):
        fig, ax = plots.figure(size=(6.6, 3.6))
        _draw_valley(ax)
        places = np.array(walk(start, steps=int(steps), momentum=momentum))
        ax.plot(places, _valley(places), "o-", color=plots.SKY, markersize=4, linewidth=1)
        ax.plot(places[-1], _valley(places[-1]), "o", color=plots.RED, markersize=12)
        return fig, f"After {int(steps)} steps with momentum {momentum:.2f} the ball is at {places[-1]:.4f}, f = {_valley(places[-1]):.4f}."

    widgets.sliders(draw, start=(-2.1, 2.1, 2.0, 0.1), momentum=(0.0, 0.95, 0.9, 0.05), steps=(0, 200, 20, 1))


# ---------------------------------------------------------------------------------------------- figures: vanishing gradients

def show_slopes() -> None:
    """Derivatives of sigmoid, tanh and ReLU, and what ten of them leave at best."""
    z = np.linspace(-5, 5, 401)
    slopes = {"sigmoid": _sigmoid(z) * (1 - _sigmoid(z)), "tanh": 1 - np.tanh(z) ** 2, "ReLU": (z > 0).astype(float)}
    fig, axes = plots.figure(1, 2, size=(8.8, 3.3))
    for (name, slope), style in zip(slopes.items(), ("-", "--", ":"), strict=True):
        axes[0].plot(z, slope, style, linewidth=2.3, label=name)
    axes[0].set(xlabel="z", title="slope of the activation")
    plots.legend(axes[0], loc="upper left")
    layers = np.arange(11)
    axes[1].semilogy(layers, 0.25**layers, "o-", linewidth=2)
    axes[1].annotate("0.25¹⁰ ≈ 9.5e−7", (10, 0.25**10), xytext=(-26, -5), textcoords="offset points", ha="right")
    axes[1].set(xlabel="sigmoid layers", title="what is left at best")
    _show(fig, "Left: the slopes of sigmoid (at most 0.25), tanh (at most 1) and ReLU (0 or 1). Right, on a logarithmic axis: the product of "
               "the largest slopes of ten sigmoid layers falls to 9.5e−7.")


def _draw_norms(ax, norms, color: str, marker: str, **options) -> None:
    ax.semilogy(np.arange(1, len(norms) + 1), norms, marker + "-", color=color, linewidth=1.8, **options)


def show_gradient_norms(norms: dict[str, list[float]]) -> None:
    """Gradient norm of each layer, on a logarithmic axis. Args: name -> norms, first layer first."""
    fig, ax = plots.figure(size=(8.4, 3.8))
    for (name, values), color, marker in zip(norms.items(), plots.CYCLE, "Xos^Dv", strict=False):
        _draw_norms(ax, values, color, marker, label=name)
    ax.set(xlabel="layer, from input to output", ylabel="norm of the gradient", xticks=range(1, 12))
    plots.legend(ax, outside=True)
    told = "; ".join(f"{name} {values[0] / values[-1]:.1e}" for name, values in norms.items())
    _show(fig, f"Norm of the gradient of each of the eleven weight matrices, on a logarithmic axis. First over last: {told}.")


def norms_menu(norms: dict[str, list[float]]) -> None:
    """A menu of activations and starts; it draws the gradient norms of the layers as bars."""
    def draw(name):
        fig, ax = plots.figure(size=(6.6, 3.4))
        ax.bar(range(1, 12), norms[name], color=plots.BLUE)
        ax.set(yscale="log", ylim=(1e-10, 10), xlabel="layer, from input to output", ylabel="norm of the gradient", xticks=range(1, 12))
        return fig, f"{name}: from {norms[name][0]:.1e} in the first layer to {norms[name][-1]:.1e} in the last."

    _menu(draw, list(norms), "start")


def show_deep_training(losses: dict[str, list[float]]) -> None:
    """Training loss of the eleven-layer networks. Args: name -> loss per epoch."""
    fig, ax = plots.figure(size=(6.6, 3.3))
    for (name, values), marker in zip(losses.items(), "Xos", strict=False):
        ax.plot(range(1, len(values) + 1), values, marker + "-", label=name)
    ax.axhline(math.log(10), color=plots.GREY, linestyle=":", label="ln 10: guessing")
    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, 2.5))
    plots.legend(ax, outside=True)
    _show(fig, "Training loss of three networks with eleven layers: "
               + ", ".join(f"{name} ends at {values[-1]:.3f}" for name, values in losses.items())
                    + ". The dotted line is guessing, 2.303.")


# ---------------------------------------------------------------------------------------------- figures: inference, files, the clinic

def show_predictions(images, labels, probabilities) -> None:
    """Six pictures with the probabilities of the ten classes. Args: (6, 28, 28) uint8, (6,), (6, 10)."""
    images, labels, p = _cpu(images), _cpu(labels), _cpu(probabilities)
    fig, axes = plots.figure(2, 6, size=(9.8, 3.9), height_ratios=(1, 1.25))
    for n, (top, bottom) in enumerate(axes.T):
        guess = int(p[n].argmax())
        top.imshow(images[n], cmap="gray", vmin=0, vmax=255)
        top.set_axis_off()
        top.set_title(CLASSES[labels[n]], fontsize=11)
        bottom.barh(range(10), p[n], color=[plots.BLUE if c == labels[n] else plots.RED if c == guess else plots.GREY for c in range(10)])
        bottom.set(xlim=(0, 1), yticks=range(10), yticklabels=CLASSES if n == 0 else [], xticks=(0, 1))
        bottom.invert_yaxis()
    for ax in axes[1]:
        ax.tick_params(labelsize=9)
    told = ", ".join(f"{CLASSES[labels[n]]}: {CLASSES[int(p[n].argmax())]} with {p[n].max():.2f}" for n in range(6))
    _show(fig, f"Six test pictures with their true names, and the network's ten probabilities below; the true class is blue. {told}.")


def show_confusion(targets, predictions) -> None:
    """Counts of (true class, predicted class). Args: targets (n,), predictions (n,)."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (_cpu(targets), _cpu(predictions)), 1)
    errors = counts * (1 - np.eye(10, dtype=int))
    fig, ax = plots.figure(size=(6.4, 5.2))
    ax.imshow(errors, cmap="Reds", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        strong = errors[row, column] > 0.6 * errors.max()
        ax.text(column, row, str(count) if count else "·", ha="center", va="center", fontsize=9,
                color="white" if strong else plots.GREY if not count else plots.BLACK)
    ax.set(xlabel="predicted", ylabel="true", xticks=range(10), yticks=range(10), yticklabels=CLASSES)
    ax.set_xticklabels(CLASSES, rotation=45, ha="right")
    ax.grid(False)
    row, column = np.unravel_index(errors.argmax(), errors.shape)
    _show(fig, "The confusion matrix: rows are the true classes, columns the predictions. The most frequent error: "
               f"{errors[row, column]} times a {CLASSES[row]} was called {CLASSES[column]}.")


def show_dropout_left_on(with_eval: float, without) -> None:
    """Accuracy of one model with eval(), and of several calls without. Args: accuracies in 0..1."""
    values = 100 * np.array([with_eval, *without])
    fig, ax = plots.figure(size=(6.8, 2.8))
    names = ["eval()", *(f"train(), call {n}" for n in range(1, len(values)))]
    ax.plot(values[1:], range(len(values) - 1, 0, -1), "X", color=plots.RED, markersize=11)
    ax.plot(values[:1], [len(values)], "o", color=plots.BLUE, markersize=11)
    ax.set(yticks=range(len(values), 0, -1), yticklabels=names, xlabel="test accuracy in %", ylim=(0.4, len(values) + 0.6))
    _show(fig, f"Test accuracy of one and the same network: {values[0]:.2f} % in eval mode (circle), and {len(without)} calls in training "
               f"mode (crosses), between {values[1:].min():.2f} and {values[1:].max():.2f} %.")


def show_wrong_count(right: dict, wrong: dict) -> None:
    """Curves divided by the wrong and by the right count. Args: dicts with the lists train and valid."""
    fig, axes = plots.figure(1, 2, size=(8.8, 3.4), sharey=True)
    top = 1.05 * max(right["train"] + right["valid"])
    for ax, curves, title in zip(axes, (wrong, right), ("divided by all rows", "divided by the samples seen"), strict=True):
        epochs = np.arange(1, len(curves["train"]) + 1)
        ax.plot(epochs, curves["train"], label="training", linewidth=2)
        ax.plot(epochs, curves["valid"], "--", color=plots.RED, label="validation", linewidth=2)
        ax.set(xlabel="epoch", title=title, ylim=(0, top))
    axes[0].set_ylabel("loss")
    plots.legend(axes[0])
    _show(fig, "The same training twice. Left, both sums divided by all rows of the data set: validation lies far below training, and all "
               "seems well. Right, divided by the samples seen: validation lies above training and rises.")


def show_checkpoint(sizes, tensors: dict) -> None:
    """What a checkpoint holds. Args: sizes; name -> shape."""
    fig, ax = plots.figure(size=(8.6, 3.0))
    ax.set(xlim=(0, 10), ylim=(0, 4))
    ax.set_axis_off()
    ax.add_patch(_box(0.1, 0.2, 9.8, 3.6, plots.GREY, 0.08))
    ax.text(0.35, 3.3, "checkpoint.pt", fontsize=12)
    ax.add_patch(_box(0.4, 0.6, 3.1, 2.3, plots.ORANGE, 0.25))
    ax.text(1.95, 2.3, '"sizes"', ha="center", fontsize=12)
    ax.text(1.95, 1.3, "\n".join(("how to build it:", " → ".join(map(str, sizes)))), ha="center", va="center", fontsize=10.5)
    ax.add_patch(_box(3.9, 0.6, 5.7, 2.3, plots.BLUE, 0.18))
    ax.text(6.75, 2.3, '"state_dict"', ha="center", fontsize=12)
    names = [f"{name} {'×'.join(map(str, shape))}" for name, shape in tensors.items()]
    half = -(-len(names) // 2)
    ax.text(4.1, 1.35, "\n".join(names[:half]), va="center", fontsize=9.5)
    ax.text(6.9, 1.35, "\n".join(names[half:]), va="center", fontsize=9.5)
    _show(fig, f"A checkpoint is a dict of two parts: the sizes {', '.join(map(str, sizes))}, from which the network is built, and the "
               f"state_dict with {len(tensors)} named tensors that fill it.")


def _box(x: float, y: float, width: float, height: float, color: str, alpha: float):
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.15", facecolor=color, alpha=alpha, linewidth=0)
